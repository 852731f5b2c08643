"""Writing a report, as a folder or a ZIP; what was there before stays whole until the new one is."""

import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from deltamem.compare.errors import ReportError
from deltamem.compare.figures import Source, csv_text, png, probe_chart, report_figures, svg
from deltamem.compare.integrity import check_model
from deltamem.compare.report.data import gates_csv, states_csv
from deltamem.compare.report.facts import (
    adapter_facts,
    arm_facts,
    beside_facts,
    history_sha256,
    in_short,
    model_facts,
    probe_facts,
    versions,
)
from deltamem.compare.report.pages import html_page, markdown_page
from deltamem.core.atomic import write_atomically

RECORD = "report.json"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same ZIP


def write_report(
    target,
    arms,
    sessions,
    history=(),
    name="",
    other_name="",
    probes=None,
    findings=None,
    seed=0,
    command="",
    refused=None,
    date=None,
    progress=None,
):
    """Write everything about a comparison to `target`: a folder, or a ZIP when it ends in ".zip". Returns its Path.

    arms: the Arms, in order; sessions: arm key -> Session. history: the messages that were told, name: of their file,
    other_name: of the history whose state the control "other" took. probes: ProbeResults. findings: adapter label ->
    Findings of check_model, where they are known already. seed: of the answers. command: how it was made, if by one.
    refused: arm key -> why it took no part; of such arms the report says no more. date: a datetime, now by default;
    nothing else differs between two reports of the same. progress(done, total): told after each figure. Raises
    ReportError.
    """
    target = Path(target)
    check_target(target)
    refused = {arm.title: refused[arm.key] for arm in arms if refused and arm.key in refused}
    arms = [arm for arm in arms if arm.key in sessions and arm.title not in refused]
    if not arms:
        raise ReportError("There are no columns to report on; compare at least one arm.")
    model = sessions[arms[0].key].model
    labels = list(dict.fromkeys(sessions[arm.key].adapter for arm in arms if arm.memory))
    findings = {label: (findings or {}).get(label) or check_model(model, label) for label in labels}
    record = {
        "format": "deltamem-report",
        "version": 1,
        "date": (date or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        "history": {"name": name, "messages": len(history), "sha256": history_sha256(history), "other": other_name},
        "seed": seed,
        "command": command,
        "versions": versions(),
        "model": model_facts(model),
        "adapters": [adapter_facts(model, label) for label in labels],
        "integrity": {
            label: [{"label": one.label, "value": one.value, "ok": one.ok} for one in found.lines]
            for label, found in findings.items()
        },
        "arms": [arm_facts(arm, sessions[arm.key], probes) for arm in arms],
        "beside": beside_facts(arms, probes),
        "refused": refused,
        "probes": probe_facts(probes),
    }
    record["in_short"] = in_short(record["arms"] + record["beside"], record["probes"])
    files = {}
    pictures = _pictures(arms, sessions, probes, model, files, progress)
    if probes is not None:
        files["probes.csv"] = probes.to_csv().encode()
        files["probes-summary.csv"] = probes.summary_csv().encode()
    files[RECORD] = (json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()
    files["report.md"] = markdown_page(record, pictures).encode()
    files["report.html"] = html_page(record, pictures, files).encode()
    try:
        (_write_zip if target.suffix.lower() == ".zip" else _write_folder)(target, files)
    except OSError as error:
        raise ReportError(
            f"The report cannot be written to {target} ({error.strerror or error}); choose another place."
        ) from error
    return target


def _pictures(arms, sessions, probes, model, files, progress):
    """{arm key, or "" for all of them: [{"title", "alt", "file"}]}; adds the files themselves to `files`."""
    drawn = {}
    if probes is not None and probes.asked:
        metrics = [name for name in ("contains", "exact", "f1") if any(row[name] for row in probes.summary())]
        drawn[""] = [probe_chart(probes.bars(metrics or ["contains"]), f"{model.name}.")]
    remembering = [arm for arm in arms if arm.memory and len(sessions[arm.key].snapshots) > 0]
    everything = [snapshot for arm in remembering for snapshot in sessions[arm.key].snapshots]
    for arm in remembering:
        session = sessions[arm.key]
        source = Source(model.name, session.adapter, arm.title)
        traces = [] if arm.control else [session.trace(label) for label in _steps(session)]
        pictures = report_figures(source, session.snapshots, traces, scale_of=everything)
        drawn[arm.key] = pictures[:1] if arm.control else pictures  # of a spoilt memory its states say enough
        files[f"data/{arm.key}-states.csv"] = states_csv(session.snapshots).encode()
        files[f"data/{arm.key}-gates.csv"] = gates_csv(session.snapshots).encode()
    total, done, named = sum(map(len, drawn.values())), 0, {}
    for key, pictures in drawn.items():
        named[key] = []
        for picture in pictures:
            stem = "figures/" + re.sub(r"[^\w.+-]+", "-", f"{key}-{picture.name}" if key else picture.name)
            files[f"{stem}.png"], files[f"{stem}.svg"] = png(picture.figure), svg(picture.figure)
            files[f"{stem}.csv"] = csv_text(picture.rows).encode()
            width = round(picture.figure.get_size_inches()[0] * 100)
            named[key].append({"title": picture.title, "alt": picture.alt, "file": stem, "width": width})
            done += 1
            if progress is not None:
                progress(done, total)
    return named


def _steps(session):
    """Labels of the steps that are shown token by token: the first history and the last turn, as far as there are."""
    labels = [snapshot.label for snapshot in session.snapshots]
    turns = [label for label in labels if label.startswith("turn")]
    return [label for label in labels if label == "history"] + turns[-1:]


def check_target(target):
    """Raise ReportError for a place that holds something else or cannot be written to: known before any work."""
    target = Path(target)
    room = next(place for place in target.absolute().parents if place.exists())
    if not room.is_dir() or not os.access(room, os.W_OK):
        raise ReportError(f"The report cannot be written below {room}; choose another place.")
    if target.suffix.lower() == ".zip":
        if target.is_dir():
            raise ReportError(f"{target} is a folder; give the name of a ZIP file, or of a folder without .zip.")
    elif target.exists() and not target.is_dir():
        raise ReportError(f"{target} is a file; give the name of a folder, or of a ZIP file.")
    elif target.is_dir() and any(target.iterdir()) and not (target / RECORD).is_file():
        raise ReportError(f"{target} holds other files; give a new folder, or one with an earlier report.")


def _write_zip(target, files):
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as bundle:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{target.stem}/{name}", ZIP_TIME)
            way = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            bundle.writestr(entry, files[name], way)
    write_atomically(target, packed.getvalue())


def _write_folder(target, files):
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for name, data in files.items():
            path = draft / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if target.exists():
            os.rename(target, draft / "old")
        os.rename(draft / "new", target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
