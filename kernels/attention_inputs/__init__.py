"""All that lies between a decoding step's projections and its attention, in one launch: `attention_inputs`."""

from .dispatch import attention_inputs
from .naive import MemoryStep, attention_inputs_naive

__all__ = ["MemoryStep", "attention_inputs", "attention_inputs_naive"]
