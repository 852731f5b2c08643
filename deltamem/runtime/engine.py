"""Passes over the backbone under one memory, sampling, and the decoding loop. The engine knows no UI."""

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache

from deltamem.core.binding import Binding, GateSums, bind
from deltamem.runtime.blocks import block
from deltamem.runtime.cache import cache_bytes, crop_cache
from deltamem.runtime.errors import SessionError

STOPS = ("eos", "length", "context", "cancelled")  # how an answer can end
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")


@dataclass(frozen=True)
class Event:
    """One step of a reply: a piece of text (it may be empty while nothing is certain yet), or the final stats."""

    kind: str
    text: str = ""
    stats: dict | None = None


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. Temperature 0 takes the likeliest token; else `seed` alone decides the draw.

    Raises SessionError for a value out of range.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self):
        if not _is(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise SessionError(f"max_new_tokens is {self.max_new_tokens!r}; it must be a whole number from 1.")
        if not _is(self.temperature, int, float) or not 0 <= self.temperature < math.inf:
            raise SessionError(f"temperature is {self.temperature!r}; it must be a number from 0 (0: likeliest token).")
        if not _is(self.top_p, int, float) or not 0 < self.top_p <= 1:
            raise SessionError(f"top_p is {self.top_p!r}; it must be above 0 and at most 1 (1: all tokens).")
        if not _is(self.seed, int) or not 0 <= self.seed < 2**63:
            raise SessionError(f"seed is {self.seed!r}; it must be a whole number from 0 to 2**63 - 1.")


class Sampler:
    """Draws tokens with a generator of its own, so that no other random draw in the process can change an answer."""

    def __init__(self, sampling, device):
        self.sampling = sampling
        self.generator = torch.Generator(device).manual_seed(sampling.seed) if sampling.temperature > 0 else None

    def pick(self, logits):
        """The next token id from logits [vocabulary]. Raises SessionError when the model's output is not a number."""
        logits = logits.float()
        top, index = logits.max(dim=-1)
        if not math.isfinite(top.item()):
            raise SessionError(
                f"The model's output is {top.item()} instead of a number; reset the session, or lower the memory's "
                "strength."
            )
        if self.generator is None:
            return index.item()
        # The maximum is taken off first: a tiny temperature would overflow otherwise.
        probabilities = torch.softmax((logits - top) / self.sampling.temperature, dim=-1)
        if self.sampling.top_p < 1:
            ordered, order = probabilities.sort(descending=True)
            # A token stays when the ones before it do not reach top_p yet: the first always does.
            ordered[ordered.cumsum(-1) - ordered >= self.sampling.top_p] = 0
            probabilities = torch.zeros_like(probabilities).scatter_(0, order, ordered)
        return torch.multinomial(probabilities, 1, generator=self.generator).item()


class Run:
    """A working copy of a memory and a KV. Passes advance it; the session takes it over at the end, or drops it.

    model: runtime Model. adapter: None for the backbone alone. states: {module: [1, H, r, r]}, never written in place.
    cache: the KV to go on from (this one IS extended in place), or None.
    """

    def __init__(self, model, adapter=None, states=None, cache=None, strength=1.0):
        self.model = model
        self.by_message = adapter is not None and adapter.config.memory_write_granularity != "token"
        self._by_sentence = adapter is not None and adapter.config.memory_write_granularity == "sentence_mean"
        self.binding = None
        if adapter is not None:
            self.binding = Binding(adapter=adapter, states=dict(states or {}), strength=strength, gates=GateSums())
        # Without a config all layers keep everything, so that any of them can be cut back to an earlier length.
        self.cache = DynamicCache() if cache is None else cache
        self.written = 0
        self.seconds = 0.0

    @property
    def states(self):
        return self.binding.states if self.binding is not None else {}

    @property
    def length(self):
        """Tokens in the KV."""
        return self.cache.get_seq_length()

    def feed(self, tokens):
        """One pass over a Block behind the KV. Returns the last token's logits [vocabulary].

        The model is locked for this pass only, so that other sessions' passes can come in between.
        """
        device = self.model.device
        self._mark(tokens, device)
        ids = torch.tensor([tokens.ids], device=device)
        try:
            # no_grad, not inference_mode: states must stay usable outside, with gradients too.
            with self.model.lock, self.timed(), torch.no_grad(), bind(self.model.backbone, self.binding):
                out = self.model.backbone(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        except torch.OutOfMemoryError as error:
            raise SessionError(
                f"The device ran out of memory at {self.length + len(tokens):,} tokens in the prompt; reset the "
                "session, show less history, or use a smaller model."
            ) from error
        if self.binding is not None:
            self.written += sum(tokens.write)
        return out.logits[0, -1]

    def restart(self):
        """Drop the KV, keep the memory: the next pass starts at position 0."""
        self.cache = DynamicCache()

    def crop(self, length):
        """Forget what the KV holds beyond `length` tokens."""
        crop_cache(self.cache, length)

    @contextmanager
    def timed(self):
        """Adds the time spent inside to `seconds`: the reply's own work, without waiting for other sessions."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begin

    def _mark(self, tokens, device):
        """Tell the binding which tokens of this pass enter the memory."""
        if self.binding is None:
            return
        self.binding.write = any(tokens.write)
        self.binding.write_mask = self.binding.message_ids = self.binding.sentence_ids = None
        if not self.binding.write:
            return
        if self.by_message:
            marks = [0 if write else -1 for write in tokens.write]
            self.binding.message_ids = torch.tensor([marks], device=device)
            if self._by_sentence:
                sentences = sentence_ids(tokens, self.model.chat)
                self.binding.sentence_ids = torch.tensor([sentences], device=device)
        elif not all(tokens.write):
            self.binding.write_mask = torch.tensor([tokens.write], device=device)


@dataclass
class Reply:
    """An answer while it is written. stop: "cancelled" until decoding ends by itself."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    stop: str = "cancelled"
    ttft_s: float = 0.0
    last_s: float = 0.0

    @property
    def tok_s(self):
        """Tokens per second after the first; 0 when there is no second."""
        return (len(self.ids) - 1) / (self.last_s - self.ttft_s) if self.last_s > self.ttft_s else 0.0


def decode(run, logits, reply, sampling, room):
    """Draw an answer from the logits after the prompt, filling `reply` and yielding an Event per token.

    room: KV length to stay within, the answer's closing tokens not counted. When the caller closes this generator,
    `reply` holds what was drawn so far; its last token has not been fed to the model, as after any other end.
    """
    sampler = Sampler(sampling, logits.device)
    stream = run.model.chat.stream()
    write = not run.by_message  # segment writes take the finished answer as a whole
    try:
        while True:
            with run.timed():
                token = sampler.pick(logits)
            if token in run.model.chat.stop_ids:
                reply.stop = "eos"
                break
            reply.ids.append(token)
            reply.last_s = run.seconds
            if len(reply.ids) == 1:
                reply.ttft_s = run.seconds
            piece = stream.push(token)
            reply.text += piece
            yield Event("text", piece)
            if len(reply.ids) >= sampling.max_new_tokens:
                reply.stop = "length"
                break
            if run.length + 2 > room:
                reply.stop = "context"
                break
            logits = run.feed(block([token], write))
    finally:
        rest = stream.flush()
        reply.text += rest
    if rest:
        yield Event("text", rest)


def turn_stats(run, reply, prompt):
    """What a turn's last event says (a dict of plain values). prompt: the Prompt that was answered."""
    stats = {
        "prompt_tokens": prompt.tokens,
        "history_tokens": prompt.history_tokens,
        "written_tokens": run.written,
        "new_tokens": len(reply.ids),
        "ttft_s": reply.ttft_s,
        "tok_s": reply.tok_s,
        "state_bytes": sum(state.nbytes for state in run.states.values()),
        "kv_bytes": cache_bytes(run.cache),
        "stop": reply.stop,
    }
    return stats if prompt.passages is None else stats | {"passages": list(prompt.passages)}


def sentence_ids(tokens, chat):
    """A running sentence number per token of a block, -1 for tokens that are not written."""
    words = [chat.decode([i]) for i in tokens.ids]
    ids, sentence, begun, framed = [], 0, False, False
    for index, (word, write) in enumerate(zip(words, tokens.write, strict=True)):
        ids.append(sentence if write else -1)
        begun = begun or bool(word.strip())
        framed = framed or tokens.ids[index] in chat.control_ids
        following = words[index + 1] if index + 1 < len(words) else " "
        # "3.14" is one sentence: a Latin full stop ends one only before white space.
        ends = word.strip().endswith(_SENTENCE_ENDS) and (following[:1].isspace() or not word.isascii())
        if "\n" in word:
            # The line break of a message's header or footer belongs to the sentence next to it.
            ends, framed = ends or (begun and not framed), False
        if ends:
            sentence, begun = sentence + 1, False
    return ids


def _is(value, *kinds):
    return isinstance(value, kinds) and not isinstance(value, bool)
