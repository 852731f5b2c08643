"""Start the δ-mem playground: `python app.py`."""

from __future__ import annotations

import argparse
import atexit
import ipaddress
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FILES = "deltamem-files-"  # how the names of folders for uploads and downloads begin


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options; exits with a sentence on wrong ones.

    On a Hugging Face Space the page must answer to other machines, and the Space's settings say who may see it.
    """
    space = "SPACE_ID" in os.environ
    parser = argparse.ArgumentParser(description="A page that shows a language model with and without δ-mem.")
    parser.add_argument("--base", "--model", default="demo", help="preset (demo, qwen3-4b), hub id or folder")
    parser.add_argument("--adapter", default="auto", help="preset's label, hub id or folder; default: the preset's own")
    parser.add_argument("--device", help="cuda, cuda:1, cpu; default: CUDA when there is one")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="default: bfloat16 on CUDA")
    parser.add_argument(
        "--host", default="0.0.0.0" if space else "127.0.0.1", help="0.0.0.0 to be reached from other machines"
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--share", action="store_true", help="a public address through gradio.live")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask for a login; or set DELTAMEM_AUTH")
    parser.add_argument("--no-auth", action="store_true", help="let anyone in who can reach the page")
    options = parser.parse_args(arguments)
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error(f"--port is {options.port}: give a number from 1 to 65535")
    options.auth = options.auth or os.environ.get("DELTAMEM_AUTH")
    if options.auth and not all(options.auth.partition(":")):
        parser.error("--auth needs a user and a password: --auth USER:PASSWORD")
    if (options.share or not is_local(options.host)) and not (options.auth or options.no_auth or space):
        what = "--share puts the page on the internet" if options.share else f"--host {options.host} is not only here"
        parser.error(f"{what}: add --auth USER:PASSWORD, or --no-auth to let anyone in who can reach it")
    return options


def is_local(host: str) -> bool:
    """Whether only this machine can reach a page at host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: list[str] | None = None) -> int:
    """Load, build, launch, wait. Returns the exit code: 1 with one sentence on stderr when something is missing."""
    options = parse(arguments)
    if trouble := address_trouble(options.host, options.port):
        return fail(trouble)  # before the model is loaded: nobody waits for a page that cannot open
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    folder = private_folder()
    lend = gpu_lender()
    from deltamem.runtime.heap import share_heaps
    from deltamem.runtime.threads import give_way

    give_way()  # before PyTorch is imported
    share_heaps()
    from deltamem.core.errors import DeltaMemError
    from deltamem.runtime import load_model

    try:
        model = load_model(options.base, options.adapter, device=options.device, dtype=options.dtype)
    except DeltaMemError as error:
        return fail(str(error))
    model.decoder.warm_up([None, model.adapter])
    if model.adapter is None:
        return fail(f"{model.name} was loaded without a δ-mem adapter: name one with --adapter (a folder or hub id).")

    from ui.guard import network_options
    from ui.page import build_page
    from ui.theme import launch_options

    page = build_page(model, local=is_local(options.host) and not options.share, lend=lend)
    try:
        _, local, public = page.launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            auth=tuple(options.auth.split(":", 1)) if options.auth else None,
            quiet=True,
            prevent_thread_lock=True,
            **network_options(folder),
            **launch_options(),
        )
    except OSError:
        return fail(f"No port from {options.port or 7860} on {options.host} is free: choose another one with --port.")
    except ValueError as error:
        if "localhost" not in str(error):
            raise
        # Gradio asks its own address once, and gives up when no answer comes.
        return fail(
            f"The page does not answer at {options.host} here: if a proxy is set, name that host in NO_PROXY; "
            "if the machine is very busy, start again."
        )
    print(f"δ-mem playground: {public or local}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an ordered end, so that temporary files go
    page.block_thread()
    return 0


def gpu_lender() -> Callable | None:
    """spaces.GPU on a Space whose GPU is lent call by call (ZeroGPU), else None.

    The package belongs to the Space, not to our requirements, and must be imported before PyTorch.
    """
    try:
        import spaces
    except ImportError:
        return None
    return spaces.GPU if os.environ.get("SPACES_ZERO_GPU") else None


def private_folder() -> Path | None:
    """Where uploads and downloads go: a folder of this process that no other user of the machine can read.

    None when GRADIO_TEMP_DIR names a folder, which may then belong to others too.
    """
    if "GRADIO_TEMP_DIR" in os.environ:
        return None
    drop_leftovers()
    folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix=FILES)
    with suppress(OSError):  # a file system without locks: there, nothing is removed either
        hold(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def drop_leftovers() -> None:
    """Remove the folders of processes that were killed: they hold what visitors had uploaded and saved."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FILES}*"):
        with suppress(OSError):  # another user's, or another process was faster
            young = time.time() - folder.stat().st_mtime < 60  # whoever made it may be about to hold it
            if not young and not folder.is_symlink() and (held := hold(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def hold(folder: str | Path) -> int | None:
    """Lock a folder for as long as this process lives, or the descriptor returned is open; None where that cannot be.

    Raises OSError when another process, or descriptor, holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def address_trouble(host: str, port: int | None) -> str | None:
    """Why the page cannot be opened at host and port, in one sentence; None when it can."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return (
            f"The page cannot open at {host}, port {port or 'any'} ({error.strerror}): choose another --host or --port."
        )
    return None


def fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        sys.exit(f"The package {error.name} is missing: pip install -r requirements.txt, and start again.")
    except KeyboardInterrupt:  # before the page is up; afterwards Gradio ends it
        sys.exit(130)
