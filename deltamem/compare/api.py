"""Comparing over a network or from a script: plain functions of plain values; no session survives a call.

    api = Api(load_model("demo"))
    api.answer("User: My boat is called Tulip.", "What is my boat called?", "base, memory")

Everything that is wrong with what was given is an ApiError (or another DeltaMemError): one sentence for the caller.
"""

import base64

from deltamem.compare.arms import parse_arms, start_sessions
from deltamem.compare.ask import Said, ask_together
from deltamem.compare.errors import ArmError
from deltamem.compare.probes import read_probes, run_probes
from deltamem.core.errors import DeltaMemError
from deltamem.runtime import Session
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
        or line ends. Returns dicts of "arm", "title", "answer", "stats" and "error" (why there is no answer, or "").
        """
        sampling = {"max_new_tokens": _limited(max_new_tokens), "temperature": temperature, "seed": seed}
        chosen, sessions, refused = self._start(history, arms)
        said = {key: Said(error=reason) for key, reason in refused.items()}
        said |= ask_together(sessions, question, **sampling)
        return [
            {
                "arm": arm.key,
                "title": arm.title,
                "answer": said[arm.key].text,
                "stats": said[arm.key].stats,
                "error": said[arm.key].error,
            }
            for arm in chosen
        ]

    def recall(
        self, history: str, probes: str, arms: str = "base, memory", max_new_tokens: int = 32, seed: int = 0
    ) -> dict:
        """Every arm's answers to probes, with their scores.

        probes: the content of a table "question,answer" or of JSON lines. Returns "summary" (a dict per arm with means
        and 95% intervals), "header" and "rows" (a table for people), "csv" (all scores) and "refused": {title: reason}
        of the arms that could not take the history in.
        """
        wanted = read_probes(str(probes).encode("utf-8", "replace"))
        if len(wanted) > MAX_PROBES:
            raise ApiError(f"There are {len(wanted):,} probes; at most {MAX_PROBES} are asked in a call.")
        chosen, sessions, refused = self._start(history, arms)
        titles = {arm.key: arm.title for arm in chosen}
        results = run_probes(sessions, wanted, titles, max_new_tokens=_limited(max_new_tokens), seed=seed)
        header, rows = results.table()
        return {
            "summary": results.summary(),
            "header": header,
            "rows": rows,
            "csv": results.to_csv(),
            "refused": {titles[key]: reason for key, reason in refused.items()},
        }

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
        refused = {}
        return chosen, start_sessions(self.model, chosen, self.parse_history(history), refused=refused), refused

    def _label(self, adapter):
        known = {label.lower(): label for label in self.model.adapters}
        wanted = str(adapter or "").strip()
        return known.get(wanted.lower(), wanted) or None


def _limited(max_new_tokens):
    if isinstance(max_new_tokens, (int, float)) and max_new_tokens > MAX_NEW_TOKENS:
        raise ApiError(f"max_new_tokens is {max_new_tokens:,}; at most {MAX_NEW_TOKENS} are made in a call.")
    return max_new_tokens
