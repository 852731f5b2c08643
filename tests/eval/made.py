"""Small made files in the real formats of the benchmarks."""

import csv
import json

CHAT = [
    {"role": "user", "content": "My dog is called Rex.", "date": "2023/05/20 (Sat) 02:21"},
    {"role": "assistant", "content": "A fine name.", "date": "2023/05/20 (Sat) 02:21"},
]


def locomo():
    turns = [
        {
            "speaker": "Ann",
            "dia_id": "D1:1",
            "text": 'I said "yes" to a dog.',
            "img_url": ["x"],
            "blip_caption": "a dog",
        },
        {"speaker": "Bo", "dia_id": "D1:2", "text": "What is his name?"},
    ]
    spoken = {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_10_date_time": "1:00 pm on 9 May, 2023",
        "session_10": [{"speaker": "Ann", "dia_id": "D10:1", "text": "His name is Rex."}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": turns,
    }
    qa = [
        {"question": "What is the dog called?", "answer": "Rex", "evidence": ["D10:1"], "category": 4},
        {"question": "When did Ann get a dog?", "answer": 2023, "evidence": [], "category": 2},
        {"question": "What is not told?", "adversarial_answer": "x", "evidence": [], "category": 5},
        {"question": "What does Ann like?", "answer": "dogs, the sea", "evidence": [], "category": 1},
    ]
    return [{"sample_id": "conv-1", "conversation": spoken, "qa": qa}]


def hotpotqa(count=3):
    pair = [["Rex", ["Rex is a dog.", " He likes the sea."]], ["The sea", ["The sea is blue."]]]
    return [
        {"_id": f"h{i}", "question": f"What does dog {i} like?", "answer": "the sea", "type": "bridge", "context": pair}
        for i in range(count)
    ]


def ifeval():
    return [
        {"key": 1, "prompt": "Say hello, no commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {
            "key": 2,
            "prompt": "Write two words or more, in lower case.",
            "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
            "kwargs": [{"relation": "at least", "num_words": 2, "num_highlights": None}, {"num_words": None}],
        },
    ]


def gpqa():
    return [
        {
            "Pre-Revision Question": "?",
            "Question": f"Which number is {i}?\n",
            "Correct Answer": f" {i}",
            "Incorrect Answer 1": f"{i + 1}\n",
            "Incorrect Answer 2": str(i + 2),
            "Incorrect Answer 3": str(i + 3),
            "High-level domain": "Physics",
            "Record ID": f"rec{i}",
        }
        for i in range(3)
    ]


def memory_agent_bench():
    return [
        {
            "context": "Dialogue: " + "The user likes the sea. My dog is called Rex. " * 40,
            "questions": ["What is the dog called?", "What does the user like?"],
            "answers": [["Rex", "rex the dog"], ["the sea"]],
            "metadata": {"source": "icl_banking77_5900shot_balance", "keypoints": [], "question_ids": ["1", "2"]},
        },
        {
            "context": "0. The capital of France is Rome.",
            "questions": ["What is the capital of France?"],
            "answers": [["Rome"]],
            "metadata": {"source": "factconsolidation_sh_6k", "haystack_sessions": None},
        },
    ]


def qasper():
    def answer(**given):
        empty = {"unanswerable": False, "extractive_spans": [], "yes_no": None, "free_form_answer": "", "evidence": []}
        return {"answer": empty | given, "annotation_id": "a", "worker_id": "w"}

    answers = [answer(extractive_spans=["the sea", "a dog"]), answer(free_form_answer="The sea.")]
    qas = [
        {"question": "What is studied? ", "question_id": "q1", "answers": answers},
        {"question": "Is it new?", "question_id": "q2", "answers": [answer(yes_no=False), answer(unanswerable=True)]},
    ]
    full_text = [{"section_name": "Introduction", "paragraphs": ["The sea is blue.", "It is big."]}]
    full_text.append({"section_name": None, "paragraphs": []})
    return {"1705.00001": {"title": "On the sea", "abstract": "We look at it.", "full_text": full_text, "qas": qas}}


def longmemeval():
    sessions = [[{"role": turn["role"], "content": turn["content"]} for turn in CHAT], [CHAT[0] | {"has_answer": True}]]
    return [
        {
            "question_id": "l1",
            "question_type": "single-session-user",
            "question": "What is my dog called?",
            "answer": "Rex",
            "question_date": "2023/06/01",
            "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 02:21"],
            "haystack_sessions": sessions,
        }
    ]


MAKERS = {
    "locomo": locomo,
    "hotpotqa": hotpotqa,
    "ifeval": ifeval,
    "gpqa_diamond": gpqa,
    "memory_agent_bench": memory_agent_bench,
    "qasper": qasper,
    "longmemeval": longmemeval,
}


def write(folder, task, rows=None):
    """The made file of a task (or these rows in its format); returns its path."""
    rows = MAKERS[task]() if rows is None else rows
    path = folder / f"{task}.{'csv' if task == 'gpqa_diamond' else 'json'}"
    if path.suffix == ".csv":
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(json.dumps(rows), encoding="utf-8")
    return path
