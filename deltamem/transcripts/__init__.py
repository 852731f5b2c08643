"""Reading of conversation transcripts in the forms people have them.

    transcript = parse_transcript(data: bytes, name="chat.json")
    transcript = read_transcript("chat.json")

Plain text, Markdown, JSON (OpenAI, ShareGPT, ChatGPT export, plain lists), JSON Lines and CSV become one
`Transcript`. Everything that cannot be read raises `TranscriptError`, whose text is one sentence for the user.
"""

from .model import MAX_BYTES, MAX_MESSAGES, Transcript, TranscriptError
from .parse import EXTENSIONS, parse_transcript, read_transcript

__all__ = [
    "EXTENSIONS",
    "MAX_BYTES",
    "MAX_MESSAGES",
    "Transcript",
    "TranscriptError",
    "parse_transcript",
    "read_transcript",
]
