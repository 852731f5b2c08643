"""What a forward pass is given: messages as token blocks, blocks as passes, and which tokens enter the memory."""

from dataclasses import dataclass

from deltamem.runtime.chat import ROLES
from deltamem.runtime.errors import SessionError

CHUNK = 512  # tokens in one pass: bounds the activations
GROUP = 2048  # tokens that share one KV while history is written: bounds the KV


@dataclass(frozen=True)
class Block:
    """A run of tokens that belong to one message. write[i] says whether ids[i] enters the memory."""

    ids: list[int]
    write: list[bool]

    def __len__(self):
        return len(self.ids)


def block(ids, write):
    """A block with one answer to "does it enter the memory" for all its tokens."""
    return Block(list(ids), [write] * len(ids))


def join(blocks):
    """One block from several."""
    return Block([i for b in blocks for i in b.ids], [w for b in blocks for w in b.write])


def cut(whole, size):
    """Parts of at most `size` tokens; none of an empty block."""
    return [Block(whole.ids[i : i + size], whole.write[i : i + size]) for i in range(0, len(whole), size)]


def passes(blocks, by_message):
    """The passes that feed `blocks` in order, on one KV.

    Token writes do not care about message borders: equal chunks of CHUNK tokens. Segment writes need each message in
    a pass of its own, since a pass reads the state from before it; only a message over GROUP tokens is cut, and then
    each part is a segment.
    """
    if by_message:
        return [part for b in blocks for part in cut(b, GROUP)]
    return cut(join(blocks), CHUNK)


def history_groups(opening, start, exchanges, by_message, room):
    """Passes that write history, grouped by shared KV: one group per exchange, more when it is over `room` tokens.

    opening: blocks in front of the first exchange. start: ids in front of every later group, shown but not written.
    exchanges: a list of blocks per exchange. Returns a list of groups, each a list of blocks (one pass each).
    """
    groups, lead = [], list(opening)
    for blocks in exchanges:
        groups_here, used = [[]], 0
        for part in (p for b in (blocks if by_message else [join(blocks)]) for p in cut(b, room)):
            if used + len(part) > room:
                groups_here.append([])
                used = 0
            groups_here[-1].append(part)
            used += len(part)
        for parts in groups_here:
            groups.append(passes([*lead, *parts], by_message))
            lead = [block(start, False)]
    return groups


def frame(chat, role):
    """(header, footer) ids of a role's messages: what two messages of different text have in common."""
    a, b = chat.message(role, "a"), chat.message(role, "b")
    head = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    tail = next(i for i, (x, y) in enumerate(zip(a[::-1], b[::-1], strict=False)) if x != y)
    return a[:head], a[len(a) - tail :]


def exchanges(messages):
    """Messages in groups of system messages, a user message and the answer to it, each part optional."""
    rank = {"system": 0, "user": 1, "assistant": 2}
    found = []
    for message in messages:
        last = rank[found[-1][-1]["role"]] if found else 2
        if found and (rank[message["role"]] > last or message["role"] == "system" and last == 0):
            found[-1].append(message)
        else:
            found.append([message])
    return found


def check_text(text, what="The message"):
    """The text as it can be encoded and stored. Raises SessionError when there is nothing in it."""
    if not isinstance(text, str):
        raise SessionError(f"{what} is of type {type(text).__name__}; give a string.")
    if not text.strip():
        raise SessionError(f"{what} is empty; write at least one visible character.")
    # Half a surrogate pair cannot be written as UTF-8, and NUL ends strings elsewhere: both as the encoder does it.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def check_messages(messages_or_text):
    """A list of {"role", "content"} dicts from such a list or from one text. Raises SessionError naming the index."""
    if isinstance(messages_or_text, str):
        return [{"role": "user", "content": check_text(messages_or_text, "The history")}]
    if not isinstance(messages_or_text, (list, tuple)):
        kind = type(messages_or_text).__name__
        raise SessionError(f"The history is of type {kind}; give a list of messages or one text.")
    if not messages_or_text:
        raise SessionError("The history holds no messages; give at least one.")
    checked = []
    for index, message in enumerate(messages_or_text):
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise SessionError(f'Message {index} of the history is not a dict with "role" and "content".')
        role = message["role"]
        if role not in ROLES:
            raise SessionError(f"Message {index} of the history has the role {role!r}; use one of {', '.join(ROLES)}.")
        checked.append({"role": role, "content": check_text(message["content"], f"Message {index} of the history")})
    return checked
