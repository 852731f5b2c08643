"""What one pass reads and writes: which tokens count, and how they are grouped into writes. Made once a pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from .config import HFDeltaMemConfig
from .errors import StateError


class Segments(NamedTuple):
    """Writes of a pass that cover several tokens each.

    Attributes:
        weights: [B, N, T] float32; row n averages the tokens of write n.
        present: bool [B, N]; whether the batch row has write n.
    """

    weights: Tensor
    present: Tensor


class Plan(NamedTuple):
    """What every layer needs to know about a pass.

    Attributes:
        write: False: every token reads the fixed state.
        invalid: bool [B, T, 1] or None (all tokens valid); such tokens read 0 and never write.
        written: bool [B, T] or None (all); tokens written one by one.
        segments: writes of several tokens each, made after all reads; None for token writes.
    """

    write: bool
    invalid: Tensor | None = None
    written: Tensor | None = None
    segments: Segments | None = None


def make_plan(
    config: HFDeltaMemConfig,
    shape: tuple[int, int],
    write: bool,
    valid: Tensor | None,
    write_mask: Tensor | None,
    message_ids: Tensor | None,
    sentence_ids: Tensor | None,
) -> Plan:
    """The plan of a pass over [B, T] tokens.

    Args:
        valid: bool [B, T] or None.
        write_mask: bool [B, T] or None; valid tokens outside it read but do not write.
        message_ids, sentence_ids: integer [B, T] or None; -1 is never written. Only the ids that the adapter's
            `memory_write_granularity` uses are looked at.

    Raises:
        StateError: ids that do not fit the pass.
    """
    invalid = None if valid is None else ~valid[..., None]
    if not write:
        return Plan(False, invalid)
    written = valid
    if write_mask is not None:
        if tuple(write_mask.shape) != shape:
            raise StateError(f"write_mask has shape {list(write_mask.shape)} but the pass has {list(shape)} tokens")
        written = write_mask if valid is None else valid & write_mask
    ids = _write_ids(config, shape, message_ids, sentence_ids)
    if ids is None:
        return Plan(True, invalid, written)
    return Plan(True, invalid, segments=_segments(ids, written))


def _write_ids(
    config: HFDeltaMemConfig, shape: tuple[int, int], message_ids: Tensor | None, sentence_ids: Tensor | None
) -> Tensor | None:
    """One id per token for the adapter's granularity, or None for token writes."""
    if config.memory_write_granularity == "token":
        return None
    messages = _fitting("message", message_ids, shape)
    if config.memory_write_granularity == "message_mean":
        return messages
    sentences = _fitting("sentence", sentence_ids, shape)
    if sentences is None or messages is None:
        return sentences if messages is None else messages
    pair = messages * (sentences.max().clamp_min(0) + 1) + sentences
    return torch.where((messages >= 0) & (sentences >= 0), pair, -1)


def _fitting(kind: str, ids: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    if ids is None or tuple(ids.shape) == shape:
        return ids
    if shape[1] == 1:
        return None  # a decode step after a prompt: written as a token
    raise StateError(
        f"write {kind} ids have shape {list(ids.shape)} but the pass has {list(shape)} tokens; "
        f"set ids of that shape for this pass, or None for token writes"
    )


def _segments(ids: Tensor, written: Tensor | None) -> Segments:
    chosen = ids >= 0 if written is None else (ids >= 0) & written
    present_ids = torch.unique(ids[chosen])  # ascending
    members = (ids[:, None, :] == present_ids[None, :, None]) & chosen[:, None, :]
    counts = members.sum(dim=-1, keepdim=True)
    return Segments(members.float() / counts.clamp_min(1), counts.squeeze(-1) > 0)
