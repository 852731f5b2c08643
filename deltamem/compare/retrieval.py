"""BM25 retrieval over earlier messages, for the arm that sees retrieved passages."""

import re
import sys
import unicodedata

import numpy as np

sys.modules.setdefault("jax", None)  # bm25s imports it where it is installed, and it takes most of a GPU for itself
import bm25s  # noqa: E402

if sys.modules["jax"] is None:
    del sys.modules["jax"]

PASSAGE_CHARACTERS = 600
# Scripts written without spaces count character by character, everything else word by word.
_WORDS = re.compile(
    r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    r"|[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_BREAKS = ("\n\n", "\n", ". ", "? ", "! ", "。", " ")


class Passages:
    """The passages of some messages, indexed once and searched for any number of questions.

    messages: {"role", "content"} dicts, cut into passages "role: text" of about PASSAGE_CHARACTERS at most.
    """

    def __init__(self, messages):
        passages = [f"{m['role']}: {part}" for m in messages for part in split_text(m["content"])]
        # The role is not searched: "user" in a question should not find every user message.
        words = [_words(passage.partition(": ")[2]) for passage in passages]
        self._texts = [passage for passage, found in zip(passages, words, strict=True) if found]
        self._index = bm25s.BM25()
        if self._texts:
            self._index.index([found for found in words if found], show_progress=False)

    def find(self, query, top=4):
        """The passages that share most with the query, at most `top`, in the order of the conversation.

        Passages that share no word with the query are left out, so the list may be empty.
        """
        question = _words(query)
        if not self._texts or not question:
            return []
        scores = self._index.get_scores(question)
        best = np.argsort(-scores, kind="stable")[:top]
        return [self._texts[i] for i in sorted(best) if scores[i] > 0]


def retrieve(query, messages, top=4):
    """What `Passages` finds for a single query."""
    return Passages(messages).find(query, top)


def split_text(text, size=PASSAGE_CHARACTERS):
    """Pieces of at most `size` characters, cut at a paragraph, line, sentence or word where there is one."""
    pieces, start = [], 0
    while len(text) - start > size:
        end = start + size
        for mark in _BREAKS:
            # Not in the first half: a piece too short to say anything is worth less than a clean cut.
            found = text.rfind(mark, start + size // 2, end)
            if found >= 0:
                end = found + len(mark)
                break
        pieces.append(text[start:end].strip())
        start = end
    return [piece for piece in [*pieces, text[start:].strip()] if piece]


def quote(passages):
    """The block put in front of the question: every line of a passage starts with "> ".

    The plain words around it are those that even a small model makes use of.
    """
    lines = ["> " + line for passage in passages for line in passage.splitlines() if line.strip()]
    return "Context:\n" + "\n".join(lines) + "\n\nQuestion:\n"


def _words(text):
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())
