"""The badge: what was looked at, folded when all is well, loud when not."""

from deltamem.compare.integrity import Finding, Findings
from deltamem.transcripts import Transcript
from ui.arms import choose
from ui.history import write
from ui.integrity import Checks
from ui.panels.integrity import badge
from ui.talk import talk

CHAT = [{"role": "user", "content": "My dog is called Rex."}]


def test_adapters_once_and_columns_after_every_step(workspace, monkeypatch):
    checks = Checks(workspace.device)
    assert len(checks.of(workspace)) == 1
    monkeypatch.setattr("ui.jobs.check_model", None)  # not made again
    for _ in write(workspace, Transcript(CHAT, "test")):
        pass
    for _ in talk(workspace, "hello", max_new_tokens=3):
        pass
    found = checks.of(workspace)
    assert len(found) == 3 and all(findings.ok for findings in found.values())
    for _ in choose(workspace, ["base", "base-rag"]):
        pass
    assert len(checks.of(workspace)) == 3
    assert badge(found).startswith('<details class="dm-integrity dm-fine">')
    assert "passed" in badge(found)


def test_something_wrong_is_loud_and_unfolded():
    found = {"memory": Findings([Finding("State", "fine"), Finding("Written", "<b>nothing</b>", False)])}
    text = badge(found)
    assert "open" in text and 'role="alert"' in text and "1 of 2 checks failed" in text
    assert "<b>" not in text
