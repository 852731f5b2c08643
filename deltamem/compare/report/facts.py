"""What a report says, as plain values: nothing here knows how it will look."""

import hashlib
import json
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import deltamem
from deltamem.compare.controls import CONTROLS
from deltamem.compare.integrity import check_stats, check_turn
from deltamem.core.files import adapter_hash

PACKAGES = ("torch", "transformers", "numpy", "safetensors", "bm25s", "matplotlib")


def history_sha256(messages):
    """SHA-256 of a history: of the JSON list of its [role, content] pairs, UTF-8, without spaces or escapes."""
    pairs = [[message["role"], message["content"]] for message in messages]
    return hashlib.sha256(json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def versions():
    """{name: version} of everything that has a part in the numbers."""
    found = {"deltamem": deltamem.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {"system": platform.platform()}


def model_facts(model):
    """The backbone, as {name: plain value}."""
    return {
        "name": model.name,
        "source": _place(model.source),
        "commit": model.commit,
        "fingerprint": model.fingerprint,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.attention,
        "max_context": model.max_context,
    }


def adapter_facts(model, label):
    """One adapter, as {name: plain value}."""
    adapter, place = model.adapters[label], model.adapter_places.get(label)
    config = adapter.config
    return {
        "label": label,
        "variant": config.variant,
        "sha256": adapter_hash(adapter),
        "source": _place(getattr(place, "source", None)),
        "commit": getattr(place, "commit", None),
        "layers": len(adapter.layers),
        "states": config.num_state_heads,
        "rank": config.rank,
        "alpha": config.alpha,
    }


def arm_facts(arm, session, probes):
    """One column: its settings, what it cost, what was found about it, what was said in it."""
    stats, findings = session.stats(), check_turn(session)
    answered = _answered(probes, arm.key)
    prompts = answered or ([stats["last"]] if stats["last"] else [])
    if answered:
        wrong = [one for turn in answered for one in check_stats(session, turn) if not one.ok]
        words = f"in {len(answered):,} answers, what was sent and written adds up"
        findings.add("Probes", f"{wrong[0].label}: {wrong[0].value}" if wrong else words, not wrong)
    said = session.messages
    return {
        "key": arm.key,
        "title": arm.title,
        "chips": list(arm.chips),
        "settings": arm.settings() | {"adapter": stats["adapter"]},
        "history_messages": stats["history_messages"],
        "history_written_tokens": stats["history_written_tokens"],
        "written_tokens": stats["written_tokens"],
        "prompt_tokens": _mean_prompt(prompts),
        "state_bytes": stats["state_bytes"],
        "kv_bytes": max([one["kv_bytes"] for one in answered], default=stats["kv_bytes"]),
        "findings": [{"label": one.label, "value": one.value, "ok": one.ok} for one in findings.lines],
        "sound": findings.ok,
        "turns": [
            {"question": asked["content"], "answer": answer["content"]}
            for asked, answer in zip(said[::2], said[1::2], strict=True)
        ],
    }


def beside_facts(arms, probes):
    """Columns that were probed beside the arms, such as their controls: what the probes tell of them."""
    keys = {arm.key for arm in arms}
    return [
        {
            "key": key,
            "title": title,
            "chips": [],
            "settings": {"control": _control_in(key)},
            "prompt_tokens": _mean_prompt(_answered(probes, key)),
            "history_written_tokens": None,
            "state_bytes": max((one["state_bytes"] for one in _answered(probes, key)), default=None),
            "kv_bytes": max((one["kv_bytes"] for one in _answered(probes, key)), default=None),
        }
        for key, title in (probes.titles.items() if probes else ())
        if key not in keys
    ]


def probe_facts(probes):
    """The probes, every answer with its scores, and the summary; None without probes."""
    if probes is None:
        return None
    return {
        "titles": probes.titles,
        "planned": len(probes.probes),
        "asked": probes.asked,
        "complete": probes.complete,
        "settings": probes.settings,
        "summary": [{name: _number(value) for name, value in row.items()} for row in probes.summary()],
        "rows": [
            {
                "question": probe.question,
                "accepted": list(probe.answers),
                "answers": {key: _answer(probes.answers[key][index]) for key in probes.titles},
            }
            for index, probe in enumerate(probes.probes[: probes.asked])
        ],
    }


def in_short(columns, probes):
    """A few sentences that say what was found, from the numbers alone. columns: arms, and what was probed beside."""
    if not probes or not probes["asked"]:
        return []
    asked = probes["asked"]
    hits = {row["key"]: round(row["contains"] * asked) for row in probes["summary"]}
    told = {False: [], True: []}
    for column in columns:
        if column["key"] in hits:
            spoilt = column["settings"]["control"] is not None
            told[spoilt].append(f"{column['title']} {hits[column['key']]} of {asked}")
    sentences = [f"Answers that contain an accepted one: {'; '.join(told[False])}."] if told[False] else []
    if told[True]:
        sentences.append(f"Under a control: {'; '.join(told[True])}.")
    if not probes["complete"]:
        sentences.append(f"The run was stopped after {asked} of {probes['planned']} questions.")
    return sentences


def _answered(probes, key):
    """Stats of the answers that an arm gave to the probes."""
    return [answer.stats for answer in probes.answers.get(key, []) if answer.stats] if probes else []


def _control_in(key):
    """The control that an arm's key names, None for none."""
    return next((name for name in CONTROLS if re.search(rf"-{name}(-[\d+-]+)?$", key)), None)


def _mean_prompt(stats):
    return sum(one["prompt_tokens"] for one in stats) / len(stats) if stats else None


def _place(source):
    """A hub id as it is; of a local folder the name only, which says enough and nothing about the machine."""
    return Path(source).name if source and Path(source).is_absolute() else source


def _answer(answer):
    scores = {name: _number(getattr(answer, name)) for name in ("exact", "contains", "f1")}
    stats = {name: value for name, value in answer.stats.items() if name not in ("ttft_s", "tok_s")}
    return {"text": answer.text, "error": answer.error, "mark": answer.mark, **scores, "stats": stats}


def _number(value):
    """A float as JSON can hold it: NaN, where nothing was asked, is null."""
    return None if isinstance(value, float) and value != value else value
