"""Reading probes: tables (CSV, TSV), JSON Lines and JSON. A file that is wrong is one sentence with the row's number.

A table has a column of questions and one or more of answers, or is two columns without a header; accepted answers of
one cell are parted by "|". JSON holds objects with a question and an answer or a list of answers. A question that is
there twice with the same answers is asked once; with other answers it is an error.
"""

import csv
import io
import json
import re
from itertools import islice
from pathlib import Path

from deltamem.compare.errors import ProbeError
from deltamem.compare.probes.model import Probe
from deltamem.transcripts.clean import clean, decode
from deltamem.transcripts.model import TranscriptError, excerpt

MAX_BYTES = 5 * 2**20
MAX_PROBES = 1000
MAX_ROWS = 10 * MAX_PROBES  # with blank ones
QUESTIONS = {"question", "questions", "query", "prompt", "q", "ask", "asked", "probe", "input", "instruction"}
ANSWERS = {
    "answer", "answers", "a", "gold", "golds", "golden", "expected", "target", "targets", "reference", "references",
    "truth", "label", "output", "value", "response", "correct", "alternative", "alternatives", "alias", "aliases",
}  # fmt: skip
LISTS = ("probes", "questions", "data", "items", "examples", "rows")
FORM = "give a CSV with the columns question and answer, or JSON Lines with these two keys"


def read_probes(source, name=""):
    """Probes of a file (a path, or its bytes with its name). Raises ProbeError, in one sentence."""
    if not isinstance(source, bytes):
        path = Path(source)
        name = name or path.name
        try:
            if path.stat().st_size > MAX_BYTES:
                raise _too_large(path.stat().st_size)
            source = path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
            reason = getattr(error, "strerror", None) or error
            raise ProbeError(f"The probes cannot be read from {path.name} ({reason}); give another file.") from error
    if len(source) > MAX_BYTES:
        raise _too_large(len(source))
    try:
        text, _ = decode(source)
    except TranscriptError as error:
        what = str(error).partition(":")[0].rstrip(".")
        raise ProbeError(f"{what}; {FORM}.") from error
    if not text.strip():
        raise ProbeError(f"The file holds no probes; {FORM}.")
    ending = Path(name.lower()).suffix
    if text.lstrip()[:1] in ("{", "[") and ending not in (".csv", ".tsv"):
        return _from_json(text)
    return _from_table(text)


def probes_from_rows(rows, first=1):
    """Probes of (question, answer, further answers …) rows, such as a typed table; blank rows are left out.

    first: the number of the first row, for messages. Raises ProbeError naming the row.
    """
    found = []
    for number, row in enumerate(rows, first):
        cells = [clean(str(cell)) if cell is not None else "" for cell in row]
        if any(cells):
            answers = [answer for cell in cells[1:] for answer in cell.split("|")]
            found.append((f"Row {number}", _probe(cells[0], answers, f"Row {number}")))
    return _checked(found)


def _from_table(text):
    text = re.sub(r"\A\s*sep=.\r?\n", "\n", text.replace("\0", ""))  # a line that Excel puts in front
    rows = _rows(text, max(",;\t|", key=lambda mark: _fit(_rows(text, mark, strict=False))))
    first = next((number for number, row in enumerate(rows, 1) if any(row)), None)
    if first is None:
        return _checked([])
    header, below = rows[first - 1], rows[first:]
    asked, given = _columns(header, QUESTIONS), _columns(header, ANSWERS)
    if asked and given and not _asks(header):
        picked = ([row[i] if i < len(row) else "" for i in (asked[0], *given)] for row in below)
        return probes_from_rows(picked, first + 1)
    if len(header) == 2 and (_asks(header) or not asked and not given):
        headed = bool(below) and not _asks(header) and all(_asks(row) for row in below if any(row))
        return probes_from_rows(below, first + 1) if headed else probes_from_rows([header, *below], first)
    shown = ", ".join(excerpt(repr(cell), 20) for cell in header[:5])
    raise ProbeError(f"Row {first} names the columns {shown}, not a question and an answer; {FORM}.")


def _rows(text, delimiter, strict=True):
    """The rows of a table as lists of cells, blank ones too. Raises ProbeError, when it is to be strict."""
    csv.field_size_limit(MAX_BYTES)
    rows = []
    try:
        for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict), MAX_ROWS):
            rows.append([cell.strip() for cell in row])
    except csv.Error as error:
        raise ProbeError(f"Row {len(rows) + 1} is no CSV ({error}); close its quotes, or save it again.") from error
    return rows


def _fit(rows):
    """How much rows look like a table that was parted at the right marks."""
    header = next((row for row in rows if any(row)), [])
    known = len(header) > 1 and bool(_columns(header, QUESTIONS) and _columns(header, ANSWERS))
    return known, sum(len(row) == len(header) > 1 for row in rows), sum(map(_asks, rows)), -len(header)


def _columns(header, names):
    """Places of the header's cells that are one of the names, or else have one among their few words."""
    cells = [re.sub(r"[\W_]*\d*$", "", cell.lower()) for cell in header]
    if found := [index for index, cell in enumerate(cells) if cell in names]:
        return found
    words = [set() if _asks([cell]) else set(re.findall(r"[^\W_]{2,}", cell.lower())) for cell in header]
    return [index for index, found in enumerate(words) if len(found) <= 3 and found & names]


def _asks(row):
    return bool(row) and row[0].endswith(("?", "？", "؟"))


def _from_json(text):
    try:
        values = json.loads(text.rstrip())
    except RecursionError as error:
        raise ProbeError(f"The JSON nests too deeply; {FORM}.") from error
    except ValueError as error:
        return _from_lines(text, error)
    if isinstance(values, dict):
        values = _listed(values)
    if not isinstance(values, list):
        raise ProbeError(f"The JSON holds no list of probes; {FORM}.")
    if len(values) > MAX_PROBES:
        raise _too_many(len(values))
    places = [f"Entry {number}" for number in range(1, len(values) + 1)]
    return _checked([(place, _from_value(value, place)) for place, value in zip(places, values, strict=True)])


def _from_lines(text, whole):
    """Probes of JSON Lines. whole: why the text is not one JSON document."""
    lines = [(f"Line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > MAX_PROBES:
        raise _too_many(len(lines))
    found = []
    for place, line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            # When already the first line is off, the text may be one document over several lines.
            why = error if found else whole
            if isinstance(why, json.JSONDecodeError):
                place = place if found else f"Line {why.lineno}"
                why = f"{why.msg} at column {why.colno}"
            raise ProbeError(f"{place} is no JSON ({excerpt(why, 80)}); correct it.") from error
        found.append((place, _from_value(value, place)))
    return _checked(found)


def _listed(value):
    """The list of probes in one JSON object: under a key, as parallel lists, or the object itself."""
    for name in LISTS:
        if isinstance(value.get(name), list) and all(isinstance(item, dict) for item in value[name]):
            return value[name]
    asked, given = value.get("questions"), value.get("answers")
    if isinstance(asked, list) and isinstance(given, list):
        if len(asked) != len(given):
            raise ProbeError(f"There are {len(asked):,} questions and {len(given):,} answers; give one answer to each.")
        return [{"question": question, "answer": answer} for question, answer in zip(asked, given, strict=True)]
    return [value]


def _from_value(value, where):
    if isinstance(value, list) and len(value) >= 2:
        value = {"question": value[0], "answer": value[1:]}
    if not isinstance(value, dict):
        raise ProbeError(f"{where} is {excerpt(json.dumps(value), 30)}, not a question with an answer; {FORM}.")
    keys = {str(key).strip().lower(): key for key in value}
    asked = next((value[keys[name]] for name in keys if name in QUESTIONS), None)
    given = [value[keys[name]] for name in keys if name in ANSWERS]
    if asked is None or not given:
        shown = ", ".join(excerpt(repr(key), 20) for key in list(value)[:5]) or "none"
        raise ProbeError(f"{where} lacks a question or an answer (its keys: {shown}); {FORM}.")
    answers = []
    for item in given:
        item = item.get("text", []) if isinstance(item, dict) else item  # SQuAD keeps answers this way
        answers += item if isinstance(item, list) else [item]
    if not isinstance(asked, str) or not all(isinstance(one, (str, int, float)) for one in answers):
        raise ProbeError(f"{where} has a question or an answer that is no text; write it in quotes.")
    return _probe(clean(asked), [clean(str(one)) for one in answers], where)


def _probe(question, answers, where):
    try:
        return Probe(question, answers)
    except ProbeError as error:
        raise ProbeError(f"{where}: {error}") from error


def _checked(found):
    """The probes of (place, Probe) pairs; what is there twice with the same answers is asked once."""
    if not found:
        raise ProbeError(f"There are no probes; {FORM}.")
    if len(found) > MAX_PROBES:
        raise _too_many(len(found))
    known = {}
    for place, probe in found:
        before, same = known.setdefault(probe.question, (place, probe))
        if set(same.answers) != set(probe.answers):
            raise ProbeError(
                f"{place} asks what {before.lower()} asks, with other answers; put them together, parted by |."
            )
    return [probe for _, probe in known.values()]


def _too_many(count):
    return ProbeError(f"There are {count:,} probes or more and at most {MAX_PROBES:,} are read; split them.")


def _too_large(size):
    return ProbeError(f"The probes take {size / 2**20:.1f} MB and at most {MAX_BYTES >> 20} MB are read; split them.")
