"""Reports: what is in them, that nothing told can inject, that they are the same each time, and where they may go."""

import csv
import hashlib
import io
import json
import re
import zipfile
from datetime import datetime
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from deltamem.compare.arms import PRESETS, parse_arm, start_sessions
from deltamem.compare.errors import ReportError
from deltamem.compare.probes import Probe, run_probes
from deltamem.compare.report import history_sha256, write_report
from deltamem.compare.report.pages import code, plain, size
from tests.compare.conftest import OTHER

WHEN = datetime(2026, 11, 25, 20, 0)
EVIL = (
    '"><script>alert(1)</script><img src=x onerror=alert(2)> ![x](http://evil.example/x.png) [a](javascript:x) '
    "`|` {{ 7*7 }} $x$"
)


class Tags(HTMLParser):
    """Which tags and attributes a page has, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.open, self.links = set(), set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links += [value for name, value in attributes if name in ("href", "src")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """A report with everything in it: hostile texts, controls, probes, a turn."""
    history = [
        {"role": "user", "content": f"My dog is called Rex. {EVIL}"},
        {"role": "assistant", "content": "Hello Rex!"},
    ]
    arms = [PRESETS["base"], PRESETS["base-full"], PRESETS["memory"], parse_arm("memory:adapter=MSW,control=other")]
    sessions = start_sessions(model, arms, history, OTHER)
    probes = run_probes(sessions, [Probe("Who is Rex?", ("dog", "=1+1")), Probe(EVIL, (EVIL[:400],))],
                        {arm.key: arm.title for arm in arms}, max_new_tokens=4)  # fmt: skip
    for session in sessions.values():
        session.ask(EVIL, max_new_tokens=3)
    target = tmp_path_factory.mktemp("report") / "report"
    seen = []
    options = {
        "history": history, "name": f"{EVIL}.json", "other_name": "other.json", "probes": probes, "seed": 3,
        "command": "python -m deltamem.compare <b>", "date": WHEN,
    }  # fmt: skip
    write_report(target, arms, sessions, progress=lambda *at: seen.append(at), **options)
    assert seen == [(i + 1, len(seen)) for i in range(len(seen))]
    return target, arms, sessions, options


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_in_it(made):
    target, arms, sessions, options = made
    names = set(files_of(target))
    assert {"report.html", "report.md", "report.json", "probes.csv", "probes-summary.csv"} <= names
    figures = {name.rpartition(".")[0] for name in names if name.startswith("figures/")}
    assert all({f"{stem}.png", f"{stem}.svg", f"{stem}.csv"} <= names for stem in figures)
    assert "figures/probes" in figures and not any("/base" in stem for stem in figures)
    assert sum("/memory-MSW-other-" in stem for stem in figures) == 1, "a control's figure is its states"
    assert {"figures/memory-tokens-history", "figures/memory-tokens-turn-1", "figures/memory-norms"} <= figures
    states = list(csv.reader(io.StringIO((target / "data/memory-states.csv").read_text())))
    assert len(states) == 1 + 2 * 4 * 1 * 4 and states[0] == [
        "step",
        "layer",
        "state",
        "row",
        *(f"column {i}" for i in range(4)),
    ]
    snapshot = sessions["memory"].snapshots[1]
    assert float(states[-1][-1]) == pytest.approx(snapshot.states[3, 0, 3, 3], rel=1e-5) and states[-1][:4] == [
        "turn 1",
        "3",
        "0",
        "3",
    ]
    gates = list(csv.reader(io.StringIO((target / "data/memory-gates.csv").read_text())))
    assert float(gates[1][4]) == pytest.approx(sessions["memory"].snapshots[0].beta[0, 0, 0], rel=1e-5)


def test_the_record_says_how_it_was_made(made, model):
    target, arms, _, options = made
    record = json.loads((target / "report.json").read_text())
    assert record["history"]["sha256"] == history_sha256(options["history"]) and record["history"]["messages"] == 2
    assert record["model"]["fingerprint"] == model.fingerprint and record["seed"] == 3
    assert [adapter["label"] for adapter in record["adapters"]] == ["TSW", "MSW"]
    assert {"torch", "transformers", "deltamem", "python"} <= record["versions"].keys()
    assert [arm["settings"]["control"] for arm in record["arms"]] == [None, None, None, "other"]
    assert all(arm["sound"] for arm in record["arms"]) and len(record["arms"][2]["turns"]) == 1
    assert record["probes"]["rows"][0]["answers"]["memory"]["text"] == options["probes"].answers["memory"][0].text
    assert record["date"] == "2026-11-25 20:00 UTC"


def test_the_hash_is_of_the_messages():
    messages = [{"role": "user", "content": "ä"}]
    assert history_sha256(messages) == hashlib.sha256('[["user","ä"]]'.encode()).hexdigest()
    assert history_sha256(messages) != history_sha256([{"role": "assistant", "content": "ä"}])


def test_nothing_told_becomes_markup(made):
    target, *_ = made
    html = (target / "report.html").read_text()
    tags = Tags(html)
    assert not tags.open and not {"script", "iframe", "object", "form", "svg"} & tags.names
    assert not any(name.startswith("on") for name in tags.attributes)
    for link in tags.links:
        assert link.startswith("data:image/png;base64,") or re.fullmatch(r"[\w./+-]+", link)
        assert link.startswith("data:") or (target / link).is_file(), "every link leads to a file of the report"
    assert (
        "&lt;script&gt;" in html
        and "{{ 7*7 }}" in html
        and "49" not in re.sub(r"base64,[^\"]+|[0-9a-f]{64}", "", html)[:400]
    )
    assert "default-src 'none'" in html


def test_nothing_told_becomes_markdown(made):
    target, *_ = made
    tokens = MarkdownIt("commonmark").enable("table").parse((target / "report.md").read_text())
    links, images, kinds = [], [], set()
    for token in tokens:
        kinds.add(token.type)
        for child in token.children or ():
            kinds.add(child.type)
            links += [child.attrs["href"]] if child.type == "link_open" else []
            images += [child.attrs["src"]] if child.type == "image" else []
    assert not {"html_block", "html_inline"} & kinds
    assert images and all((target / name).is_file() for name in [*links, *images])
    rows = [t for t in tokens if t.type == "tr_open"]
    cells = [t for t in tokens if t.type in ("td_open", "th_open")]
    assert len(rows) >= 1 + 4 + 1 + 2 and len(cells) > 30


def test_the_csv_is_safe(made):
    target, *_ = made
    for name in ("probes.csv", "probes-summary.csv"):
        for row in csv.reader(io.StringIO((target / name).read_text())):
            assert not any(cell.lstrip(" ").startswith(("=", "@", "\t")) for cell in row)


def test_the_same_comparison_gives_the_same_files(made, tmp_path):
    target, arms, sessions, options = made
    write_report(tmp_path / "again", arms, sessions, **options)
    first, again = files_of(target), files_of(tmp_path / "again")
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []
    for name in ("a.zip", "b.zip"):
        write_report(tmp_path / name, arms[:1], sessions, **options)
    assert (tmp_path / "a.zip").stat().st_size == (tmp_path / "b.zip").stat().st_size
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        assert bundle.testzip() is None and "a/report.html" in bundle.namelist()
        assert not any(name.startswith(("/", "..")) for name in bundle.namelist())


def test_a_report_without_probes_or_turns(model, history, tmp_path):
    arms = [PRESETS["base"], PRESETS["memory"]]
    sessions = start_sessions(model, arms, history)
    target = write_report(str(tmp_path / "sub" / "small"), arms, sessions)
    assert "Recall probes" not in (target / "report.html").read_text() and not (target / "probes.csv").exists()
    assert "Recall probes" not in (target / "report.md").read_text()
    stopped = run_probes(sessions, [Probe("a", ("b",))], should_stop=lambda: True)
    write_report(target, arms, sessions, probes=stopped)
    assert (target / "probes.csv").exists(), "an earlier report is replaced"
    assert json.loads((target / "report.json").read_text())["probes"]["asked"] == 0
    assert [path.name for path in target.parent.iterdir()] == ["small"], "nothing else is left behind"


def test_probes_may_have_had_other_columns(model, history, tmp_path):
    """As on the page: controls are probed beside the columns, and a column is added after the probes."""
    spoilt = parse_arm("memory:control=zero")
    sessions = start_sessions(model, [PRESETS["memory"], PRESETS["base"], spoilt], history)
    asked = {key: sessions[key] for key in ("memory", "memory-zero")}
    probes = run_probes(
        asked, [Probe("Who?", ("dog",))], {"memory": "δ-mem", spoilt.key: "With <b>zero"}, max_new_tokens=2
    )
    target = write_report(tmp_path / "r", [PRESETS["memory"], PRESETS["base"]], sessions, probes=probes)
    record = json.loads((target / "report.json").read_text())
    assert [one["title"] for one in record["beside"]] == ["With <b>zero"] and record["beside"][0]["prompt_tokens"] > 0
    assert record["in_short"][1].startswith("Under a control: With <b>zero ")
    html, markdown = ((target / name).read_text() for name in ("report.html", "report.md"))
    assert html.count("With &lt;b&gt;zero") >= 3 and "not asked" in html
    assert markdown.count("With \\<b\\>zero") >= 3


def test_places_that_hold_something_else_are_refused(model, tmp_path):
    arms, sessions = [PRESETS["base"]], start_sessions(model, [PRESETS["base"]])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder.zip").mkdir()
    for name, said in (("full", "holds other files"), ("file", "is a file"), ("folder.zip", "is a folder")):
        with pytest.raises(ReportError, match=said):
            write_report(tmp_path / name, arms, sessions)
    with pytest.raises(ReportError, match="cannot be written"):
        write_report(tmp_path / "file" / "below", arms, sessions)
    with pytest.raises(ReportError, match="no columns"):
        write_report(tmp_path / "new", [PRESETS["memory"]], sessions)
    assert (tmp_path / "full" / "thesis.txt").read_text() == (tmp_path / "file").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.zip", "full"]


def test_what_is_wrong_is_loud(model, history, tmp_path):
    sessions = start_sessions(model, [PRESETS["memory"]], history)
    sessions["memory"].ask("Who?", max_new_tokens=2)
    sessions["memory"]._steps[-1].stats["layer_writes"] = [0, 3]
    target = write_report(tmp_path / "r", [PRESETS["memory"]], sessions)
    assert "Integrity: something is wrong" in (target / "report.html").read_text()
    assert "**wrong**" in (target / "report.md").read_text()


def test_words():
    assert code("a | `b` \n ``c``") == "``` a \\| `b` ``c`` ```" and code("x") == "`x`"
    assert plain("a_b*[c](d) <e>") == "a\\_b\\*\\[c\\](d) \\<e\\>"
    assert [size(n) for n in (0, 999, 7680, 2_500_000)] == ["0 B", "999 B", "7.68 kB", "2.5 MB"]
