"""Compare four ways to give a model its history, in code: python examples/compare_in_code.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library lies beside; needless once installed

from deltamem.compare.arms import PRESETS, start_sessions, with_control
from deltamem.compare.probes import read_probes, run_probes
from deltamem.runtime import load_model
from deltamem.transcripts import read_transcript

TRANSCRIPTS = Path(__file__).parent / "transcripts"


def main(model_name="demo"):
    model = load_model(model_name)
    history = read_transcript(TRANSCRIPTS / "boat.json").messages
    probes = read_probes(TRANSCRIPTS / "boat.probes.csv")
    memory = PRESETS["memory"]
    arms = [PRESETS["base"], PRESETS["base-rag"], memory, with_control(memory, "zero")]
    sessions = start_sessions(model, arms, history)
    results = run_probes(sessions, probes, {arm.key: arm.title for arm in arms})
    for row in results.summary():
        print(f"{row['arm']:32} {row['contains']:4.0%}  [{row['contains_low']:.0%}, {row['contains_high']:.0%}]")
    for number, question, accepted, *answers in results.table()[1]:
        print(f"\n{number}. {question} ({accepted})")
        for arm, answer in zip(arms, answers, strict=True):
            print(f"   {arm.title}: {answer}")


if __name__ == "__main__":
    main()
