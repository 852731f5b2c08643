"""Two ways to run an engine's step: as plain calls, and as a CUDA graph."""

import functools

import torch

WARM_UPS = 2  # runs before a capture: kernels are compiled and libraries set up in them


class Eager:
    """Plain calls, one after the other. What the host knows about lengths is used."""

    ahead = False

    def __init__(self, engine):
        self._engine = engine

    def __call__(self, warm, longest):
        engine = self._engine
        with engine.model.lock:
            # A GPU's kernels take lengths from the device; SDPA on the CPU is better off with what the host knows.
            ids = engine.step(warm, longest if engine.model.device.type == "cpu" else None)
        return ids.tolist


@functools.cache
def side_streams(device):
    """The streams that runs warm up on and are captured on. Two for all: cuBLAS keeps 32 MiB for every one it meets."""
    return torch.cuda.Stream(device), torch.cuda.Stream(device)


def captured(device, work):
    """(CUDA graph, what work() returned in it). The work must wait for nothing; it is run more than once.

    Raises torch.OutOfMemoryError, or whatever the driver makes of a capture that fails.
    """
    try:
        # The last context sets the stream back, which a capture that fails leaves at its own.
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
            side, capturing = side_streams(device)
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.stream(capturing):
                # A graph whose beginning finds no memory for its random state ends the process when it is dropped
                # (PyTorch 2.11). What is left of this tensor's block is for that.
                _room = torch.empty(1, device=device)
            graph = torch.cuda.CUDAGraph()
            # Other threads may go on working on the device meanwhile, hence the mode.
            with torch.cuda.graph(graph, stream=capturing, capture_error_mode="thread_local"):
                result = work()
            return graph, result
    except RuntimeError as error:
        if isinstance(error.__context__, torch.OutOfMemoryError):  # the end of a broken capture hides why it broke
            raise error.__context__ from None
        raise


class Graph:
    """The step as a CUDA graph: one for greedy answers, one for drawn ones, each captured when it is first needed.

    Replays wait for nothing; the drawn ids come back through pinned memory.
    """

    ahead = True

    def __init__(self, engine):
        self._engine = engine
        self._graphs = {}
        self._ids = torch.empty(2, engine.rows, dtype=torch.int64).pin_memory()
        self._turn = 0

    def capture(self, warm):
        """Make the graph. Every row must be idle, or between steps; runs of the step change nothing idle."""
        engine = self._engine
        active = engine.active.clone()
        engine.active.zero_()
        try:
            with engine.model.lock:
                self._graphs[warm] = captured(engine.model.device, lambda: engine.step(warm, None))
        finally:
            engine.active.copy_(active)

    def __call__(self, warm, longest):
        if warm not in self._graphs:
            self.capture(warm)
        graph, ids = self._graphs[warm]
        with torch.cuda.device(self._engine.model.device):
            graph.replay()
            self._turn = 1 - self._turn
            here = self._ids[self._turn]
            here.copy_(ids, non_blocking=True)
            done = torch.cuda.Event()
            done.record()

        def wait():
            done.synchronize()
            return here.tolist()

        return wait
