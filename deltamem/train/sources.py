"""Real dialogues and passages for training and the recall test, read from files that the project does not hold.

Schema-Guided Dialogue, QASPER and SQuAD in their published JSON, plain or .gz. They come from the GitHub repositories
google-research-datasets/dstc8-schema-guided-dialogue (folders train and test), allenai/qasper-led-baseline and
google-deepmind/xquad (xquad.en.json is in SQuAD's form).
"""

import gzip
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import TrainingError

SLOT_QUESTIONS = (
    "What is the {n}?", "What {n} did I mention?", "Which {n} was it?", "Tell me the {n}.", "Do you know the {n}?",
    "What was the {n}?", "What {n} did I choose?", "Which {n} do I want?", "What did I say about the {n}?",
    "The {n}?", "What {n} was agreed on?", "Can you tell me the {n}?", "What is the {n} of the {d}?",
    "Which {n} is set for the {d}?",
)  # fmt: skip
SLOT_QUESTION_TEST = "Which {n} did I ask for?"


@dataclass(frozen=True)
class Document:
    """exchanges: (user, reply) pairs; a passage is one. questions: (wordings of a question, answer) pairs."""

    exchanges: tuple[tuple[str, str], ...]
    questions: tuple[tuple[tuple[str, ...], str], ...]


def open_text(path: Path):
    """The file as text, through gzip when it is named so. Raises TrainingError."""
    try:
        return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}); give the path of the data file.") from error


def named(path: Path, row: str, make):
    """make(), with whatever a malformed row raises turned into one sentence that names it."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise TrainingError(f"{path}, {row}: not in the expected form ({error!r}); remove or repair it.") from error


def read_dialogues(path: str | Path, test: bool = False) -> list[Document]:
    """Schema-Guided Dialogues, questions made from their slots. Raises TrainingError.

    path: a published file or a folder of them, or JSON lines of dialogues whose `final_slot_values` are worked out.
    """
    path, documents = Path(path), []
    for file in sorted(path.glob("dialogues_*.json*")) if path.is_dir() else [path]:
        if ".jsonl" in file.suffixes:
            with open_text(file) as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        row = named(file, f"line {number}", lambda line=line: _dialogue(json.loads(line), test))
                        documents.append(row)
        else:
            for number, row in enumerate(read_json(file), 1):
                documents.append(named(file, f"dialogue {number}", lambda row=row: _dialogue(row, test)))
    if not documents:
        raise TrainingError(
            f"{path} holds no dialogue; give a file of Schema-Guided Dialogue or its folder train or test."
        )
    return [document for document in documents if document.questions]


def _final_slots(row: dict) -> dict[str, dict[str, list[str]]]:
    """Slot values by service, as they stood after the last turn that had any."""
    if "final_slot_values" in row:
        return row["final_slot_values"]
    frames = [frame for turn in row["turns"] for frame in turn["frames"] if "state" in frame]
    return {frame["service"]: frame["state"]["slot_values"] for frame in frames}


def _dialogue(row: dict, test: bool) -> Document:
    lines = [turn["utterance"] for turn in row["turns"]]
    if not lines:
        raise ValueError("a dialogue without turns")
    exchanges = tuple(zip(lines[::2], lines[1::2], strict=False))
    said = " ".join(lines).lower()
    questions = []
    for service, slots in _final_slots(row).items():
        domain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", service.partition("_")[0]).lower().removesuffix("s")
        for slot, spoken in slots.items():
            value = next((value for value in spoken if value.lower() in said), None)
            if value is None or value in ("True", "False", "dontcare"):
                continue
            templates = (SLOT_QUESTION_TEST,) if test else SLOT_QUESTIONS
            wordings = tuple(text.format(n=slot.replace("_", " "), d=domain) for text in templates)
            questions.append((wordings, value))
    return Document(exchanges, tuple(questions))


def read_json(path: Path):
    """What a JSON file (plain or .gz) holds. Raises TrainingError that names the file."""
    with open_text(path) as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise TrainingError(f"{path} is not JSON ({error}).") from error


def blank(rng: random.Random, text: str) -> tuple[tuple[str, ...], str] | None:
    """A question for a name or number that stands in a sentence of the text, as (its one wording, answer), or None."""
    sentence = rng.choice(re.split(r"(?<=[.!?]) ", text))
    found = list(re.finditer(r"(?<=\w )(\d[\d.,]*\d|[A-Z][\w-]+( [A-Z][\w-]+){0,2})(?= \w)", sentence))
    if not found:
        return None
    place = rng.choice(found)
    before, after = sentence[: place.start()].split(), sentence[place.end() :].split()
    return (f"Fill in the gap: {' '.join(before[-9:])} ___ {' '.join(after[:5])}",), place[0]


def article_titles(path: str | Path | None) -> frozenset[str]:
    """Titles of a file in SQuAD's form; none for None. Raises TrainingError."""
    if path is None:
        return frozenset()
    data = read_json(Path(path))
    return named(Path(path), "data", lambda: frozenset(article["title"] for article in data["data"]))


def read_passages(path: str | Path, most_words: int = 170, without: frozenset[str] = frozenset()) -> list[Document]:
    """Passages with questions whose answer stands in them, from QASPER or SQuAD. Raises TrainingError.

    path: a file, or a folder of them. without: titles of SQuAD's articles to leave out.
    """
    path = Path(path)
    files = sorted(path.glob("*.json*")) if path.is_dir() else [path]
    documents = [document for file in files for document in _passages(file, most_words, without)]
    if not documents:
        raise TrainingError(f"{path} holds no passage with a question that its text answers.")
    return documents


def _passages(path: Path, most_words: int, without: frozenset[str]) -> list[Document]:
    data = read_json(path)
    if "data" not in data:
        rows = [(f"paper {key}", lambda paper=paper: _qasper(paper, most_words)) for key, paper in data.items()]
    else:
        articles = [article for article in data["data"] if not without or article.get("title") not in without]
        rows = [
            (f"article {number}", lambda article=article: _squad(article, most_words))
            for number, article in enumerate(articles, 1)
        ]
    return [document for row, make in rows for document in named(path, row, make)]


def _squad(article: dict, most_words: int) -> list[Document]:
    documents = []
    for paragraph in article["paragraphs"]:
        text = paragraph["context"]
        pairs = tuple(
            ((qa["question"].strip(),), qa["answers"][0]["text"]) for qa in paragraph["qas"] if qa.get("answers")
        )
        if pairs and len(text.split()) <= most_words:
            documents.append(Document(((text, ""),), pairs))
    return documents


def _qasper(paper: dict, most_words: int) -> list[Document]:
    """One document for each paragraph that is the evidence of a short extracted answer."""
    found: dict[str, list] = {}
    for qa in paper["qas"]:
        for entry in qa["answers"]:
            answer = entry["answer"]
            span = next((span for span in answer["extractive_spans"] if len(span.split()) <= 8), None)
            text = next((text for text in answer["evidence"] if span and span in text), None)
            if text and len(text.split()) <= most_words:
                found.setdefault(text, []).append(((qa["question"].strip(),), span))
                break
    return [Document(((text, ""),), tuple(pairs)) for text, pairs in found.items()]
