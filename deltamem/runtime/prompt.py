"""What the model sees: which messages of the past are shown in a turn, and which tokens of a prompt are new."""

from dataclasses import dataclass

from deltamem.compare.retrieval import quote, retrieve
from deltamem.quoting import quoted
from deltamem.runtime.blocks import GROUP, Block, block, history_groups, join, passes
from deltamem.runtime.chat import ROLES
from deltamem.runtime.errors import SessionError
from deltamem.runtime.settings import MAX_PASSAGES
from deltamem.runtime.snapshot import Step

CONTEXTS = ("none", "recent", "rag", "full")
_REMEDIES = {
    "none": "shorten the message, or take the long part in as history",
    "recent": "shorten the message, show fewer recent turns, or show none or retrieved passages (context none, rag)",
    "rag": "shorten the message, or take the long part in as history",
    "full": "reset, or show less of the past: none, recent turns or retrieved passages (context none, recent, rag)",
}


@dataclass(frozen=True)
class Prompt:
    """What a turn feeds. shown: tokens in the KV before it. history_tokens: tokens of the past, those in `shown` too.

    passages: what was retrieved, with context "rag" only.
    """

    blocks: list[Block]
    shown: int
    history_tokens: int
    passages: list[str] | None = None

    @property
    def tokens(self):
        """Tokens that the answer can see."""
        return self.shown + sum(map(len, self.blocks))


@dataclass(frozen=True)
class View:
    """One session's way of showing its messages.

    by_message: the memory takes whole messages, not tokens. max_context: tokens that the model can see. passages: most
    that context "rag" quotes. chunk: as in blocks.passes.
    Raises SessionError for a context or number that there is not, and a system message that leaves no room.
    """

    chat: object
    context: str
    system: str | None
    recent_turns: int
    by_message: bool
    max_context: int
    passages: int = 4
    chunk: int | None = None

    def __post_init__(self):
        if self.context not in CONTEXTS:
            raise SessionError(f"context is {quoted(repr(self.context))}; use one of {', '.join(CONTEXTS)}.")
        turns = self.recent_turns
        if isinstance(turns, bool) or not isinstance(turns, int) or turns < 1:
            raise SessionError(f"recent_turns is {quoted(turns)}; it must be a whole number from 1.")
        most = self.passages
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MAX_PASSAGES:
            raise SessionError(f"passages is {quoted(most)}; it must be a whole number from 1 to {MAX_PASSAGES}.")
        if self.opening_tokens > self.max_context // 2:
            raise SessionError(
                f"The system message takes {self.opening_tokens:,} tokens, more than half of the "
                f"{self.max_context:,} that this model can see; shorten it."
            )

    @property
    def room(self):
        """Tokens for a prompt and its answer: what the model can see, less what closes the answer."""
        return self.max_context - len(self.chat.reply_footer)

    def check_room(self, tokens):
        """Raise SessionError when a prompt leaves no room for a single token of an answer."""
        limit = self.room - 1
        if tokens > limit:
            raise SessionError(
                f"The prompt has {tokens:,} tokens and the model takes at most {limit:,} before its answer; "
                f"{_REMEDIES[self.context]}."
            )

    def opening(self, write):
        """Blocks that open every prompt: the conversation's first tokens (no message, so no segment) and the system."""
        blocks = [block(self.chat.start, write and not self.by_message)] if self.chat.start else []
        if self.system is not None:
            blocks.append(block(self.chat.message("system", self.system), write))
        return blocks

    @property
    def opening_tokens(self):
        return sum(map(len, self.opening(False)))

    def turn(self, text, past, shown):
        """The Prompt of a turn. past: all earlier messages. shown: tokens in the KV."""
        blocks, history, passages, first = [], 0, None, not past
        if self.context != "full" or first:
            blocks += self.opening(first)
        if self.context == "full" and not first:
            history = shown - self.opening_tokens
        if self.context == "recent":
            messages = [m for exchange in exchanges(past)[-self.recent_turns :] for m in exchange]
            again = [self._message(m, False) for m in messages]
            history = sum(map(len, again))
            blocks += again
        question = self._message({"role": "user", "content": text}, True)
        if self.context == "rag":
            passages = retrieve(text, past, self.passages)
            if passages:
                header, footer = frame(self.chat, "user")
                quoted = block(self.chat.text(quote(passages)), False)
                question = join([block(header, True), quoted, block(self.chat.text(text) + footer, True)])
                history = len(quoted)
        # A memory of whole messages takes the question here, and the answer with its header when it is finished.
        blocks.append(join([question, block(self.chat.reply_header, not self.by_message)]))
        return Prompt(blocks, shown, history, passages)

    def history(self, messages, first):
        """The passes that write messages into the memory, in groups of one KV each (see history_groups)."""
        if self.context == "full":
            return [passes(self.everything(Step("history", messages), first), self.by_message, self.chunk)]
        later = [block(self.chat.start, False)] if self.chat.start else []
        found = [[self._message(m, True) for m in exchange] for exchange in exchanges(messages)]
        room = min(GROUP, self.max_context - self.opening_tokens)
        return history_groups(self.opening(True) if first else later, later, found, self.by_message, room, self.chunk)

    def everything(self, step, first):
        """All tokens of a step as context "full" holds them, all new to the memory; a replaced state has none."""
        blocks = self.opening(True) if first and step.messages else []
        for message in step.messages:
            if step.kind == "turn" and message["role"] == "assistant":
                blocks.append(self.answer(step.reply_ids))
            else:
                blocks.append(self._message(message, True))
        return blocks

    def kept_tokens(self, steps):
        """Length of the KV that is kept after these steps: of all of them with context "full", else 0."""
        if self.context != "full":
            return 0
        told = [step for step in steps if step.messages]
        return sum(len(b) for index, step in enumerate(told) for b in self.everything(step, index == 0))

    def answer(self, ids):
        """The whole message of an answer that was generated."""
        return block([*self.chat.reply_header, *ids, *self.chat.reply_footer], True)

    def _message(self, message, write):
        return block(self.chat.message(message["role"], message["content"]), write)


def exchanges(messages):
    """Messages in groups of system messages, a user message and the answer to it, each part optional."""
    rank = {"system": 0, "user": 1, "assistant": 2}
    found, last = [], 2
    for message in messages:
        now = rank[message["role"]]
        if found and (now > last or now == last == 0):
            found[-1].append(message)
        else:
            found.append([message])
        last = now
    return found


def frame(chat, role):
    """(header, footer) ids of a role's messages: what messages of different text have in common."""
    a, b = chat.message(role, "a"), chat.message(role, "b")
    head = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    tail = next(i for i, (x, y) in enumerate(zip(a[::-1], b[::-1], strict=False)) if x != y)
    return a[:head], a[len(a) - tail :]


def check_text(text, what="The message"):
    """The text as it can be encoded and stored. Raises SessionError when there is nothing in it."""
    if not isinstance(text, str):
        raise SessionError(f"{what} is of type {type(text).__name__}; give a string.")
    if not text.strip():
        raise SessionError(f"{what} is empty; write at least one visible character.")
    # Half a surrogate pair cannot be written as UTF-8, and NUL ends strings elsewhere: replaced as the encoder does.
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
            raise SessionError(f'Message {index} of the history is no dict with "role" and "content"; give one.')
        role = message["role"]
        if role not in ROLES:
            shown = quoted(repr(role))
            raise SessionError(f"Message {index} of the history has the role {shown}; use one of {', '.join(ROLES)}.")
        checked.append({"role": role, "content": check_text(message["content"], f"Message {index} of the history")})
    return checked
