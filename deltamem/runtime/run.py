"""Passes over the backbone under one memory and on one KV."""

import time
from contextlib import contextmanager

import torch
from transformers import DynamicCache

from deltamem.core.binding import Binding, GateSums, bind
from deltamem.runtime.cache import crop_cache
from deltamem.runtime.errors import SessionError
from deltamem.runtime.upload import upload

_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")


class Run:
    """A working copy of a memory and a KV. Passes advance it; the session takes it over at the end, or drops it.

    model: runtime Model. adapter: None for the backbone alone. states: {module: [1, H, r, r]}, never written in place.
    cache: the KV to go on from (this one IS extended in place), or None. writes: False: the states never change.
    layers_off: attention modules that do not steer.
    """

    def __init__(self, model, adapter=None, states=None, cache=None, strength=1.0, writes=True, layers_off=()):
        self.model = model
        self.writes = writes
        self.by_message = adapter is not None and adapter.config.memory_write_granularity != "token"
        self._by_sentence = adapter is not None and adapter.config.memory_write_granularity == "sentence_mean"
        self.binding = None
        if adapter is not None:
            self.binding = Binding(
                adapter=adapter,
                states=dict(states or {}),
                strength=strength,
                layers_off=frozenset(layers_off),
                gates=GateSums(),
            )
        # Without a config all layers keep everything, so that any of them can be cut back to an earlier length.
        self.cache = DynamicCache() if cache is None else cache
        self.written = 0
        self.rebuilt = 0  # tokens of the past that had to be computed again before this run
        self.seconds = 0.0

    @property
    def states(self):
        return self.binding.states if self.binding is not None else {}

    @property
    def length(self):
        """Tokens in the KV."""
        return self.cache.get_seq_length()

    @property
    def layer_writes(self):
        """(fewest, most) writes that a layer really made, tokens or segments; both 0 when there were none."""
        counts = list(self.binding.gates.written.values()) if self.binding is not None else []
        if not counts:
            return 0, 0
        counts = torch.stack([count[0] for count in counts])
        return int(counts.min()), int(counts.max())

    def feed(self, tokens):
        """One pass over a Block behind the KV. Returns the last token's logits [vocabulary].

        The model is locked for this pass only, so that other sessions' passes can come in between.
        """
        captured = self.model.decoder.prompt(self, tokens)
        attention = self.model.decoder.prefill()
        try:
            # no_grad, not inference_mode: states must stay usable outside, with gradients too.
            with self.model.lock, self.timed(), torch.no_grad():
                if captured:
                    logits = captured(self, tokens)
                else:
                    with attention:
                        logits = self._pass(tokens)
        except torch.OutOfMemoryError as error:
            self.model.decoder.release()  # not in time for this pass
            raise SessionError(
                f"The device ran out of memory at {self.length + len(tokens):,} tokens in the prompt; reset the "
                "session, show less history, or use a smaller model."
            ) from error
        if self.binding is not None and self.writes:
            self.written += sum(tokens.write)
        return logits

    def _pass(self, tokens):
        device = self.model.device
        self._mark(tokens, device)
        with bind(self.model.backbone, self.binding):
            ids = upload([tokens.ids], device)
            out = self.model.backbone(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1]

    def remember(self, states, writes):
        """Go on with another memory on the same KV."""
        self.writes = writes
        if self.binding is not None:
            self.binding.states = dict(states)

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
        self.binding.write = self.writes and any(tokens.write)
        self.binding.write_mask = self.binding.message_ids = self.binding.sentence_ids = None
        if not self.binding.write:
            return
        if self.by_message:
            marks = [0 if write else -1 for write in tokens.write]
            self.binding.message_ids = upload([marks], device)
            if self._by_sentence:
                sentences = sentence_ids(tokens, self.model.chat)
                self.binding.sentence_ids = upload([sentences], device)
        elif not all(tokens.write):
            self.binding.write_mask = upload([tokens.write], device)


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
