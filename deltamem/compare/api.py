"""Comparing over a network or from a script: plain functions of plain values; no session survives a call.

    api = Api(load_model("demo"))
    api.answer("User: My boat is called Tulip.", "What is my boat called?", "base, memory")

Everything that is wrong with what was given is an ApiError (or another DeltaMemError): one sentence for the caller.
"""

import base64

from deltamem.compare.arms import parse_arm, start_sessions
from deltamem.compare.errors import ArmError
from deltamem.compare.probes import read_probes, run_probes
from deltamem.core.errors import DeltaMemError
from deltamem.runtime import Session
from deltamem.runtime.together import reply_together
from deltamem.transcripts import TranscriptError, parse_transcript

MAX_HISTORY = 200_000  # characters
MAX_ARMS = 6
MAX_PROBES = 50
MAX_NEW_TOKENS = 512


class ApiError(DeltaMemError):
    """A call that asks for more than is served, or for something that cannot be read."""


class Api:
    """The functions for one loaded model. They can be called from several threads."""

    def __init__(self, model):
        self.model = model

    def parse_history(self, text: str) -> list[dict]:
        """The messages of a transcript, as {"role", "content"}; text: its content, in any form that a page reads."""
        if not isinstance(text, str):
            raise ApiError(f"The history is of type {type(text).__name__}; give the transcript as a text.")
        if len(text) > MAX_HISTORY:
            raise ApiError(f"The history has {len(text):,} characters; at most {MAX_HISTORY:,} are read in a call.")
        if not text.strip():
            return []
        try:
            return parse_transcript(text.encode("utf-8", "replace")).messages
        except TranscriptError as error:
            raise ApiError(str(error)) from error

    def answer(
        self,
        history: str,
        question: str,
        arms: str = "base, memory",
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[dict]:
        """Every arm's answer to one question, asked after the history.

        history: a transcript as text, perhaps empty. arms: names such as "base, memory:adapter=TSW", parted by commas
        or line ends. Returns {"arm", "title", "answer", "stats"} dicts.
        """
        sampling = {"max_new_tokens": _limited(max_new_tokens), "temperature": temperature, "seed": seed}
        chosen, sessions = self._start(history, arms)
        texts, stats = [""] * len(chosen), [None] * len(chosen)
        for index, event in reply_together([sessions[arm.key] for arm in chosen], question, **sampling):
            texts[index] += event.text
            stats[index] = event.stats or stats[index]
        return [
            {"arm": arm.key, "title": arm.title, "answer": text, "stats": found}
            for arm, text, found in zip(chosen, texts, stats, strict=True)
        ]

    def recall(
        self, history: str, probes: str, arms: str = "base, memory", max_new_tokens: int = 32, seed: int = 0
    ) -> dict:
        """Every arm's answers to probes, with their scores.

        probes: the content of a table "question,answer" or of JSON lines. Returns "summary" (a dict per arm with means
        and 95% intervals), "header" and "rows" (a table for people) and "csv" (all scores).
        """
        wanted = read_probes(str(probes).encode("utf-8", "replace"))
        if len(wanted) > MAX_PROBES:
            raise ApiError(f"There are {len(wanted):,} probes; at most {MAX_PROBES} are asked in a call.")
        chosen, sessions = self._start(history, arms)
        titles = {arm.key: arm.title for arm in chosen}
        results = run_probes(sessions, wanted, titles, max_new_tokens=_limited(max_new_tokens), seed=seed)
        header, rows = results.table()
        return {"summary": results.summary(), "header": header, "rows": rows, "csv": results.to_csv()}

    def state_figure(self, history: str, adapter: str = "") -> dict:
        """A picture of all states after the history: {"title", "alt", "png"}, the PNG as base64.

        adapter: its label; empty for the default one.
        """
        from deltamem.compare.figures import Source, png, state_limit, states_atlas  # slow to import

        messages = self.parse_history(history)
        if not messages:
            raise ApiError("The history is empty, and so is the state; give at least one message.")
        session = Session(self.model, adapter=self._label(adapter))
        session.preload(messages)
        last = session.snapshots[-1]
        source = Source(self.model.name, session.adapter)
        picture = states_atlas(last, source, state_limit(session.snapshots))
        encoded = base64.b64encode(png(picture.figure)).decode()
        return {"title": picture.title, "alt": picture.alt, "png": encoded}

    def _start(self, history, arms):
        chosen = parse_arms(arms)
        if len(chosen) > MAX_ARMS:
            raise ApiError(f"There are {len(chosen)} arms; at most {MAX_ARMS} are compared in a call.")
        if spoilt := [arm for arm in chosen if arm.control == "other"]:
            raise ArmError(f"{spoilt[0].title}: a call has one history only; use another control.")
        return chosen, start_sessions(self.model, chosen, self.parse_history(history))

    def _label(self, adapter):
        known = {label.lower(): label for label in self.model.adapters}
        return known.get(adapter.strip().lower(), adapter.strip()) or None


def parse_arms(text):
    """The Arms of "base, memory:adapter=TSW,strength=0.5; memory-rag". Raises ArmError.

    A comma parts two arms unless what follows it is a setting of the arm before it.
    """
    names = []
    for part in str(text).replace(";", "\n").replace(",", "\n,").splitlines():
        piece = part.strip().removeprefix(",").strip()
        if part.strip().startswith(",") and "=" in piece.partition(":")[0] and names:
            names[-1] += f",{piece}"
        elif piece:
            names.append(piece)
    if not names:
        raise ArmError("There are no arms; name at least one, such as base or memory.")
    return [parse_arm(name) for name in names]


def _limited(max_new_tokens):
    if isinstance(max_new_tokens, (int, float)) and max_new_tokens > MAX_NEW_TOKENS:
        raise ApiError(f"max_new_tokens is {max_new_tokens:,}; at most {MAX_NEW_TOKENS} are made in a call.")
    return max_new_tokens
