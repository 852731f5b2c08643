"""Short prompts on a GPU: what they take is not arithmetic but the launching of thousands of kernels."""

import torch

from deltamem.core.binding import Binding, GateSums, bind
from deltamem.kernels.launch import on_device_of
from deltamem.runtime.blocks import block
from deltamem.runtime.decoder.attention import engine_attention
from deltamem.runtime.decoder.launch import captured
from deltamem.runtime.decoder.rows import Buffers, RowCache
from deltamem.runtime.decoder.trial import TOLERANCE, differs
from deltamem.runtime.run import Run
from deltamem.runtime.upload import upload

LENGTHS = 128, 512  # tokens of the passes that are captured; longer ones keep the device busy by themselves
MOST = 8  # kept at a time


def takes(run, tokens):
    """Whether a captured pass can do what a run is about to do: feed these tokens to an empty KV."""
    if run.length or len(tokens) > LENGTHS[-1]:
        return False
    binding = run.binding
    if binding is None:
        return True
    plain = binding.strength == 1 and not binding.layers_off and binding.trace is None
    return plain and not run.by_message and run.writes and any(tokens.write)


class Prompts:
    """The captured passes of one model, each made when it is first wanted."""

    def __init__(self, model, shapes):
        self._model, self._shapes = model, shapes
        self._made = {}  # (adapter or None, length) -> PromptPass, the last used one last
        self._making = False

    def get(self, adapter, tokens):
        """The pass for so many tokens; None while one is tried out.

        Raises as `captured` and Run.feed do, or ValueError for a pass that does not do what a plain one does.
        """
        if self._making:
            return None
        key = adapter, next(length for length in LENGTHS if tokens <= length)
        made = self._made.pop(key, None)
        if made is None:
            self._making = True
            try:
                with self._model.lock:
                    made = PromptPass(self._model, self._shapes, *key)
                    made.check()
            finally:
                self._making = False
        self._made[key] = made
        if len(self._made) > MOST:
            del self._made[next(iter(self._made))]
        return made

    def clear(self):
        """Let go of all of them."""
        self._made = {}


class PromptPass:
    """A pass over the first tokens of a KV as a CUDA graph, for prompts of up to `length` tokens.

    The places behind a shorter prompt are fed too: causal attention keeps them from the others, they are not written
    into the memory, and their keys and values stay here. adapter: one that writes tokens, or None.
    """

    def __init__(self, model, shapes, adapter, length):
        self._model, self._adapter, self._length = model, adapter, length
        self._names = list(adapter.layers) if adapter else []
        self._buffers = Buffers(shapes, 1, length, model.dtype, model.device)
        # The ids, whether each is written, and the last one's place.
        self._input = torch.zeros(2 * length + 1, dtype=torch.int64, device=model.device)
        if adapter:
            self._before = torch.stack(list(adapter.empty_states(1, model.device).values()))  # [L, 1, H, r, r]
        self._graph, (self._logits, *self._results) = captured(model.device, self._pass)

    def __call__(self, run, tokens):
        """Do a plain pass's work in the run. Returns the last token's logits [V]. The model must be locked."""
        count, binding = len(tokens), run.binding
        rest = [0] * (self._length - count)
        self._input.copy_(upload([*tokens.ids, *rest, *map(int, tokens.write), *rest, count - 1], self._model.device))
        if binding is not None:
            if binding.states:
                torch.stack([binding.states[name] for name in self._names], out=self._before)
            else:
                self._before.zero_()
        with on_device_of(self._input):
            self._graph.replay()
        for index, (keys, values) in enumerate(zip(self._buffers.keys, self._buffers.values, strict=True)):
            run.cache.update(keys[:, :, :count], values[:, :, :count], index)
        if binding is not None:
            states, *sums = (result.clone() for result in self._results)  # the next prompt overwrites them
            binding.states = dict(zip(self._names, states, strict=True))
            binding.write, binding.write_mask, binding.dtype = True, None, self._model.dtype
            for name, beta, lam, written in zip(self._names, *sums, strict=True):
                binding.gates.add_sums(name, beta, lam, written)
        return self._logits.clone()

    def check(self):
        """Raise ValueError unless the pass gives a plain one's logits and states."""
        vocabulary = self._model.backbone.config.get_text_config().vocab_size
        prompt = block([(3 + 7 * place) % vocabulary for place in range(self._length - 3)], True)
        plain, ours = (Run(self._model, self._adapter) for _ in range(2))
        pairs = [(self(ours, prompt), plain.feed(prompt))]
        if self._adapter:
            pairs.append([torch.stack(list(run.states.values())) for run in (ours, plain)])
        for got, want in pairs:
            # Other lengths, other sums: rounding alone comes close to what is allowed between steps.
            if wrong := differs(got, want, 2 * TOLERANCE[self._model.dtype]):
                raise ValueError(f"it differs from a plain one by {wrong:.2g} of the largest number")

    def _pass(self):
        """Logits [V]; with an adapter also states [L, 1, H, r, r], sums of gates [L, 1, H, r] twice, writes [L, 1]."""
        backbone, names, binding = self._model.backbone, self._names, None
        ids, marks, last = self._input.split([self._length, self._length, 1])
        if self._adapter:
            states = dict(zip(names, self._before.unbind(), strict=True))
            binding = Binding(self._adapter, states, write_mask=marks[None].bool(), gates=GateSums())
        config = backbone.config.get_text_config()
        with torch.no_grad(), engine_attention(config), bind(backbone, binding):
            cache = RowCache(self._buffers, 0)
            out = backbone(input_ids=ids[None], past_key_values=cache, use_cache=True, logits_to_keep=last)
        results = (binding.states, binding.gates.beta, binding.gates.lam, binding.gates.written) if binding else ()
        return out.logits[0, -1], *(torch.stack([result[name] for name in names]) for result in results)
