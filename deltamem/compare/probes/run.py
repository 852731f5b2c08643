"""Asking every arm every probe."""

from contextlib import closing

from deltamem.compare.errors import ProbeError
from deltamem.compare.probes.results import ProbeResults, score
from deltamem.core.errors import DeltaMemError
from deltamem.runtime.together import reply_together


class _Stopped(Exception):
    """The caller wants no more."""


def run_probes(
    sessions,
    probes,
    titles=None,
    progress=None,
    should_stop=None,
    max_new_tokens=32,
    temperature=0.0,
    top_p=1.0,
    seed=0,
):
    """Ask all probes of all sessions and score the answers. The sessions stay as they are: branches answer.

    sessions: arm key -> Session. titles: arm key -> title (the key itself by default). Every probe is asked of the
    session as it stands, not of one that answered other probes. progress(done, total): told after each probe.
    should_stop(): asked after every pass over the model; once it is true, what is finished is returned.
    A session that cannot take a question (its context window is full, say) scores 0 there and the answer holds the
    reason. Raises ProbeError when there are no sessions or no probes.
    """
    if not sessions or not probes:
        raise ProbeError(f"There are {len(sessions)} arms and {len(probes)} probes; give at least one of each.")
    settings = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    titles = {key: (titles or {}).get(key, key) for key in sessions}
    answers = {key: [] for key in sessions}

    def check(*_):
        if should_stop is not None and should_stop():
            raise _Stopped

    try:
        check()
        branches = {key: session.branch() for key, session in sessions.items()}
        for branch in branches.values():
            branch.prepare(check)  # once, not for every question
        for done, probe in enumerate(probes, 1):
            for key, answer in _ask(branches, probe, settings, check).items():
                answers[key].append(answer)
            if progress is not None:
                progress(done, len(probes))
    except _Stopped:
        return ProbeResults(titles, list(probes), answers, False, settings)
    return ProbeResults(titles, list(probes), answers, True, settings)


def _ask(branches, probe, settings, check):
    """{arm: ProbeAnswer}; every branch is afterwards as before."""
    answers, able = {}, {}
    for key, branch in branches.items():
        try:
            branch.check_room(probe.question)
            able[key] = branch
        except DeltaMemError as error:
            answers[key] = score("", probe, error=str(error))
    try:
        found = _together(able, probe, settings, check)
    except DeltaMemError:  # one arm's trouble must not be the others'
        found = {}
        for key, branch in able.items():
            try:
                found |= _together({key: branch}, probe, settings, check)
            except DeltaMemError as error:
                answers[key] = score("", probe, error=str(error))
    answers |= {key: score(text.strip(), probe, stats) for key, (text, stats) in found.items()}
    return answers


def _together(branches, probe, settings, check):
    """{arm: (answer, stats)}; takes the turns back, also when it is stopped or fails."""
    keys, texts, stats = list(branches), dict.fromkeys(branches, ""), {}
    before = {key: branch.stats()["turns"] for key, branch in branches.items()}
    try:
        with closing(reply_together(list(branches.values()), probe.question, **settings)) as events:
            for index, event in events:
                if event.kind == "stats":
                    stats[keys[index]] = event.stats
                else:
                    texts[keys[index]] += event.text
                check()
    finally:
        for key, branch in branches.items():
            if branch.stats()["turns"] > before[key]:
                branch.undo()
    return {key: (texts[key], stats[key]) for key in keys}
