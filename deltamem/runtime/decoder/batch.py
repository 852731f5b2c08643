"""Answers that decode together: who takes part in a step, and handing out what it drew."""

import time
from collections import deque

from deltamem.runtime.sampling import Sampler, Sampling, check_token
from deltamem.runtime.upload import upload


class Batch:
    """The answers on one engine, each in a `Seat`.

    A step is run when an answer asks for a token that is not there yet, for all answers that have none waiting. With
    `ahead`, the step after it is started before its tokens are read, so that the device does not wait for the host; an
    answer that ends takes that step back.
    """

    def __init__(self, engine, launcher, ahead):
        """launcher(warm, longest) starts a step and returns a function that waits for its ids, a list of int."""
        self.engine, self._launcher, self.ahead = engine, launcher, ahead
        self.seats = [Seat(self, row) for row in range(engine.rows)]
        self._running = deque()  # (seats, wait, begin) of the steps that were started and not read: two at most
        self._shown = None  # rows that the engine has as active
        self._read = 0.0

    def next(self, seat):
        """Wait until the seat has a token."""
        if self._running and seat not in self._running[0][0]:
            self._collect()
        if not self._running:
            self._start([one for one in self.seats if one.joined and not one.waiting])
        together = [one for one in self.seats if one.joined]
        here = self._running[0][0]
        if self.ahead and all(one in here and not one.waiting and one.may_go_on for one in together):
            self._start(together)
        self._collect()

    def force(self, tokens):
        """Feed given tokens instead of drawn ones, {seat: id}: the logits [B, V] after them, the rows' own order."""
        for seat, token in tokens.items():
            self.engine.tokens[seat.row] = token
        self._start(list(tokens))
        while self._running:  # steps of the others were perhaps under way
            self._collect()
        for seat in tokens:
            seat.waiting.clear()
            seat.taken = seat.steps
        return self.engine.logits.clone()

    def close(self):
        """Let go of the seats: they and the batch know each other, which keeps the KV until Python looks for cycles."""
        self.seats = []
        self._running.clear()

    def _start(self, seats):
        engine, begin = self.engine, time.perf_counter()
        rows = [seat.row for seat in seats]
        if rows != self._shown:
            engine.active.copy_(upload([row in rows for row in range(engine.rows)], engine.active.device))
            self._shown = rows
        wait = self._launcher(any(seat.warm for seat in seats), max(seat.length for seat in seats))
        for seat in seats:
            seat.steps += 1
        self._running.append((seats, wait, begin))

    def _collect(self):
        seats, wait, begin = self._running.popleft()
        ids = wait()
        now = time.perf_counter()
        seconds = now - max(begin, self._read)
        self._read = now
        for seat in seats:
            if seat.joined:
                seat.waiting.append((ids[seat.row], seconds))


class Seat:
    """One answer's place: a row of the KV for its whole turn, and a part in the steps while it decodes.

    batch: the Batch. cache: the row as a KV, for the turn's other passes; empty at the start.
    """

    def __init__(self, batch, row):
        self.batch, self.row = batch, row
        self.cache = batch.engine.row_cache(row)
        self.joined = False
        self.waiting = deque()

    def join(self, run, token, sampler, limit):
        """Begin decoding with the answer's first token, drawn from the prompt. limit: tokens it may have in all."""
        engine, row = self.batch.engine, self.row
        self._run, self._limit, self._writes = run, limit, run.writes and not run.by_message
        self._begin = run.length
        self.steps, self.taken = 0, 0
        self.warm = sampler.sampling.temperature > 0
        device = engine.tokens.device
        engine.tokens[row], engine.positions[row], engine.drawn[row] = token, self._begin, 0
        engine.temperature[row], engine.top_p[row] = sampler.sampling.temperature, sampler.sampling.top_p
        if self.warm:
            numbers = sampler.numbers(min(limit, engine.capacity))
            engine.numbers[row, : len(numbers)] = upload(numbers, device)
        if run.binding is not None:
            self._memory.join(row, run.binding, self._writes)
        self.joined = True

    def next(self):
        """The answer's next token. Raises SessionError when the model's output is not a number."""
        if not self.waiting:
            self.batch.next(self)
        token, seconds = self.waiting.popleft()
        self._run.seconds += seconds
        self.taken += 1
        return check_token(token)

    @property
    def quick(self):
        """Whether a step takes less time than launching a pass does."""
        return self.batch.ahead

    def feed(self, run, tokens):
        """Feed what closes an answer, step by step."""
        self.join(run, tokens[0], Sampler(Sampling(), run.model.device), len(tokens) + 1)
        for token in tokens:
            self.batch.force({self: token})
        self.leave()

    def leave(self):
        """Stop decoding and hand memory and KV back to the run.

        The KV ends before the last token that was taken, or with it when the next step had fed it already; no token
        after that one was fed.
        """
        if not self.joined:
            return
        self.joined = False
        self.waiting.clear()
        run = self._run
        back = self.steps > self.taken  # a step that was started ahead
        steps = self.steps - back
        run.cache.show(self._begin + steps)
        if run.binding is not None:
            self._memory.leave(self.row, run.binding, steps, back)
            if self._writes:
                run.written += steps
        self._run = None

    @property
    def length(self):
        """Tokens in the row's KV after the steps that were started."""
        return self._begin + self.steps

    @property
    def may_go_on(self):
        """Whether the answer may have a token after those that were drawn (the prompt's own, and one a step)."""
        return 1 + self.steps < self._limit

    @property
    def _memory(self):
        return self.batch.engine.memories[id(self._run.binding.adapter)]
