"""The report's two readable forms. Jinja escapes everything in the HTML; Markdown gets foreign text as code spans."""

import base64
import re

from jinja2 import Environment, PackageLoader, StrictUndefined

_OPTIONS = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
_LOADER = PackageLoader("deltamem.compare.report", "templates")


def html_page(record, pictures, files):
    """One HTML file that needs no other. files: name -> bytes, for the PNGs that stand in it."""
    environment = Environment(loader=_LOADER, autoescape=True, **_OPTIONS)
    environment.filters |= {"share": share, "size": size, "count": count}

    def inline(name):
        return "data:image/png;base64," + base64.b64encode(files[f"{name}.png"]).decode()

    return environment.get_template("report.html").render(**_view(record, pictures), inline=inline)


def markdown_page(record, pictures):
    """The same in Markdown, with links to the files beside it."""
    environment = Environment(loader=_LOADER, autoescape=False, **_OPTIONS)  # noqa: S701 (no HTML)
    environment.filters |= {"share": share, "size": size, "count": count, "code": code, "plain": plain}
    return environment.get_template("report.md").render(**_view(record, pictures))


def _view(record, pictures):
    return {
        **record,
        "pictures": pictures,
        "columns": record["arms"] + record["beside"],
        "summary": {row["key"]: row for row in record["probes"]["summary"]} if record["probes"] else {},
        "sound": all(arm["sound"] for arm in record["arms"])
        and all(one["ok"] for found in record["integrity"].values() for one in found),
        "turns": max((len(arm["turns"]) for arm in record["arms"]), default=0),
    }


def code(text):
    """Foreign text as a Markdown code span on one line: nothing in it can become a link, an image or a table cell."""
    line = " ".join(str(text).split()) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def plain(text):
    """A name or sentence in Markdown, with every character that could mean something there spelled out."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&!])", r"\\\1", " ".join(str(text).split()))


def share(value):
    """0.833 as "83%"; a dash for what is not known."""
    return "–" if value is None else f"{100 * value:.0f}%"


def size(count):
    """Bytes in words: "7.5 kB"; a dash for what is not known."""
    if count is None:
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:,} B"


def count(value):
    """A number of tokens: whole, with commas; a dash for what is not known."""
    return "–" if value is None else f"{value:,.0f}"
