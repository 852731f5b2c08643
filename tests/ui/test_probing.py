"""What the page reads from the probes' numbers."""

from deltamem.compare.arms import PRESETS, with_control
from deltamem.compare.probes import Probe, ProbeResults
from deltamem.compare.probes.results import ProbeAnswer
from ui.probing import reading

ARMS = [PRESETS["base"], PRESETS["memory"]]
ZERO = with_control(PRESETS["memory"], "zero")


def results(**right):
    """right: by arm, a 1 for every probe that it answered right, else a 0."""
    answers = {key: [ProbeAnswer("", contains=float(one)) for one in marks] for key, marks in right.items()}
    titles = {arm.key: arm.title for arm in (*ARMS, ZERO) if arm.key in right}
    return ProbeResults(titles, [Probe("Who?", "me")] * 3, answers, True, {})


def test_who_knew_most_and_what_the_controls_say():
    key = ZERO.key
    assert reading(results(base="000", memory="011", **{key: "100"}), ARMS) == [
        "Most right: δ-mem, state only, 2 of 3.",
        "δ-mem, state only: 2 of 3 right; none of them stays right with a spoilt state, so they came from the memory.",
    ]
    assert (
        "still right with a spoilt state: 1, which"
        in reading(results(base="000", memory="011", **{key: "010"}), ARMS)[1]
    )
    assert reading(results(base="100", memory="010"), ARMS) == ["Most right: Base and δ-mem, state only, 1 of 3."]
    assert reading(results(base="000", memory="000", **{key: "000"}), ARMS) == ["No column knew an accepted answer."]
