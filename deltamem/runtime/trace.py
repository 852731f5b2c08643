"""One step of a session measured token by token: its passes run once more from the state before it."""

from dataclasses import dataclass

import numpy as np
import torch

from deltamem.core.trace import TokenTrace, measured_head
from deltamem.runtime.blocks import GROUP, Block, block, cut, passes
from deltamem.runtime.errors import SessionError

LIMIT = 4096  # tokens that a trace keeps: of a turn the last ones, of history the first ones


@dataclass(frozen=True)
class Trace:
    """What each of T tokens of one step wrote and got.

    label: the step, as in its snapshot. layers: names of the L attention modules. head: "o" where the adapter steers
    the attention output, else the head that was measured.
    pieces: the tokens as text; joined they are the text that the model saw. A character of several tokens stands at
    the last of them, and control tokens are spelled out.
    written: [T] bool. beta: [L, T] float16, mean write gate of the token over heads and rows; NaN where it was not
    written. influence: [L, T] float16, norm of the memory's correction over the norm of what it corrects.
    tokens: how many tokens the step has in all; more than T when some were left out.
    """

    label: str
    layers: list[str]
    head: str
    pieces: list[str]
    written: np.ndarray
    beta: np.ndarray
    influence: np.ndarray
    tokens: int


def step_passes(view, step, before, shown):
    """The passes of everything that a step ran, in groups of one KV each.

    view: the session's View. before: the steps before it. shown: tokens in the KV.
    """
    past = [message for one in before for message in one.messages]
    if step.kind == "history":
        return view.history(step.messages, not past)
    prompt = view.turn(step.messages[0]["content"], past, shown)
    header, footer = view.chat.reply_header, view.chat.reply_footer
    if not view.by_message:
        ending = block([*step.reply_ids, *footer], True)
        return [passes([*prompt.blocks, ending], False)]
    # The finished answer is written as one message, its header with it, as the session does at the end of a turn.
    *blocks, question = prompt.blocks
    keep = len(question) - len(header)
    asked = Block(question.ids[:keep], question.write[:keep])
    return [[*passes([*blocks, asked], True), *cut(view.answer(step.reply_ids), GROUP)]]


def measure(run, groups, step):
    """Feed groups of passes under a trace and return it. run: a Run in the state before the step, which it changes."""
    chat, layers = run.model.chat, run.binding.adapter.layers
    run.binding.trace = TokenTrace()
    ids, written = [], []
    for part in _fed(run, groups, LIMIT if step.kind == "history" else None):
        ids += part.ids
        written += [write and run.writes for write in part.write]
    kept = slice(0, LIMIT) if step.kind == "history" else slice(max(len(ids) - LIMIT, 0), None)
    return Trace(
        step.snapshot.label,
        list(layers),
        measured_head(next(iter(layers.values()))),
        pieces(chat, ids)[kept],
        np.array(written, bool)[kept],
        _stack(run.binding.trace.beta, layers, len(ids))[:, kept],
        _stack(run.binding.trace.influence, layers, len(ids))[:, kept],
        sum(len(part) for group in groups for part in group),
    )


def _fed(run, groups, limit):
    """Yields each part when it was fed, until `limit` tokens are."""
    done = 0
    for number, group in enumerate(groups):
        if number:
            run.restart()
        for part in group:
            if limit is not None and done >= limit:
                return
            run.feed(part)
            done += len(part)
            yield part


def pieces(chat, ids):
    """The text of each token, such that all together are the text of `ids` with control tokens spelled out."""
    stream, found = chat.stream(), []
    for token in ids:
        if token in chat.control_ids:
            if found:
                found[-1] += stream.flush()
            found.append(chat.tokenizer.convert_ids_to_tokens(token))
        else:
            found.append(stream.push(token))
    if found:
        found[-1] += stream.flush()
    return found


def find_step(steps, label):
    """Index of the step with a snapshot's label (None: the last). A replaced state ran no tokens: it is no step here.

    Raises SessionError when there is none.
    """
    places = {step.snapshot.label: i for i, step in enumerate(steps) if step.snapshot and step.kind != "state"}
    if not places:
        raise SessionError(
            "There is no step of this session to trace; write history or ask something first, in a session with memory."
        )
    if label is None:
        return max(places.values())
    if label not in places:
        raise SessionError(f"The session has no step {str(label)[:40]!r} (it has: {', '.join(places)}).")
    return places[label]


def _stack(record, layers, count):
    """[L, count] float16 of one [1, T] tensor per pass and layer; NaN for a layer that was switched off."""
    off = torch.full((count,), torch.nan)
    rows = [torch.cat(record[name], dim=1)[0] if name in record else off for name in layers]
    return torch.stack([row.cpu() for row in rows]).clamp_max(torch.finfo(torch.float16).max).half().numpy()
