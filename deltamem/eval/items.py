"""What every benchmark is turned into: conversations (or documents) with questions about them."""

import hashlib
import json
import random
from dataclasses import asdict, dataclass, field, replace

from ..quoting import quoted
from .errors import EvalError


@dataclass(frozen=True)
class Item:
    """One question. id: unique in its task. golds: accepted answers. kind: category, source or split, for the table.

    extra: what only the task's own scorer needs, plain values.
    """

    id: str
    question: str
    golds: list[str]
    kind: str = ""
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Conversation:
    """What is to be remembered, and the questions about it.

    messages: {"role", "content"} dicts, written into the memory one after another; [] for questions without history.
    passages: what retrieval chooses from. names: values of the protocol's own slots, such as the speakers.
    """

    id: str
    messages: list[dict]
    items: list[Item]
    passages: list[str] = field(default_factory=list)
    names: dict = field(default_factory=dict)


class Row:
    """A row of a data file whose fields are checked as they are read."""

    def __init__(self, value, where, remedy="give the published file"):
        if not isinstance(value, dict):
            raise EvalError(f"{where} is of type {type(value).__name__}; it must be an object with named fields.")
        self.value, self.where, self.remedy = value, where, remedy

    def has(self, name):
        return self.value.get(name) is not None

    def get(self, name, *kinds):
        """The field's value. Raises EvalError when it is missing or of none of the kinds."""
        found = self.value.get(name)
        if found is None:
            if name in self.value:
                raise EvalError(f'{self.where}, "{name}" is null; {self.remedy}.')
            known = ", ".join(quoted(key, 40) for key in list(self.value)[:12]) or "none"
            raise EvalError(f'{self.where} has no field "{name}" (it has: {known}); {self.remedy}.')
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise EvalError(f'{self.where}, "{name}" is of type {type(found).__name__}; it must be {wanted}.')
        return found

    def text(self, name):
        """A field of visible text. Numbers are taken as their digits, as some published files have them."""
        text = str(self.get(name, str, int, float)).encode("utf-8", "replace").decode()  # halves of characters are none
        if not text.strip():
            raise EvalError(f'{self.where}, "{name}" is empty; give the published file.')
        return text

    def rows(self, name):
        """The rows of a field that is a list, or (as datasets stores them) one object of equally long lists."""
        found = self.get(name, list, dict)
        if isinstance(found, dict):
            lists = [value for value in found.values() if isinstance(value, list)]
            if len({len(value) for value in lists}) > 1 or len(lists) != len(found):
                raise EvalError(f'{self.where}, "{name}" holds lists of different lengths; give the published file.')
            found = [dict(zip(found, values, strict=True)) for values in zip(*lists, strict=True)]
        return [Row(value, f"{self.where}, {name} {index}") for index, value in enumerate(found)]

    def texts(self, name):
        """A field that is a list of texts."""
        found = self.get(name, list)
        if not all(isinstance(value, str) for value in found):
            raise EvalError(f'{self.where}, "{name}" must be a list of texts; give the published file.')
        return found


def data_hash(conversations):
    """sha256 (hex) of everything that a run is asked, in order: the same for the hub's copy and a local one."""
    text = json.dumps([asdict(c) for c in conversations], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def drawn(conversations, seed, limit=None, count=None):
    """At most `limit` questions about at most `count` conversations, drawn at random by the seed; None: all of them.

    Every kind of question keeps its share. Conversations without a drawn question are left out.
    """
    dice = random.Random(seed)
    if count is not None and count < len(conversations):
        chosen = sorted(dice.sample(range(len(conversations)), count))
        conversations = [conversations[place] for place in chosen]
    kept = {item.id for conversation in conversations for item in conversation.items}
    if limit is not None and limit < len(kept):
        kinds = {}
        for item in (item for conversation in conversations for item in conversation.items):
            kinds.setdefault(item.kind, []).append(item.id)
        shares = _shares([len(ids) for ids in kinds.values()], limit)
        kept = {key for ids, share in zip(kinds.values(), shares, strict=True) for key in dice.sample(ids, share)}
    some = [replace(c, items=[item for item in c.items if item.id in kept]) for c in conversations]
    return [conversation for conversation in some if conversation.items]


def _shares(sizes, total):
    """`total` split in proportion to the sizes into whole numbers, by the largest remainders."""
    exact = [size * total / sum(sizes) for size in sizes]
    shares = [int(share) for share in exact]
    left = sorted(range(len(sizes)), key=lambda place: shares[place] - exact[place])
    for place in left[: total - sum(shares)]:
        shares[place] += 1
    return shares
