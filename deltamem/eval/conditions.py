"""What the model is given of the past in a run: arms of a comparison, and a static LoRA beside them."""

from deltamem.compare.arms import PRESETS, Arm, with_control

LORA = Arm("lora-full", "Static LoRA + full history", memory=False, context="full")  # a peft adapter on the backbone

CONDITIONS = {
    arm.key: arm
    for arm in (
        PRESETS["base"],
        PRESETS["base-full"],
        PRESETS["base-rag"],
        LORA,
        PRESETS["memory-full"],
        PRESETS["memory"],
        PRESETS["memory-rag"],
        with_control(PRESETS["memory"], "zero"),
        with_control(PRESETS["memory"], "shuffled"),
    )
}


def writes_history(arm):
    """Whether the history has to be written before the question comes: where it is shown in full, the pass that shows
    it writes it, and a state that is emptied needs no writing."""
    return arm.memory and arm.context != "full" and arm.control != "zero"
