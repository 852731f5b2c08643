"""Real dialogues and passages: read in their published forms, a bad row is named."""

import gzip
import json
import random

import pytest

from deltamem.train.checkpoint import TrainingError
from deltamem.train.sources import (
    SLOT_QUESTION_TEST,
    SLOT_QUESTIONS,
    article_titles,
    blank,
    read_dialogues,
    read_passages,
)

DIALOGUE = {
    "dialogue_id": "1",
    "services": ["RentalCars_1"],
    "turns": [
        {"speaker": "USER", "utterance": "A car in Anaheim, please."},
        {"speaker": "SYSTEM", "utterance": "From when?"},
        {"speaker": "USER", "utterance": "From March 6th."},
        {"speaker": "SYSTEM", "utterance": "Done."},
    ],
    "final_slot_values": {
        "RentalCars_1": {"pickup_city": ["Anaheim"], "pickup_date": ["6th of March", "March 6th"], "add": ["True"]}
    },
}
QASPER = {
    "p1": {
        "title": "T",
        "qas": [
            {
                "question": "Which corpus?",
                "answers": [{"answer": {"extractive_spans": ["the PTB"], "evidence": ["We use the PTB."]}}],
            },
            {"question": "Why?", "answers": [{"answer": {"extractive_spans": [], "evidence": ["We use the PTB."]}}]},
        ],
    }
}
SQUAD = {
    "data": [
        {
            "title": "A",
            "paragraphs": [
                {
                    "context": "The tower is 80 m high.",
                    "qas": [
                        {"question": "How high?", "answers": [{"text": "80 m"}]},
                        {"question": "How old?", "answers": []},
                    ],
                }
            ],
        }
    ]
}


def write(path, text):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("name", ["sgd.jsonl", "sgd.jsonl.gz"])
def test_slots_become_questions_with_the_form_that_was_said(tmp_path, name):
    (document,) = read_dialogues(write(tmp_path / name, json.dumps(DIALOGUE) + "\n\n"))
    assert document.exchanges[1] == ("From March 6th.", "Done.")
    answers = dict(zip([wordings[0] for wordings, _ in document.questions], ["Anaheim", "March 6th"], strict=True))
    assert answers == {"What is the pickup city?": "Anaheim", "What is the pickup date?": "March 6th"}
    assert any("rental car" in text for text in document.questions[0][0])


def test_the_published_form_gives_the_same(tmp_path):
    """Published turns carry frames; the last state of a service counts."""
    slots = DIALOGUE["final_slot_values"]["RentalCars_1"]
    states = [{}, None, {"pickup_city": ["Reno"]}, None, slots, None]
    turns = [
        {
            "utterance": text,
            "frames": [{"service": "RentalCars_1"} | ({"state": {"slot_values": state}} if state else {})],
        }
        for text, state in zip(
            [turn["utterance"] for turn in DIALOGUE["turns"]] + ["Thanks.", "Bye."], states, strict=True
        )
    ]
    for name in ("dialogues_001.json", "dialogues_002.json", "schema.json"):
        write(
            tmp_path / name, json.dumps([{"dialogue_id": "1", "turns": turns}] if "dialogues" in name else ["schema"])
        )
    ours = read_dialogues(write(tmp_path / "slim.jsonl", json.dumps(DIALOGUE)))[0]
    published = read_dialogues(tmp_path)
    assert [document.questions for document in published] == [ours.questions] * 2
    assert read_dialogues(tmp_path / "dialogues_001.json")[0].exchanges[0] == ours.exchanges[0]


def test_the_test_wording_is_not_a_training_wording(tmp_path):
    (document,) = read_dialogues(write(tmp_path / "d.jsonl", json.dumps(DIALOGUE)), test=True)
    assert document.questions[0][0] == ("Which pickup city did I ask for?",)
    assert SLOT_QUESTION_TEST not in SLOT_QUESTIONS


@pytest.mark.parametrize("data", [QASPER, SQUAD])
def test_passages_hold_their_answers(tmp_path, data):
    (document,) = read_passages(write(tmp_path / "p.json", json.dumps(data)))
    ((wordings, answer),) = document.questions
    assert answer in document.exchanges[0][0] and len(wordings) == 1


def test_bad_files_are_named(tmp_path):
    broken = write(tmp_path / "d.jsonl", json.dumps(DIALOGUE) + "\n" + json.dumps({"turns": []}))
    with pytest.raises(TrainingError, match=r"d\.jsonl, line 2"):
        read_dialogues(broken)
    with pytest.raises(TrainingError, match=r"line 1"):
        read_dialogues(write(tmp_path / "n.jsonl", "not json"))
    for read in (read_dialogues, read_passages):
        with pytest.raises(TrainingError, match="cannot be read"):
            read(tmp_path / "absent.json")
    with pytest.raises(TrainingError, match="holds no dialogue"):
        read_dialogues(write(tmp_path / "empty.jsonl", ""))
    with pytest.raises(TrainingError, match="not JSON"):
        read_passages(write(tmp_path / "empty.json", ""))
    with pytest.raises(TrainingError, match="paper p2"):
        read_passages(write(tmp_path / "q.json", json.dumps({"p2": {"qas": [{}]}})))
    with pytest.raises(TrainingError, match="no passage"):
        read_passages(write(tmp_path / "none.json", json.dumps({"data": []})))


def test_articles_that_were_trained_on_are_left_out(tmp_path):
    write(tmp_path / "a.json", json.dumps(SQUAD))
    write(tmp_path / "b.json", json.dumps({"data": [{**SQUAD["data"][0], "title": "B"}]}))
    assert len(read_passages(tmp_path)) == 2
    assert len(read_passages(tmp_path, without=article_titles(tmp_path / "b.json"))) == 1
    assert article_titles(None) == frozenset()


def test_a_gap_is_filled_with_what_the_text_says():
    rng, text = random.Random(0), "it rained. In 1887 the tower of Gustave Eiffel was begun in Paris by two men."
    found = [pair for pair in (blank(rng, text) for _ in range(60)) if pair]
    assert {answer for _, answer in found} == {"1887", "Gustave Eiffel", "Paris"}
    for (question,), answer in found:
        assert answer not in question
        assert question.removeprefix("Fill in the gap: ").replace("___", answer) in text
    assert blank(rng, "nothing of the kind.") is None
