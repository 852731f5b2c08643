"""From bytes to clean text, and the finishing of every transcript."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from .model import MAX_MESSAGES, Message, Transcript, TranscriptError, count

SIGNATURES = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a model file"),
)
AS_TEXT = "save the conversation as .txt, .md, .json, .jsonl or .csv and upload that"
# Control characters other than tab and newline carry no text; C1 controls appear when cp1252 is read as latin-1.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
NEWLINES = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
BINARY_SHARE = 0.1
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What text is in that is not UTF-8: one encoding for each group of languages, as more make a guess less sure.
ENCODINGS = [
    "cp1252", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "cp932", "euc_jp", "gb18030", "big5",
    "cp949", "mac_roman", "utf_16_le", "utf_16_be",
]  # fmt: skip
SAMPLE = 16 * 1024  # bytes that a guess looks at


def decode(data: bytes) -> tuple[str, list[str]]:
    """Text of `data` and notes on how it was read: UTF-8, what a byte order mark says, else the likeliest encoding."""
    for signature, kind in SIGNATURES:
        if data.startswith(signature):
            raise TranscriptError(f"The file is {kind}, which holds no plain text: {AS_TEXT}.")
    encoding, notes = _encoding(data), []
    text = data.decode(encoding, errors="replace")
    broken = text.count("\ufffd") - (data.count(b"\xef\xbf\xbd") if encoding.startswith("utf-8") else 0)
    if len(CONTROL.findall(text)) + max(broken, 0) > BINARY_SHARE * max(len(text), 1):
        raise TranscriptError(f"The file looks binary: more than a tenth of it is not readable text; {AS_TEXT}.")
    if not encoding.startswith("utf"):
        notes.append(f"The file is not UTF-8 and was read as {encoding}: save it as UTF-8 if letters look wrong.")
    if broken > 0:
        notes.append(f"Bytes that cannot be read were replaced by � in {count(broken, 'place')}.")
    return text.replace("\ufeff", ""), notes


def _encoding(data: bytes) -> str:
    """The name of the encoding. Text that is UTF-8 but for a few broken bytes stays UTF-8."""
    for mark, name in MARKS:
        if data.startswith(mark):
            return name
    sample = data[:SAMPLE]
    if sample.count(0) * 10 < len(sample):  # else UTF-16 without its mark: its zeros are valid UTF-8, but no text
        try:
            data.decode("utf-8")
            return "utf-8"
        except UnicodeDecodeError:
            # Each line once: what is said over and over tells no more, and looks like noise to the guess.
            sample = b"\n".join(dict.fromkeys(line for line in data.split(b"\n") if not line.isascii()))
        if len(sample) > SAMPLE:  # cut where no letter is
            sample = sample[: max(sample.rfind(b" ", 0, SAMPLE), sample.rfind(b"\n", 0, SAMPLE)) + 1]
        text = sample.decode("utf-8", errors="replace")
        if sum(letter > "\x7f" for letter in text) > 3 * text.count("\ufffd"):
            return "utf-8"
    found = from_bytes(sample, cp_isolation=ENCODINGS).best()
    return found.encoding if found else "utf-8"


def clean(text: str) -> str:
    """`text` without lone surrogates, control characters or foreign line ends, stripped."""
    text = SURROGATE.sub("\ufffd", NEWLINES.sub("\n", text))
    return CONTROL.sub("", text).strip()


def finish(messages: list[Message], format: str, notes: list[str], questions: object = None) -> Transcript:
    """The transcript with every content cleaned and blank messages left out; checks the limits."""
    if len(messages) > MAX_MESSAGES:
        raise TranscriptError(
            f"The file holds {len(messages):,} messages, more than the {MAX_MESSAGES:,} that are read: "
            "split it and upload a part."
        )
    kept, blank, changed = [], 0, 0
    for message in messages:
        content = clean(message["content"])
        if SURROGATE.search(message["content"]) or CONTROL.search(message["content"].replace("\r", "")):
            changed += 1
        if content:
            kept.append({"role": message["role"], "content": content})
        else:
            blank += 1
    if changed:
        notes.append(f"Unreadable characters were removed or replaced in {count(changed, 'message')}.")
    if blank:
        notes.append(f"{count(blank, 'empty message')} left out.")
    if not kept:
        raise TranscriptError(
            f"The file was read as {format} but holds no message with text: check that it is the right file."
        )
    asked = questions if isinstance(questions, list) else []
    return Transcript(kept, format, notes, [clean(q) for q in asked[:8] if isinstance(q, str) and clean(q)])
