"""Token blocks of a prompt under a protocol and a condition: what all questions share, and each question's own end."""

from deltamem.compare.retrieval import Passages
from deltamem.runtime.blocks import block, join
from deltamem.runtime.prompt import frame

from .conditions import writes_history


class Prompts:
    """Encodes the conversations of one run. condition: an Arm.

    by_message: the memory takes whole messages (and then neither what opens a conversation nor the reply's header).
    """

    def __init__(self, model, protocol, condition, by_message=False):
        self.chat, self.room = model.chat, model.max_context
        self.protocol, self.condition, self.by_message = protocol, condition, by_message
        self.header, self.footer = frame(model.chat, "user")
        self.reply = block(model.chat.reply_header, not by_message)
        self._indexed = None, None  # a conversation and its Passages

    def shared(self, conversation):
        """(blocks before the question that all questions of a conversation have in common, whether history was cut).

        Empty unless the whole history is shown. It is cut so that every question and its answer have room.
        """
        if self.condition.context != "full" or not conversation.messages:
            return [], False
        start = self._start(True)
        if self.protocol.history == "turns":
            messages = [block(self.chat.message(m["role"], m["content"]), True) for m in conversation.messages]
            kept = self._recent(messages, self._history_room(conversation) - sum(map(len, start)))
            return start + kept, len(kept) < len(messages)
        before = self._filled(self.protocol.prompt.partition("{history}")[0], conversation)
        opening = self._filled(self.protocol.opening, conversation)
        lead = self.header + self.chat.text(before + opening + "\n\n" * bool(opening))
        history = self.chat.text("\n\n".join(m["content"] for m in conversation.messages))
        kept = clip(history, self._history_room(conversation) - len(lead) - sum(map(len, start)), self.protocol.clip)
        return start + [block(lead + kept, True)], len(kept) < len(history)

    def question(self, conversation, item, taken):
        """(the block that ends with the reply's header, whether the question was cut).

        taken: tokens of the shared blocks before it; 0 makes it a whole prompt.
        """
        inside = taken > 0 and self.protocol.history == "message"
        if inside:  # the message was opened by the shared part
            lead, text = [], self.protocol.prompt.partition("{history}")[2]
        else:
            lead, text = [block(self.header, True)], self.protocol.prompt_alone
        if not taken:
            lead = self._start(not writes_history(self.condition)) + lead
        if self.condition.context == "rag" and conversation.passages and (found := self._retrieved(conversation, item)):
            text = self.protocol.prompt
            before, _, text = text.partition("{history}")
            lead.append(block(self.chat.text(before), True))
            lead.append(block(self.chat.text(found), False))  # shown, not new
        own = self.chat.text(self._filled(text, conversation).replace("{question}", self.protocol.question(item)))
        rest = sum(map(len, lead)) + len(self.footer) + len(self.reply)
        kept = clip(own, self.room - taken - rest - 1, "middle")
        return join([*lead, block(kept + self.footer, True), self.reply]), len(kept) < len(own)

    def new_tokens(self, item, prompt_tokens):
        """Tokens of the item's answer at most: what the protocol says, or what room is left."""
        return min(self.protocol.new_tokens(item), self.room - prompt_tokens)

    def _start(self, write):
        return [block(self.chat.start, write and not self.by_message)] if self.chat.start else []

    def _history_room(self, conversation):
        """Tokens for the shared blocks, so that the longest question and answer of the conversation still fit."""
        needed = 0
        for item in conversation.items:
            length = len(self.question(conversation, item, taken=1)[0])
            needed = max(needed, length + min(self.protocol.new_tokens(item), self.room // 4))
        return self.room - min(needed, self.room // 2)

    def _recent(self, messages, room):
        """The last whole messages that fit."""
        kept, length = [], 0
        for message in reversed(messages):
            length += len(message)
            if length > room:
                break
            kept.append(message)
        return kept[::-1]

    def _retrieved(self, conversation, item):
        if self._indexed[0] is not conversation:  # questions about one conversation come one after another
            messages = [{"role": "user", "content": passage} for passage in conversation.passages]
            self._indexed = conversation, Passages(messages)
        return "\n".join(
            found.partition(": ")[2] for found in self._indexed[1].find(item.question, self.protocol.passages)
        )

    def _filled(self, text, conversation):
        for name, value in conversation.names.items():
            text = text.replace("{" + name + "}", value)
        return text


def clip(ids, room, rule):
    """At most `room` of the ids: the last ones ("recent"), the first ("start"), or first third and last two thirds."""
    room = max(room, 0)
    if len(ids) <= room:
        return ids
    if rule == "start":
        return ids[:room]
    head = room // 3 if rule == "middle" else 0
    return ids[:head] + ids[len(ids) - (room - head) :]
