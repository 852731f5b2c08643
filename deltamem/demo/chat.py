"""Chat with one model in a terminal, with or without memory."""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

from deltamem.core.errors import DeltaMemError
from deltamem.core.files import local_path
from deltamem.runtime import Session, load_model
from deltamem.runtime.errors import ModelError

SESSION_FILE = "session.safetensors"
# A model can repeat escape sequences that it was told; they must not reach the terminal.
UNPRINTED = dict.fromkeys(i for i in [*range(32), *range(127, 160)] if chr(i) not in "\n\t")
HELP = """\
  /reset                forget everything
  /stats                settings, counts and sizes
  /save_session <dir>   save the conversation and its memory
  /load_session <dir>   go on with a saved one
  /exit                 leave (so does Ctrl-D); Ctrl-C stops an answer"""


def main(arguments=None):
    """Run the chat; returns the exit status: 0, or 1 after one sentence on stderr."""
    options = _options(arguments)
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  line editing and a history for input()
    try:
        Chat(options).run()
    except DeltaMemError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while the model was loading
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


class Chat:
    """Reads lines, runs commands, streams answers. Raises DeltaMemError only when it cannot start."""

    def __init__(self, options):
        self.options = options
        memory = options.mode == "delta"
        self.model = load_model(
            options.model,
            adapter=options.adapter if memory else None,
            device=options.device,
            dtype=options.dtype,
            attention=options.attention,
        )
        if memory and self.model.adapter is None:
            raise ModelError(f"{self.model.name} comes without an adapter; give one as ADAPTER_DIR, or use MODE=base.")
        self.model.decoder.warm_up([self.model.adapter])
        self.session = Session(self.model, memory=memory, context=options.context, system=options.system)

    def run(self):
        """Until /exit or the end of the input."""
        print(self._headline())
        while True:
            try:
                line = input("\nyou> ").strip()
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print("\nLeave with /exit or Ctrl-D.")
                continue
            if line == "/exit":
                return
            if not line:
                continue
            try:
                if line.startswith("/"):
                    self._command(*line.split(maxsplit=1))
                else:
                    self._answer(line)
            except DeltaMemError as error:
                print(error)
            except KeyboardInterrupt:
                print("\nStopped.")

    def _headline(self):
        commit = f" @ {self.model.commit[:8]}" if self.model.commit else ""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return "\n".join(
            [
                f"{self.model.name}{commit} on {self.model.device}, {dtype}, {self.model.attention}",
                _memory_line(self.session.stats()),
                "Type a message, or /help.",
            ]
        )

    def _command(self, name, argument=""):
        if name == "/help":
            print(HELP)
        elif name == "/reset":
            self.session.reset()
            print("Everything is forgotten.")
        elif name == "/stats":
            stats = self.session.stats()
            last = stats.pop("last") or {}
            for key, value in [*stats.items(), *((f"last turn, {key}", value) for key, value in last.items())]:
                print(f"  {key.replace('_', ' ')}: {_plain(value)}")
        elif name in ("/save_session", "/load_session") and not argument:
            print(f"Give a folder: {name} <dir>.")
        elif name == "/save_session":
            path = _session_path(argument)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
                reason = getattr(error, "strerror", None) or error
                print(f"The folder {path.parent} cannot be made ({reason}); choose another one.")
                return
            self.session.save(path)
            print(f"Saved to {path}.")
        elif name == "/load_session":
            self.session = Session.load(self.model, _session_path(argument))
            stats = self.session.stats()
            turns = f"{stats['turns']} turn{'s' if stats['turns'] != 1 else ''}"
            print(f"{_memory_line(stats)} Loaded {turns}, {stats['written_tokens']} tokens written.")
        else:
            print(f"There is no command {name}; /help lists them.")

    def _answer(self, text):
        """Stream one answer. Ctrl-C ends it after the current token; a second one does not wait for that."""
        stopped = []

        def stop(number, frame):
            if stopped:
                raise KeyboardInterrupt
            stopped.append(True)

        options = self.options
        events = self.session.reply(
            text,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
        )
        before = signal.signal(signal.SIGINT, stop)
        stats = None
        try:
            for event in events:
                if event.kind == "text":
                    print(event.text.translate(UNPRINTED), end="", flush=True)
                else:
                    stats = event.stats
                if stopped and stats is None:
                    break
        except KeyboardInterrupt:
            pass  # the second Ctrl-C
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session settles a partial answer undisturbed
            events.close()
            signal.signal(signal.SIGINT, before)
        print(f"\n  [{_cost(stats)}]" if stats else "\n  [stopped]")


def _memory_line(stats):
    if not stats["memory"]:
        return f"Memory off; the model sees: {_sees(stats)}."
    return f"δ-mem {stats['variant']} ({stats['adapter']}); the model sees: {_sees(stats)}."


def _sees(stats):
    return {
        "none": "the current message only",
        "recent": f"the last {stats['recent_turns']} turns",
        "rag": "retrieved passages and the current message",
        "full": "the whole conversation",
    }[stats["context"]]


def _cost(stats):
    parts = [f"{stats['new_tokens']} tokens", f"{stats['tok_s']:.1f} tokens/s" if stats["tok_s"] else None]
    if stats["stop"] == "length":
        parts.append("cut at the limit, see --max-new-tokens")
    elif stats["stop"] == "context":
        parts.append("cut because the context is full")
    return ", ".join(part for part in parts if part)


def _plain(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else value


def _session_path(folder):
    return Path(local_path(folder.strip())) / SESSION_FILE


def _options(arguments):
    """Options from the command line; the environment gives the defaults."""
    given = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m deltamem.demo", description=__doc__)
    add = parser.add_argument
    add("--model", default=given("MODEL_PATH") or "demo", help="preset, hub id or folder (MODEL_PATH)")
    add("--adapter", default=given("ADAPTER_DIR") or "auto", help="name, hub id or folder (ADAPTER_DIR)")
    add("--mode", default=given("MODE") or "delta", help="base or delta, that is without or with memory (MODE)")
    add("--context", default="none", choices=["none", "recent", "rag", "full"], help="what the model sees besides")
    add("--system", help="a system message")
    add("--device", help="cuda, cuda:<number> or cpu")
    add("--dtype", help="float32, bfloat16 or float16")
    add("--attention", help="sdpa, flash_attention_2 or eager")
    add("--max-new-tokens", type=int, default=256)
    add("--temperature", type=float, default=0.0, help="0 always takes the likeliest token")
    add("--top-p", type=float, default=1.0)
    add("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.mode not in ("base", "delta"):  # argparse does not check a default that comes from the environment
        parser.exit(2, f'MODE is "{options.mode}"; use base or delta.\n')
    return options
