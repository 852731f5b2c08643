"""Changes, sizes, tokens, influence, probes and the report: right values at the right place, whatever shape or text."""

import csv
import io
import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from deltamem.compare.figures import (
    DARK,
    LIGHT,
    LOOKS,
    Source,
    change_atlas,
    csv_text,
    effective_rank,
    file_label,
    gate_map,
    influence_map,
    layer_change,
    layer_states,
    norm_map,
    png,
    probe_chart,
    report_figures,
    size_limit,
    spectrum,
    state_limit,
    states_atlas,
    svg,
    token_html,
    token_text,
)
from deltamem.compare.figures.atlas import AtlasLayout
from deltamem.compare.figures.paper import WIDTH
from deltamem.compare.figures.scale import token_scale
from deltamem.compare.figures.tokens import mean_beta, printable
from tests.compare.test_figures import snapshot, texts

SOURCE = Source("SmolLM2-135M-Instruct", "MSW", "δ-mem, state only")
SHAPES = [(1, 1, 1), (1, 1, 16), (64, 1, 8), (64, 8, 16), (3, 4, 8), (30, 8, 1)]


def trace(layers=6, tokens=20, label="turn 1", pieces=None, left=0, seed=0):
    draw = np.random.default_rng(seed)
    pieces = pieces or [f" w{index}" for index in range(tokens)]
    beta = draw.uniform(0, 0.3, (layers, len(pieces))).astype(np.float16)
    written = np.ones(len(pieces), bool)
    written[:2] = False
    beta[:, :2] = np.nan
    return SimpleNamespace(
        label=label,
        layers=[f"model.layers.{index}.self_attn" for index in range(layers)],
        head="o",
        pieces=pieces,
        written=written,
        beta=beta,
        influence=draw.uniform(0, 2, beta.shape).astype(np.float16),
        tokens=len(pieces) + left,
    )


def probe(arm, metric="exact match", value=0.5, low=0.2, high=0.8, count=10):
    return {"arm": arm, "metric": metric, "value": value, "low": low, "high": high, "count": count}


def every_picture(layers, heads, rank, look=LIGHT):
    first, second = (
        snapshot(layers, heads, rank, label="history"),
        snapshot(layers, heads, rank, label="turn 1", seed=1),
    )
    limit, sizes = state_limit([first, second]), size_limit([first, second])
    found = trace(layers)
    return [
        states_atlas(second, SOURCE, limit, layers - 1, look),
        layer_states(second, layers - 1, SOURCE, limit, heads - 1, look),
        change_atlas(second, SOURCE, first, limit, chosen=0, look=look),
        layer_change(second, 0, SOURCE, first, limit, head=heads - 1, look=look),
        gate_map(second, SOURCE, look),
        norm_map([first, second], SOURCE, sizes, look),
        spectrum(second, SOURCE, sizes, look),
        token_text(found, SOURCE, look),
        influence_map(found, SOURCE, look),
    ]


@pytest.mark.parametrize(("shape", "look"), [*((shape, "light") for shape in SHAPES), ((30, 4, 8), "dark narrow")])
def test_every_shape_is_drawn_readable_and_with_its_numbers(shape, look):
    layers, heads, rank = shape
    pictures = every_picture(*shape, LOOKS[look])
    for picture in pictures:
        figure = picture.figure
        width, height = figure.get_size_inches()
        most = WIDTH if picture.name.startswith("tokens") else LOOKS[look].width
        assert width <= most and height < 9.5, f"{picture.name} does not fit"
        figure.draw_without_rendering()
        words = [
            text for axes in figure.axes for text in [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
        ]
        if not picture.name.startswith("layer"):  # the numbers in many small cells may be smaller
            assert min(text.get_fontsize() for text in [*words, *figure.texts] if text.get_text()) >= 7
        for text in figure.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1, picture.name
        title, caption = (text.get_window_extent() for text in figure.texts[:2])
        for axes in figure.axes:
            box = axes.get_tightbbox()
            assert box.y0 >= caption.y1 - 2 and box.y1 <= title.y0 + 2, f"{picture.name} runs into its words"
        header, *rows = picture.rows
        assert rows and all(len(row) == len(header) for row in rows)
    assert len(pictures[0].rows) - 1 == layers * heads * rank
    assert len({picture.name for picture in pictures}) == len(pictures)


def test_dark_and_light_show_the_same_numbers():
    for light, dark in zip(every_picture(3, 2, 4), every_picture(3, 2, 4, DARK), strict=True):
        assert csv_text(light.rows) == csv_text(dark.rows) and light.alt == dark.alt
        assert light.figure.get_facecolor() != dark.figure.get_facecolor()
        for one, other in zip(light.figure.axes, dark.figure.axes, strict=True):
            assert [image.get_clim() for image in one.images] == [image.get_clim() for image in other.images]


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_nothing_stored_has_the_colour_of_the_ground(look):
    shot = snapshot(size=0.0)
    image = states_atlas(shot, SOURCE, 1.0, look=look).figure.axes[0].images[0]
    ground = [int(look.ground[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    assert np.abs(np.array(image.to_rgba(0.0)[:3]) - ground).max() < 0.08
    # Both ends are as far from it, so that neither sign looks larger.
    ends = [np.abs(np.array(image.to_rgba(end)[:3]) - ground).sum() for end in (-1.0, 1.0)]
    assert abs(ends[0] - ends[1]) < 0.6


def test_a_change_is_the_difference_on_the_scale_of_the_states():
    before, after = snapshot(label="turn 1"), snapshot(label="turn 2", seed=1)
    picture = change_atlas(after, SOURCE, before, 0.5)
    image = picture.figure.axes[0].images[0]
    assert image.get_clim() == (-0.5, 0.5)
    layout = AtlasLayout(6, 1, 8)
    column, row = layout.origin(4)
    shown = image.get_array()[row : row + 8, column : column + 8]
    assert np.allclose(shown, after.states[4, 0] - before.states[4, 0])
    assert picture.rows[1 + 4 * 8 + 3][3:] == pytest.approx((after.states - before.states)[4, 0, 3].tolist())
    assert "after turn 2, less that after turn 1" in " ".join(texts(picture))
    assert f"‖ΔS‖ = {np.linalg.norm(after.states - before.states):.3g}" in " ".join(texts(picture))
    layer = layer_change(after, 4, SOURCE, before, 0.5)
    assert np.allclose(layer.figure.axes[0].images[0].get_array(), (after.states - before.states)[4, 0])
    same = change_atlas(after, SOURCE, after, 0.5)
    assert not np.nan_to_num(same.figure.axes[0].images[0].get_array().filled(0)).any()


def test_a_change_between_arms_names_what_differs():
    one, other = snapshot(label="turn 1"), snapshot(label="turn 1", seed=1)
    picture = change_atlas(one, SOURCE, other, 0.5, Source(SOURCE.model, SOURCE.adapter, "δ-mem + retrieval"))
    words = " ".join(texts(picture))
    assert "δ-mem, state only · after turn 1, less that of δ-mem + retrieval after turn 1" in words
    assert words.count("SmolLM2-135M-Instruct") == 1
    assert picture.name == "change-turn-1-less-mem-retrieval-turn-1"
    with pytest.raises(ValueError, match="6 × 1 × 8 × 8 and 6 × 4 × 8 × 8"):
        change_atlas(one, SOURCE, snapshot(heads=4), 0.5)


def test_norms_stand_by_step_and_layer():
    shots = [snapshot(label=label, size=size) for label, size in (("start", 0.0), ("turn 1", 0.1), ("turn 2", 0.3))]
    limit = size_limit(shots)
    assert limit == 3.0  # the largest norm is about 0.3 × 8
    picture = norm_map(shots, SOURCE, limit)
    image = picture.figure.axes[0].images[0]
    assert image.get_array().shape == (3, 6) and image.get_clim() == (0, limit)
    assert image.get_array()[2, 4] == pytest.approx(np.linalg.norm(shots[2].states[4]))
    assert not image.get_array()[0].any()
    assert picture.rows[2][0] == "turn 1" and picture.rows[2][5] == pytest.approx(np.linalg.norm(shots[1].states[4]))
    assert size_limit([]) == size_limit(shots[:1]) == 1.0
    many = norm_map([snapshot(label=f"turn {index}") for index in range(300)], SOURCE, limit)
    assert many.figure.get_size_inches()[1] < 7


def test_effective_rank_and_singular_values():
    states = np.zeros((3, 2, 8, 8), np.float32)
    states[0, 0] = np.eye(8) * 0.3  # all directions alike
    states[0, 1, 2, 5] = -4.0  # one direction
    states[1, 0] = np.diag([2.0, 2.0, 0, 0, 0, 0, 0, 0])
    ranks = effective_rank(states)
    assert ranks[0].tolist() == pytest.approx([8.0, 1.0]) and ranks[1, 0] == pytest.approx(2.0)
    assert np.isnan(ranks[1, 1]) and np.isnan(ranks[2]).all()
    shot = snapshot(3, 2)
    shot.states[:] = states
    picture = spectrum(shot, SOURCE, 5.0)
    image = picture.figure.axes[0].images[0].get_array()
    assert image.shape == (16, 3) and image[0, 0] == pytest.approx(0.3) and image[8, 0] == pytest.approx(4.0)
    assert picture.rows[2][:4] == ["0", 2, pytest.approx(1.0), pytest.approx(4.0)]
    shot.states[:] = 0
    assert "nothing is stored" in " ".join(texts(spectrum(shot, SOURCE, 1.0)))


def test_tokens_are_coloured_by_their_mean_gate():
    found = trace(pieces=["<|im_start|>", "user", "\n", "My", " boat", "", "é", "$x$"])
    picture = token_text(found, SOURCE)
    boxes = picture.figure.axes[0].collections[0]
    beta = mean_beta(found)
    assert np.isnan(beta[:2]).all() and np.allclose(beta[2:], found.beta[:, 2:].astype(float).mean(axis=0), atol=1e-3)
    characters = [
        value for piece, value in zip(found.pieces, beta, strict=True) for _ in (piece or "·") if value == value
    ]
    assert len(boxes.get_facecolors()) == len(characters)
    from matplotlib.cm import ScalarMappable

    expected = ScalarMappable(token_scale(), LIGHT.text).to_rgba(np.array(characters))
    assert np.allclose(boxes.get_facecolors(), expected)
    assert [row[2] for row in picture.rows[1:4]] == ["no", "no", "yes"]
    drawn = "".join(text.get_text() for text in picture.figure.axes[0].texts)
    assert "<|im_start|>user" in drawn and "boat" in drawn and "$x$" in drawn


def test_a_long_step_is_drawn_in_part_and_says_so():
    turn, history = trace(tokens=1500, left=200), trace(tokens=1500, label="history")
    words = " ".join(texts(token_text(turn, SOURCE)))
    assert "Shown: the last 600 of the step’s 1,700 tokens." in words
    assert "w1499" in "".join(text.get_text() for text in token_text(turn, SOURCE).figure.axes[0].texts)
    assert "the first 600 of the step’s 1,500 tokens" in " ".join(texts(token_text(history, SOURCE)))
    picture = influence_map(turn, SOURCE)
    image = picture.figure.axes[0].images[0].get_array()
    assert image.shape == (6, 375) and "mean of 4 tokens" in " ".join(texts(picture))
    assert image[2, 1] == pytest.approx(turn.influence[2, 4:8].astype(float).mean())
    assert len(picture.rows) == 1501


def test_influence_stands_by_layer_and_token():
    found = trace(tokens=30)
    image = influence_map(found, SOURCE).figure.axes[0].images[0]
    assert image.get_array().shape == (6, 30)
    assert image.get_array()[3, 7] == pytest.approx(float(found.influence[3, 7]))
    assert (image.norm.vmin, image.norm.vmax) == (0.01, 10)
    labels = [label.get_text() for label in influence_map(found, SOURCE).figure.axes[0].get_xticklabels()]
    assert labels[7] == "w7"
    found.influence[:] = 0
    png(influence_map(found, SOURCE).figure)
    found.head = "q"
    assert "‖Δq‖ / ‖q‖" in influence_map(found, SOURCE).title


def test_page_text_is_escaped_and_says_its_numbers():
    nasty = ["<script>", "alert(1)", "</script>", '" onmouseover="x', "&amp;", "\u202e", "", "\n"]
    found = trace(pieces=nasty)
    html = token_html(found)
    assert "<script" not in html and 'onmouseover="x' not in html and "&amp;amp;" in html
    assert html.count('class="dm-unwritten"') == 2
    assert f'title="β {mean_beta(found)[3]:.3f}"' in html
    assert 'tabindex="0"' in html and 'role="img" aria-label="Scale of β' in html
    assert token_html(found, DARK) != html


def test_figures_survive_every_text():
    pieces = ["漢字", "🐕", "\u202eabc", "a\x00b", "\ud800", "$\\frac{", "\t", "%s{}", "é" * 200, "\r\n"]
    found = trace(pieces=pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph is a warning
        for picture in (token_text(found, SOURCE), influence_map(found, SOURCE)):
            png(picture.figure)
            assert svg(picture.figure).startswith(b"<?xml")
    assert "□ is a character" in " ".join(texts(token_text(found, SOURCE)))
    assert printable("漢", "DejaVu Sans Mono") == "□" and printable("", "DejaVu Sans Mono") == "·"
    odd = Source("model $\\alpha$", "a_b^c", "<b>")
    assert "model $\\alpha$ · a_b^c · <b>" in " ".join(texts(states_atlas(snapshot(), odd, 0.5)))
    png(states_atlas(snapshot(), odd, 0.5).figure)


def test_probe_bars_end_where_their_numbers_say():
    results = [
        probe("Base", "exact match", 0.0, 0.0, 0.3),
        probe("Base", "contains", 0.1, 0.02, 0.4),
        probe("δ-mem + a very long title of a column that breaks", "exact match", 0.9, 0.6, 0.98),
        probe("δ-mem + a very long title of a column that breaks", "contains", 1.0, 0.7, 1.0),
    ]
    picture = probe_chart(results, "SmolLM2-135M-Instruct · boat.json.")
    axes = picture.figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.0, 0.1, 0.9, 1.0]
    places = [bar.get_y() for bar in axes.patches]
    assert places == sorted(places) and len(set(places)) == 4
    assert sorted(tuple(line.get_xdata()) for line in axes.lines[::2]) == [
        (0.0, 0.3),
        (0.02, 0.4),
        (0.6, 0.98),
        (0.7, 1.0),
    ]
    assert "10 questions" in picture.alt and "95% intervals" in picture.alt
    assert picture.rows[1] == ["Base", "exact match", 0.0, 0.0, 0.3, 10]
    assert [text.get_text() for text in axes.texts][2] == "90%  [60%, 98%]"
    assert probe_chart([probe("a")], "x.").title == "Recall of the probes: exact match"
    png(probe_chart([], "Nothing was asked.").figure)
    png(probe_chart([probe("a" * 200)] * 1, "x.").figure)


def test_the_report_lists_everything_there_is():
    first, second = snapshot(label="history"), snapshot(label="turn 1", seed=1)
    loud = snapshot(label="turn 1", size=3.0)
    pictures = report_figures(SOURCE, [first, second], [trace()], [probe("Base")], scale_of=[loud])
    names = [name for name, title, figure, rows in pictures]
    assert len(set(names)) == len(names) == 9
    assert [name.split("-")[0] for name in names] == [
        "states", "layer", "change", "gates", "norms", "singular", "tokens", "influence", "probes",
    ]  # fmt: skip
    assert pictures[0].figure.axes[0].images[0].get_clim()[1] == state_limit([loud])
    assert report_figures(SOURCE, []) == []
    assert len(report_figures(SOURCE, [first])) == 5
    assert all(title[0].isupper() and len(title) > 10 for _, title, _, _ in pictures)
    for picture in pictures[:6]:
        assert "SmolLM2-135M-Instruct · MSW · δ-mem, state only" in picture.alt
        assert "cale" in picture.alt or "scale" in picture.alt


def test_tables_are_csv_that_no_spreadsheet_runs():
    rows = [["token", "text", "beta"], [0, "=1+1", 0.5], [1, 'a "b", c\nd', float("nan")], [2, "-x", 1.0]]
    read = list(csv.reader(io.StringIO(csv_text(rows))))
    assert read[1] == ["0", "'=1+1", "0.5"] and read[2][1] == 'a "b", c\nd' and read[3][1] == "'-x"
    for picture in every_picture(2, 2, 3):
        lengths = {len(row) for row in csv.reader(io.StringIO(csv_text(picture.rows)))}
        assert len(lengths) == 1


@pytest.mark.parametrize(
    ("label", "name"),
    [("turn 3", "turn-3"), ("zero state", "zero-state"), ("../../etc/x", "etc-x"), ("a\x00b/δ", "a-b"), ("..", "step")],
)
def test_names_of_files_are_plain(label, name):
    assert file_label(label) == name
    assert gate_map(snapshot(label=label), SOURCE).name == f"gates-{name}"


def test_scales_do_not_depend_on_order():
    shots = [snapshot(size=size) for size in (0.01, 0.5, 0.1)]
    assert len({size_limit(order) for order in itertools.permutations(shots)}) == 1
