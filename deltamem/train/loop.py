"""The training loop: a frozen backbone, an adapter in float32, one optimiser step per batch of conversations.

On one GPU the whole step (passes, loss, gradients, clipping, AdamW) is captured once per batch layout as a CUDA graph:
with passes of a few thousand tokens, launching kernels would otherwise cost more than running them. Several processes
run the same step under accelerate, each with its part of every batch; on GPUs the sum over processes is in the graph.
"""

import json
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from .checkpoint import (
    Settings,
    TrainingError,
    load_checkpoint,
    load_sharded,
    save_checkpoint,
    save_sharded,
)
from .step import fuse

RISE = 60  # steps in which the learning rate of a training by the clock rises at least


def learning_rate(settings: Settings, progress: float) -> float:
    """Linear warm-up over the first `warmup` share of the training, then a cosine to zero. progress: 0 to 1."""
    if progress < settings.warmup:
        return settings.learning_rate * min(1.0, max(progress, 0.5 / settings.steps) / settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - settings.warmup) / (1 - settings.warmup)))


class Trainer:
    """Trains what `step` holds (a module from batch to loss); `folder` receives checkpoint and log.jsonl.

    step.fixed_shapes: whether all batches of one name have the same shapes, so that a graph can be captured for each.
    batches: a Dataset of (shape name, list of Slot). backbone: fused on a GPU. sample: called with nothing at every
    `sample_every` steps, returns a dict that is logged. saved: called after every
    checkpoint. minutes: the schedule ends then at the latest; such a run is for machines that are lent for a time, and
    cannot be repeated exactly.
    """

    def __init__(
        self, step, batches, settings: Settings, folder: Path, backbone, accelerator=None, sample=None, saved=None
    ):
        self.accelerator = accelerator or Accelerator(cpu=not next(step.parameters()).is_cuda)
        self.batches, self.settings, self.folder = batches, settings, Path(folder)
        self.sample, self.saved = sample, saved
        self.parameters = [p for p in step.parameters() if p.requires_grad]
        device = self.parameters[0].device
        self.cuda = device.type == "cuda"
        plain = self.accelerator.distributed_type in (DistributedType.NO, DistributedType.MULTI_GPU)
        self.sharded = self.accelerator.distributed_type == DistributedType.DEEPSPEED
        self.captured = self.cuda and plain and settings.accumulate == 1 and step.fixed_shapes
        self.rate = torch.tensor(settings.learning_rate, device=device)
        optimizer = torch.optim.AdamW(
            self.parameters, lr=self.rate if self.captured else settings.learning_rate, weight_decay=0.0,
            betas=(0.9, 0.98), capturable=self.captured, fused=self.captured,
        )  # fmt: skip
        if self.captured:
            # Gradients are averaged in update(): the hooks that prepare() gives a module cannot be captured.
            self.step_module, self.optimizer = step, self.accelerator.prepare(optimizer)
            self.rate = self.optimizer.param_groups[0]["lr"]  # a captured step reads this tensor; prepare() copied it
        else:
            if self.sharded:  # its engine wants to know what only our batches know
                given = {"train_micro_batch_size_per_gpu": 1, "gradient_clipping": settings.clip}
                self.accelerator.state.deepspeed_plugin.deepspeed_config.update(given)
            self.step_module, self.optimizer = self.accelerator.prepare(step, optimizer)
        if self.cuda:
            torch.set_float32_matmul_precision("high")
            fuse(backbone)
        self.step = 0
        self.graphs: dict[str, tuple] = {}
        self.pool = None

    @property
    def _moments(self):
        return self.optimizer.optimizer  # accelerate's wrapper hides state behind an attribute

    def update(self, batch: list) -> torch.Tensor:
        """One optimiser step; the loss as a tensor on the device."""
        parts = min(self.settings.accumulate, len(batch[0].ids))
        loss = 0.0
        for part in range(parts):
            some = batch if parts == 1 else [slot.rows(part, parts).trimmed() for slot in batch]
            one = self.step_module(some) / parts
            self.accelerator.sync_gradients = part == parts - 1  # DeepSpeed steps in backward()
            self.accelerator.backward(one)
            loss = loss + one.detach()
        if self.captured and self.accelerator.num_processes > 1:
            self._average_gradients()
        self.accelerator.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        return loss

    def _average_gradients(self) -> None:
        """Over all processes, in one message: the adapter's gradients are hundreds of small tensors."""
        gradients = [p.grad for p in self.parameters]
        flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def resume(self) -> None:
        """Go on from the folder's checkpoint. Raises TrainingError when it does not fit."""
        if self.sharded:
            self.step = load_sharded(self.folder, self.settings, self.step_module)
        else:
            self.step = load_checkpoint(self.folder, self.settings, self.parameters, self._moments)

    def run(
        self, workers: int = 0, report_every: int = 25, sample_every: int = 0, minutes: float | None = None
    ) -> None:
        """Train to the end. Raises TrainingError at a non-finite loss, naming the steps."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remaining = Subset(self.batches, range(self.step, self.settings.steps))
        ahead = {"num_workers": workers, "prefetch_factor": 6} if workers else {}
        loader = DataLoader(remaining, batch_size=None, pin_memory=self.cuda, **ahead)
        main = self.accelerator.is_main_process
        losses, tokens, began, first = [], 0, time.perf_counter(), self.step
        marked = began
        bar = tqdm(total=self.settings.steps, initial=self.step, desc="training", unit="step", mininterval=2,
                   disable=not main)  # fmt: skip
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log, bar:
            for name, slots in loader:
                progress = self._progress(began, minutes)
                rate = learning_rate(self.settings, progress)
                if minutes:  # compiling takes the time of the warm-up
                    rate *= min(1.0, (self.step - first + 1) / RISE)
                self._set_rate(rate)
                tokens += sum(int(slot.valid.sum()) for slot in slots)
                if self.captured:
                    losses.append(self._graphed_update(name, slots))
                else:
                    device = self.parameters[0].device
                    losses.append(self.update([slot.trimmed().to(device) for slot in slots]))
                self.step += 1
                bar.update()
                last = progress >= 1 or self.step == self.settings.steps
                saving = last or self.step % self.settings.checkpoint_every == 0
                if saving or self.step % report_every == 0:
                    loss, now = self._mean(losses), time.perf_counter()
                    seen = self.accelerator.reduce(torch.tensor(float(tokens), device=self.rate.device), "sum").item()
                    entry = {
                        "step": self.step,
                        "loss": round(loss, 4),
                        "rate": rate,
                        "seconds": round(now - began, 1),
                        "tokens_s": round(seen / (now - marked)),  # of all processes
                    }
                    if self.sample and sample_every and self.step % sample_every == 0 and main:
                        entry |= self.sample()
                    losses, tokens, marked = [], 0, time.perf_counter()
                    if main:
                        log.write(json.dumps(entry) + "\n")
                        log.flush()
                        bar.set_postfix(loss=f"{loss:.3f}")
                if saving:
                    self._save()
                if last:
                    break

    def _progress(self, began: float, minutes: float | None) -> float:
        """Share of the training that is done: of the steps, or of the time where that is further."""
        done = self.step / self.settings.steps
        if not minutes:
            return done
        elapsed = torch.tensor((time.perf_counter() - began) / 60, device=self.parameters[0].device)
        if self.accelerator.num_processes > 1:
            elapsed = broadcast(elapsed)  # one clock for all: they must agree on the rate, and on the end
        return max(done, elapsed.item() / minutes)

    def _save(self) -> None:
        if self.sharded:  # every process writes its share
            save_sharded(self.folder, self.step, self.settings, self.step_module)
        if self.accelerator.is_main_process:
            if not self.sharded:
                save_checkpoint(self.folder, self.step, self.settings, self.parameters, self._moments)
            if self.saved:
                self.saved()

    def _mean(self, losses: list[torch.Tensor]) -> float:
        loss = self.accelerator.reduce(torch.stack(losses).mean(), "mean").item()
        if math.isfinite(loss):
            return loss
        raise TrainingError(
            f"The loss became {loss} between step {self.step - len(losses)} and step {self.step}; the last good "
            f"checkpoint is kept in {self.folder}. Try a lower learning rate than {self.settings.learning_rate}."
        )

    def _set_rate(self, rate: float) -> None:
        if self.captured:
            self.rate.fill_(rate)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = rate

    def _graphed_update(self, name: str, slots: list) -> torch.Tensor:
        if name not in self.graphs:
            self._capture(name, slots)
        graph, inputs, loss = self.graphs[name]
        for kept, fresh in zip(inputs, slots, strict=True):
            for destination, source in zip(kept, fresh, strict=True):
                if destination is not None:
                    destination.copy_(source, non_blocking=True)
        graph.replay()
        return loss.clone()

    def _capture(self, name: str, slots: list) -> None:
        inputs = [slot.to(self.rate.device) for slot in slots]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # warm up without learning from it
            self.step_module(inputs).backward()
            if self.accelerator.num_processes > 1:
                self._average_gradients()  # connects the processes, which no capture may
            for p in self.parameters:
                p.grad.zero_()
            if not self._moments.state:
                self._moments.step()  # with zero gradients: makes the moments, moves no weight
                for moments in self._moments.state.values():
                    moments["step"].zero_()  # and does not count
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that watches over NCCL asks CUDA for events meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            loss = self.update(inputs)
        self.pool = graph.pool()
        self.graphs[name] = (graph, inputs, loss)
