"""The published recipe: what is written, what is asked, and what the loss is made of."""

import json

import pytest
import torch

from deltamem.core import HFDeltaMemConfig, new_adapter
from deltamem.core.binding import Binding, GateSums, bind
from deltamem.train import paper as recipe
from deltamem.train.__main__ import main
from deltamem.train.checkpoint import TrainingError
from deltamem.train.layers import trained
from deltamem.train.options import Options
from deltamem.train.run import make_batches


def annotated(spans=(), free="", yes_no=None, unanswerable=False):
    return {"answer": {"unanswerable": unanswerable, "extractive_spans": list(spans), "yes_no": yes_no,
                       "free_form_answer": free, "evidence": []}}  # fmt: skip


def paper(name, *answers):
    return {
        "title": f"On {name}",
        "abstract": f"We look at {name}.",
        "full_text": [
            {"section_name": "Data", "paragraphs": [f"The {name} corpus.", "It is small."]},
            {"section_name": None, "paragraphs": ["The end."]},
        ],
        "qas": [{"question": f"Which {name}? {i}", "answers": list(given)} for i, given in enumerate(answers)],
    }


PAPERS = {
    "p1": paper("trees", [annotated(["oaks", "elms"])], [annotated(), annotated(free="Because.")]),
    "p2": paper("rivers", [annotated(yes_no=False)], [annotated(unanswerable=True)], [annotated()]),
}


@pytest.fixture()
def file(tmp_path):
    path = tmp_path / "qasper.json"
    path.write_text(json.dumps(PAPERS))
    return path


def batches_of(tiny, file, **given):
    return make_batches(Options(recipe="paper", passages=str(file), **given), tiny, (0, 1))


def test_every_kind_of_answer_is_read_and_none_is_left_out(file):
    questions = recipe.read_questions(file)
    assert [q.answer for q in questions] == ["oaks, elms", "Because.", "No", "Unanswerable"]
    assert questions[0].sections == (
        "On trees\n\nWe look at trees.",
        "Data\nThe trees corpus.\nIt is small.",
        "The end.",
    )


def test_what_is_wrong_is_named(tiny, file, tmp_path):
    with pytest.raises(TrainingError, match="--passages"):
        make_batches(Options(recipe="paper"), tiny, (0, 1))
    with pytest.raises(TrainingError, match="4 questions and a batch takes 32"):
        batches_of(tiny, file)
    for text, message in ((json.dumps({"p9": {"title": "x"}}), "paper p9"), ("{}", "no question"), ("", "not JSON"),
                          ("[]", "is a list")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(TrainingError, match=message):
            recipe.read_questions(file)


def test_a_batch_is_papers_as_messages_and_questions_with_answers(tiny, file, monkeypatch):
    monkeypatch.setattr(recipe, "CONTEXT", 90)
    batches = batches_of(tiny, file, batch_share=2 / 32)
    assert len(batches) == 2
    name, (written, asked) = batches[1]
    for row, question in enumerate(batches.questions[2:]):
        ids = tiny.chat.start + [i for text in question.sections for i in tiny.chat.message("user", text)]
        assert written.ids[row, written.valid[row]].tolist() == ids[:90]
        ends = (written.messages[row].diff() == 1).nonzero().flatten() + 1
        assert ends[0] == len(tiny.chat.start) + len(tiny.chat.message("user", question.sections[0]))
        said = asked.targets[row, asked.targets[row] >= 0].tolist()
        assert said == tiny.chat.text(question.answer) + tiny.chat.reply_footer
        assert asked.ids[row, asked.positions[row, : len(said)] + 1].tolist() == said
        prompt = tiny.chat.message("user", question.question) + tiny.chat.reply_header
        assert asked.ids[row, : len(prompt)].tolist() == prompt and asked.positions[row, 0] == len(prompt) - 1
    assert sorted(q.question for q in batches.questions) == sorted(q.question for q in recipe.read_questions(file))


def test_processes_share_a_batch(tiny, file):
    options = Options(recipe="paper", passages=str(file), batch_share=4 / 32)
    whole = make_batches(options, tiny, (0, 1))[0][1][1]
    parts = [make_batches(options, tiny, (rank, 2))[0][1][1] for rank in range(2)]
    for rank, part in enumerate(parts):
        assert torch.equal(part.trimmed().ids, whole.rows(rank, 2).trimmed().ids)


@pytest.mark.parametrize("write", ["token", "message_mean"])
def test_the_loss_is_the_answer_from_the_state_alone_and_the_gates(tiny, file, write):
    torch.manual_seed(0)
    config = HFDeltaMemConfig(rank=4, alpha=8.0, output_init="base_slice", memory_write_granularity=write)
    adapter = trained(new_adapter(tiny.backbone, config))
    slots = batches_of(tiny, file, batch_share=4 / 32)[0][1]
    written, asked = slots
    loss = recipe.PaperStep(tiny.backbone, adapter)(slots)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in adapter.parameters())
    assert adapter.layers[next(iter(adapter.layers))].memory_v_proj.grad.abs().max() > 0  # through the write pass

    total = count = 0
    with torch.no_grad():
        for row in range(4):  # row by row through the public arguments: no padding, no plan
            binding = Binding(
                adapter, gates=GateSums(), message_ids=written.messages[row : row + 1, written.valid[row]]
            )
            with bind(tiny.backbone, binding):
                tiny.backbone(input_ids=written.ids[row : row + 1, written.valid[row]], use_cache=False)
                gates = binding.gates.means()[0]
                binding.write, binding.message_ids = False, None
                logits = tiny.backbone(input_ids=asked.ids[row : row + 1, asked.valid[row]], use_cache=False).logits
            chosen = asked.targets[row] >= 0
            predicted = logits[0, asked.positions[row, chosen]].log_softmax(-1)
            total -= predicted.gather(1, asked.targets[row, chosen][:, None]).sum()
            count += chosen.sum()
            for beta in gates.values():
                loss = loss - 0.01 * (beta.mean() - 0.05) ** 2 / (4 * len(gates))
    assert loss.item() == pytest.approx((total / count).item(), rel=1e-4)


def test_the_command_trains_one_epoch(tiny_model_folder, file, tmp_path):
    out = tmp_path / "run"
    command = [
        "--config",
        "tsw",
        "paper",
        "--model",
        str(tiny_model_folder),
        "--passages",
        str(file),
        "--out",
        str(out),
    ]
    assert main([*command, "--batch-share", "0.0625", "--accumulate", "2"]) == 0
    record = json.loads((out / "run.json").read_text())
    assert record["steps_done"] == 2 and record["options"]["learning_rate"] == 2e-4
    assert (out / "curves.png").is_file() and (out / "adapter" / "delta_mem_config.json").is_file()
