"""JSON and JSON Lines: OpenAI, ShareGPT, ChatGPT and Claude exports, plain lists of messages."""

from __future__ import annotations

import json

from . import chatgpt
from .clean import finish
from .model import MAX_MESSAGES, MAX_VALUES, Message, Transcript, TranscriptError, count, excerpt
from .roles import role_of
from .table import ASSISTANTS, USERS

LISTS = (
    "messages", "conversations", "conversation", "chat_messages", "turns", "dialogue", "dialog", "history", "chat",
    "data",
)  # fmt: skip
ROLES = ("role", "from", "speaker", "author", "sender", "name")
TEXTS = ("content", "value", "text", "message", "utterance", "parts")
SHAPES = 'a list of {"role", "content"} messages, {"messages": […]}, {"conversations": […]} or a ChatGPT export'


def load_json(text: str, where: str = "The file") -> object:
    """json.loads with every failure as a TranscriptError."""
    if (values := text.count(",") + text.count("[") + text.count("{")) > MAX_VALUES:
        raise TranscriptError(
            f"{where} may list {values:,} values, more than the {MAX_VALUES:,} that are read: split it and upload a "
            "part."
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in text.strip() else f"column {error.colno}"
        raise TranscriptError(f"{where} is not valid JSON: {error.msg} at {place}; correct it and try again.") from None
    except RecursionError:
        raise TranscriptError(
            f"{where} nests lists or objects deeper than JSON is read here (some hundred levels): "
            f"give {SHAPES}, which need fewer than ten."
        ) from None
    except ValueError as error:
        raise TranscriptError(f"{where} holds a value that cannot be read ({excerpt(error, 60)}): remove it.") from None


def parse_json(text: str, notes: list[str]) -> Transcript:
    """A transcript of one JSON document."""
    return from_value(load_json(text), notes)


def parse_jsonl(text: str, notes: list[str]) -> Transcript:
    """A transcript of JSON Lines: one message a line, or one conversation a line (the first is taken)."""
    # Not splitlines(): U+2028 and others may stand inside a JSON string.
    rows = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(rows) > MAX_MESSAGES:
        raise TranscriptError(
            f"The file holds {len(rows):,} lines, more than the {MAX_MESSAGES:,} messages that are read: "
            "split it and upload a part."
        )
    values = [load_json(line, f"Line {number}") for number, line in rows]
    transcript = from_value(values, notes)
    transcript.format = transcript.format.replace("JSON list", "JSON Lines")
    return transcript


def from_value(value: object, notes: list[str]) -> Transcript:
    """A transcript of parsed JSON, whatever of the known shapes it has."""
    if isinstance(value, dict):
        return _conversation(value, notes)
    if not isinstance(value, list):
        raise TranscriptError(f"The JSON holds {_kind(value)}, not a conversation: give {SHAPES}.")
    if not value:
        raise TranscriptError(f"The JSON is an empty list: give {SHAPES}.")
    conversations = [item for item in value if isinstance(item, dict) and (chatgpt.is_export(item) or _list_of(item))]
    if conversations and len(conversations) == len(value):
        chosen, which = _newest(conversations)
        if len(conversations) > 1:
            title = chosen.get("title") or chosen.get("name") or chosen.get("id")
            named = f" (“{excerpt(title)}”)" if isinstance(title, str) and title else ""
            notes.append(f"The file holds {len(conversations):,} conversations; the {which} one{named} was taken.")
        return _conversation(chosen, notes)
    if all(isinstance(item, list) for item in value):
        if all(len(item) == 2 and all(isinstance(text, str) for text in item) for item in value):
            return finish(
                _messages([{"user": a, "assistant": b} for a, b in value], notes), "JSON list of pairs", notes
            )
        if len(value) > 1:
            notes.append(f"The file holds {len(value):,} lists; the first one was taken.")
        value = value[0]
    return finish(_messages(value, notes), "JSON list of messages", notes)


def _conversation(value: dict, notes: list[str]) -> Transcript:
    if chatgpt.is_export(value):
        return finish(chatgpt.messages(value, notes), "ChatGPT export", notes, value.get("questions"))
    key = _list_of(value)
    if not key:
        if _pair(value) or any(name in value for name in ROLES) and any(name in value for name in TEXTS):
            return finish(_messages([value], notes), "JSON message", notes)
        keys = ", ".join(excerpt(repr(name), 20) for name in list(value)[:5]) or "none"
        raise TranscriptError(f"The JSON object has no list of messages (its keys: {keys}): give {SHAPES}.")
    names = {"messages": "OpenAI messages", "conversations": "ShareGPT conversation", "chat_messages": "Claude export"}
    messages = _messages(value[key], notes)
    system = value.get("system")
    if isinstance(system, str) and system.strip():
        messages.insert(0, {"role": "system", "content": system})
    return finish(messages, names.get(key, f"JSON with “{key}”"), notes, value.get("questions"))


def _list_of(value: dict) -> str | None:
    """The key under which `value` keeps its messages."""
    return next((key for key in LISTS if isinstance(value.get(key), list)), None)


def _newest(conversations: list[dict]) -> tuple[dict, str]:
    """The newest conversation by its time when all have one, else the first; and the word for it."""
    for key in ("update_time", "create_time", "updated_at", "created_at"):
        times = [item.get(key) for item in conversations]
        if all(isinstance(time, (int, float)) for time in times) or all(isinstance(time, str) for time in times):
            return conversations[max(range(len(times)), key=times.__getitem__)], "newest"
    return conversations[0], "first"


def _messages(items: list, notes: list[str]) -> list[Message]:
    if len(items) > MAX_MESSAGES:
        raise TranscriptError(
            f"The file holds {len(items):,} messages, more than the {MAX_MESSAGES:,} that are read: "
            "split it and upload a part."
        )
    messages, tools, parts = [], 0, 0
    for number, item in enumerate(items, 1):
        where = f"Message {number:,}"
        if not isinstance(item, dict):
            raise TranscriptError(f"{where} is {_kind(item)}, not an object: give {SHAPES}.")
        role_key = next((key for key in ROLES if key in item), None)
        if role_key is None and (pair := _pair(item)):
            for role, key in zip(("user", "assistant"), pair, strict=True):
                text, left = text_of(item[key], where)
                parts += left
                messages.append({"role": role, "content": text})
            continue
        if role_key is None:
            keys = ", ".join(excerpt(repr(name), 20) for name in list(item)[:5]) or "none"
            raise TranscriptError(f'{where} has no role (its keys: {keys}): each message needs "role" and "content".')
        speaker = item[role_key]
        role = role_of(speaker.get("role") if isinstance(speaker, dict) else speaker, where)
        if role == "tool":
            tools += 1
            continue
        text_key = next((key for key in TEXTS if item.get(key) is not None), None)
        text, left = text_of(item.get(text_key) if text_key else None, where)
        parts += left
        messages.append({"role": role, "content": text})
    if tools:
        notes.append(f"{count(tools, 'tool message')} left out.")
    if parts:
        notes.append(f"{count(parts, 'part')} without text (images, files, tool calls) left out.")
    return messages


def _pair(item: dict) -> tuple[str, str] | None:
    """The keys of a question and its answer in one object, such as "prompt" and "completion"."""
    user, assistant = (next((key for key in item if key in names), None) for names in (USERS, ASSISTANTS))
    return (user, assistant) if user and assistant else None


def text_of(content: object, where: str) -> tuple[str, int]:
    """The text of a message's content (a string, a list of parts, an object) and how many parts had none."""
    if content is None:
        return "", 0
    if isinstance(content, str):
        return content, 0
    if isinstance(content, dict):
        content = content["parts"] if isinstance(content.get("parts"), list) else [content]
    if not isinstance(content, list):
        raise TranscriptError(f"{where} has {_kind(content)} as its content: give text or a list of text parts.")
    texts, left = [], 0
    for part in content:
        text = part.get("text", part.get("content")) if isinstance(part, dict) else part
        if isinstance(text, str):
            texts.append(text)
        else:
            left += 1
    return "\n".join(text for text in texts if text), left


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return "a number or truth value"
    return {str: "a text", list: "a list", dict: "an object"}.get(type(value), "something else")
