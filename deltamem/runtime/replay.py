"""Computing again the KV that context "full" shows: after a load, recorded history, or a change of the memory."""

from deltamem.runtime.blocks import passes


def replay(run, kept, steps, view, empty):
    """Feed the steps that `kept` lacks to `run`; yields after every pass. empty: states before the first step.

    Each step is read under the memory of its time, replayed beside it. Steps before a replaced state are read under
    that state, unchanging: what they were told while another memory steered must not reach the answers any more.
    """
    replaced = max((i for i, step in enumerate(steps) if step.kind == "state"), default=-1)
    for index in range(len(kept.ends), len(steps)):
        step = steps[index]
        if index <= replaced:
            run.remember(steps[replaced].states, False)
        else:
            run.remember(steps[index - 1].states if index else empty, step.written_tokens > 0)
        first = not any(earlier.messages for earlier in steps[:index])
        for part in passes(view.everything(step, first), run.by_message, view.chunk):
            run.feed(part)
            yield
        kept.ends.append(run.length)
