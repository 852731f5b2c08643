"""A static LoRA on the backbone for the length of a run."""

import importlib.util
from contextlib import contextmanager
from pathlib import Path

from .errors import EvalError


@contextmanager
def lora_on(model, folder):
    """The backbone with the peft adapter of `folder` inside the block, as it was after it. None: nothing to do."""
    if folder is None:
        yield
        return
    from peft import PeftModel

    try:
        wrapped = PeftModel.from_pretrained(model.backbone, str(folder)).eval()
    except Exception as error:  # a damaged file, another model's adapter: peft, torch and safetensors raise their own
        said = str(error).strip().splitlines()[0][:200].rstrip(".")
        raise EvalError(f"The LoRA in {folder} does not fit this model ({said}); give one made for it.") from error
    try:
        yield
    finally:
        wrapped.unload()


def check_lora(folder):
    """Raise EvalError when the package or the adapter is not there: before the model is loaded."""
    if importlib.util.find_spec("peft") is None:
        raise EvalError("A LoRA condition needs the package peft; pip install -r deltamem/eval/requirements.txt.")
    if not (Path(folder) / "adapter_config.json").is_file():
        raise EvalError(f"{folder} holds no adapter_config.json; give --lora the folder of a peft adapter.")
