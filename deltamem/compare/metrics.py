"""Scores of a short answer against accepted answers: exact match, containment and token F1, as SQuAD defines them.

The few lines of the official SQuAD script (Rajpurkar et al., 2016) stand here rather than a metrics package, which
would bring more code to every page than the three functions have.
"""

import re
import string
from collections import Counter

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
# Scripts written without spaces between words, where a neighbouring letter does not mean a longer word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")


def normalise(text: str) -> str:
    """Lower case without ASCII punctuation and the articles a, an, the; single spaces. The order is SQuAD's."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, golds: str | list[str]) -> float:
    """1.0 when the normalised answer equals one of the normalised golds, else 0.0."""
    said = normalise(answer)
    return float(any(said == normalise(gold) for gold in _listed(golds)))


def contains(answer: str, golds: str | list[str]) -> float:
    """1.0 when the words of a gold stand together in the answer, else 0.0: "Rexford" does not contain "Rex"."""
    said = normalise(answer)
    return float(any(_stands_in(normalise(gold), said) for gold in _listed(golds)))


def token_f1(answer: str, golds: str | list[str]) -> float:
    """Harmonic mean of precision and recall over normalised tokens, 0 to 1; the best over the golds.

    Two texts without tokens agree (1.0), one without does not (0.0), as in the official script of SQuAD 2.0.
    """
    return max((_f1(normalise(answer).split(), normalise(gold).split()) for gold in _listed(golds)), default=0.0)


def _listed(golds: str | list[str]) -> list[str]:
    return [golds] if isinstance(golds, str) else golds


def _stands_in(gold: str, said: str) -> bool:
    if not gold:
        return False
    before = "" if _UNSPACED.match(gold[0]) else r"(?<!\w)"
    after = "" if _UNSPACED.match(gold[-1]) else r"(?!\w)"
    return re.search(before + re.escape(gold) + after, said) is not None


def _f1(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    shared = (Counter(said) & Counter(gold)).total()
    return 2 * shared / (len(said) + len(gold))
