"""A model's decoding engines: whether it can have any, making them, and lending them to the turns that decode."""

import importlib.util
import logging
import os
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from deltamem.core.attach import attention_modules
from deltamem.runtime.blocks import block
from deltamem.runtime.decoder.attention import engine_attention
from deltamem.runtime.decoder.batch import Batch
from deltamem.runtime.decoder.engine import Engine
from deltamem.runtime.decoder.launch import Eager, Graph
from deltamem.runtime.decoder.prompt import LENGTHS, Prompts, takes
from deltamem.runtime.decoder.trial import first_passes, trial
from deltamem.runtime.errors import SessionError
from deltamem.runtime.places import first_line
from deltamem.runtime.quiet import ConsoleProgress
from deltamem.runtime.run import Run

MAX_ROWS = 8  # answers in one batch
IDLE_ENGINES = 16  # kept on a GPU for the next turn, with their graphs: a capture takes longer than a prompt
IDLE_SHARE = 0.25  # of the GPU's memory, for their KV at most
STEP = 4096  # a GPU engine's capacity is a multiple of this many tokens

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Need:
    """What a turn asks for. adapter: an Adapter or None. tokens: most that its KV may hold at any time."""

    adapter: object
    tokens: int


class Decoder:
    """Lends seats in decoding batches of one model.

    Where the model, or the device, does not allow it, seats are None and turns decode by the plain loop; the log says
    so once, and why.
    """

    def __init__(self, model):
        self._model = model
        self._lock = threading.RLock()
        self._idle = []  # (key, engine, launcher), least recently used first
        self._prompts = None  # Prompts, where there are engines
        self._shapes = None
        self._refusal = None  # why there are no engines; "" when there are; None before that is known
        self._known = False  # whether that was found out

    @contextmanager
    def seats(self, needs):
        """A seat for each Need, or None for it, until the block ends."""
        lent = self._lend(needs[:MAX_ROWS]) if needs and self.works() else None
        if lent is None:
            yield [None] * len(needs)
            return
        key, engine, launcher = lent
        try:
            batch = Batch(engine, launcher, launcher.ahead)
            yield [*batch.seats[: len(needs)], *[None] * (len(needs) - MAX_ROWS)]
        finally:
            batch.close()
            engine.idle()
            self._give_back(key, engine, launcher)

    def prefill(self):
        """A context for passes of many tokens: on a GPU with SDPA, attention that needs no mask and no copied KV."""
        model = self._model
        if model.device.type != "cuda" or model.attention != "sdpa" or not self.works():
            return nullcontext()
        return engine_attention(model.backbone.config.get_text_config())

    def prompt(self, run, tokens):
        """The captured pass for tokens that a run is about to feed, or None for a plain pass."""
        model = self._model
        if model.device.type != "cuda" or model.attention != "sdpa" or not takes(run, tokens) or not self.works():
            return None
        with self._lock:
            try:
                return self._prompts and self._prompts.get(run.binding, len(tokens))
            except (torch.OutOfMemoryError, SessionError):
                return None

    def warm_up(self, adapters=(), progress=None):
        """Try the model out and make the engine for answers of these adapters (None: without memory) side by side.

        Otherwise the first answer waits for it: on a GPU, for kernels to be compiled (they are kept on disk) and for
        the capture of the step. progress(stage, done, total) is told what takes the time, and how long it took; total
        is None. Default: lines on stderr.
        """
        report, begin = progress or ConsoleProgress(), time.perf_counter()
        report("Trying out the decoding step", 0, None)
        if self.works() and adapters and self._model.device.type == "cuda":
            report("Capturing the decoding step", 1, None)
            with self.seats([Need(adapter, STEP) for adapter in adapters]):
                pass
            for adapter in adapters:
                for length in LENGTHS:
                    self.prompt(Run(self._model, adapter), block([0] * length, True))
        report(f"Ready to decode after {time.perf_counter() - begin:.1f} s.", 2, None)

    def works(self):
        """Whether the model decodes on engines here; finds out at the first call."""
        with self._lock if not self._known else nullcontext():  # others wait for the trial: one way for every answer
            if self._refusal is None:
                self._refusal = "it is being tried out"  # the trial's own passes are plain ones
                self._refusal = self._find_refusal()
                self._known = self._refusal is not None
                if self._refusal:
                    self._say(self._refusal)
                elif self._known:
                    self._prompts = Prompts(self._model, self._shapes)
        return self._refusal == ""

    @property
    def refusal(self):
        """Why answers decode by the plain loop; "" when they do not."""
        return self._refusal or ""

    def _find_refusal(self):
        """Why there can be no engines, "" when there can; None when the device had no memory to find out."""
        model = self._model
        if model.device.type == "cuda" and os.environ.get("SPACES_ZERO_GPU"):
            return "on ZeroGPU a process ends with its call, too soon for a capture to pay"
        if model.device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "Triton is not installed"
        if model.device.type == "cpu" and model.dtype != torch.float32:
            return f"on the CPU it takes float32, and the model is {str(model.dtype).removeprefix('torch.')}"
        config = model.backbone.config.get_text_config()
        windows = [getattr(module, "sliding_window", None) for module in attention_modules(model.backbone).values()]
        whole_window = None if hasattr(config, "layer_types") else getattr(config, "sliding_window", None)
        if any(windows) or whole_window:
            return "the model's attention has a sliding window"
        self._shapes = kv_shapes(model.backbone)
        if self._shapes is None:
            return "the model's attention has shapes of its own"
        if model.device.type == "cuda":
            self._compile_ahead()
        try:
            return trial(model, self._shapes)
        except (torch.OutOfMemoryError, SessionError):  # a pass of the trial says it as a session's does
            return None
        except Exception as error:  # code of any architecture, and the GPU's compilers, run in it
            return f"{type(error).__name__}: {first_line(error)}"

    def _compile_ahead(self):
        """Get the kernels of the first answers side by side; else they come one by one, as they are launched."""
        from deltamem.kernels.ahead import compile_ahead  # needs Triton

        try:
            compile_ahead(lambda: first_passes(self._model, self._shapes), self._model.device)
        except Exception as error:  # only the trial decides whether there are engines
            log.debug("kernels are not compiled ahead: %s", error)

    def _lend(self, needs):
        adapters = {id(need.adapter): need.adapter for need in needs if need.adapter is not None}
        tokens = max(need.tokens for need in needs)
        key = len(needs), frozenset(adapters)
        with self._lock:
            for index, (other, engine, _) in enumerate(self._idle):
                if other == key and engine.capacity >= tokens:
                    return self._idle.pop(index)
        # No pass may be under way while modules are looked at: it changes them for its time.
        with self._lock, self._model.lock:
            if self._model.device.type == "cpu":
                # Nothing is gained by keeping it: memory that was not touched yet costs nothing.
                try:
                    engine = Engine(self._model, self._shapes, list(adapters.values()), len(needs), tokens)
                except (torch.OutOfMemoryError, RuntimeError) as error:  # what the CPU's allocator raises is no more
                    self._say(f"no engine could be made ({first_line(error)})")
                    return None
                return key, engine, Eager(engine)
            self._idle = [kept for kept in self._idle if kept[0] != key or kept[1].capacity >= tokens]
            return self._make(key, list(adapters.values()), -(-tokens // STEP) * STEP)

    def _make(self, key, adapters, capacity):
        for _ in range(2):
            try:
                engine = Engine(self._model, self._shapes, adapters, key[0], capacity)
                launcher = Graph(engine)
                launcher.capture(False)
                return key, engine, launcher
            except torch.OutOfMemoryError:
                why = f"the device has no memory for {key[0]} × {capacity:,} tokens of KV"
            except Exception as error:  # what a capture can raise is the driver's business
                self._refusal = f"the CUDA graph could not be captured ({first_line(error)})"
                self._say(self._refusal)
                return None
            engine = launcher = None
            self.release()
        self._say(why)
        return None

    def _give_back(self, key, engine, launcher):
        if self._model.device.type != "cuda":
            return
        most = IDLE_SHARE * torch.cuda.get_device_properties(self._model.device).total_memory
        with self._lock:
            self._idle = [*self._idle, (key, engine, launcher)][-IDLE_ENGINES:]
            while sum(kept.buffers.nbytes for _, kept, _ in self._idle) > most:
                del self._idle[0]

    def release(self):
        """Let go of idle engines, captured prompts and their memory."""
        with self._lock:
            if self._prompts:
                self._prompts.clear()
            self._idle = []
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _say(self, why):
        log.warning("%s decodes by the plain loop: %s.", self._model.name, why)


def kv_shapes(backbone):
    """(Hkv, D) of each layer's KV in order, or None when that cannot be told."""
    shapes = {}
    for attention in attention_modules(backbone).values():
        dim, index = getattr(attention, "head_dim", None), getattr(attention, "layer_idx", None)
        if not isinstance(dim, int) or not isinstance(index, int):
            return None
        shapes[index] = attention.k_proj.out_features // dim, dim
        if attention.v_proj.out_features != attention.k_proj.out_features:
            return None
    layers = getattr(backbone.config.get_text_config(), "num_hidden_layers", None)
    return [shapes[i] for i in range(len(shapes))] if sorted(shapes) == list(range(layers or 0)) else None
