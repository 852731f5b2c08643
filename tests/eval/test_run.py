"""Every task from its file to its table on a tiny real model, and what each condition lets the model know."""

import json
import re
from unittest.mock import ANY

import pytest
import torch

from deltamem.eval import evaluation, prompts, run
from deltamem.eval.__main__ import main
from deltamem.eval.conditions import CONDITIONS
from deltamem.eval.data import local_rows
from deltamem.eval.errors import EvalError
from deltamem.eval.prompts import Prompts, clip
from deltamem.eval.protocol import read_protocol
from deltamem.eval.records import read_run
from deltamem.eval.run import Runner
from deltamem.eval.tasks import TASKS, ifeval, recall
from deltamem.runtime import Session
from tests.train.test_facts import WORDS

from . import made
from .conftest import answers

CONDITIONS_HERE = [key for key in CONDITIONS if key != "lora-full"]


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Short answers, words for recall, and a stand-in for IFEval's heavy checkers (the real ones: test_ifeval.py)."""
    monkeypatch.setattr(ifeval, "check_packages", lambda: None)
    monkeypatch.setattr(
        ifeval,
        "score",
        lambda item, answer: (
            answer,
            dict.fromkeys(["prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"], (0.5, 2)),
        ),
    )
    monkeypatch.setattr(recall, "vocabulary_words", lambda tokenizer: WORDS)
    monkeypatch.setattr(
        prompts.Prompts,
        "new_tokens",
        lambda self, item, tokens: min(8, self.protocol.new_tokens(item), self.room - tokens),
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_task_from_its_file_to_its_table(evaluate, adapter_folders, tmp_path, task):
    if task == "locomo":
        pytest.importorskip("nltk")
    conditions = CONDITIONS_HERE if task == "hotpotqa" else ["base-full", "memory", "memory-rag"]
    settings = ["--adapter", str(adapter_folders["TSW"]), "--condition", *conditions]
    code, out, err = evaluate(task, *settings, *(["--limit", "4"] if task == "recall" else []))
    assert code == 0, err
    assert read_protocol(task).title in out and "95% bootstrap" in out and "written tokens" in out
    assert (tmp_path / "out/summary.md").read_text() in out and (tmp_path / "out/summary.png").stat().st_size > 5000
    files = sorted((tmp_path / "out").glob("*.jsonl"))
    assert len(files) == len(conditions)
    for path in files:
        header, records = read_run(path)
        assert header["questions"] == len(records) and header["model_fingerprint"] and header["data_hash"]
        for record in records.values():
            assert set(record["scores"]) == set(read_protocol(task).metrics)
            assert record["prompt_tokens"] > 0 and record["seconds"] > 0 and len(record["prompt_sha256"]) == 64
            assert (record["written_tokens"] > 0) == CONDITIONS[header["condition"]].memory


@pytest.mark.parametrize("label", ["TSW", "MSW", "SSW"])
@pytest.mark.parametrize("condition", ["memory", "memory-full", "base-full"])
def test_a_chat_is_answered_like_a_session_that_has_seen_it(model, tmp_path, label, condition):
    chosen = CONDITIONS[condition]
    (conversation,) = TASKS["longmemeval"].read(local_rows(made.write(tmp_path, "longmemeval")))
    protocol = read_protocol("longmemeval")
    session = Session(model, memory=chosen.memory, context=chosen.context, adapter=label)
    session.preload(conversation.messages)
    question = protocol.prompt_alone.replace("{question}", conversation.items[0].question)
    expected = session.ask(question, max_new_tokens=8)
    runner = Runner(model, TASKS["longmemeval"], protocol, chosen, label if chosen.memory else None)
    ((record,),) = runner.records([(conversation, [(0, conversation.items[0])])], set())
    assert record["answer"] == expected
    last = session.stats()["last"]
    assert record["prompt_tokens"] == last["prompt_tokens"]
    if label != "SSW":  # a session also writes the answer's end, and segments when the answer is whole
        shown = len(model.chat.reply_footer) + last["new_tokens"]
        assert record["written_tokens"] == (session.stats()["written_tokens"] - shown if chosen.memory else 0)


@pytest.mark.parametrize("label", ["MSW", "SSW"])
def test_batches_and_shared_prefixes_change_nothing(evaluate, adapter_folders, tmp_path, label):
    rows = made.memory_agent_bench()
    settings = ["--adapter", str(adapter_folders[label]), "--condition", "memory", "memory-full", "--no-scores"]
    evaluate("memory_agent_bench", *settings, "--batch", "1", "--out", str(tmp_path / "one"), rows=rows)
    evaluate("memory_agent_bench", *settings, "--batch", "8", "--out", str(tmp_path / "many"), rows=rows)
    alone = [{**row, "questions": row["questions"][:1], "answers": row["answers"][:1]} for row in rows]
    evaluate("memory_agent_bench", *settings, "--out", str(tmp_path / "alone"), rows=alone)  # no prefix to share
    for path in sorted((tmp_path / "one").glob("*.jsonl")):
        assert answers(path) == answers(tmp_path / "many" / path.name)
        assert answers(tmp_path / "alone" / path.name).items() <= answers(path).items()
        hashes = {key: r["prompt_sha256"] for key, r in read_run(path)[1].items()}
        same = {key: r["prompt_sha256"] for key, r in read_run(tmp_path / "alone" / path.name)[1].items()}
        assert same.items() <= hashes.items()  # however the prompt was cut up for sharing


def test_processes_answer_like_one_and_keep_conversations_together(evaluate, adapter_folders, tmp_path, monkeypatch):
    settings = ["--adapter", str(adapter_folders["TSW"]), "--condition", "memory", "--no-scores"]
    evaluate("memory_agent_bench", *settings, "--out", str(tmp_path / "one"))
    monkeypatch.setattr("accelerate.PartialState.wait_for_everyone", lambda self: None)
    written, real = [], run.write_rows
    monkeypatch.setattr(
        run,
        "write_rows",
        lambda model, adapter, texts, *rest: written.append(len(texts)) or real(model, adapter, texts, *rest),
    )
    for rank in (1, 0):  # the first process joins their files
        monkeypatch.setattr(evaluation, "_process", lambda device, rank=rank: (rank, 2, device))
        assert evaluate("memory_agent_bench", *settings)[0] == 0
    name = "memory_agent_bench.memory.TSW.jsonl"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert answers(tmp_path / "out" / name) == answers(tmp_path / "one" / name)
    assert sum(written) <= len(made.memory_agent_bench()) + 1  # one stretch ends and the next begins in a conversation


def test_accelerates_cpu_switch_is_told_to_start_one_process(monkeypatch, capsys):
    for name, value in {"ACCELERATE_USE_CPU": "True", "MASTER_PORT": "29500"}.items():  # as its launcher leaves them
        monkeypatch.setenv(name, value)
    assert evaluation._process("cpu") == (0, 1, "cpu")
    assert "--multi_gpu in place of --cpu" in capsys.readouterr().err


def test_a_batch_too_large_for_the_device_is_done_in_parts(evaluate, adapter_folders, tmp_path, monkeypatch):
    settings = ["--adapter", str(adapter_folders["TSW"]), "--condition", "base", "memory", "--no-scores"]
    evaluate("hotpotqa", *settings, "--out", str(tmp_path / "whole"))
    real = run.answer_rows, run.write_rows

    def answered_in_little_room(backbone, chat, prompts, *rest):
        if len(prompts) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real[0](backbone, chat, prompts, *rest)

    def written_in_little_room(model, adapter, histories, rows, *rest):
        if rows > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        rest[0](0, 100)  # a first pass may write nothing
        return real[1](model, adapter, histories, rows, *rest)

    monkeypatch.setattr(run, "answer_rows", answered_in_little_room)
    monkeypatch.setattr(run, "write_rows", written_in_little_room)
    room = 1
    code, _, err = evaluate("hotpotqa", *settings)
    assert code == 0
    for name in ("hotpotqa.base.jsonl", "hotpotqa.memory.TSW.jsonl"):
        assert answers(tmp_path / "out" / name) == answers(tmp_path / "whole" / name)
    assert re.search(r"tokens of histories written, \d+ s left", err)  # while nothing is answered yet
    room = 0
    for condition in ("base-full", "memory"):
        code, _, err = evaluate("hotpotqa", *settings[:2], "--condition", condition, "--out", str(tmp_path / "full"))
        assert code == 1 and "error: The device ran out of memory in hotpotqa, " in err


def test_what_does_not_fit_is_cut_by_the_protocol_and_counted(model, tmp_path, evaluate):
    rows = made.memory_agent_bench()[:1]
    rows[0]["context"] = "first words. " + "The user likes the sea. " * 2000 + " last words"
    (conversation,) = TASKS["memory_agent_bench"].read(local_rows(made.write(tmp_path, "memory_agent_bench", rows)))
    coder = Prompts(model, read_protocol("memory_agent_bench"), CONDITIONS["base-full"])
    blocks, cut = coder.shared(conversation)
    text = model.chat.decode([i for b in blocks for i in b.ids])
    assert cut and "first words" in text and text.endswith("last words")
    lengths = [sum(map(len, blocks)) + len(coder.question(conversation, item, 1)[0]) for item in conversation.items]
    assert max(lengths) + 20 == model.max_context  # all the room but what the answer may need
    code, out, _ = evaluate("memory_agent_bench", "--condition", "base-full", "base", rows=rows)
    cells = {line.split(" | ")[0]: line.split(" | ") for line in out.splitlines() if line.count("|") == 9}
    assert cells["| Base + full history"][6] == "2" and cells["| Base"][6] == "0"


def test_chats_are_cut_at_whole_messages(model):
    from deltamem.eval.items import Conversation, Item

    messages = [{"role": "user", "content": f"Number {i}: " + "the sea " * 100} for i in range(60)]
    conversation = Conversation("x", messages, [Item("x", "Who?", ["Rex"])])
    blocks, cut = Prompts(model, read_protocol("longmemeval"), CONDITIONS["base-full"]).shared(conversation)
    assert cut and 0 < len(blocks) < 60
    assert blocks[-1].ids == model.chat.message("user", messages[-1]["content"])


def test_clip():
    assert clip(list(range(9)), 9, "middle") == list(range(9))
    assert clip(list(range(9)), 6, "middle") == [0, 1, 5, 6, 7, 8]
    assert clip(list(range(9)), 4, "recent") == [5, 6, 7, 8]
    assert clip(list(range(9)), 4, "start") == [0, 1, 2, 3]
    assert clip([1], 0, "recent") == clip([1], -3, "middle") == []


def test_a_message_in_two_parts_reads_like_one(model, tmp_path):
    (conversation,) = TASKS["locomo"].read(local_rows(made.write(tmp_path, "locomo")))
    protocol = read_protocol("locomo")
    coder = Prompts(model, protocol, CONDITIONS["base-full"])
    blocks, _ = coder.shared(conversation)
    own, _ = coder.question(conversation, conversation.items[1], sum(map(len, blocks)))
    text = model.tokenizer.decode([i for b in [*blocks, own] for i in b.ids])
    opening = protocol.opening.replace("{speaker_a}", "Ann").replace("{speaker_b}", "Bo")
    history = "\n\n".join([opening, *(m["content"] for m in conversation.messages)])
    asked = "When did Ann get a dog? Use the DATE of the CONVERSATION to answer with an approximate date."
    message = protocol.prompt.replace("{history}", history).replace("{question}", asked)
    assert text == f"<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n"


def test_retrieved_passages_stand_in_the_prompt_and_stay_out_of_the_memory(model, tmp_path):
    (conversation, *_) = TASKS["hotpotqa"].read(local_rows(made.write(tmp_path, "hotpotqa")))
    coder = Prompts(model, read_protocol("hotpotqa"), CONDITIONS["memory-rag"])
    prompt, _ = coder.question(conversation, conversation.items[0], 0)
    text = model.chat.decode(prompt.ids)
    assert "He likes the sea." in text and "What does dog 0 like?" in text
    quiet = model.chat.decode([i for i, write in zip(prompt.ids, prompt.write, strict=True) if not write])
    assert "He likes the sea." in quiet and "What does dog 0 like?" not in quiet


def test_controls_change_what_the_state_says(evaluate, adapter_folders, tmp_path):
    settings = ["--adapter", str(adapter_folders["MSW"]), "--condition", "memory", "memory-zero", "memory-shuffled"]
    evaluate("hotpotqa", *settings, "--no-scores")
    said = [answers(tmp_path / f"out/hotpotqa.{key}.MSW.jsonl") for key in settings[3:]]
    assert said[0] != said[1] and said[0] != said[2] and said[1] != said[2]


def test_a_static_lora_answers_and_leaves_the_backbone_as_it_was(evaluate, tiny_model_folder, tmp_path, model):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    backbone = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(backbone, config).save_pretrained(tmp_path / "lora")
    settings = ["--condition", "lora-full", "base-full", "--lora", str(tmp_path / "lora")]
    code, _, err = evaluate("hotpotqa", *settings, "--no-scores")
    assert code == 0, err
    evaluate("hotpotqa", "--condition", "base-full", "--no-scores", "--out", str(tmp_path / "plain"))
    assert answers(tmp_path / "out/hotpotqa.base-full.jsonl") == answers(tmp_path / "plain/hotpotqa.base-full.jsonl")
    assert answers(tmp_path / "out/hotpotqa.lora-full.jsonl") != answers(tmp_path / "out/hotpotqa.base-full.jsonl")
    code, _, err = evaluate("hotpotqa", "--condition", "lora-full", "--lora", str(tmp_path))
    assert code == 1 and "holds no adapter_config.json" in err
    code, _, err = evaluate("hotpotqa", "--condition", "lora-full")
    assert code == 1 and "give its folder with --lora" in err


def test_wrong_settings_are_one_sentence(evaluate, tiny_adapter_folder, tmp_path):
    for name in ("--limit", "--conversations", "--batch"):
        assert f"error: {name} is 0; give a number from 1" in evaluate("hotpotqa", name, "0")[2]
    assert "has no adapter of its own" in evaluate("hotpotqa", "--condition", "memory")[2]
    missing = evaluate("hotpotqa", "--model", str(tmp_path / "missing"), "--condition", "base", rows=[])[2]
    assert "The data of hotpotqa hold no questions" in missing  # told before the model is looked for
    rows = made.hotpotqa() + made.hotpotqa(1)
    assert 'two questions of the id "h0"' in evaluate("hotpotqa", "--condition", "base", rows=rows)[2]
    evaluate("hotpotqa", "--condition", "base", "--no-scores")
    said = evaluate("hotpotqa", "--condition", "base", "--seed", "1")[2]
    assert "was made with another seed (0, now 1); give another folder with --out" in said
    assert said.strip().count("\n") == 0 or "error:" in said.strip().splitlines()[-1]


def test_records_can_be_read_by_others(evaluate, tmp_path):
    evaluate("hotpotqa", "--condition", "base", "--limit", "2")
    header, *items = [json.loads(line) for line in (tmp_path / "out/hotpotqa.base.jsonl").read_text().splitlines()]
    assert header["kind"] == "run" and header["asked"] == "of 3, drawn at random"
    assert [item["kind"] for item in items] == ["item"] * 2 and all(item["gold"] == ["the sea"] for item in items)


def test_answers_are_scored_later_where_the_scorers_are(evaluate, tmp_path, capsys, monkeypatch):
    def absent(*_):
        raise EvalError("The package is missing.")

    real = ifeval.score
    monkeypatch.setattr(ifeval, "check_packages", absent)
    monkeypatch.setattr(ifeval, "score", absent)
    assert evaluate("ifeval", "--condition", "base")[0] == 1
    assert evaluate("ifeval", "--condition", "base", "--no-scores") == (0, "", ANY)
    path = str(tmp_path / "out/ifeval.base.jsonl")
    assert main(["--compare", path, "--out", str(tmp_path)]) == 1  # here neither
    monkeypatch.setattr(ifeval, "score", real)
    assert main(["--compare", path, "--out", str(tmp_path)]) == 0
    assert " | 2 | 50.0 [50.0, 50.0] |" in capsys.readouterr().out
