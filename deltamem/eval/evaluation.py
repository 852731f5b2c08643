"""From settings to result files: tasks × conditions × adapters, each a run of its own, shared out over processes."""

import hashlib
import importlib.metadata
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from tqdm import tqdm

from deltamem.core.files import adapter_hash
from deltamem.runtime import load_model
from deltamem.runtime.places import add_adapters

from .conditions import CONDITIONS, LORA
from .data import hub_rows, local_rows
from .errors import EvalError
from .items import data_hash, drawn
from .lora import check_lora, lora_on
from .protocol import read_protocol
from .records import ResultFile, join_parts
from .run import Runner
from .tasks import TASKS


class Evaluation:
    """A model and what is to be asked of it.

    options: the command line's settings (see __main__). Raises EvalError, before anything slow where it can.
    """

    def __init__(self, options):
        self.options = options
        defaults = {"limit": "all questions", "conversations": "all of them", "batch": "a fitting one"}
        for name, default in defaults.items():
            if (value := getattr(options, name)) is not None and value < 1:
                raise EvalError(f"--{name} is {value}; give a number from 1, or leave it out for {default}.")
        self.conditions = options.condition or [key for key in CONDITIONS if key != LORA.key or options.lora]
        if LORA.key in self.conditions:
            if not options.lora:
                raise EvalError("The condition lora-full needs a peft adapter; give its folder with --lora.")
            check_lora(options.lora)
        for task in options.task if not options.no_scores else []:
            getattr(TASKS[task], "check_packages", lambda: None)()
        places = _places(options)
        self.published = {t: _published(t, places.get(t)) for t in options.task if hasattr(TASKS[t], "read")}
        self.rank, self.world, device = _process(options.device)
        self.model = load_model(options.model, None if options.adapter else "auto", device=device, dtype=options.dtype)
        self.labels = []
        if any(CONDITIONS[key].memory for key in self.conditions):
            self.labels = add_adapters(self.model, options.model, options.adapter)
            if not self.labels:
                raise EvalError(
                    f"{self.model.name} has no adapter of its own; give --adapter, or a --condition without memory."
                )

    def run(self):
        """Answer everything that is not answered yet. Returns the paths of the result files."""
        paths = []
        for task in self.options.task:
            protocol = read_protocol(task)
            (conversations, total), memories = self._conversations(task), {}
            for key in self.conditions:
                for label in self.labels if CONDITIONS[key].memory else [None]:
                    runner = Runner(
                        self.model,
                        TASKS[task],
                        protocol,
                        CONDITIONS[key],
                        label,
                        self.options.seed,
                        self.options.batch,
                        memories,
                        not self.options.no_scores,
                    )
                    header = self._header(task, protocol, conversations, total, key, label)
                    paths.append(self._answer(runner, header, conversations))
        if self.world > 1:
            PartialState().destroy_process_group()
        return paths

    def _conversations(self, task):
        """(the conversations to ask about, number of questions of the whole benchmark)"""
        found = self.published.get(task) or TASKS[task].make(self.model.tokenizer, self.options.seed)
        count = sum(len(conversation.items) for conversation in found)
        return drawn(found, self.options.seed, self.options.limit, self.options.conversations), count

    def _answer(self, runner, header, conversations):
        """One run. Process r of n takes the r-th of n equal stretches of the questions, so that few conversations are
        written by more than one; the first process joins their files at the end.
        """
        name = ".".join(filter(None, [header["task"], header["condition"], header["adapter"]]))
        file = ResultFile(self.options.out, name, header, self.rank, self.world)
        begin, end = (header["questions"] * rank // self.world for rank in (self.rank, self.rank + 1))
        order, mine = 0, []
        for conversation in conversations:
            numbered = list(enumerate(conversation.items, order))
            order += len(numbered)
            mine.append((conversation, [pair for pair in numbered if begin <= pair[0] < end]))
        ids = [item.id for _, asked in mine for _, item in asked]
        title = ", ".join(filter(None, [header["task"], runner.condition.title, header["adapter"]]))
        before = sum(key in file.done for key in ids)
        bar = tqdm(desc=title, total=len(ids), initial=before, disable=self.rank > 0, unit="question")
        try:
            with lora_on(self.model, self.options.lora if runner.condition is LORA else None):
                for records in runner.records(mine, set(file.done), bar.set_postfix_str):
                    file.add(records)
                    bar.update(len(records))
        except torch.OutOfMemoryError as error:
            raise EvalError(
                f"The device ran out of memory in {title} even with one history or question at a time; close other "
                "programs on it, or use a smaller model or a larger GPU. The same command goes on from there."
            ) from error
        finally:
            bar.close()
            file.close()
        if self.world > 1:
            PartialState().wait_for_everyone()
        return join_parts(self.options.out, name) if self.rank == 0 else file.path

    def _header(self, task, protocol, conversations, total, key, label):
        model, count = self.model, sum(len(conversation.items) for conversation in conversations)
        return {
            "task": task,
            "condition": key,
            "adapter": label,
            "adapter_hash": adapter_hash(model.adapters[label]) if label else None,
            "lora_hash": _folder_hash(self.options.lora) if key == LORA.key else None,
            "model": model.name,
            "model_fingerprint": model.fingerprint,
            "protocol_hash": protocol.hash,
            "data_hash": data_hash(conversations),
            "questions": count,
            "asked": "all" if count == total else f"of {total:,}, drawn at random",
            "seed": self.options.seed,
            "dtype": str(model.dtype).removeprefix("torch."),
            "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "CPU",
            "attention": model.attention,
            "processes": self.world,
            "versions": {p: importlib.metadata.version(p) for p in ("torch", "transformers", "bm25s", "numpy")},
        }


def _places(options):
    """{task: path} of --data."""
    places = {}
    for given in options.data:
        name, equals, path = given.partition("=")
        if equals and name in options.task:
            places[name] = path
        elif len(options.task) == 1:
            places[options.task[0]] = given
        else:
            raise EvalError(f"--data {given} does not say which task it is for; give TASK=PATH for several tasks.")
    return places


def _published(task, path):
    """Conversations of a benchmark's file, or of the hub's when no path is given. Raises EvalError."""
    found = TASKS[task].read(local_rows(path) if path else hub_rows(task, read_protocol(task).data))
    seen = set()
    for item in (item for conversation in found for item in conversation.items):
        if item.id in seen:
            raise EvalError(f'The data of {task} hold two questions of the id "{item.id}"; give one copy of each.')
        seen.add(item.id)
    if not seen:
        raise EvalError(f"The data of {task} hold no questions; give the published file.")
    return found


def _process(device):
    """(rank, number of processes, device) under accelerate launch or torchrun, else of one process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        if os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ:  # it was told of several
            print(
                "note: accelerate launch --cpu starts one process, however many it is told; for several give it "
                "--multi_gpu in place of --cpu, and this command --device cpu",
                file=sys.stderr,
            )
        return 0, 1, device
    # A process that is done waits for the slowest one: hours, where the answers are long.
    state = PartialState(cpu=device == "cpu", timeout=timedelta(days=7))
    return state.process_index, state.num_processes, str(state.device)


def _folder_hash(folder):
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("adapter_*")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
