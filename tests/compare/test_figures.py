"""The figures: one scale for all turns, readable captions, every layer where the layout says it is."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deltamem.compare.figures import (
    AtlasLayout,
    Source,
    gate_map,
    layer_states,
    png,
    state_limit,
    states_atlas,
    svg,
    when,
)
from deltamem.compare.figures.atlas import DPI, TOP
from deltamem.compare.figures.paper import WIDTH
from deltamem.compare.figures.scale import decimals, round_up

SOURCE = Source("SmolLM2-135M-Instruct", "smollm2-135m-tsw (TSW)")


def snapshot(layers=6, heads=1, rank=8, size=0.1, label="turn 2", seed=0):
    draw = np.random.default_rng(seed)
    beta = draw.uniform(0, 0.1, (layers, heads, rank)).astype(np.float32)
    return SimpleNamespace(
        label=label,
        layers=[f"model.layers.{index}.self_attn" for index in range(layers)],
        states=(draw.standard_normal((layers, heads, rank, rank)) * size).astype(np.float32),
        beta=beta,
        lam=1 - beta,
        written_tokens=57,
    )


def texts(picture):
    figure = picture.figure
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts] + [axes.get_title(loc="left"), axes.get_xlabel()]
    return [" ".join(text.split()) for text in found]


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(png(picture.figure))).convert("RGB"))


def test_scale_is_the_largest_turn_rounded_up():
    quiet, loud = snapshot(size=0.01), snapshot(size=0.1)
    assert state_limit([quiet]) == 0.05
    assert state_limit([loud]) == 0.5
    # A quiet turn after a loud one, or before it, changes nothing.
    assert state_limit([quiet, loud]) == state_limit([loud, quiet]) == 0.5
    loud.states[0, 0, 0, 0] = 1e6
    assert state_limit([loud]) == 0.5


def test_scale_of_an_empty_memory():
    empty = snapshot(size=0.0)
    assert state_limit([]) == state_limit([empty]) == 1.0
    empty.states[0, 0, 0, 0] = np.nan
    assert state_limit([empty]) == 1.0
    empty.states[1, 0, 0, 0] = 0.03  # one cell: the percentile is 0, the largest value is not
    assert state_limit([empty]) == 0.03


@pytest.mark.parametrize(("value", "limit"), [(0.1, 0.1), (0.11, 0.2), (0.21, 0.3), (0.31, 0.5), (7, 10), (3e-7, 3e-7)])
def test_round_up(value, limit):
    assert round_up(value) == limit


@pytest.mark.parametrize(("limit", "places"), [(0.05, 3), (0.5, 2), (1, 2), (2, 2), (5, 1), (100, 0), (1e-9, 6)])
def test_decimals(limit, places):
    assert decimals(limit) == places


@pytest.mark.parametrize(("layers", "heads", "rank"), [(30, 1, 8), (30, 4, 8), (1, 1, 1), (3, 2, 4), (80, 1, 16)])
def test_atlas_is_as_wide_as_a_page(layers, heads, rank):
    shot = snapshot(layers, heads, rank)
    image = pixels(states_atlas(shot, SOURCE, 0.5, chosen=layers - 1))
    assert image.shape[1] == WIDTH * DPI
    assert 300 < image.shape[0] < 4000


@pytest.mark.parametrize(("layers", "heads"), [(30, 1), (7, 4)])
def test_tiles_are_where_the_layout_says(layers, heads):
    shot = snapshot(layers, heads, size=0.0)
    for index in (0, layers // 2, layers - 1):
        shot.states[:] = 0
        shot.states[index] = 0.5  # the end of the scale: a dark red
        image = pixels(states_atlas(shot, SOURCE, 0.5))
        red = (image[..., 0].astype(int) - image[..., 2] > 60) & (image[..., 0] < 140)
        layout = AtlasLayout(layers, heads, 8)
        field = int((TOP + layout.size[1] * layout.cell) * DPI)  # below it the colour bar begins
        rows, columns = np.nonzero(red[:field])
        found = [layout.layer_at(x, y) for x, y in zip(columns[::50], rows[::50], strict=True)]
        assert found and set(found) == {index}
    assert layout.layer_at(0, 0) is None


def test_same_numbers_have_the_same_colours_in_every_turn():
    first, second = snapshot(label="turn 1", size=0.05), snapshot(label="turn 2", size=0.2, seed=1)
    second.states[0] = first.states[0]
    limit = state_limit([first, second])
    images = [states_atlas(shot, SOURCE, limit).figure.axes[0].images[0] for shot in (first, second)]
    assert images[0].get_clim() == images[1].get_clim() == (-limit, limit)
    tiles = [image.to_rgba(shot.states[0, 0]) for image, shot in zip(images, (first, second), strict=True)]
    assert np.array_equal(*tiles)
    assert layer_states(second, 0, SOURCE, limit).figure.axes[0].images[0].get_clim() == (-limit, limit)
    zero = images[0].to_rgba(np.zeros(1))[0]
    assert min(zero[:3]) > 0.95  # nothing stored is white


def test_captions_name_model_adapter_turn_and_scale():
    shot = snapshot(heads=4)
    for picture in (
        states_atlas(shot, SOURCE, 0.5),
        layer_states(shot, 3, SOURCE, 0.5, head=2),
        gate_map(shot, SOURCE),
    ):
        words = " | ".join(texts(picture))
        assert "SmolLM2-135M-Instruct · smollm2-135m-tsw (TSW) · " in words and "turn 2" in words
        assert "Scale" in words or "scale" in words
    assert "99.5th percentile" in " ".join(texts(states_atlas(shot, SOURCE, 0.5)))
    assert "Layer 3, state 3 of 4" in " ".join(texts(layer_states(shot, 3, SOURCE, 0.5, head=2)))
    assert "57 tokens" in " ".join(texts(gate_map(shot, SOURCE)))


def test_layer_shows_its_numbers():
    shot = snapshot()
    shot.states[2, 0, 0, :3] = [0.123, -0.456, -0.0001]
    shown = [text.get_text() for text in layer_states(shot, 2, SOURCE, 0.5).figure.axes[0].texts]
    assert len(shown) == 64
    assert shown[:3] == ["0.12", "−0.46", "0.00"]


def test_gates_are_drawn_from_zero_to_one():
    figure = gate_map(snapshot(heads=4), SOURCE).figure
    images = [axes.images[0] for axes in figure.axes[:2]]
    assert [image.get_clim() for image in images] == [(0, 1), (0, 1)]
    assert images[0].get_array().shape == (6, 32)
    assert "mean" in figure.axes[0].get_title(loc="left")


def test_a_step_without_writes_says_so():
    shot = snapshot(label="start", size=0.0)
    shot.beta[:] = shot.lam[:] = np.nan
    shot.written_tokens = 0
    assert "nothing was written" in texts(gate_map(shot, SOURCE))
    assert pixels(gate_map(shot, SOURCE)).shape[1] == WIDTH * DPI


def test_moments_in_words():
    assert [when(label) for label in ("start", "history", "history 2", "turn 3")] == [
        "before anything was written",
        "after the history",
        "after history 2",
        "after turn 3",
    ]


def test_svg():
    drawing = svg(states_atlas(snapshot(), SOURCE, 0.5).figure)
    assert drawing.startswith(b"<?xml") and b"<svg" in drawing[:2000]
