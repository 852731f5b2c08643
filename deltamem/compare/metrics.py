"""Scores of a short answer against accepted answers: exact match, containment and token F1, as SQuAD defines them.

The few lines of the official SQuAD script (Rajpurkar et al., 2016) stand here rather than a metrics package, which
would bring more code to every page than the three functions have. `normal` says how texts are made comparable: `fold`
for texts of any language, `normalise` for the numbers that English benchmarks publish.
"""

import re
import string
import unicodedata
from collections import Counter

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ARTICLES_BEFORE_WORDS = re.compile(r"\b(a|an|the)\b(?=\W+\w)")
_GROUPS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:(?:,\d{3})+(?![\d,])|(?:\.\d{3}){2,}(?!\d)|(?:\.\d{3})+(?=,\d))")
_POINT = re.compile(r"(?<![\d.,:/-])(\d+)[.,:](\d+)(?![.,:/-]?\d)")
_MINUS = re.compile(r"(?<!\w)[-\u2212](?=\d)")
_DASH = re.compile(r"(?<=\d)[\u2010-\u2015](?=\d)")
# Scripts written without spaces between words (or, in Korean, with endings at the words): a letter counts as a word.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")


def normalise(text: str) -> str:
    """Lower case without ASCII punctuation and the articles a, an, the; single spaces. The order is SQuAD's."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def fold(text: str) -> str:
    """The same for texts of any language, and kinder to numbers.

    Letters count however they are encoded (é, full-width digits), all punctuation goes, and what a language writes
    without spaces is parted into letters. A number keeps its sign and its decimal point, and loses what groups its
    thousands: "1,284.60" is "1284.60" and "1.284,60", but 3.5 is not 35. An article is kept where no word follows,
    and a text that is nothing but punctuation as it is.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    plain = _GROUPS.sub(lambda found: re.sub("[.,]", "", found[0]), text)
    plain = _MINUS.sub("m", _POINT.sub(r"\1p\2", plain))
    plain = _DASH.sub("", plain.replace("’", "")).translate(_PUNCTUATION)
    plain = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in plain)
    plain = _ARTICLES_BEFORE_WORDS.sub(" ", _UNSPACED.sub(r" \1 ", plain))
    return " ".join(plain.split() or text.split())


def exact_match(answer: str, golds: str | list[str], normal=fold) -> float:
    """1.0 when the normalised answer equals one of the normalised golds, else 0.0."""
    said = normal(answer)
    return float(any(said == normal(gold) for gold in _listed(golds)))


def contains(answer: str, golds: str | list[str], normal=fold) -> float:
    """1.0 when the words of a gold stand together in the answer, else 0.0: "Rexford" does not contain "Rex"."""
    said = f" {normal(answer)} "
    return float(any(f" {wanted} " in said for gold in _listed(golds) if (wanted := normal(gold))))


def token_f1(answer: str, golds: str | list[str], normal=fold) -> float:
    """Harmonic mean of precision and recall over normalised tokens, 0 to 1; the best over the golds.

    Two texts without tokens agree (1.0), one without does not (0.0), as in the official script of SQuAD 2.0.
    """
    return max((_f1(normal(answer).split(), normal(gold).split()) for gold in _listed(golds)), default=0.0)


def _listed(golds: str | list[str]) -> list[str]:
    return [golds] if isinstance(golds, str) else golds


def _f1(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    shared = (Counter(said) & Counter(gold)).total()
    return 2 * shared / (len(said) + len(gold))
