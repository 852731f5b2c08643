"""One run: a task under a condition, question by question in batches, with its costs."""

import hashlib
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np
import torch

from deltamem.compare.controls import shuffled
from deltamem.core.binding import Binding
from deltamem.runtime.blocks import CHUNK, GROUP, Block, join, passes
from deltamem.runtime.rows import Draw, answer_rows, write_rows
from deltamem.runtime.run import Run

from .conditions import writes_history
from .prompts import Prompts
from .records import score


@dataclass
class Job:
    """A question ready to be answered: what it is, and what the batch needs to know of it.

    before: passes of its own in front of the prompt, where the memory takes whole messages.
    """

    index: int
    item: object
    before: list
    prompt: Block
    prompt_tokens: int
    limit: int
    clipped: bool
    states: dict = field(default_factory=dict)
    written: int = 0
    seconds: float = 0.0
    prompt_hash: str = ""


@dataclass(frozen=True)
class Memory:
    """What a history left behind. states: [L, H, r, r] or None; written: tokens; seconds: what the writing took."""

    states: np.ndarray | None = None
    written: int = 0
    seconds: float = 0.0


class Runner:
    """Answers and scores questions of one task under one condition.

    task: module of deltamem.eval.tasks. adapter: label in model.adapters, for conditions with memory. batch: rows
    answered together at most; fewer when their KV would not fit. memories: what was written for earlier conditions of
    the same task, and where to add to it; written once, a history's cost is counted in every condition that needs it.
    scoring: False keeps the answers alone, to be scored where the scorers' packages are (see results).
    """

    def __init__(self, model, task, protocol, condition, adapter=None, seed=0, batch=None, memories=None, scoring=True):
        self.model, self.task, self.protocol, self.condition, self.seed = model, task, protocol, condition, seed
        self.scoring = scoring
        self.label = adapter
        self.memories = {} if memories is None else memories
        self.adapter = model.adapters[adapter] if condition.memory else None
        self.by_message = condition.memory and self.adapter.config.memory_write_granularity != "token"
        self.prompts = Prompts(model, protocol, condition, self.by_message)
        self.draw = Draw(protocol.temperature, protocol.top_p, protocol.top_k)
        gpu = model.device.type == "cuda"
        if gpu:
            torch.cuda.reset_peak_memory_stats(model.device)
        self.batch = batch or (256 if gpu else 8)
        self.pass_tokens = 65_536 if gpu else 8_192  # of a batch's prompts: bounds the activations
        self.kv_tokens = _kv_budget(model)
        self.together = self.batch  # histories that are written side by side

    def records(self, conversations, done, told=lambda text: None):
        """Yields lists of records as batches finish, for all questions whose ids are not in `done`.

        conversations: [(Conversation, [(index, item), ...])], the questions that fall to this process. told: called
        with how far the histories are, of which the first answers may have to wait for long, and "" after that.
        """
        left = [(c, [pair for pair in asked if pair[1].id not in done]) for c, asked in conversations]
        left = [(conversation, asked) for conversation, asked in left if asked]
        waiting = []
        for number, (conversation, asked) in enumerate(left):
            if number % self.together == 0:
                self._write([c for c, _ in left[number : number + self.together]], told)
            memory = self._memory(conversation)
            begin = time.perf_counter()
            prefix, jobs = self._jobs(conversation, asked, memory)
            share = (memory.seconds + time.perf_counter() - begin) / len(jobs)
            for job in jobs:
                job.seconds = share
            if prefix is not None:
                while jobs:
                    yield self._answered(self._take(jobs, prefix.get_seq_length()), prefix)
                continue
            waiting += jobs
            while len(waiting) > self.batch:
                yield self._answered(self._take(waiting, 0), None)
        while waiting:
            yield self._answered(self._take(waiting, 0), None)

    def _jobs(self, conversation, asked, memory):
        """(KV of what all questions share or None, a job per question)."""
        states, written = self._states(memory), memory.written
        shared, cut = self.prompts.shared(conversation)
        taken = sum(map(len, shared))
        prefix = None  # one KV for all, unless the questions are so few that whole prompts fill a batch better
        before = []
        if taken and (4 * len(asked) >= self.batch or taken > self.pass_tokens):
            run = Run(self.model, self.adapter, states)
            for part in passes(shared, self.by_message):
                run.feed(part)
            prefix, states, written = run.cache, run.states, written + run.written
        elif self.by_message:
            before = passes(shared, True)
        start = hashlib.sha256(str([b.ids for b in shared]).encode())
        jobs = []
        for index, item in asked:
            own, cut_too = self.prompts.question(conversation, item, taken)
            digest = start.copy()
            digest.update(str(own.ids).encode())
            tokens = taken + len(own)
            limit = self.prompts.new_tokens(item, tokens)
            prompt = own if prefix is not None or before else join([*shared, own])
            job = Job(index, item, before, prompt, tokens, limit, cut or cut_too, states)
            job.prompt_hash = digest.hexdigest()
            job.written = written + sum(sum(b.write) for b in [*before, prompt]) if self.condition.memory else 0
            jobs.append(job)
        return prefix, jobs

    def _write(self, conversations, told):
        """Write the histories that the condition needs and that no earlier one has written."""
        todo = [c for c in conversations if c.messages and (self.label, c.id) not in self.memories]
        if not writes_history(self.condition) or not todo:
            return
        begin = time.perf_counter()
        rows = max(1, min(self.batch, self.kv_tokens // GROUP, self.pass_tokens // CHUNK))
        found = self._written([c.messages for c in todo], rows, told)
        told("")
        stacks = [torch.cat(list(states.values())).cpu().numpy() for states, _ in found]
        share = (time.perf_counter() - begin) / sum(written for _, written in found)
        for conversation, states, (_, written) in zip(todo, stacks, found, strict=True):
            self.memories[self.label, conversation.id] = Memory(states, written, share * written)

    def _written(self, histories, rows, told):
        """write_rows; what does not fit the device's memory is tried again with half as many rows side by side."""

        begin = time.perf_counter()

        def progress(done, total):
            left = (time.perf_counter() - begin) / max(1, done) * (total - done)
            told(f"{done:,} of {total:,} tokens of histories written, {left:,.0f} s left")

        try:
            return write_rows(self.model, self.adapter, histories, rows, progress)
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
        torch.cuda.empty_cache()  # outside the except block, whose traceback holds on to the tensors
        return self._written(histories, rows // 2, told)

    def _memory(self, conversation):
        """The Memory before the question, empty where nothing is remembered."""
        if not writes_history(self.condition) or not conversation.messages:
            return Memory()
        memory = self.memories[self.label, conversation.id]
        if self.condition.control == "shuffled":
            return replace(memory, states=shuffled(memory.states, self.seed))
        return memory

    def _states(self, memory):
        """{module: [1, H, r, r]} on the model's device, {} for an empty memory."""
        if memory.states is None:
            return {}
        states = torch.from_numpy(memory.states).to(self.model.device)
        return {name: states[index : index + 1] for index, name in enumerate(self.adapter.layers)}

    def _take(self, jobs, past):
        """Remove from the front of the list as many jobs as fit one batch, at least one."""
        widths, limit, count = [], 0, 0  # of the passes, the last one first
        for job in jobs[: self.batch]:
            lengths = map(len, [job.prompt, *reversed(job.before)])
            widths = [max(pair) for pair in zip_longest(widths, lengths, fillvalue=0)]
            limit, rows = max(limit, job.limit), count + 1
            if count and (
                rows * max(widths) > self.pass_tokens or rows * (past + sum(widths) + limit) > self.kv_tokens
            ):
                break
            count = rows
        taken = jobs[:count]
        del jobs[:count]
        return taken

    def _answered(self, jobs, prefix):
        """Records of a batch; a batch that does not fit the device's memory is tried again in two halves."""
        begin = time.perf_counter()
        try:
            answers = self._ask(jobs, prefix)
        except torch.OutOfMemoryError:
            if len(jobs) == 1:
                raise
            answers = None
        if answers is None:  # outside the except block, as in _written
            torch.cuda.empty_cache()
            half = len(jobs) // 2
            self.batch = max(1, half)
            return self._answered(jobs[:half], prefix) + self._answered(jobs[half:], prefix)
        seconds = (time.perf_counter() - begin) / len(jobs)
        return [self._record(job, answer, seconds) for job, answer in zip(jobs, answers, strict=True)]

    def _ask(self, jobs, prefix):
        binding = None
        if self.adapter is not None:
            empty = self.adapter.empty_states(1)
            rows = [job.states or empty for job in jobs]
            binding = Binding(self.adapter, {name: torch.cat([row[name] for row in rows]) for name in empty})
        return answer_rows(
            self.model.backbone,
            self.model.chat,
            [job.prompt for job in jobs],
            [job.limit for job in jobs],
            self.draw,
            [f"{self.seed} {job.item.id}" for job in jobs],
            binding,
            prefix,
            [job.before for job in jobs],
        )

    def _record(self, job, answer, seconds):
        text = self.model.chat.decode(answer.ids)
        record = {
            "index": job.index,
            "id": job.item.id,
            "group": job.item.kind,
            "question": job.item.question,
            "prompt_sha256": job.prompt_hash,
            "answer": text,
            "gold": job.item.golds,
            "extra": job.item.extra,
            "seconds": round(job.seconds + seconds, 4),
            "prompt_tokens": job.prompt_tokens,
            "written_tokens": job.written,
            "new_tokens": len(answer.ids),
            "stop": answer.stop,
            "clipped": job.clipped,
            "peak_bytes": peak_memory(self.model.device),
        }
        return record | score(self.task, job.item, text) if self.scoring else record


def peak_memory(device):
    """Bytes at the highest so far: of the GPU's tensors, on the CPU of the whole process (0 where it is not told)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _kv_budget(model):
    """Tokens whose KV may be held at once, in 40% of a GPU's free memory or 1 GiB of the CPU's."""
    config = model.backbone.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
    room = 2**30
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # what an earlier run's tensors left is free too
        room = 0.4 * torch.cuda.mem_get_info(model.device)[0]
    return max(1, int(room / token))
