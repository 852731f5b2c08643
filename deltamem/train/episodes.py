"""Training conversations: facts told in some turns, asked for in later ones, with other talk between.

A conversation is a list of turns; every turn is one pass with its own context, and only the state carries over.
"""

import random
import re
from dataclasses import dataclass, field, replace

from .curriculum import ASKING, Layout
from .facts import Fact, asked_again, corrected, make_fact, noted
from .families import EVERYDAY
from .frames import UNTOLD, casual, in_frame, joined, long_sentence, worn
from .smalltalk import PROMPTS, REPLIES, SHORT_ANSWER, SmallTalk
from .sources import Document, blank
from .wordings import QUESTION_FRAMES, spelled
from .words import Values


@dataclass(frozen=True)
class Turn:
    """One pass: a user message and its reply, after earlier exchanges of the same pass.

    learned: the reply is a training target. whole: the reply ends here. ordinary: it tells and asks nothing that a
    memory is for, so the backbone's predictions of it are to stay. bare: the user's text alone, outside of any message.
    told: number of the turn that told, or last corrected, the fact that this one asks for.
    """

    user: str
    reply: str
    learned: bool = False
    whole: bool = True
    before: tuple[tuple[str, str], ...] = ()
    ordinary: bool = False
    bare: bool = False
    told: int | None = None


@dataclass
class Told:
    """What a conversation has said so far: facts by key, keys not yet asked for, and questions about documents."""

    facts: dict[str, Fact] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    corrected: set[str] = field(default_factory=set)
    asked: dict[str, int] = field(default_factory=dict)
    documents: list[tuple[tuple[str, ...], str]] = field(default_factory=list)  # (wordings of a question, answer)
    turn: int = 0  # number of the turn being made
    turns: dict[str, int] = field(default_factory=dict)  # which told each fact, or corrected it last

    def add(self, fact: Fact) -> Fact:
        self.facts[fact.key] = fact
        self.turns[fact.key] = self.turn
        if fact.key not in self.waiting:
            self.waiting.append(fact.key)
        return fact


class Episodes:
    """Makes conversations.

    ordinary: (prompt, the backbone's own reply) pairs that keep its ordinary answers. most_facts: told in one
    conversation. dialogues, passages: real ones with questions. by_message: the memory writes whole messages, so a
    pass holds one exchange. similar: share of further facts that are of an earlier one's family, to be told apart.
    worn: share of statements and questions that have lost some of their words, see `worn`.
    """

    def __init__(
        self,
        values: Values,
        talk: SmallTalk,
        ordinary: list[tuple[str, str]],
        most_facts: int = 8,
        dialogues: list[Document] = (),
        passages: list[Document] = (),
        by_message: bool = False,
        similar: float = 0.3,
        worn: float = 0.0,
    ):
        self.values, self.talk, self.ordinary, self.most_facts = values, talk, ordinary, most_facts
        self.dialogues, self.passages, self.by_message = dialogues, passages, by_message
        self.similar, self.worn = similar, worn
        self.strange = [word for word in values.words if not word.startswith(("recall", "remind"))]  # the test's words

    def make(self, rng: random.Random, layout: Layout) -> list[Turn | None]:
        """One conversation with as many turns as the layout has slots; None is a turn left out."""
        told = Told()
        if self.dialogues and layout.slots.count("T") >= 4 and rng.random() < 0.25:
            return self._dialogue(rng, layout, told)
        makers = {"T": self._short, "N": self._note, "L": self._long, "P": self._page}
        makers |= {"C": self._other, "O": self._much}
        makers |= dict.fromkeys(ASKING, self._ask)
        tells = [i for i, slot in enumerate(layout.slots) if slot == "T"]
        most = min(len(tells), self.most_facts)
        count = most if rng.random() < 0.5 else rng.randint(min(1, most), most)
        silent = set(tells) - set(rng.sample(tells, count))
        turns = []
        for told.turn, slot in enumerate(layout.slots):
            if told.turn in silent:
                turns.append(self._chat(rng) if rng.random() < 0.85 else None)
            else:
                turns.append(makers[slot](rng, told))
        return turns

    # What is told

    def _fact(self, rng: random.Random, told: Told, about=None) -> Fact:
        """A new fact; now and then like an earlier one, or about the same person."""
        earlier = list(told.facts.values())
        like = rng.choice(earlier) if earlier and rng.random() < self.similar else None
        if earlier and about is None and rng.random() < 0.2:
            slots = dict(rng.choice(earlier).slots)
            about = (slots["s"], slots["S"]) if slots["s"] else None
        values = {fact.value.lower() for fact in earlier}
        for _ in range(20):
            fact = make_fact(rng, self.values, "train", taken=told.facts, families=EVERYDAY, about=about, like=like)
            if fact.value.lower() not in values:
                break
            like = None
        return told.add(replace(fact, statement=self._worn(rng, fact.statement, fact)))

    def _worn(self, rng: random.Random, text: str, fact: Fact, strange: list[str] | tuple = ()) -> str:
        if not self.worn or rng.random() >= self.worn:
            return text
        return worn(rng, text, [fact.value, *dict(fact.slots).values()], strange)

    def _statement(self, rng: random.Random, told: Told, about=None) -> str:
        """The statement of a new fact or, now and then, of an earlier one's correction."""
        open_keys = [key for key in told.facts if key not in told.corrected]
        if open_keys and rng.random() < 0.16:
            key = rng.choice(open_keys)
            told.corrected.add(key)
            return told.add(corrected(rng, self.values, told.facts[key], "train")).statement
        if len(told.facts) >= self.most_facts:
            return rng.choice(self.talk.lines)
        return self._fact(rng, told, about).statement

    def _short(self, rng: random.Random, told: Told) -> Turn:
        statement = self._statement(rng, told)
        if rng.random() < 0.07 and len(told.facts) < self.most_facts:
            statement = joined(rng, [statement, self._fact(rng, told).statement])
        text = long_sentence(rng, statement) if rng.random() < 0.15 else self.talk.wrap(rng, statement)
        return Turn(casual(rng, text), self._reply(rng, told))

    def _note(self, rng: random.Random, told: Told) -> Turn:
        return Turn(noted(rng, self._fact(rng, told)), rng.choice(REPLIES))

    def _long(self, rng: random.Random, told: Told) -> Turn:
        draw = rng.random()
        if draw < 0.5:
            return Turn(self._several(rng, told, rng.randint(2, 5)), self._reply(rng, told))
        if draw < 0.72:
            parts = [long_sentence(rng, self._statement(rng, told)) for _ in range(rng.choice((1, 1, 2)))]
            parts += rng.choices(self.talk.lines, k=rng.randint(1, 5))
            rng.shuffle(parts)
            return Turn(" ".join(parts), self._reply(rng, told))
        if draw < 0.94 and not self.by_message:
            before = tuple(self._exchange(rng, told) for _ in range(rng.randint(1, 2)))
            return Turn(*self._exchange(rng, told), before=before)
        return self._other(rng, told)

    def _other(self, rng: random.Random, told: Told) -> Turn:
        """About a hundred tokens of talk or text that tell nothing."""
        if rng.random() < 0.4 and not self.by_message:
            before = tuple(rng.choice(self.talk.exchanges) for _ in range(2))
            return Turn(*rng.choice(self.talk.exchanges), before=before, ordinary=True)
        if rng.random() < 0.5 and self.passages:
            words = rng.choice(self.passages).exchanges[0][0].split()
            if rng.random() < 0.3:
                return Turn(" ".join(words), "", ordinary=True, bare=True)
            return Turn(" ".join(words[: rng.randint(30, 60)]), rng.choice(REPLIES), ordinary=True)
        return Turn(" ".join(rng.choices(self.talk.lines, k=rng.randint(4, 7))), rng.choice(REPLIES), ordinary=True)

    def _much(self, rng: random.Random, told: Told) -> Turn:
        """A page of talk or text that tells nothing."""
        if self.passages and rng.random() < 0.5:
            text, bare = rng.choice(self.passages).exchanges[0][0], rng.random() < 0.5
            return Turn(text, "" if bare else rng.choice(REPLIES), ordinary=True, bare=bare)
        if rng.random() < 0.5 and not self.by_message:
            before = tuple(rng.choice(self.talk.exchanges) for _ in range(rng.randint(3, 5)))
            return Turn(*rng.choice(self.talk.exchanges), before=before, ordinary=True)
        return Turn(" ".join(rng.choices(self.talk.lines, k=rng.randint(12, 20))), rng.choice(REPLIES), ordinary=True)

    def _page(self, rng: random.Random, told: Told) -> Turn:
        draw = rng.random()
        if draw < 0.1 and self.passages:
            return Turn(rng.choice(self.passages).exchanges[0][0], "", ordinary=True, bare=True)
        if draw < 0.2 and self.dialogues:
            document = rng.choice(self.dialogues)
            told.documents += document.questions
            return Turn(*document.exchanges[-1], before=document.exchanges[:-1])
        if draw < 0.75 and self.passages:
            document = rng.choice(self.passages)
            text = document.exchanges[0][0]
            told.documents += [*document.questions, *filter(None, (blank(rng, text) for _ in range(2)))]
            return Turn(text, rng.choice(REPLIES), ordinary=True)
        if draw < 0.88:
            text = " ".join(self._several(rng, told, rng.randint(2, 4), third=True) for _ in range(2))
            return Turn(text, rng.choice(REPLIES))
        before = tuple(self._exchange(rng, told) for _ in range(rng.randint(3, 5)))
        return Turn(*self._exchange(rng, told), before=before)

    def _several(self, rng: random.Random, told: Told, count: int, third: bool = False) -> str:
        """Several facts in one text, all about one person when `third`."""
        person = rng.choice(self.values.capitals)
        about = (person, person) if third or rng.random() < 0.2 else None
        return joined(rng, [self._statement(rng, told, about) for _ in range(count)])

    def _exchange(self, rng: random.Random, told: Told) -> tuple[str, str]:
        if rng.random() < 0.45:
            return rng.choice(self.talk.exchanges)
        return self.talk.wrap(rng, self._statement(rng, told)), self._reply(rng, told)

    def _reply(self, rng: random.Random, told: Told) -> str:
        draw = rng.random()
        if draw < 0.25 and told.facts:
            fact = list(told.facts.values())[-1]
            if draw < 0.15:
                return f"{fact.value}, {rng.choice(('nice', 'great', 'lovely', 'I see', 'noted', 'okay'))}!"
            return f"Okay. {fact.answer}"
        return rng.choice(self.talk.exchanges)[1] if draw < 0.4 else rng.choice(REPLIES)

    def _chat(self, rng: random.Random) -> Turn:
        return Turn(*rng.choice(self.talk.exchanges), ordinary=True)

    def _dialogue(self, rng: random.Random, layout: Layout, told: Told) -> list[Turn | None]:
        """A real dialogue, one exchange a turn, and questions about what was said so far."""
        document = rng.choice(self.dialogues)
        exchanges, said, turns = iter(document.exchanges), "", []
        for told.turn, slot in enumerate(layout.slots):
            exchange = next(exchanges, None) if slot not in ASKING else None
            if slot in ASKING:
                told.documents = [pair for pair in document.questions if pair[1].lower() in said.lower()]
                turns.append(self._ask(rng, told))
                continue
            said += " ".join(exchange or ())
            turns.append(Turn(*exchange) if exchange else None)
        return turns

    # What is asked

    def _ask(self, rng: random.Random, told: Told) -> Turn:
        draw = rng.random()
        if draw < 0.14 and self.ordinary:
            prompt, reply = rng.choice(self.ordinary)
            return Turn(prompt, reply, learned=True, whole=False, ordinary=True)
        if draw < 0.22 or not (told.facts or told.documents):
            return Turn(casual(rng, self._unknown(rng, told)), UNTOLD, learned=True)
        if draw < 0.25 and len(told.facts) < self.most_facts:
            fact = self._fact(rng, told)
            return Turn(self.talk.wrap(rng, fact.statement), rng.choice(REPLIES), learned=True)
        if told.documents and (not told.facts or rng.random() < 0.7):
            wordings, answer = rng.choice(told.documents)
            question = rng.choice(wordings)
            question = in_frame(spelled(rng, rng.choice(QUESTION_FRAMES)), question) if rng.random() < 0.2 else question
            suffix = rng.choice(SHORT_ANSWER) if rng.random() < 0.3 else ""
            return Turn(question + suffix, " " + answer, learned=True)
        key = told.waiting.pop(rng.randrange(len(told.waiting))) if told.waiting else rng.choice(list(told.facts))
        fact = told.facts[key]
        question = asked_again(rng, fact) if key in told.asked else fact.question
        question = self._worn(rng, question, fact, self.strange)
        told.asked[key] = 1
        if rng.random() < 0.3:
            # The leading space makes the first word the same token as inside a sentence.
            return Turn(question + rng.choice(SHORT_ANSWER), " " + fact.value, learned=True, told=told.turns[key])
        return Turn(casual(rng, question), fact.answer, learned=True, told=told.turns[key])

    def _unknown(self, rng: random.Random, told: Told) -> str:
        """A question about something that was not told, often of a kind that was."""
        like = rng.choice(list(told.facts.values())) if told.facts and rng.random() < 0.5 else None
        for _ in range(20):
            fact = make_fact(rng, self.values, "train", taken=told.facts, families=EVERYDAY, like=like)
            if {"{k}", "{p}", "{s}", "{o}"} & set(re.findall("{.}", fact.family.asked[0])) or not told.facts:
                break
            like = None
        return self._worn(rng, fact.question, fact, self.strange)


def ordinary_prompts(rng: random.Random, values: Values, talk: SmallTalk, count: int) -> list[str]:
    """Prompts that need no memory."""
    return [
        rng.choice(PROMPTS).format(w=rng.choice(values.words)) if rng.random() < 0.6 else rng.choice(talk.exchanges)[0]
        for _ in range(count)
    ]
