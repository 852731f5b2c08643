"""The published recipe: a paper is read once, writes on; then, its KV dropped and writes off, a question is answered.

QASPER (https://arxiv.org/abs/2105.03011) in its published JSON; the loss is the answer's cross-entropy plus a pull of
the mean write gate towards GATE. Everything else of the recipe is in configs/paper.yaml.
"""

import random
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from deltamem.core.binding import Binding, GateSums, bind
from deltamem.core.plan import Plan, make_plan

from .batches import Slot, padded
from .checkpoint import TrainingError
from .sources import named, read_json
from .step import causal_attention, last_hidden, reply_loss

BATCH = 32
CONTEXT = 8192  # tokens of a paper that are written at most
VISIBLE = 512  # tokens of question and answer at most
GATE, GATE_WEIGHT = 0.05, 0.01


class Question(NamedTuple):
    """A question, its answer, and the paper it is about, section by section."""

    sections: tuple[str, ...]
    question: str
    answer: str


def read_questions(path: str | Path) -> list[Question]:
    """The answered questions of a QASPER file. Raises TrainingError that names the file or the paper."""
    path = Path(path)
    papers = read_json(path)
    if not isinstance(papers, dict):
        raise TrainingError(f"{path} is a {type(papers).__name__}; QASPER is an object with a paper under each key.")
    found = [
        question
        for key, paper in papers.items()
        for question in named(path, f"paper {key}", lambda paper=paper: _questions(paper))
    ]
    if not found:
        raise TrainingError(f"{path} holds no question with an answer.")
    return found


def _questions(paper: dict) -> list[Question]:
    sections = [f"{paper['title']}\n\n{paper['abstract']}"]
    sections += ["\n".join([part["section_name"] or "", *part["paragraphs"]]) for part in paper["full_text"]]
    sections = tuple(text.strip() for text in sections if text.strip())
    answers = [(qa["question"].strip(), [_answer(given["answer"]) for given in qa["answers"]]) for qa in paper["qas"]]
    chosen = [(question, next(filter(None, given), "")) for question, given in answers]
    return [Question(sections, question, answer) for question, answer in chosen if answer]


def _answer(annotated: dict) -> str:
    """One annotator's answer as text; "" when there is none."""
    if annotated["unanswerable"]:
        return "Unanswerable"
    if annotated["extractive_spans"]:
        return ", ".join(annotated["extractive_spans"])
    if annotated["free_form_answer"]:
        return annotated["free_form_answer"]
    return {True: "Yes", False: "No", None: ""}[annotated["yes_no"]]


class PaperBatches(Dataset):
    """Batch `index` of one epoch over all questions in an order drawn from `seed`: ("paper", [written, asked]).

    share, part: as in `Batches`. most: batches at most. Questions left over at the end, fewer than a batch, are left
    out.
    """

    def __init__(
        self,
        chat,
        questions: list[Question],
        seed: int,
        share: float = 1.0,
        part: tuple[int, int] = (0, 1),
        most: int | None = None,
    ):
        self.chat, self.part, self.most = chat, part, most
        self.size = max(part[1], round(share * BATCH))
        self.questions = random.Random(f"papers {seed}").sample(questions, len(questions))
        if len(questions) < self.size:
            raise TrainingError(
                f"There are {len(questions)} questions and a batch takes {self.size}; give more data or a smaller "
                f"batch_share."
            )

    def __len__(self) -> int:
        epoch = len(self.questions) // self.size
        return epoch if self.most is None else min(epoch, self.most)

    def __getitem__(self, index: int) -> tuple[str, list[Slot]]:
        rank, processes = self.part
        chosen = self.questions[index * self.size + rank : (index + 1) * self.size : processes]
        return "paper", [self._written(chosen), self._asked(chosen)]

    def _written(self, chosen: list[Question]) -> Slot:
        """The papers, a user message for each section; segment writes take one message at a time."""
        rows = []
        for question in chosen:
            ids, messages = list(self.chat.start), [-1] * len(self.chat.start)
            for number, section in enumerate(question.sections):
                ids += self.chat.message("user", section)
                messages += [number] * (len(ids) - len(messages))
                if len(ids) >= CONTEXT:
                    break
            rows.append((ids[:CONTEXT], messages[:CONTEXT]))
        ids, valid = padded([ids for ids, _ in rows])
        return Slot(ids, valid, None, None, None, messages=padded([messages for _, messages in rows])[0])

    def _asked(self, chosen: list[Question]) -> Slot:
        """Question and answer; of a long one the answer's end is cut."""
        rows, firsts = [], []
        for question in chosen:
            ids = (self.chat.message("user", question.question) + self.chat.reply_header)[: VISIBLE - 1]
            firsts.append(len(ids))
            rows.append((ids + self.chat.text(question.answer) + self.chat.reply_footer)[:VISIBLE])
        ids, valid = padded(rows)
        targets, _ = padded([row[first:] for row, first in zip(rows, firsts, strict=True)], -100)
        positions = torch.tensor(firsts)[:, None] - 1 + torch.arange(targets.shape[1])
        return Slot(ids, valid, None, positions.where(targets >= 0, 0), targets)


class PaperStep(nn.Module):
    """Mean cross-entropy of the answers, plus GATE_WEIGHT times (mean gate - GATE)², a mean over layers and rows."""

    fixed_shapes = False

    def __init__(self, backbone, adapter):
        super().__init__()
        self.adapter = adapter
        self._backbone = (backbone,)  # in a tuple: not a submodule

    def forward(self, slots: list[Slot]) -> Tensor:
        backbone, (written, asked) = self._backbone[0], slots
        binding = Binding(self.adapter, gates=GateSums())
        config, shape = self.adapter.config, tuple(written.ids.shape)
        binding.plan = make_plan(config, shape, True, written.valid, None, written.messages, None)
        with causal_attention(backbone), bind(backbone, binding):
            last_hidden(backbone, written)
            binding.plan = Plan(False, ~asked.valid[..., None])
            hidden = last_hidden(backbone, asked)
        total, count = reply_loss(backbone, hidden, asked)
        gates = torch.stack([beta.mean(dim=(1, 2)) for beta in binding.gates.means()[0].values()])
        return total / count + GATE_WEIGHT * (gates - GATE).square().mean()
