"""Load a frozen backbone, its tokenizer and its δ-mem adapters: one set of weights for all sessions and arms."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import is_flash_attn_2_available

from deltamem.core.attach import hook_backbone
from deltamem.core.files import read_adapter
from deltamem.runtime.blocks import gpu_chunk
from deltamem.runtime.chat import ChatFormat
from deltamem.runtime.decoder import Decoder
from deltamem.runtime.errors import ModelError
from deltamem.runtime.places import Place, find_adapter, find_adapters, find_base, first_line
from deltamem.runtime.presets import PRESETS
from deltamem.runtime.quiet import ConsoleProgress, quiet_transformers
from deltamem.runtime.weights import check_gpu_memory, fingerprint

ATTENTION = ("sdpa", "flash_attention_2", "eager")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(eq=False)
class Model:
    """A loaded backbone with everything sessions share.

    backbone: the HF model, hooked, in eval mode, no gradients; adapters: label -> Adapter on the same device;
    adapter_places: label -> where it came from; adapter_name: label of the default adapter or None;
    source, commit: where the backbone came from (commit: resolved on the hub, or None);
    attention: backend in use; fingerprint: identifies the weights in session files; max_context: tokens.
    lock: held around every use of the backbone. decoder: lends places in its decoding batches.
    """

    backbone: torch.nn.Module
    tokenizer: object
    chat: ChatFormat
    name: str
    source: str
    commit: str | None
    device: torch.device
    dtype: torch.dtype
    attention: str
    fingerprint: str
    max_context: int
    adapters: dict = field(default_factory=dict)
    adapter_places: dict = field(default_factory=dict)
    adapter_name: str | None = None
    lock: object = field(default_factory=threading.RLock)
    decoder: Decoder = field(init=False)

    def __post_init__(self):
        self.decoder = Decoder(self)

    @property
    def chunk(self):
        """Tokens in one pass, for blocks.passes."""
        if self.device.type != "cuda":
            return None
        config = self.backbone.config.get_text_config()
        wide = 3 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size) + 8 * config.hidden_size
        memory = torch.cuda.get_device_properties(self.device).total_memory
        return gpu_chunk(memory, wide * torch.finfo(self.dtype).bits // 8)

    @property
    def adapter(self):
        """The default adapter, or None."""
        return self.adapters.get(self.adapter_name)

    def add_adapter(self, label, folder_or_id):
        """Read one more adapter under a label (None: its variant) and return it.

        Raises AdapterError, ConfigError, or ModelError when the device lacks the memory; nothing changes then.
        """
        place = folder_or_id if isinstance(folder_or_id, Place) else find_adapter(folder_or_id)
        with _fitting(f"The adapter in {place.folder}", self.device):
            adapter = read_adapter(place.folder, self.backbone)
        label = label or adapter.config.variant
        with self.lock:
            self.adapters[label] = adapter
            self.adapter_places[label] = place
            self.adapter_name = self.adapter_name or label
        return adapter


def load_model(name="demo", adapter="auto", device=None, dtype=None, attention=None, progress=None):
    """Load a backbone by preset name, hub id or folder.

    adapter: "auto" (all adapters of the preset), a preset's label such as "msw", a folder, a hub id, or None.
    device: "cuda", "cuda:1", "cpu"; default CUDA when there is one.
    dtype: "float32", "bfloat16", "float16"; default bfloat16 on CUDA, float32 on the CPU (the faster one there).
    attention: "sdpa", "flash_attention_2" or "eager"; default FlashAttention where it is installed, else SDPA.
    progress(stage, done, total): told about slow steps; default lines on stderr.
    Raises ModelError (or AdapterError) with one sentence that names the remedy.
    """
    report = progress or ConsoleProgress()
    device = _device(device)
    dtype = _dtype(dtype, device)
    attention = _attention(attention, device, dtype)
    wanted, default = find_adapters(name, adapter)  # before any download: a wrong name costs no waiting
    place = find_base(name, report)
    if progress is None:
        report.close()
    wanted = {label: find_adapter(where) for label, where in wanted.items()}
    title = PRESETS[name].title if name in PRESETS else place.source if place.commit else place.folder.name
    _check_folder(place, title, device, dtype)
    tokenizer = _load_tokenizer(place, title)
    with _fitting(title, device):
        backbone = _load_backbone(place, title, dtype, attention).to(device).eval().requires_grad_(False)
        identity = fingerprint(backbone)
    config = backbone.config.get_text_config()
    model = Model(
        backbone=backbone,
        tokenizer=tokenizer,
        chat=ChatFormat(tokenizer, _stop_ids(backbone)),
        name=title,
        source=place.source,
        commit=place.commit,
        device=device,
        dtype=dtype,
        attention=attention,
        fingerprint=identity,
        max_context=getattr(config, "max_position_embeddings", None) or 2048,
    )
    hook_backbone(backbone)
    for label, where in wanted.items():
        model.add_adapter(label, where)
    if default in model.adapters:
        model.adapter_name = default
    return model


def _device(device):
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ModelError(f'There is no device "{device}"; use cuda, cuda:<number> or cpu.') from error
    if chosen.type not in ("cuda", "cpu"):
        raise ModelError(f'The device "{device}" is not supported; use cuda, cuda:<number> or cpu.')
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise ModelError(f"The device {chosen} was asked for and PyTorch sees {count} GPUs; use device cpu.")
        chosen = torch.device("cuda", chosen.index or 0)
    return chosen


def _dtype(dtype, device):
    if dtype is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen = DTYPES.get(str(dtype).removeprefix("torch."))
    if chosen is None:
        raise ModelError(f'The dtype "{dtype}" is not supported; use {", ".join(DTYPES)}.')
    return chosen


def _attention(attention, device, dtype):
    flash = is_flash_attn_2_available()
    if attention is None:
        return "flash_attention_2" if flash and device.type == "cuda" and dtype != torch.float32 else "sdpa"
    if attention not in ATTENTION:
        raise ModelError(f'The attention backend "{attention}" is not known; use {", ".join(ATTENTION)}.')
    if attention == "flash_attention_2" and not flash:
        raise ModelError(
            "flash_attention_2 needs a CUDA GPU and the package flash-attn; install requirements-gpu.txt or use sdpa."
        )
    if attention == "flash_attention_2" and (device.type != "cuda" or dtype == torch.float32):
        raise ModelError("flash_attention_2 runs on CUDA in bfloat16 or float16 only; use sdpa.")
    return attention


def _check_folder(place, title, device, dtype):
    """Refuse, before anything slow, a folder without a model or one that does not fit the GPU."""
    if not (place.folder / "config.json").is_file():
        raise ModelError(f"{place.folder} holds no config.json; give a folder or hub id with a Hugging Face model.")
    if not any(place.folder.glob("*.safetensors")):
        raise ModelError(f"{place.folder} holds no .safetensors weights; give a model that was saved as safetensors.")
    if device.type == "cuda":
        check_gpu_memory(place.folder, title, device, dtype)


def _load_tokenizer(place, title):
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(place.folder, local_files_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise ModelError(
            f"{title} has no tokenizer that can be read in {place.folder} ({first_line(error)}); "
            "give a folder or hub id that holds config, safetensors and tokenizer."
        ) from error


@contextmanager
def _fitting(title, device):
    """Says in one sentence that the device has no memory for what the block makes."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{title} does not fit the free memory of {device}; use a smaller model or the CPU."
        ) from error


def _load_backbone(place, title, dtype, attention):
    """The backbone in the CPU's memory; every parameter comes from the files or it is refused."""
    try:
        with quiet_transformers():
            backbone, report = AutoModelForCausalLM.from_pretrained(
                place.folder,
                dtype=dtype,
                attn_implementation=attention,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # unknown architectures, damaged or misshapen files: each library has its own errors
        raise ModelError(
            f"{title} could not be loaded from {place.folder} ({first_line(error)}); "
            "check that the folder is whole and holds a causal language model."
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{title} lacks {len(missing)} of its weights in {place.folder}, {missing[0]} first; fetch it again."
        )
    return backbone


def _stop_ids(backbone):
    """Ids the model's own generation settings end an answer with."""
    found = getattr(backbone.generation_config, "eos_token_id", None)
    return [] if found is None else found if isinstance(found, list) else [found]
