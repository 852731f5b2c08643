"""What the tests of sessions tell, and how they look at it."""

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
