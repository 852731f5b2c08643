"""The training loop: a frozen backbone, an adapter in float32, conversations written turn after turn.

On a GPU the whole step (passes, loss, gradients, clipping, AdamW) is captured once per batch layout as a CUDA graph:
with passes of a few thousand tokens, launching kernels would otherwise cost more than running them.
"""

import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from deltamem.core.binding import Binding, bind

from .batches import Batches, Slot
from .checkpoint import Settings, TrainingError, load_checkpoint, save_checkpoint


def learning_rate(settings: Settings, step: int) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then a cosine to zero."""
    warm = max(1, int(settings.warmup * settings.steps))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, settings.steps - warm)))


def fuse(backbone) -> None:
    """Compile the parts of the backbone that are many small kernels and carry no hooks: norms and MLPs."""
    torch._dynamo.config.recompile_limit = 64  # one for each shape of the batch layouts
    for module in backbone.modules():
        if type(module).__name__.endswith(("RMSNorm", "MLP")):
            module.compile(dynamic=False)


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
        if self.cuda:
            fuse(model.backbone)
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

    def resume(self) -> None:
        """Go on from the folder's checkpoint. Raises TrainingError when it does not fit."""
        self.step = load_checkpoint(self.folder, self.settings, self.parameters, self.optimizer)

    def run(self, workers: int = 0, report_every: int = 50) -> None:
        """Train to the end. Raises TrainingError at a non-finite loss, naming the steps."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remaining = Subset(self.batches, range(self.step, self.settings.steps))
        ahead = {"num_workers": workers, "prefetch_factor": 8} if workers else {}
        loader = DataLoader(remaining, batch_size=None, pin_memory=self.cuda, **ahead)
        losses, began = [], time.perf_counter()
        bar = tqdm(total=self.settings.steps, initial=self.step, desc="training", unit="step", mininterval=2)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log, bar:
            for name, slots in loader:
                self._set_rate(learning_rate(self.settings, self.step))
                if self.cuda:
                    losses.append(self._graphed_update(name, slots))
                else:
                    losses.append(self.update([slot.trimmed() for slot in slots]))
                self.step += 1
                bar.update()
                last = self.step == self.settings.steps
                saving = last or self.step % self.settings.checkpoint_every == 0
                if saving or self.step % report_every == 0:
                    loss = self._mean(losses)
                    entry = {
                        "step": self.step,
                        "loss": round(loss, 4),
                        "seconds": round(time.perf_counter() - began, 1),
                    }
                    log.write(json.dumps(entry) + "\n")
                    log.flush()
                    bar.set_postfix(loss=f"{loss:.3f}")
                    losses = []
                if saving:
                    save_checkpoint(self.folder, self.step, self.settings, self.parameters, self.optimizer)

    def _mean(self, losses: list[torch.Tensor]) -> float:
        loss = torch.stack(losses).mean().item()
        if math.isfinite(loss):
            return loss
        raise TrainingError(
            f"The loss became {loss} between step {self.step - len(losses)} and step {self.step}; the last good "
            f"checkpoint is kept in {self.folder}. Try a lower learning rate than {self.settings.learning_rate}."
        )

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
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # warm up without learning from it
            for _ in range(2):
                self.loss(inputs).backward()
            for p in self.parameters:
                p.grad.zero_()
            if not self.optimizer.state:
                self.optimizer.step()  # with zero gradients: makes the moments, moves no weight
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            loss = self.update(inputs)
        self.pool = graph.pool()
        self.graphs[name] = (graph, inputs, loss)
