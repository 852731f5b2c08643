"""The training loop: a frozen backbone, an adapter in float32, conversations written turn after turn.

On a GPU the whole step (passes, loss, gradients, clipping, AdamW) is captured once per batch layout as a CUDA graph:
with passes of a few thousand tokens, launching kernels would otherwise cost more than running them.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from tqdm import tqdm

from deltamem.core.binding import Binding, bind
from deltamem.core.errors import DeltaMemError

from .batches import Batches, Slot


class TrainingError(DeltaMemError):
    """Training cannot start or go on."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of; stored with its checkpoints, and compared on resume."""

    steps: int = 3000
    learning_rate: float = 4e-3
    warmup: float = 0.03
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 500


def learning_rate(settings: Settings, step: int) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then a cosine to zero."""
    warm = max(1, int(settings.warmup * settings.steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, settings.steps - warm)))


class Trainer:
    """Trains `adapter` on `batches`; `folder` receives checkpoint, adapter and log.jsonl."""

    def __init__(self, model, adapter, batches: Batches, settings: Settings, folder: Path):
        self.model, self.adapter, self.batches, self.settings, self.folder = model, adapter, batches, settings, folder
        self.parameters = [p for p in adapter.parameters() if p.requires_grad]
        device = self.parameters[0].device
        self.cuda = device.type == "cuda"
        self.rate = torch.tensor(settings.learning_rate, device=device)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.rate if self.cuda else settings.learning_rate, weight_decay=0.0,
            betas=(0.9, 0.98), capturable=self.cuda,
        )  # fmt: skip
        self.step = 0
        self.graphs: dict[str, tuple] = {}
        self.pool = None
        self.masks: dict[int, torch.Tensor] = {}

    def loss(self, slots: list[Slot]) -> torch.Tensor:
        """Mean cross-entropy of the learnt reply tokens of one batch of conversations."""
        backbone = self.model.backbone
        binding = Binding(self.adapter, {})
        total, count = 0.0, 0
        for slot in slots:
            binding.valid = slot.valid
            with bind(backbone, binding):
                hidden = backbone.base_model(
                    input_ids=slot.ids, attention_mask=self._causal(slot.ids.shape[1]), use_cache=False
                ).last_hidden_state
            if slot.targets is None:
                continue
            picked = hidden.gather(1, slot.positions[..., None].expand(-1, -1, hidden.shape[-1]))
            logits = backbone.get_output_embeddings()(picked).float()
            total = total + F.cross_entropy(logits.flatten(0, 1), slot.targets.flatten(), reduction="sum")
            count = count + (slot.targets >= 0).sum()
        return total / count

    def _causal(self, length: int) -> torch.Tensor:
        """[1, 1, T, T] additive causal mask. Padding is on the right, so causality hides it; a ready mask spares
        transformers' own mask code, which looks at values and cannot run inside a captured graph."""
        if length not in self.masks:
            dtype, device = self.model.backbone.dtype, self.rate.device
            full = torch.full((length, length), torch.finfo(dtype).min, dtype=dtype, device=device)
            self.masks[length] = full.triu(1)[None, None]
        return self.masks[length]

    def update(self, slots: list[Slot]) -> torch.Tensor:
        """One optimiser step; the loss as a tensor on the device."""
        loss = self.loss(slots)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        return loss.detach()

    def run(self, workers: int = 0, report_every: int = 50) -> None:
        """Train to the end. Raises TrainingError at the first non-finite loss, naming the step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        remaining = torch.utils.data.Subset(self.batches, range(self.step, self.settings.steps))
        loader = DataLoader(remaining, batch_size=None, num_workers=workers, pin_memory=self.cuda, prefetch_factor=8 if workers else None)
        losses, began = [], time.perf_counter()
        bar = tqdm(total=self.settings.steps, initial=self.step, desc="training", unit="step", mininterval=2)
        with log, bar:
            for name, slots in loader:
                self._set_rate(learning_rate(self.settings, self.step))
                losses.append(self._graphed_update(name, slots) if self.cuda else self.update(slots))
                self.step += 1
                bar.update()
                if self.step % report_every == 0 or self.step == self.settings.steps:
                    mean = torch.stack(losses).mean().item()
                    if not math.isfinite(mean):
                        raise TrainingError(
                            f"The loss became {mean} between step {self.step - len(losses)} and step {self.step}; the last good "
                            f"checkpoint is kept in {self.folder}. Try a lower learning rate than {self.settings.learning_rate}."
                        )
                    entry = {"step": self.step, "loss": round(mean, 4), "seconds": round(time.perf_counter() - began, 1)}
                    log.write(json.dumps(entry) + "\n")
                    log.flush()
                    bar.set_postfix(loss=f"{mean:.3f}")
                    losses = []
                    if self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps:
                        self.save_checkpoint()

    def _set_rate(self, rate: float) -> None:
        if self.cuda:
            self.rate.fill_(rate)
        else:
            self.optimizer.param_groups[0]["lr"] = rate

    def _graphed_update(self, name: str, slots: list[Slot]) -> torch.Tensor:
        if name not in self.graphs:
            self._capture(name, slots)
        graph, inputs, loss = self.graphs[name]
        for kept, fresh in zip(inputs, slots, strict=True):
            for destination, source in zip(kept, fresh, strict=True):
                if destination is not None:
                    destination.copy_(source, non_blocking=True)
        graph.replay()
        return loss.clone()

    def _capture(self, name: str, slots: list[Slot]) -> None:
        inputs = [slot.to(self.rate.device) for slot in slots]
        kept = [p.detach().clone() for p in self.parameters]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # warm up without learning from it
            for _ in range(2):
                self.loss(inputs).backward()
            for p in self.parameters:
                p.grad.zero_()
            if not self.optimizer.state:
                self.optimizer.step()  # zero gradients: only makes the moments
                torch._foreach_copy_(self.parameters, kept)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            loss = self.update(inputs)
        self.pool = graph.pool()
        self.graphs[name] = (graph, inputs, loss)

    def save_checkpoint(self) -> None:
        """Adapter weights, optimiser moments and step in one file, replaced atomically."""
        tensors = {f"adapter.{i}": p.detach() for i, p in enumerate(self.parameters)}
        for i, p in enumerate(self.parameters):
            state = self.optimizer.state[p]
            tensors |= {f"moment1.{i}": state["exp_avg"], f"moment2.{i}": state["exp_avg_sq"]}
        part = self.folder / "checkpoint.part"
        settings = json.dumps({"step": self.step, **asdict(self.settings)})
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, part, metadata={"training": settings})
        part.replace(self.folder / "checkpoint.safetensors")

    def resume(self) -> None:
        """Go on from the folder's checkpoint. Raises TrainingError when it was made with other settings."""
        from safetensors import safe_open

        path = self.folder / "checkpoint.safetensors"
        with safe_open(path, "pt") as file:
            stored = json.loads(file.metadata()["training"])
        step = stored.pop("step")
        changed = [f"{k} {stored.get(k)} -> {v}" for k, v in asdict(self.settings).items() if stored.get(k) != v]
        if changed:
            raise TrainingError(f"{path} was made with other settings ({', '.join(changed)}); use the same or a new folder.")
        tensors = load_file(path)
        with torch.no_grad():
            for i, p in enumerate(self.parameters):
                p.copy_(tensors[f"adapter.{i}"])
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(step), device=p.device if self.cuda else "cpu"),
                    "exp_avg": tensors[f"moment1.{i}"].to(p.device),
                    "exp_avg_sq": tensors[f"moment2.{i}"].to(p.device),
                }
        self.step = step
