"""Training conversations: facts told in some turns, asked for in later ones, with other talk between.

A conversation is a list of turns; every turn is one pass with its own context, and only the state carries over.
"""

import random
from dataclasses import dataclass

from .facts import Fact, make_fact
from .smalltalk import PROMPTS, REPLIES, SHORT_ANSWER, SmallTalk
from .words import Values


@dataclass(frozen=True)
class Turn:
    """One user message and its reply. `learned`: the reply is a training target. `whole`: the reply ends here."""

    user: str
    reply: str
    learned: bool = False
    whole: bool = True


@dataclass(frozen=True)
class Layout:
    """Shape of a batch: the order of tell turns (T) and ask turns (A), and how many conversations."""

    slots: str
    batch: int


LAYOUTS = {
    "one": Layout("TA", 128),
    "two": Layout("TTAA", 64),
    "four": Layout("TTATTAA", 40),
    "long": Layout("TTTTATTTAA", 26),
}
TOKENS = {"T": 56, "A": 40}
# (share of the training done, weights of the layouts): single facts first, then more and longer conversations.
CURRICULUM = (
    (0.0, {"one": 1.0}),
    (0.12, {"one": 0.5, "two": 0.5}),
    (0.3, {"one": 0.25, "two": 0.4, "four": 0.2, "long": 0.15}),
)


def choose_layout(rng: random.Random, progress: float) -> str:
    """A layout by the curriculum's weights. `progress`: share of the training done, 0 to 1."""
    weights = [stage for start, stage in CURRICULUM if progress >= start][-1]
    return rng.choices(list(weights), list(weights.values()))[0]


class Episodes:
    """Makes conversations.

    ordinary: (prompt, the backbone's own reply) pairs that keep its ordinary answers. most_facts: told in the tell
    turns of one conversation; the other turns are small talk.
    """

    def __init__(self, values: Values, talk: SmallTalk, ordinary: list[tuple[str, str]], most_facts: int = 8):
        self.values, self.talk, self.ordinary, self.most_facts = values, talk, ordinary, most_facts

    def make(self, rng: random.Random, layout: Layout) -> list[Turn | None]:
        """One conversation with as many turns as the layout has slots; None is a turn left out."""
        tells = [i for i, slot in enumerate(layout.slots) if slot == "T"]
        most = min(len(tells), self.most_facts)
        count = rng.randint(1, most) if rng.random() < 0.5 else most
        chosen = set(rng.sample(tells, count))
        told: list[Fact] = []
        turns: list[Turn | None] = []
        waiting: list[Fact] = []
        for i, slot in enumerate(layout.slots):
            if slot == "T" and i in chosen:
                facts = [
                    self._fact(rng, told)
                    for _ in range(2 if len(told) + 2 <= self.most_facts and rng.random() < 0.08 else 1)
                ]
                told += facts
                waiting += facts
                turns.append(self._tell(rng, facts))
            elif slot == "T":
                turns.append(self._chat(rng) if rng.random() < 0.8 else None)
            else:
                turns.append(self._ask(rng, told, waiting))
        return turns

    def _fact(self, rng: random.Random, told: list[Fact]) -> Fact:
        fact = make_fact(rng, self.values, "train", taken=[other.key for other in told])
        told_values = {other.value for other in told}
        return fact if fact.value not in told_values else self._fact(rng, told)

    def _tell(self, rng: random.Random, facts: list[Fact]) -> Turn:
        text = self.talk.wrap(rng, " ".join(fact.statement for fact in facts))
        draw = rng.random()
        if draw < 0.15:
            reply = f"{facts[-1].value}, {rng.choice(('nice', 'great', 'lovely', 'I see', 'noted', 'okay'))}!"
        elif draw < 0.3:
            reply = rng.choice(self.talk.exchanges)[1]
        elif draw < 0.4:
            reply = f"Okay. {facts[0].answer}"
        else:
            reply = rng.choice(REPLIES)
        return Turn(text, reply)

    def _chat(self, rng: random.Random) -> Turn:
        return Turn(*rng.choice(self.talk.exchanges))

    def _ask(self, rng: random.Random, told: list[Fact], waiting: list[Fact]) -> Turn:
        draw = rng.random()
        if not told or (draw < 0.1 and self.ordinary):
            if not self.ordinary:
                return self._chat(rng)
            prompt, reply = rng.choice(self.ordinary)
            return Turn(prompt, reply, learned=True, whole=False)
        if draw < 0.14:
            fact = self._fact(rng, told)
            told.append(fact)
            waiting.append(fact)
            return Turn(self.talk.wrap(rng, fact.statement), rng.choice(REPLIES), learned=True)
        fact = waiting.pop(rng.randrange(len(waiting))) if waiting else rng.choice(told)
        if rng.random() < 0.35:
            # The leading space makes the first word the same token as inside a sentence.
            return Turn(fact.question + rng.choice(SHORT_ANSWER), " " + fact.value, learned=True)
        return Turn(fact.question, fact.answer, learned=True)


def ordinary_prompts(rng: random.Random, values: Values, talk: SmallTalk, count: int) -> list[str]:
    """Prompts that need no memory."""
    return [
        rng.choice(PROMPTS).format(w=rng.choice(values.words)) if rng.random() < 0.6 else rng.choice(talk.exchanges)[0]
        for _ in range(count)
    ]
