"""Token ids of chat messages, built so that no message text can ever become a control token.

The tokenizer's own chat template is rendered once, with marker words in place of the contents, and cut at the
markers. What lies around a marker is that role's header and footer; contents are encoded apart from them.
"""

import re

from jinja2.exceptions import TemplateError

from deltamem.runtime.errors import ModelError, SessionError

ROLES = ("system", "user", "assistant")
_MARKS = {"S": "deltamemsystem", "U": "deltamemquestion", "A": "deltamemanswer", "V": "deltamemfollowup"}
_PLAIN = {"system": ("", "\n"), "user": ("User: ", "\n"), "assistant": ("Assistant: ", "\n")}


class ChatFormat:
    """How one tokenizer writes a conversation.

    start: ids that open a conversation (BOS or nothing); a template's default system prompt is left out.
    reply_header / reply_footer: ids that open and close the assistant's answer.
    stop_ids: ids that end an answer. control_ids: ids no content may contain.

    Raises ModelError when the tokenizer's chat template cannot be taken apart.
    """

    def __init__(self, tokenizer, stop_ids=()):
        self.tokenizer = tokenizer
        control = _control_tokens(tokenizer)
        self.control_ids = frozenset(control)
        self._cuts = _cut_pattern(control.values())
        start, forms, reply = _template_parts(tokenizer)
        # A space that ends a header belongs to the first word for most tokenizers: it travels with the content.
        self._forms = {
            role: (self._encode(header.rstrip(" ")), header[len(header.rstrip(" ")) :], self._encode(footer))
            for role, (header, footer) in forms.items()
        }
        self.start = self._encode(start) if isinstance(start, str) else start
        self.reply_header = self._encode(reply.rstrip(" "))
        self.reply_footer = self._forms["assistant"][2]
        closing = [i for i in self.reply_footer[:1] if i in self.control_ids]
        known = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
        self.stop_ids = frozenset([*known, *closing, *stop_ids])

    def message(self, role, content):
        """Ids of one whole message: header, content, footer. Raises SessionError for a role other than ROLES."""
        if role not in self._forms:
            raise SessionError(f'A message has the role "{role}"; use one of {", ".join(ROLES)}.')
        header, space, footer = self._forms[role]
        return header + self.text(content if content.startswith(space) else space + content) + footer

    def text(self, content):
        """Ids of the content alone. Words like "<|im_end|>" are spelled out; unpaired surrogates and NUL are replaced.

        Encoding is cut inside every spelling of a control token, so that no tokenizer setting can let one through.
        """
        content = content.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
        if not content:
            return []
        cuts = [0, *(m.start() + 1 for m in self._cuts.finditer(content)), len(content)] if self._cuts else None
        pieces = [content[a:b] for a, b in zip(cuts, cuts[1:], strict=False)] if cuts else [content]
        ids = [i for piece in pieces if piece for i in self._encode(piece)]
        if self.control_ids.isdisjoint(ids):
            return ids
        # A normaliser may turn other characters into a control token's spelling: encode character by character.
        return [i for char in content for i in self._encode(char) if i not in self.control_ids]

    def decode(self, ids):
        """Text of ids, control tokens left out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def stream(self):
        """A new StreamDecoder for one answer."""
        return StreamDecoder(self.tokenizer)

    def _encode(self, text):
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else []


class StreamDecoder:
    """Text of an answer, token by token; a character that spans several tokens is given when it is complete."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self._ids = []
        self._given = 0

    def push(self, token_id):
        """Text that became certain with this token, possibly empty."""
        self._ids.append(int(token_id))
        text = self._text()
        # Up to three bytes of an unfinished character show as replacement characters at the end.
        ready = text
        for _ in range(3):
            ready = ready.removesuffix("\ufffd")
        piece = ready[self._given :]
        self._given = max(self._given, len(ready))
        if len(self._ids) > 32 and ready == text:
            # Only the last tokens matter for what follows (spacing); forget the rest, so that a step stays cheap.
            self._ids = self._ids[-8:]
            self._given = len(self._text())
        return piece

    def flush(self):
        """The rest at the end of the answer; an unfinished character comes as a replacement character."""
        piece = self._text()[self._given :]
        self._ids, self._given = [], 0
        return piece

    def _text(self):
        return self._tokenizer.decode(self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def _control_tokens(tokenizer):
    """{id: spelling} of what acts on a conversation: special tokens and added ones such as <think>.

    Added runs of white space, which some tokenizers have, are text.
    """
    added = {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if not token.content.isspace()}
    return added | dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))


def _cut_pattern(words):
    """Finds every place where a control token's spelling begins, overlapping ones too; None when there are none."""
    words = sorted({word for word in words if len(word) > 1})
    return re.compile(f"(?={'|'.join(map(re.escape, words))})") if words else None


def _template_parts(tokenizer):
    """(start, {role: (header, footer)}, reply header) as text; start may already be a list of ids."""
    if not tokenizer.chat_template:
        opening = tokenizer("")["input_ids"][:1]
        return (opening if opening == [tokenizer.bos_token_id] else ""), _PLAIN, _PLAIN["assistant"][0]
    try:
        return _split_template(tokenizer)
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"The chat template of {tokenizer.name_or_path or 'this tokenizer'} could not be taken apart ({error}); "
            "use a model whose template writes the messages one after another."
        ) from error


def _split_template(tokenizer):
    first, tail = _render(tokenizer, "U")
    _, _, answer_tail = _render(tokenizer, "UA")
    _, before_answer, after_answer, _ = _render(tokenizer, "UAV")
    _, prompt = _render(tokenizer, "U", reply=True)
    # A template may end the whole text with something more: what the end shares with the text before the next
    # message is the footer.
    user_footer = _common_prefix(tail, before_answer)
    answer_header = before_answer.removeprefix(user_footer)
    answer_footer = _common_prefix(answer_tail, after_answer)
    user_header = after_answer.removeprefix(answer_footer)
    if not first.endswith(user_header):
        raise ValueError("the first user message is written in another way than the second")
    reply = prompt.removeprefix(user_footer) or answer_header
    forms = {"user": (user_header, user_footer), "assistant": (answer_header, answer_footer)}

    opening = first.removesuffix(user_header)  # BOS, default system prompt, both or neither
    bos = tokenizer.bos_token or ""
    # Some ChatML tokenizers name <|im_start|> as BOS; there it opens each message, not the conversation.
    start = bos if bos and opening.startswith(bos) and not user_header.startswith(bos) else ""
    try:
        front, system_gap, _ = _render(tokenizer, "SU")
    except (TemplateError, ValueError):
        front, system_gap = "", ""
    if system_gap and front.startswith(opening):
        start = opening  # nothing but openers: the same text stands before an explicit system message
    if front.startswith(start) and front != start and system_gap.endswith(user_header) and system_gap != user_header:
        forms["system"] = (front.removeprefix(start), system_gap.removesuffix(user_header))
    else:
        forms["system"] = forms["user"]  # templates without system messages: told as a user message
    return start, forms, reply


def _render(tokenizer, order, reply=False):
    """The template's text around the contents of the messages named by the letters of `order`."""
    roles = {"S": "system", "U": "user", "A": "assistant", "V": "user"}
    messages = [{"role": roles[letter], "content": _MARKS[letter]} for letter in order]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply, enable_thinking=False)
    parts = []
    for letter in order:
        before, mark, text = text.partition(_MARKS[letter])
        if not mark:
            raise ValueError(f"the {roles[letter]} message does not appear in order")
        parts.append(before)
    return [*parts, text]


def _common_prefix(a, b):
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return a[:count]
