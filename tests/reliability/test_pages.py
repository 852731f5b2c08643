"""Saved pages that say something else than any page wrote: a sentence, or a page that works; never half of one."""

import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamem.quoting import UNSEEN
from deltamem.runtime.errors import SessionFileError
from tests.reliability.hostile_text import CANARY, HOSTILE
from tests.reliability.subjects import HISTORY
from tests.runtime.test_session_file import put, values
from ui.bundle import BundleError, load_page, save_page
from ui.history import write
from ui.talk import talk
from ui.workspace import Workspace


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """Parts of a saved page with history and a turn: {name: bytes}."""
    from deltamem.transcripts import Transcript

    page = Workspace(model)
    for _ in write(page, Transcript(HISTORY, "test", [], ["Who is Rex?"])):
        pass
    for _ in talk(page, "Who is Rex?", max_new_tokens=2):
        pass
    path = tmp_path_factory.mktemp("page") / "page.zip"
    save_page(page, path)
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def load(model, path, parts):
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in parts.items():
            bundle.writestr(name, data)
    page = Workspace(model)
    before = dict(page.arms)
    try:
        load_page(page, path)
    except (BundleError, SessionFileError) as error:
        text = str(error)
        assert not UNSEEN.search(text) and 20 < len(text) < 700, text
        assert page.arms == before and not page.steps
        return None
    return page


def test_the_page_as_saved_loads(model, saved, tmp_path):
    page = load(model, tmp_path / "page.zip", saved)
    assert len(page.turns) == 1 and page.histories


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | HOSTILE
VALUES = st.recursive(
    SCALARS | st.sampled_from(["base", "memory", "TSW", "full", "zero", CANARY, 10**400, "x" * 100_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_anywhere_in_the_record(model, saved, tmp_path, data):
    record = json.loads(saved["page.json"])
    for path in data.draw(st.lists(st.sampled_from(sorted(values(record), key=str)), min_size=1, max_size=2)):
        try:
            put(*path, value=data.draw(VALUES))(record)
        except (KeyError, TypeError, IndexError):
            continue  # the first change took the second one's place away
    page = load(model, tmp_path / "page.zip", saved | {"page.json": json.dumps(record).encode()})
    if page:
        for _ in talk(page, "And the sea?", max_new_tokens=1):
            pass
        save_page(page, tmp_path / "again.zip")
        assert load_page(Workspace(model), tmp_path / "again.zip") == []
