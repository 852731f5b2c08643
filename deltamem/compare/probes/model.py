"""One probe."""

from dataclasses import dataclass

from deltamem.compare.errors import ProbeError

MAX_QUESTION = 2000  # characters
MAX_ANSWER = 500
MAX_ANSWERS = 20


@dataclass(frozen=True)
class Probe:
    """A question and the answers that count as right, the usual one first.

    Raises ProbeError, in one sentence, for an empty or oversized part.
    """

    question: str
    answers: tuple[str, ...]

    def __post_init__(self):
        answers = (self.answers,) if isinstance(self.answers, str) else tuple(self.answers)
        if not all(isinstance(text, str) for text in (self.question, *answers)):
            raise ProbeError("A probe's question and answers must be texts; give strings.")
        question = self.question.strip()
        answers = tuple(dict.fromkeys(answer.strip() for answer in answers if answer.strip()))
        if not question:
            raise ProbeError("The question is empty; write one, or leave the row out.")
        if not answers:
            raise ProbeError(f"The question “{_short(question)}” has no answer; give at least one.")
        if len(question) > MAX_QUESTION:
            raise ProbeError(f"The question has {len(question):,} characters; shorten it to at most {MAX_QUESTION:,}.")
        if len(answers) > MAX_ANSWERS:
            raise ProbeError(f"There are {len(answers)} accepted answers; give at most {MAX_ANSWERS}.")
        if (longest := max(map(len, answers))) > MAX_ANSWER:
            raise ProbeError(f"An answer has {longest:,} characters; shorten it to at most {MAX_ANSWER:,}.")
        object.__setattr__(self, "question", question)
        object.__setattr__(self, "answers", answers)


def _short(text, width=40):
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
