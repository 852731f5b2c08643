"""What the memory panel shows: the right figure for every place, kept while it stays true, refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest

from deltamem.compare.arms import PRESETS
from deltamem.compare.figures import DARK, LIGHT
from deltamem.runtime import Session
from deltamem.transcripts import Transcript
from ui.history import write
from ui.maps import _KEPT, TABS, Maps, NoFigure, Place
from ui.stepping import branch_at
from ui.talk import take_back, talk
from ui.workspace import Column

FIGURES = [which for whiches in TABS.values() for which in whiches]


@pytest.fixture
def talked(workspace):
    """History and two turns."""
    for _ in write(workspace, Transcript([{"role": "user", "content": "My dog is called Rex."}], "test")):
        pass
    for _ in talk(workspace, "hello", max_new_tokens=4):
        pass
    for _ in talk(workspace, "Who are you?", max_new_tokens=3):
        pass
    return workspace


def files(maps, kind):
    return [Path(maps.file(which, kind)).name for which in FIGURES]


def test_every_figure_as_every_file(talked):
    maps = Maps(talked, Place(turn=1, layer=2))
    assert files(maps, "png") == [
        "delta-mem-states-turn-1.png",
        "delta-mem-layer-2-turn-1.png",
        "delta-mem-gates-turn-1.png",
        "delta-mem-change-turn-1-less-history.png",
        "delta-mem-layer-change-2-turn-1-less-history.png",
        "delta-mem-norms.png",
        "delta-mem-singular-values-turn-1.png",
        "delta-mem-tokens-turn-1.png",
        "delta-mem-influence-turn-1.png",
    ]
    assert all(Path(maps.file(which, "svg")).read_bytes().startswith(b"<?xml") for which in FIGURES)
    for which in FIGURES:
        lines = Path(maps.file(which, "csv")).read_text(encoding="utf-8-sig").splitlines()
        assert len(lines) > 1 and lines[0].count(",") >= 3


def test_every_download_has_an_address_of_its_own(talked, monkeypatch):
    monkeypatch.setattr("ui.maps.FILES", 3)
    maps = Maps(talked, Place(turn=1))
    paths = [Path(maps.file("norms", "csv")) for _ in range(4)] + [Path(maps.branch())]
    assert len(set(paths)) == 5 and [path.exists() for path in paths] == [False, False, True, True, True]
    loaded = Session.load(talked.model, paths[-1])
    assert (loaded.snapshots[-1].states == maps.shot.states).all() and loaded.snapshots[-1].label == "turn 1"


def test_empty_pages_have_no_maps(workspace):
    maps = Maps(workspace)
    assert maps.empty and len(maps.titles()) == 1
    with pytest.raises(NoFigure, match="choose a later one"):
        maps.trace()
    assert "Before anything was written" in maps.moment()


def test_a_place_that_is_gone_moves_to_the_nearest(talked):
    maps = Maps(talked, Place("gone", 99, 99, 99, "memory/turn 9"))
    assert maps.place == Place("memory", 2, 3, 0, "")
    assert "After turn 2" in maps.moment()
    assert Maps(talked, Place(None, None, -1, None, None)).place == Place("memory", 0, 0, 0, "")
    assert 0 <= maps.strongest() < 4


def test_what_was_drawn_is_kept_and_what_changed_is_drawn_anew(talked, monkeypatch):
    kept = _KEPT[talked] if talked in _KEPT else None
    assert kept is None
    first = Maps(talked, Place(turn=2)).shown("atlas", LIGHT)
    assert Maps(talked, Place(turn=2)).shown("atlas", LIGHT) == first
    Path(first[0]).unlink()  # as Gradio does after an hour
    again = Maps(talked, Place(turn=2)).shown("atlas", LIGHT)
    assert again[0] != first[0] and Path(again[0]).exists() and again[1:] == first[1:]
    assert Maps(talked, Place(turn=2)).shown("atlas", DARK)[0] != first[0]
    assert Maps(talked, Place(turn=1)).shown("atlas", LIGHT)[0] != first[0]
    assert not Maps(talked, Place(turn=2)).measured
    trace = Maps(talked, Place(turn=2)).trace()
    assert Maps(talked, Place(turn=2)).measured
    assert Maps(talked, Place(turn=2)).trace() is trace
    take_back(talked)
    for _ in talk(talked, "What is the name of the dog?", max_new_tokens=3):
        pass
    maps = Maps(talked, Place(turn=2))
    assert maps.shown("atlas", LIGHT)[0] != first[0], "another turn 2"
    assert maps.trace() is not trace and "dog" in "".join(maps.trace().pieces)
    monkeypatch.setattr("ui.maps.PICTURES", 5)
    for layer in range(4):
        for which in ("layer", "layer_change"):
            Maps(talked, Place(layer=layer)).shown(which, LIGHT)
    assert len(_KEPT[talked].pictures) == 5
    assert len(list(Path(talked.folder).glob("figure-*/*.png"))) == 5, "those that are not kept are deleted"


def test_alternative_texts_and_tables_come_with_each_figure(talked):
    maps = Maps(talked, Place(turn=1))
    for which in FIGURES:
        if which != "tokens":
            path, alt, numbers = maps.shown(which, DARK)
            assert Path(path).read_bytes().startswith(b"\x89PNG")
            assert maps.source("memory").adapter in alt and "cale" in alt
            assert numbers.count("<tr>") > 1 and 'scope="col"' in numbers
    text, numbers = maps.tokens(LIGHT)
    assert text.count("<span") > 10 and "&lt;|im_start|&gt;" in text and "&lt;|im_start|&gt;" in numbers


def test_compared_with_any_step_and_any_column(talked):
    other = Column(PRESETS["memory-rag"], Session(talked.model, adapter="TSW"))
    other.session.preload("Something else.")
    alone = Maps(talked, Place("memory", 2)).shown("atlas", LIGHT)[1]
    talked.arms["other"] = other
    beside = Maps(talked, Place("memory", 2)).shown("atlas", LIGHT)[1]
    assert "state only" in beside and "state only" not in alone, "among several, a figure names its column"
    wide = Column(PRESETS["memory-full"], Session(talked.model, adapter="MSW"))
    wide.session.preload("Something else.")
    talked.arms["wide"] = wide
    maps = Maps(talked, Place("memory", 2))
    values = [value for _, value in maps.others()]
    assert values == ["", "memory/history", "memory/turn 1", "memory/turn 2", "other/history", "wide/history"]
    assert maps.titles()[1] == ("δ-mem + retrieval", "other") and maps.source("other").arm == "δ-mem + retrieval"
    states = {key: arm.session.snapshots for key, arm in talked.arms.items() if arm.session.memory}
    for against, expected in (("", states["memory"][1]), ("other/history", states["other"][0])):
        found = Maps(talked, Place("memory", 2, 1, 0, against)).picture("layer_change")
        image = found.figure.axes[0].images[0].get_array()
        assert np.allclose(image, states["memory"][2].states[1, 0] - expected.states[1, 0])
    first = Maps(talked, Place("memory", 0, 1)).picture("layer_change")
    assert np.allclose(first.figure.axes[0].images[0].get_array(), states["memory"][0].states[1, 0])
    assert "before anything was written" in first.alt
    with pytest.raises(NoFigure, match="cannot be subtracted"):
        Maps(talked, Place("memory", 2, against="wide/history")).picture("change")
    # One scale for all columns.
    limits = {Maps(talked, Place(key)).picture("atlas").figure.axes[0].images[0].get_clim() for key in states}
    assert len(limits) == 1


def test_a_state_that_was_put_in_place_has_no_tokens(talked):
    session = talked.arms["memory"].session
    session.replace_states(session.snapshots[0].states, "zero state")
    maps = Maps(talked, Place(turn=3))
    assert "With zero state" in maps.moment()
    with pytest.raises(NoFigure, match="put in place"):
        maps.picture("tokens")
    assert "with zero state" in maps.picture("gates").alt


def test_columns_without_memory_are_left_out(workspace):
    del workspace.arms["memory"]
    maps = Maps(workspace)
    assert maps.empty and maps.titles() == []


def test_a_branch_is_the_session_as_it_was(talked):
    session = talked.arms["memory"].session
    states = [shot.states for shot in session.snapshots]
    for index, label in enumerate(("history", "turn 1", "turn 2")):
        branch = branch_at(session, label)
        assert len(branch.snapshots) == index + 1 and (branch.snapshots[-1].states == states[index]).all()
    assert len(session.snapshots) == 3
    assert branch_at(Session(talked.model), "start").messages == []


def test_the_choice_of_a_layer_says_which_it_counts(talked):
    maps = Maps(talked)
    assert maps.layer_label() == "Layer"
    numbers = (10, 11, 14, 28, 29)[: len(maps.shot.layers)]
    maps.shot.layers[:] = [f"model.layers.{number}.self_attn" for number in numbers]
    assert maps.layer_label().startswith("Layer, counted from 0 among those with a memory: 10–11")
