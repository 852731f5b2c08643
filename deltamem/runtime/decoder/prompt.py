"""Short prompts on a GPU: what they take is not arithmetic but the launching of thousands of kernels."""

import logging

import torch

from deltamem.core.binding import Binding, GateSums, bind
from deltamem.core.plan import Plan, Segments
from deltamem.kernels.launch import on_device_of
from deltamem.runtime.blocks import block
from deltamem.runtime.decoder.attention import engine_attention
from deltamem.runtime.decoder.launch import captured
from deltamem.runtime.decoder.rows import Buffers, RowCache
from deltamem.runtime.decoder.trial import TOLERANCE, differs
from deltamem.runtime.errors import SessionError
from deltamem.runtime.places import first_line
from deltamem.runtime.run import Run
from deltamem.runtime.upload import upload

LENGTHS = 128, 512  # tokens of the passes that are captured; longer ones keep the device busy by themselves
MOST = 12  # kept at a time
KINDS = "token", "message_mean"  # of writes

log = logging.getLogger(__name__)


def takes(run, tokens):
    """Whether a captured pass can do what a run is about to do: feed these tokens to an empty KV.

    It must not depend on how a memory is used, or arms would differ by rounding that are told to be alike.
    """
    if run.length or len(tokens) > LENGTHS[-1]:
        return False
    binding = run.binding
    return binding is None or (binding.trace is None and binding.adapter.config.memory_write_granularity in KINDS)


class Prompts:
    """The captured passes of one model, each made when it is first wanted."""

    def __init__(self, model, shapes):
        self._model, self._shapes = model, shapes
        self._made = {}  # what it is for -> PromptPass or None, the last used one last
        self._making = False

    def get(self, binding, tokens):
        """The pass for so many tokens under a Binding, or None for the backbone alone.

        None where there can be none, and while one is tried out. Raises torch.OutOfMemoryError, or a pass's own
        SessionError, when the device has no memory for it now.
        """
        if self._making:
            return None
        length = next(length for length in LENGTHS if tokens <= length)
        key = length, *((binding.adapter, binding.strength, binding.layers_off) if binding else ())
        if key in self._made:
            self._made[key] = self._made.pop(key)
        else:
            self._made[key] = self._make(key)
            if len(self._made) > MOST:
                del self._made[next(iter(self._made))]
        return self._made[key]

    def _make(self, key):
        self._making = True
        try:
            with self._model.lock:
                made = PromptPass(self._model, self._shapes, *key)
                made.check()
                return made
        except (torch.OutOfMemoryError, SessionError):
            raise
        except Exception as error:  # what a capture can raise is the driver's business
            log.warning("%s reads such prompts by plain passes: %s.", self._model.name, first_line(error))
            return None
        finally:
            self._making = False

    def clear(self):
        """Let go of all of them."""
        self._made = {}


class PromptPass:
    """A pass over the first tokens of a KV as a CUDA graph, for prompts of up to `length` tokens.

    The places behind a shorter prompt are fed too: causal attention keeps them from the others, they are not written
    into the memory, and their keys and values stay here. adapter: None for the backbone alone.
    """

    def __init__(self, model, shapes, length, adapter=None, strength=1.0, layers_off=frozenset()):
        self._model, self._adapter, self._length = model, adapter, length
        self._strength, self._layers_off = strength, layers_off
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
        write = run.writes and any(tokens.write)
        rest, marks = [0] * (self._length - count), [int(write and one) for one in tokens.write]
        self._input.copy_(upload([*tokens.ids, *rest, *marks, *rest, count - 1], self._model.device))
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
            binding.write, binding.write_mask, binding.message_ids = write, None, None
        if binding is not None and write:
            states, *sums = (result.clone() for result in self._results)  # the next prompt overwrites them
            binding.states, binding.dtype = dict(zip(self._names, states, strict=True)), self._model.dtype
            for name, beta, lam, written in zip(self._names, *sums, strict=True):
                binding.gates.add_sums(name, beta, lam, written)
        return self._logits.clone()

    def check(self):
        """Raise ValueError unless the pass gives a plain one's logits and states."""
        vocabulary = self._model.backbone.config.get_text_config().vocab_size
        prompt = block([(3 + 7 * place) % vocabulary for place in range(min(24, self._length - 3))], True)
        options = {"strength": self._strength, "layers_off": self._layers_off}
        plain, ours = (Run(self._model, self._adapter, **options) for _ in range(2))
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
            binding = Binding(
                self._adapter,
                dict(zip(names, self._before.unbind(), strict=True)),
                plan=self._plan(marks[None]),
                strength=self._strength,
                layers_off=self._layers_off,
                gates=GateSums(),
            )
        config = backbone.config.get_text_config()
        with torch.no_grad(), engine_attention(config), bind(backbone, binding):
            cache = RowCache(self._buffers, 0)
            out = backbone(input_ids=ids[None], past_key_values=cache, use_cache=True, logits_to_keep=last)
        results = (binding.states, binding.gates.beta, binding.gates.lam, binding.gates.written) if binding else ()
        return out.logits[0, -1], *(torch.stack([result[name] for name in names]) for result in results)

    def _plan(self, marks):
        """What is written: each marked token, or their mean. marks: int64 [1, T]."""
        written = marks.bool()
        if self._adapter.config.memory_write_granularity == "token":
            return Plan(True, written=written)
        weights = marks[:, None].float() / marks.sum().clamp_min(1)
        return Plan(True, segments=Segments(weights, written.any(dim=1, keepdim=True)))
