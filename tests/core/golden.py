"""Access to the golden cases."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from deltamem.core.files import PICKLE_FILE, TENSOR_FILE

GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = ("qwen3_tsw", "qwen3_ssw", "qwen3_tsw_all_heads", "smollm3_msw")


def load_base(case, attention="eager", dtype=torch.float32):
    """The case's tiny backbone, in eval mode."""
    folder = GOLDENS / case / "base"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()


def load_golden(case):
    """The case's inputs and recorded outputs."""
    return load_file(GOLDENS / case / "golden.safetensors")


def adapter_folder(case):
    """The case's adapter, as published."""
    return GOLDENS / case / "adapter"


def spoil(folder, change, kind):
    """Rewrite an adapter folder's tensors, as the published kind of file ("pt") or as ours."""
    tensors = torch.load(folder / PICKLE_FILE, weights_only=True)
    change(tensors)
    if kind == "pt":
        torch.save(tensors, folder / PICKLE_FILE)
    else:
        (folder / PICKLE_FILE).unlink()
        save_file(tensors, folder / TENSOR_FILE)
