"""A tiny trainable setup with the real chat format."""

import pytest

from deltamem.train.batches import Batches
from deltamem.train.episodes import Episodes
from deltamem.train.smalltalk import SmallTalk
from deltamem.train.words import Values

from .test_facts import WORDS

WIDE = {"N": 120, "T": 260, "A": 240, "Q": 400, "L": 900, "C": 900, "P": 3000}  # the tiny tokenizer spells letters


@pytest.fixture(scope="session")
def tiny(tiny_model_folder):
    from deltamem.runtime import load_model

    return load_model(str(tiny_model_folder), adapter=None, device="cpu")


@pytest.fixture()
def short_turns(monkeypatch):
    """Room for a tokenizer that spells nearly every letter."""
    from deltamem.train import batches

    monkeypatch.setattr(batches, "TOKENS", WIDE)


@pytest.fixture()
def batches(tiny, short_turns):
    episodes = Episodes(Values(WORDS, "train"), SmallTalk(), [("Hello", "Hello to you")])
    return Batches(tiny.chat, episodes, steps=8, seed=3, share=0.02)
