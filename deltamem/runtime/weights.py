"""What can be said about weights before and after they are loaded: memory needed, and a fingerprint."""

import hashlib
import json
import struct
from math import prod

import torch

from deltamem.runtime.errors import ModelError

ESSENTIALS = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "rope_parameters",
    "tie_word_embeddings",
)
ROOM = 1.5 * 2**30  # bytes kept for the CUDA context, activations and a first stretch of KV


def count_weights(folder):
    """Numbers stored in a folder's safetensors files, read from their headers. Raises ModelError when damaged."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, 100_000_000)))
            total += sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} is not a readable safetensors file; fetch it again.") from error
    return total


def check_gpu_memory(folder, name, device, dtype):
    """Raise ModelError when the weights and some working room do not fit the free memory of a CUDA device."""
    needed = count_weights(folder) * dtype.itemsize + ROOM
    free, _ = torch.cuda.mem_get_info(device)
    if needed > free:
        raise ModelError(
            f"{name} needs about {needed / 2**30:.1f} GiB on {device} in {str(dtype).removeprefix('torch.')} and "
            f"{free / 2**30:.1f} GiB are free; close other programs on the GPU, choose a smaller model or use the CPU."
        )


def fingerprint(model):
    """SHA-256 hex of a backbone: config essentials, parameter names and shapes, and samples of its weights.

    Samples are rounded to bfloat16, so that loads of the same weights in float32 and bfloat16 agree.
    """
    config = model.config.get_text_config().to_dict()
    digest = hashlib.sha256(json.dumps({key: config.get(key) for key in ESSENTIALS}, sort_keys=True).encode())
    parameters = list(model.named_parameters())
    for name, parameter in parameters:
        digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
    step = max(1, len(parameters) // 24)
    for _, parameter in parameters[::step]:
        # From the middle: embeddings often begin with rows that training never touched.
        flat = parameter.detach().reshape(-1)
        sample = flat[flat.numel() // 2 :][:256].to(torch.bfloat16).cpu()
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
