"""From options to a trained adapter: data, adapter, loop, record."""

import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator

from deltamem.core import HFDeltaMemConfig, checkpoint_layers, new_adapter, read_adapter, write_adapter
from deltamem.runtime import load_model

from .batches import Batches
from .checkpoint import TrainingError
from .episodes import Episodes, ordinary_prompts
from .layers import trained
from .loop import Trainer
from .lora import LoraStep, new_lora, save_lora
from .options import Options
from .paper import PaperBatches, PaperStep, read_questions
from .recall import sample
from .record import finish_record, start_record
from .replies import ordinary_pairs
from .smalltalk import SmallTalk
from .sources import read_dialogues, read_passages
from .start import started_from
from .step import ChatStep
from .words import Values, vocabulary_pieces, vocabulary_words


def adapter_config(options: Options) -> HFDeltaMemConfig:
    """The configuration of a fresh adapter."""
    return HFDeltaMemConfig(
        rank=options.rank,
        alpha=2.0 * options.rank,
        beta_bias_init=options.beta_bias,
        num_state_heads=options.states,
        memory_write_granularity=options.write,
        output_init="base_slice",
        delta_heads=tuple(options.heads),
        target_layers=options.layers,
    )


def make_adapter(options: Options, backbone):
    """A fresh adapter, or one that starts from a trained one, ready to be trained."""
    torch.manual_seed(options.seed)
    config = adapter_config(options)
    if options.start_from:
        return trained(started_from(read_adapter(options.start_from, backbone), config, backbone))
    return trained(new_adapter(backbone, config))


def make_episodes(options: Options, model) -> Episodes:
    """The conversations of a training."""
    talk = SmallTalk(options.talk)
    dialogues = read_dialogues(options.dialogues) if options.dialogues else []
    passages = read_passages(options.passages) if options.passages else []
    values = Values(vocabulary_words(model.tokenizer), "train", vocabulary_pieces(model.tokenizer))
    prompts = ordinary_prompts(random.Random(f"ordinary {options.seed}"), values, talk, options.ordinary)
    return Episodes(
        values,
        talk,
        ordinary_pairs(model.backbone, model.chat, prompts),
        options.most_facts,
        dialogues,
        passages,
        by_message=options.write != "token",
        similar=options.similar,
        worn=options.worn,
    )


def make_batches(options: Options, model, part: tuple[int, int]) -> Batches | PaperBatches:
    """What is learnt, and in which order; `part` as in `Batches`."""
    if options.recipe == "paper":
        if not options.passages:
            raise TrainingError("The recipe paper reads QASPER; give its training file as --passages.")
        return PaperBatches(
            model.chat, read_questions(options.passages), options.seed, options.batch_share, part, options.steps
        )
    begin = options.begin if options.begin is not None else float(options.start_from is not None)
    episodes = make_episodes(options, model)
    return Batches(model.chat, episodes, options.steps, options.seed, begin, options.batch_share, part)


def make_step(options: Options, model, adapter, out: Path):
    """(module from batch to loss, what saves its weights in `out`, what samples its recall or None)."""
    if options.method == "lora":
        lora = new_lora(model.backbone, sum(p.numel() for p in adapter.parameters()))
        return LoraStep(model.backbone), partial(save_lora, lora, out / "adapter"), None
    paper = options.recipe == "paper"
    if paper:
        step = PaperStep(model.backbone, adapter)
    else:
        step = ChatStep(model.backbone, adapter, options.keep, options.consistency)
    save = partial(write_adapter, adapter, out / "adapter", torch.float16, pt=False)
    return step, save, partial(sample, model, adapter, options.cases)


def train(options: Options, out: Path, resume: bool = False) -> None:
    """Train, and leave checkpoint, log.jsonl, run.json, curves.png and adapter/ in `out`. Raises DeltaMemError."""
    accelerator = Accelerator()
    # sdpa: checkpointed layers run again outside step.causal_attention, with the backend the model was loaded with.
    model = load_model(options.model, adapter=None, device=str(accelerator.device), attention="sdpa")
    adapter = make_adapter(options, model.backbone)
    batches = make_batches(options, model, (accelerator.process_index, accelerator.num_processes))
    settings = replace(options.settings, steps=len(batches))
    step, save, watch = make_step(options, model, adapter, out)
    if options.checkpoint_layers:
        checkpoint_layers(model.backbone)
        model.backbone.train()
    trainer = Trainer(step, batches, settings, out, model.backbone, accelerator, sample=watch, saved=save)
    if resume:
        trainer.resume()
    if accelerator.is_main_process:
        start_record(out, options, model, batches)
    try:
        trainer.run(options.workers, options.report_every, options.sample_every, options.minutes)
    finally:
        trainer.graphs.clear()  # NCCL ends no connection over which a graph holds a sum: the process would stay
    if accelerator.is_main_process:
        finish_record(out, trainer.step)
        print(f"The adapter is in {out / 'adapter'}.")
    accelerator.end_training()
