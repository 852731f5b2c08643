"""Shared fixtures: a tiny random backbone on disk, and the demo model."""
# ruff: noqa: E402

import os

# One thread, before PyTorch is imported; programs that the tests start inherit it. Most tensors here are too small to
# share, and where cores are taken by others two threads wait for each other at every step.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton's kernels are defined: without a GPU they run interpreted
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "The memory keeps what the user said. My dog is called Rex and he likes the sea.",
    "What is the name of the dog? The name of the dog is Rex.",
    "user assistant system hello, how are you today? I am fine, thank you.",
]


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are skipped where PyTorch sees no CUDA GPU."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


def make_tokenizer(template=CHATML, special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"), bos=None, added=()):
    """A small byte-level BPE tokenizer (about 400 tokens); special[0] is padding, special[-1] ends an answer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=special[-1], pad_token=special[0]
    )
    fast.add_tokens(list(added))
    fast.chat_template = template
    return fast


def make_tiny_model(folder):
    """Write a random Llama-style backbone (4 layers, hidden 48) with a real tokenizer and a ChatML template."""
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,  # wide enough that greedy answers are not all one token
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory):
    """Folder of the tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_adapter_folder(tiny_model_folder, tmp_path_factory):
    """An untrained MSW adapter (rank 4, 2 state heads) for the tiny backbone."""
    from deltamem.core import HFDeltaMemConfig, new_adapter, write_adapter
    from deltamem.runtime import load_model

    folder = tmp_path_factory.mktemp("adapter")
    backbone = load_model(tiny_model_folder, adapter=None, device="cpu").backbone
    torch.manual_seed(1)
    write_adapter(new_adapter(backbone, HFDeltaMemConfig(rank=4, num_state_heads=2)), folder)
    return folder


@pytest.fixture(scope="session")
def demo_model():
    """The demo model with its default adapter; about 100 MB are fetched the first time."""
    from deltamem.runtime import load_model

    return load_model("demo")


@pytest.fixture
def hub_home(tmp_path, monkeypatch):
    """A home of the hub's client with no record of first downloads: that of whoever runs the tests stays as it is."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hub"))
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"
