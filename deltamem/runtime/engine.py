"""The decoding loop: an answer as a generator of events. It knows no UI."""

from contextlib import closing
from dataclasses import dataclass, field

from deltamem.runtime.blocks import block
from deltamem.runtime.cache import cache_bytes
from deltamem.runtime.sampling import Sampler

STOPS = ("eos", "length", "context", "cancelled")  # how an answer can end


@dataclass(frozen=True)
class Event:
    """One step of a reply: a piece of text (it may be empty while nothing is certain yet), or the final stats."""

    kind: str
    text: str = ""
    stats: dict | None = None


@dataclass
class Reply:
    """An answer while it is written. stop: "cancelled" until decoding ends by itself."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    stop: str = "cancelled"
    ttft_s: float = 0.0
    last_s: float = 0.0

    @property
    def tok_s(self):
        """Tokens per second after the first; 0 when there is no second."""
        return (len(self.ids) - 1) / (self.last_s - self.ttft_s) if self.last_s > self.ttft_s else 0.0


def decode(run, logits, reply, sampling, room, seat=None):
    """Draw an answer from the logits after the prompt, filling `reply` and yielding an Event per token.

    room: KV length to stay within, the answer's closing tokens not counted. seat: a place in a decoding batch whose
    cache is the run's, or None to decode alone, by passes of the model. When the caller closes this generator,
    `reply` holds what was drawn so far. Its last token has not been fed to the model yet, as after any other end; a
    seat may have fed it when the caller stops.
    """
    limit = min(sampling.max_new_tokens, room - run.length)
    tokens = _tokens(run, logits, Sampler(sampling, logits.device), limit, seat)
    stream = run.model.chat.stream()
    try:
        with closing(tokens):
            for token in tokens:
                if token in run.model.chat.stop_ids:
                    reply.stop = "eos"
                    break
                reply.ids.append(token)
                reply.last_s = run.seconds
                if len(reply.ids) == 1:
                    reply.ttft_s = run.seconds
                piece = stream.push(token)
                reply.text += piece
                yield Event("text", piece)
                if len(reply.ids) >= limit:
                    reply.stop = "length" if len(reply.ids) >= sampling.max_new_tokens else "context"
                    break
    finally:
        rest = stream.flush()
        reply.text += rest
    if rest:
        yield Event("text", rest)


def _tokens(run, logits, sampler, limit, seat):
    """The tokens of an answer, one after the other; asking for the next one feeds the last."""
    with run.timed():
        token = sampler.pick(logits)
    yield token
    if seat is None:
        write = not run.by_message  # segment writes take the finished answer as a whole
        while True:
            logits = run.feed(block([token], write))
            with run.timed():
                token = sampler.pick(logits)
            yield token
    seat.join(run, token, sampler, limit)
    try:
        while True:
            yield seat.next()
    finally:
        seat.leave()


def turn_stats(run, reply, prompt):
    """What a turn's last event says (a dict of plain values). prompt: the Prompt that was answered."""
    stats = {
        "prompt_tokens": prompt.tokens,
        "history_tokens": prompt.history_tokens,
        "written_tokens": run.written,
        "layer_writes": list(run.layer_writes),
        "rebuilt_tokens": run.rebuilt,
        "new_tokens": len(reply.ids),
        "ttft_s": reply.ttft_s,
        "tok_s": reply.tok_s,
        "state_bytes": sum(state.nbytes for state in run.states.values()),
        "kv_bytes": cache_bytes(run.cache),
        "stop": reply.stop,
    }
    return stats if prompt.passages is None else stats | {"passages": list(prompt.passages)}
