"""Asking every arm every probe."""

from deltamem.compare.ask import ask_together, count_turns, take_back
from deltamem.compare.errors import ProbeError
from deltamem.compare.probes.results import ProbeResults, score


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
    before = count_turns(branches)
    try:
        said = ask_together(branches, probe.question, check, **settings)
    finally:
        take_back(branches, before)
    return {key: score(one.text.strip(), probe, one.stats, one.error) for key, one in said.items()}
