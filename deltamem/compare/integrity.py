"""Whether a memory does what it should on this machine: checked when a model is loaded, and after every turn.

findings = check_model(model)        chunked writing equals writing in one pass, padding writes nothing …
findings = check_turn(session)       what was sent and written, and whether the state is sound
findings.ok; for line in findings.lines: print(line.label, line.value, line.ok)
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from deltamem.core.binding import Binding, bind
from deltamem.core.files import adapter_hash
from deltamem.runtime.settings import check_adapter, layer_numbers

# Largest relative difference of two states that should be equal, by the backbone's dtype: what rounding explains.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
CHUNKS = (1, 17, 2)  # uneven on purpose: a single token takes another path than a pass
PADDING = 5
TEXT = "My neighbour keeps bees behind the old mill, and every June she brings me a jar of honey. Her name is Ottilie."
REPLY = "How kind of Ottilie! What do you give her in return?"


@dataclass(frozen=True)
class Finding:
    """label: what was looked at. value: what was found, in words. ok: False when something is wrong."""

    label: str
    value: str
    ok: bool = True


@dataclass
class Findings:
    """Several findings. ok: none of them is wrong."""

    lines: list[Finding] = field(default_factory=list)

    @property
    def ok(self):
        return all(line.ok for line in self.lines)

    @property
    def wrong(self):
        """The findings that are wrong."""
        return [line for line in self.lines if not line.ok]

    def add(self, label, value, ok=True):
        """Append one finding."""
        self.lines.append(Finding(label, value, bool(ok)))


def check_model(model, adapter=None):
    """Findings on one adapter (a label, None for the default) with this backbone, device and attention backend.

    Takes three short passes. Raises SessionError for an adapter that the model does not have.
    """
    label = check_adapter(model, adapter)
    findings = Findings()
    findings.add("Backend", _backend(model))
    if label is None:
        findings.add("Memory", "none: the model was loaded without an adapter")
        return findings
    weights = model.adapters[label]
    findings.add("Adapter", f"{label}, {len(weights.layers)} layers, weights {adapter_hash(weights)[:12]}")
    messages = [model.chat.message("user", TEXT), model.chat.message("assistant", REPLY)]
    with model.lock:
        once = _write(model, weights, messages)
        parts = _write(model, weights, messages, chunks=True)
        padded = _write(model, weights, messages, padding=PADDING)
    findings.add(*_sound(once, weights.layers, True))
    tolerance = TOLERANCE[model.dtype]
    for name, states in (("Chunks write like one pass", parts), ("Padding writes nothing", padded)):
        off = _difference(once, states)
        findings.add(name, f"states differ by {off:.1e} of their size, at most {tolerance:g} allowed", off <= tolerance)
    return findings


def check_turn(session):
    """Findings on a session's last step: its state, what was sent and what was written."""
    findings, last = Findings(), session.stats()["last"]
    if session.fault:
        findings.add("Last step", f"taken back, nothing of it was kept: {session.fault}", False)
    if session.memory:
        snapshot, layers = session.snapshots[-1], session.snapshots[-1].layers
        findings.add(*_sound(snapshot.states, layers, _wrote_since_replaced(session)))
        if snapshot.written_tokens:
            silent = np.isnan(snapshot.beta).all(axis=(1, 2))
            words = f"{snapshot.written_tokens:,} tokens in this step" + _silent(layers, silent)
            findings.add("Written", words, not silent.any())
        else:
            told = snapshot.label.startswith(("turn", "history"))
            reason = "the writes are frozen" if told else "nothing was told yet" if snapshot.label == "start" else ""
            findings.add("Written", f"nothing in this step: {reason or 'the state was replaced'}")
    if last is not None:
        findings.lines += check_stats(session, last)
    findings.add("Backend", _backend(session.model))
    return findings


def check_stats(session, stats):
    """A list of Findings on the stats of a turn, of this session or of a branch of it."""
    findings = Findings()
    seen, history = stats["prompt_tokens"], stats["history_tokens"]
    shown = f"{history:,} of them from the past" if history else "none of them from the past"
    findings.add("Sent", f"{seen:,} tokens in the prompt, {shown}", not (session.context == "none" and history))
    if session.memory:
        findings.add(*_written(session, stats))
    rebuilt = stats.get("rebuilt_tokens", 0)
    findings.add("Rebuilt", f"{rebuilt:,} tokens of the past were computed again" if rebuilt else "nothing")
    return findings.lines


def _written(session, last):
    """Label, value and verdict: whether every layer wrote what the last turn meant to write."""
    meant, (fewest, most) = last["written_tokens"], last.get("layer_writes") or (0, 0)
    by_message = session.model.adapters[session.adapter].config.memory_write_granularity != "token"
    if not meant:
        return "Layers wrote", "nothing in the last turn", most == 0 and not session.writes
    unit = "segments" if by_message else "tokens"
    counted = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    fine = fewest == most and (fewest > 0 if by_message else fewest == meant)
    return "Layers wrote", f"{counted} {unit} each for {meant:,} tokens of the last turn", fine


def _wrote_since_replaced(session):
    """Tokens written since the state was last replaced (or since the start)."""
    total = 0
    for snapshot in reversed(session.snapshots):
        if not snapshot.written_tokens and not snapshot.label.startswith(("turn", "history")):
            break
        total += snapshot.written_tokens
    return total


def _sound(states, layers, written):
    """Label, value and verdict on states [L, H, r, r]: finite, and not zero where something was written."""
    numbers = np.array(list(layer_numbers(layers)))
    broken = ~np.isfinite(states).all(axis=(1, 2, 3))
    if broken.any():
        return "State", f"not finite in layer {', '.join(map(str, numbers[broken][:8]))}", False
    if not written:
        largest = np.abs(states).max()
        return "State", f"finite, largest |S| {largest:.3g}" if largest else "zero, and nothing was written since", True
    zero = ~states.any(axis=(1, 2, 3))
    if zero.any():
        return "State", f"zero in layer {', '.join(map(str, numbers[zero][:8]))} although something was written", False
    return "State", f"finite and not zero in {len(layers)} layers, largest |S| {np.abs(states).max():.3g}", True


def _silent(layers, silent):
    numbers = np.array(list(layer_numbers(layers)))[silent]
    return f", but layer {', '.join(map(str, numbers[:8]))} wrote none" if len(numbers) else ""


@torch.no_grad()
def _write(model, weights, messages, chunks=False, padding=0):
    """States [L, H, r, r] after writing the messages in one pass, in parts, or with padding behind them.

    Padding behind, since the gates may have forgotten what came first. A memory of whole messages reads what was there
    before each pass, so its parts are messages and its steer is switched off: only then must both ways agree.
    """
    by_message = weights.config.memory_write_granularity != "token"
    ids = [token for message in messages for token in message] + [0] * padding
    marks = [index for index, message in enumerate(messages) for _ in message] + [len(messages)] * padding
    cuts = np.cumsum([len(messages[0])] if by_message else CHUNKS) if chunks else []
    binding = Binding(weights, weights.empty_states(1), strength=0.0 if by_message else 1.0)
    cache = None
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        part = torch.tensor([ids[start:end]], device=model.device)
        mask = torch.ones(1, end, dtype=torch.long, device=model.device)
        mask[:, len(ids) - padding :] = 0
        binding.message_ids = torch.tensor([marks[start:end]], device=model.device) if by_message else None
        with bind(model.backbone, binding):
            out = model.backbone.base_model(
                input_ids=part, attention_mask=mask if padding else None, past_key_values=cache, use_cache=True
            )
        cache = out.past_key_values
    return torch.stack([binding.states[name][0] for name in weights.layers]).cpu().numpy()


def _difference(a, b):
    """The largest relative difference of a layer's state; infinite when something is not finite."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    off = np.linalg.norm((a - b).reshape(len(a), -1), axis=1)
    size = np.linalg.norm(a.reshape(len(a), -1), axis=1)
    return float((off / np.maximum(size, 1e-12)).max())


def _backend(model):
    return f"{model.attention} attention, {str(model.dtype).removeprefix('torch.')} on {model.device}"
