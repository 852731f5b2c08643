"""A conversation with one model: its memory state, its KV, and how to take steps forward, back and sideways."""

import copy
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from deltamem.quoting import quoted
from deltamem.runtime import session_file
from deltamem.runtime.cache import KeptCache, cache_bytes
from deltamem.runtime.engine import Event
from deltamem.runtime.errors import NotANumber, SessionError, SessionFileError
from deltamem.runtime.history import take_in
from deltamem.runtime.prompt import View, check_messages, check_text
from deltamem.runtime.replay import replay
from deltamem.runtime.run import Run
from deltamem.runtime.sampling import Sampling
from deltamem.runtime.settings import check_adapter, check_layers, check_strength, layer_numbers
from deltamem.runtime.snapshot import Step, empty_snapshot, packed, step_label, take_snapshot, unstack
from deltamem.runtime.trace import find_step, measure, step_passes
from deltamem.runtime.turn import Turn


class Session:
    """One conversation.

    model: runtime Model; all sessions of a model share its weights.
    memory: write into and read from an adapter's state. adapter: its label in model.adapters (None: the default).
    context: what of the past the model sees beside the memory. "none": the current message only. "recent": the last
        `recent_turns` exchanges. "rag": the best `passages` passages by BM25. "full": everything. With memory, each
        token is written once, when it first comes; what is shown again is read-only.
    system: a system message, visible in every turn and written once. strength: factor on the memory's steer.
    writes: False freezes the memory: it is read and never changes. layers_off: numbers of layers that do not steer;
    they go on reading and writing. Both can be changed between steps: they are what the controls of a comparison set.

    fault: why the last step was taken back when numbers had broken down in it (what check_turn reports), else None.

    A session is for one caller at a time; different sessions of a model may run in different threads, or step by
    step in one. Raises SessionError when a setting, or something asked of the session, cannot be honoured.
    """

    def __init__(
        self,
        model,
        memory=True,
        context="none",
        adapter=None,
        system=None,
        recent_turns=3,
        passages=4,
        strength=1.0,
        writes=True,
        layers_off=(),
    ):
        self.model = model
        self.memory = bool(memory)
        self.context = context
        self.adapter = check_adapter(model, adapter)
        self.system = None if system is None else check_text(system, "The system message")
        self.recent_turns = recent_turns
        self.passages = passages
        self.strength = check_strength(strength)
        if self.memory and self.adapter is None:
            raise SessionError(
                "Memory needs an adapter and the model has none; load the model with one, or use memory=False."
            )
        self._weights = model.adapters[self.adapter] if self.memory else None
        self._start = empty_snapshot(self._weights) if self.memory else None
        by_message = self.memory and self._weights.config.memory_write_granularity != "token"
        self._view = View(
            model.chat, context, self.system, recent_turns, by_message, model.max_context, passages, model.chunk
        )
        self._steps = []
        self._kept = KeptCache()  # stays empty unless the context is "full"
        self._busy = threading.Lock()
        self.fault = None
        self.writes = bool(writes)
        self.layers_off = layers_off

    @property
    def layers_off(self):
        """Numbers of the layers that do not steer."""
        return self._layers_off

    @layers_off.setter
    def layers_off(self, numbers):
        with self._alone():
            self._layers_off = check_layers(numbers, self._weights)
            self._kept = KeptCache()  # it was computed under other steering

    @property
    def settings(self):
        """What was asked for, by argument; the adapter, which a file names by its hash, is not in it."""
        return {name: getattr(self, name) for name in session_file.SETTINGS}

    # What has been said

    @property
    def messages(self):
        """The turns since the last reset, as {"role", "content"} dicts (copies)."""
        return self._said("turn")

    @property
    def history(self):
        """The preloaded messages (copies)."""
        return self._said("history")

    @property
    def snapshots(self):
        """The memory after the preload (or at the empty start), then after every later step; [] without memory."""
        if not self.memory:
            return []
        first = [] if self._steps and self._steps[0].kind == "history" else [self._start]
        return first + [step.snapshot for step in self._steps]

    def stats(self):
        """Settings, counts and sizes: a dict of plain values. "last" holds the stats of the last turn, or None."""
        turns = [step for step in self._steps if step.kind == "turn"]
        history = [step for step in self._steps if step.kind == "history"]
        return {
            **self.settings,
            "layers_off": list(self.layers_off),
            "adapter": self.adapter if self.memory else None,
            "variant": self._weights.config.variant if self.memory else None,
            "turns": len(turns),
            "history_messages": sum(len(step.messages) for step in history),
            "history_written_tokens": sum(step.written_tokens for step in history),
            "written_tokens": sum(step.written_tokens for step in self._steps),
            "state_bytes": self._start.states.nbytes if self.memory else 0,
            "kv_bytes": cache_bytes(self._kept.cache),
            "last": copy.deepcopy(turns[-1].stats) if turns else None,
        }

    def trace(self, label=None):
        """The Trace of one step: each token's write gate and influence. label: as in snapshots (None: the last step).

        Runs the step's tokens once more, from the state before it, on a copy: the session stays as it is and pays
        nothing while it answers. Raises SessionError when the session holds no such step.
        """
        other = self.branch()
        index = find_step(other._steps, label)
        step = other._steps[index]
        del other._steps[index:]
        other._kept.cut(index)
        for _ in other._catch_up():
            pass
        run = other._run()
        run.writes = step.written_tokens > 0
        groups = step_passes(other._view, step, other._steps, run.length)
        return measure(run, groups, step)

    # Steps forward

    def preload(self, messages_or_text, progress=None):
        """Take in history: a list of {"role", "content"} dicts, or one text (told as one user message).

        With memory it is written into the state; what the passes compute beside it is dropped, except under context
        "full", which keeps the KV. Without memory it is only recorded, for the contexts that show it. May be called
        again. progress(done_tokens, total_tokens) is called after every pass; when it raises, the session is as
        before the call.
        """
        messages = check_messages(messages_or_text)
        with self._alone():
            take_in(self, messages, progress)

    def replace_states(self, states, note="replaced state"):
        """Go on from another memory: a step of its own, which undo takes back.

        states: float array [L, H, r, r] as in a snapshot. note: its snapshot's label. What context "full" shows is
        computed anew, as if this memory, unchanging, had been there all the time. Raises SessionError when the states
        do not fit.
        """
        with self._alone():
            if not self.memory:
                raise SessionError("This session has no memory whose state could be replaced; use memory=True.")
            run = self._run(unstack(states, self._start, self.model.device))
            self._commit(run, "state", [], stats={"note": check_text(note, "The note")})
            self._kept = KeptCache()

    def prepare(self, check=None):
        """Do now what the next reply would have to do first: bring the KV of context "full" up to date.

        check() is called after every pass; what it raises comes through, and what was done stays.
        """
        with self._alone():
            for _ in self._catch_up():
                if check is not None:
                    check()

    def reply(self, text, max_new_tokens=256, temperature=0.0, top_p=1.0, seed=0):
        """An iterator of Events: pieces of the answer, then one with the stats.

        Closing the iterator stops at once and keeps the message and the partial answer, properly ended (stop
        "cancelled"); before the first token of the answer, closing takes the whole turn back. So does any error.
        """
        return self._reply(check_text(text), Sampling(max_new_tokens, temperature, top_p, seed))

    def check_room(self, text):
        """Raise SessionError when a reply to `text` would not fit what the model can see; changes nothing."""
        self._prompt(check_text(text))

    def ask(self, text, max_new_tokens=256, temperature=0.0, top_p=1.0, seed=0):
        """The whole answer as a string."""
        events = self.reply(text, max_new_tokens, temperature, top_p, seed)
        return "".join(event.text for event in events if event.kind == "text")

    # Steps back and sideways

    def reset(self):
        """Forget everything: state, turns and history."""
        with self._alone():
            self._steps, self._kept, self.fault = [], KeptCache(), None

    def undo(self):
        """Take back the last step (a turn, a preload, a replaced state), exactly. Returns its messages."""
        with self._alone():
            if not self._steps:
                raise SessionError("There is nothing to take back: the session is empty.")
            step, self.fault = self._steps.pop(), None
            if step.kind == "state":
                self._kept = KeptCache()  # it was computed under that state
            self._kept.cut(len(self._steps))
            return [dict(m) for m in step.messages]

    def branch(self, context=None, recent_turns=None, passages=None):
        """An independent copy that goes its own way from here; of history it shows what is asked for, or the same.

        Before the first turn the copy is exact: history is written alike under "none", "recent" and "rag". Raises
        SessionError for a change from or to "full", whose memory has read the history in one piece.
        """
        with self._alone():
            asked = {"context": context, "recent_turns": recent_turns, "passages": passages}
            shown = {name: value for name, value in asked.items() if value is not None}
            other = copy.copy(self)
            other._view = replace(self._view, **shown)
            if "full" in (context, self.context) and other._view.context != self.context:
                raise SessionError(f"A session with context {self.context} cannot go on as {context}; make a new one.")
            vars(other).update(shown)
            other._steps = list(self._steps)  # steps themselves are never changed, so both keep them
            other._kept = self._kept.copy()
            other._busy = threading.Lock()
            return other

    def save(self, path):
        """Write the session to one file, atomically. Raises SessionFileError when it cannot be written."""
        with self._alone():
            session_file.save(path, self.model, self._weights, self.settings, self._steps)

    @classmethod
    def load(cls, model, path):
        """A session from a file; everything in it is checked first. Raises SessionFileError."""
        settings, steps = session_file.load(path, model)
        try:
            session = cls(model, **settings)
            session._steps = steps
        except SessionError as error:
            raise SessionFileError(f"{quoted(Path(path).name)} cannot be loaded: {error}") from error
        if (shown := session._view.kept_tokens(steps)) > model.max_context:
            raise SessionFileError(
                f"{quoted(Path(path).name)} cannot be loaded: it shows {shown:,} tokens and the model can see "
                f"{model.max_context:,}; load it with the model it was saved with."
            )
        return session

    # How steps are made

    def _reply(self, text, sampling):
        with self._alone():
            turn = Turn(self, text, sampling)
            with self.model.decoder.seats([turn.need]) as (seat,):
                stats = yield from turn.events(seat)
        yield Event("stats", stats=stats)

    def _prompt(self, text):
        """What a turn on `text` feeds, a Prompt. Raises SessionError when it leaves no room for an answer."""
        kept = self._kept.ends
        shown = kept[-1] if kept and len(kept) == len(self._steps) else self._view.kept_tokens(self._steps)
        past = [m for step in self._steps for m in step.messages]
        prompt = self._view.turn(text, past, shown)
        self._view.check_room(prompt.tokens)
        return prompt

    def _commit(self, run, kind, messages, reply_ids=(), stats=None):
        snapshot = None
        if self.memory:
            label = step_label(kind, stats, self._steps)
            snapshot = take_snapshot(label, self._weights, run.states, run.binding.gates, run.written)
        states = packed(run.states)
        self._steps.append(Step(kind, messages, list(reply_ids), states, snapshot, stats or {}))
        self.fault = None
        if self.context == "full":
            self._kept.ends.append(run.length)

    # The KV of context "full"

    def _catch_up(self):
        """Bring the kept KV up to the last step. Yields an Event per pass; returns the seconds and tokens it took."""
        if self.context != "full" or len(self._kept.ends) == len(self._steps):
            return 0.0, 0
        run = self._run()
        before = run.length
        try:
            for _ in replay(run, self._kept, self._steps, self._view, self._empty_states()):
                yield Event("text")
        finally:
            self._keep(run)
        return run.seconds, run.length - before

    def _keep(self, run):
        if self.context == "full":
            self._kept.take(run.cache)

    # Small parts

    def _said(self, kind):
        return [dict(m) for step in self._steps if step.kind == kind for m in step.messages]

    def _empty_states(self):
        return self._weights.empty_states(1) if self.memory else {}

    def _run(self, states=None):
        """A working copy of the memory (after the last step, unless given) and the KV."""
        if states is None:
            states = self._steps[-1].states if self._steps else self._empty_states()
        off = [layer_numbers(self._weights.layers)[number] for number in self.layers_off]
        return Run(self.model, self._weights, states, self._kept.cache, self.strength, self.writes, off)

    @contextmanager
    def _alone(self):
        if not self._busy.acquire(blocking=False):
            raise SessionError("The session is writing a reply; finish or close it first.")
        try:
            yield
        except NotANumber as error:
            self.fault = str(error)
            raise
        except torch.OutOfMemoryError as error:  # outside the passes, which say more
            self.model.decoder.release()
            raise SessionError(
                "The device ran out of memory; ask fewer at once, reset the session, show less history, or use a "
                "smaller model."
            ) from error
        finally:
            self._busy.release()
