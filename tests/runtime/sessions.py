"""What the tests of sessions tell, and how they look at it and at its file."""

import json

import safetensors.torch
import torch

from deltamem.runtime import session_file

CONTEXTS = ("none", "recent", "rag", "full")
LABELS = ("TSW", "MSW", "SSW")
HISTORY = [
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex!"},
    {"role": "user", "content": "He likes the sea."},
    {"role": "assistant", "content": "I am fine, thank you."},
]


def told(chat, *messages):
    """Token ids of messages as the chat template frames them."""
    return [i for m in messages for i in chat.message(m["role"], m["content"])]


def text_of(model, ids):
    """Text of ids, control tokens included."""
    return model.tokenizer.decode(ids, skip_special_tokens=False)


def content_of(saved):
    """The JSON content of a session file's bytes."""
    header = json.loads(saved[8 : 8 + int.from_bytes(saved[:8], "little")])
    return json.loads(header["__metadata__"]["session"])


def forge(saved, change=None, tensors=None, text=None):
    """The file with changed JSON or tensors and a checksum that fits."""
    held, content = safetensors.torch.load(saved), content_of(saved)
    if change:
        change(content)
    text = text or json.dumps(content)
    if tensors:
        tensors(held)
    same = {name: t for name, t in held.items() if t.dtype == torch.float32}
    metadata = {"format": session_file.FORMAT, "session": text, "sha256": session_file._digest(text, same)}
    return safetensors.torch.save(held, metadata)


def put(*keys, value):
    """A change for forge: content[key][key]… = value."""

    def change(content):
        *path, last = keys
        for key in path:
            content = content[key]
        content[last] = value

    return change


def values(content, path=()):
    """Paths of everything inside a JSON value."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from values(value, (*path, key))
