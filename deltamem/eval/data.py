"""Rows of a benchmark: from a local file or folder, or from the hub."""

import csv
import gzip
import json
import re
import zlib
from pathlib import Path

from .errors import EvalError

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
# ValueError: wrong UTF-8, wrong JSON, numbers of thousands of digits.
UNREADABLE = (OSError, EOFError, zlib.error, csv.Error, ValueError, RecursionError)


def local_rows(path):
    """[(where, row)] of a .json, .jsonl, .csv or .parquet file (also .gz), or of all such files in a folder.

    `where` names file and row for messages. A .json file may be a list, an object of rows by id (each then gets its
    key as "_key"), or an object whose "data" is the list. Raises EvalError.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if _suffix(file) in SUFFIXES)
        if not files:
            raise EvalError(f"The folder {path} holds no data file ({', '.join(SUFFIXES)}, also .gz); give another.")
        return [pair for file in files for pair in local_rows(file)]
    if not path.is_file():
        raise EvalError(f"There is no data file {path}; give the path of a file or folder with --data.")
    if _suffix(path) not in SUFFIXES:
        raise EvalError(f"The data file {path.name} is of no known kind; use {', '.join(SUFFIXES)}, also with .gz.")
    try:
        return [(f"{path.name}, row {number}", row) for number, row in enumerate(_read(path), 1)]
    except UNREADABLE as error:
        raise EvalError(f"{path.name} cannot be read ({error}); fetch it again.") from error


def hub_rows(task, place):
    """[(where, row)] of a benchmark's public files. place: the protocol's "data", with repository and files.

    Files are fetched as they are and read like local ones, so both pass the same checks. "gated" in place: whether
    terms have to be accepted first. Raises EvalError that says what to accept or download.
    """
    if "repository" not in place:
        raise EvalError(f"{task} is not on the hub: {place['get']} and give its path with --data.")
    from huggingface_hub import errors, hf_hub_download

    repository, page = place["repository"], f"https://huggingface.co/datasets/{place['repository']}"
    files, rows = ", ".join(place["files"]), []
    files += " (one folder for all)" if len(place["files"]) > 1 else ""
    terms = "accept its terms and " if place.get("gated") else ""
    for file in place["files"]:
        try:
            path = hf_hub_download(repository, file, repo_type="dataset", revision=place.get("revision"))
        except errors.GatedRepoError as error:
            raise EvalError(
                f"{task} is gated: accept its terms at {page}, log in with `hf auth login` and start again (or give "
                f"{files} with --data)."
            ) from error
        except Exception as error:  # disk, proxy, HTTP and protocol errors: each layer of the client has its own
            said = re.split(r"\n|[.] ", f"{type(error).__name__}: {str(error).strip()}")[0][:200]
            raise EvalError(
                f"{task} could not be fetched from the hub ({said}); check the network, or {terms}download {files} "
                f"from {page} and give it with --data."
            ) from error
        rows += local_rows(path)
    return rows


def _suffix(path):
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _read(path):
    kind = _suffix(path)
    if kind == ".parquet":
        return _read_parquet(path)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="" if kind == ".csv" else None) as file:
        if kind == ".csv":
            return list(csv.DictReader(file))
        text = file.read()
    if kind == ".jsonl":
        return _read_lines(path, text)
    try:
        return _listed(json.loads(text))
    except json.JSONDecodeError:
        if "\n" in text.strip() and text.lstrip().startswith("{"):
            return _read_lines(path, text)  # one row a line under the wrong suffix is common
        raise


def _read_lines(path, text):
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise EvalError(f"{path.name}, line {number} is not valid JSON ({error}); fetch it again.") from error
    return rows


def _listed(value):
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        return value["data"]
    if isinstance(value, dict):
        return [{"_key": key, **row} if isinstance(row, dict) else row for key, row in value.items()]
    raise EvalError(f"The data is of type {type(value).__name__}; it must be a list of rows.")


def _read_parquet(path):
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise EvalError(
            f"{path.name} is a Parquet file, which needs the package datasets; pip install -r "
            "deltamem/eval/requirements.txt."
        ) from error
    try:
        return load_dataset("parquet", data_files=str(path), split="train").to_list()
    except Exception as error:  # Arrow and datasets have their own errors
        raise EvalError(f"{path.name} cannot be read ({str(error)[:200]}); fetch it again.") from error
