"""Answer clean-up and scores as the benchmarks publish them. Each score is from 0 to 1."""

import functools
import re
import string
import unicodedata
from collections import Counter

from deltamem.compare.metrics import normalise, token_f1

from .errors import EvalError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LETTER = re.compile(r'"answer"\s*:\s*"\s*\(?([A-D])\s*(?:[).:][^"]*)?"', re.IGNORECASE)
_LOCOMO_DROPPED = re.compile(r"\b(a|an|the|and)\b")


def first_line(answer):
    """The first line that is not empty, "" when there is none."""
    return next((line.strip() for line in answer.splitlines() if line.strip()), "")


# LoCoMo


def locomo_f1(answer, gold, category):
    """Token F1 by LoCoMo's rules. Category "1" averages the best match of each part of the gold over the answer's."""
    if category == "1":
        parts, golds = ([part.strip() for part in text.split(",")] for text in (answer, gold))
        return sum(max(_locomo_pair(part, one) for part in parts) for one in golds) / len(golds)
    if category == "3":
        gold = gold.split(";")[0].strip()
    return _locomo_pair(answer, gold)


def locomo_tokens(text):
    """Tokens: commas gone, NFD, lower case, no ASCII punctuation, no a/an/the/and, Porter stems."""
    text = unicodedata.normalize("NFD", text.replace(",", "")).lower().translate(_PUNCTUATION)
    return [_stem()(word) for word in _LOCOMO_DROPPED.sub(" ", text).split()]


def _locomo_pair(answer, gold):
    said, wanted = locomo_tokens(answer), locomo_tokens(gold)
    shared = (Counter(said) & Counter(wanted)).total()
    return 2 * shared / (len(said) + len(wanted)) if shared else 0.0


@functools.cache
def _stem():
    try:
        from nltk.stem.porter import PorterStemmer  # nltk's own extensions of the algorithm, as LoCoMo scores with
    except ImportError as error:
        raise EvalError(
            "LoCoMo's score needs the package nltk; pip install -r deltamem/eval/requirements.txt."
        ) from error
    return functools.lru_cache(100_000)(PorterStemmer().stem)


# HotpotQA


def hotpotqa_f1(answer, golds):
    """Token F1 by the official script: yes or no beside anything else scores nothing. golds: a list of one."""
    said, wanted = normalise(answer), normalise(golds[0])
    if said != wanted and {said, wanted} & {"yes", "no", "noanswer"}:
        return 0.0
    return token_f1(answer, golds, normalise)


# GPQA


def last_letter(answer):
    """The letter A to D of the last "answer" in JSON that names one, alone or before its option; None without one.

    Looked for by its key: reasoning in the same object is often no valid JSON ("\\alpha").
    """
    found = _LETTER.findall(answer)
    return found[-1].upper() if found else None


# MemoryAgentBench


def holds_alias(answer, aliases):
    """1.0 when a normalised alias equals the normalised answer or is a part of it, be it inside a word.

    An alias of which nothing is left, such as the letter "A", must be the answer as it stands.
    """
    said = normalise(answer)
    return float(any(wanted in said if (wanted := normalise(a)) else a.strip() == answer.strip() for a in aliases))
