"""Dependencies: pinned, and what an audit of them says is understood."""

import re
from pathlib import Path

import pytest

from tests.reliability import audit

ROOT = Path(audit.__file__).resolve().parents[2]
UNPINNED = {
    "pip": "fetches the demo model: the one that the environment was made with",
    "triton": "PyTorch's CUDA build names its own version",
    "flash-attn": "is built against the PyTorch and CUDA that are there",
}


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("**/requirements*.txt")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_requirement_is_pinned(path):
    for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
        requirement = line.partition("#")[0].partition(";")[0].strip()
        if requirement and not requirement.startswith("-"):
            name = re.match(r"[\w.-]+", requirement).group()
            assert re.fullmatch(r"[\w.-]+(\[[\w,]+\])?==[\w.+]+", requirement) or name in UNPINNED, requirement


def package(name, *found):
    return {"name": name, "version": "1", "vulns": [{"id": one, "fix_versions": ["2"], "aliases": []} for one in found]}


def test_what_an_audit_says(monkeypatch):
    assert audit.verdict(None) is None
    assert audit.verdict({"dependencies": [{"name": "a", "skip_reason": "not found"}]}) is None
    assert audit.verdict({"dependencies": [package("a"), package("b")]})[1]
    bad = {"dependencies": [package("a"), package("b", "CVE-1")]}
    said, well = audit.verdict(bad)
    assert not well and "b 1: CVE-1, fixed in 2" in said
    monkeypatch.setitem(audit.EXCEPTIONS, "CVE-1", "never called")
    assert audit.verdict(bad)[1]
