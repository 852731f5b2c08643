"""All that lies between a decoding step's projections and its attention, in one launch: `attention_inputs`."""

from .dispatch import attention_inputs
from .heads import HeadNorms
from .naive import MemoryStep, attention_inputs_naive

__all__ = ["HeadNorms", "MemoryStep", "attention_inputs", "attention_inputs_naive"]
