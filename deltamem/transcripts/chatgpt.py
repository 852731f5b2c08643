"""ChatGPT's conversations.json: a tree of messages of which the path to `current_node` is the conversation."""

from __future__ import annotations

from .model import Message, TranscriptError, count


def is_export(value: dict) -> bool:
    return isinstance(value.get("mapping"), dict)


def messages(value: dict, notes: list[str]) -> list[Message]:
    """The messages on the path from the root to the current node; other branches, tools and hidden ones left out."""
    mapping = value["mapping"]
    node = value.get("current_node")
    if not isinstance(node, str) or node not in mapping:
        node = _last_leaf(mapping)
        notes.append("The export names no current message: the branch of the last one was taken.")
    path, seen = [], set()
    while isinstance(node, str) and node in mapping:
        if node in seen:
            raise TranscriptError("The ChatGPT export's tree runs in a circle: export it again.")
        seen.add(node)
        entry = mapping[node] if isinstance(mapping[node], dict) else {}
        path.append(entry.get("message"))
        node = entry.get("parent")
    found, other, parts = [], 0, 0
    for message in reversed(path):
        if not isinstance(message, dict):
            continue
        author, metadata = message.get("author"), message.get("metadata")
        role = author.get("role") if isinstance(author, dict) else None
        hidden = isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation")
        content = message.get("content")
        pieces = content.get("parts") if isinstance(content, dict) else None
        if role not in ("user", "assistant") or hidden or not isinstance(pieces, list):
            other += role != "system"  # the export's own empty system message is no news
            continue
        texts = [piece for piece in pieces if isinstance(piece, str)]
        parts += len(pieces) - len(texts)
        found.append({"role": role, "content": "\n".join(text for text in texts if text)})
    branches = sum(isinstance(entry, dict) and isinstance(entry.get("message"), dict) for entry in mapping.values())
    aside = branches - sum(isinstance(message, dict) for message in path)
    if other:
        notes.append(f"{count(other, 'tool or hidden message')} left out.")
    if parts:
        notes.append(f"{count(parts, 'part')} without text (images, files) left out.")
    if aside:
        notes.append(f"{count(aside, 'message')} on other branches left out.")
    return found


def _last_leaf(mapping: dict) -> str | None:
    parents = {entry.get("parent") for entry in mapping.values() if isinstance(entry, dict)
               and isinstance(entry.get("parent"), str)}  # fmt: skip
    leaves = [name for name in mapping if name not in parents]
    return leaves[-1] if leaves else None
