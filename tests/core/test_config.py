"""The configuration reads and writes what is published, and refuses by name what it cannot honour."""

import json

import pytest

from deltamem.core import ConfigError, HFDeltaMemConfig
from deltamem.core.config import FIXED

from .golden import CASES, adapter_folder


@pytest.mark.parametrize("case", CASES)
def test_published_files_round_trip(case, tmp_path):
    config = HFDeltaMemConfig.load(adapter_folder(case))
    config.save(tmp_path)
    written = json.loads((tmp_path / "delta_mem_config.json").read_text())
    published = json.loads((adapter_folder(case) / "delta_mem_config.json").read_text())
    assert written == published
    assert HFDeltaMemConfig.load(tmp_path) == config


def test_variants():
    assert HFDeltaMemConfig().variant == "TSW"
    assert HFDeltaMemConfig(num_state_heads=4).variant == "MSW"
    assert HFDeltaMemConfig(memory_write_granularity="message_mean").variant == "SSW"
    assert HFDeltaMemConfig(memory_write_granularity="message_mean", num_state_heads=4).variant == "SSW"
    assert HFDeltaMemConfig(memory_write_granularity="sentence_mean").variant == "SSW"


def test_absent_keys_take_defaults():
    assert HFDeltaMemConfig.from_dict({"rank": 4}) == HFDeltaMemConfig(rank=4)


def test_unknown_keys_are_named():
    with pytest.raises(ConfigError, match="unknown configuration keys: flavour, rnak"):
        HFDeltaMemConfig.from_dict({"rnak": 8, "flavour": "x"})


@pytest.mark.parametrize("key", FIXED)
def test_fixed_keys_have_one_value(key):
    value = FIXED[key]
    assert HFDeltaMemConfig.from_dict({key: value}) == HFDeltaMemConfig()
    other = {bool: lambda: not value, str: lambda: "other", list: lambda: [3]}.get(type(value), lambda: value + 1)()
    with pytest.raises(ConfigError, match=f"not supported: {key} = .*only"):
        HFDeltaMemConfig.from_dict({key: other})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rank", 0, "from 1 to 256"),
        ("rank", 8.0, "must be a whole number"),
        ("rank", True, "must be a whole number"),
        ("alpha", "16", "finite number"),
        ("alpha", float("nan"), "finite number"),
        ("alpha", 10**400, "finite number up to 1,000,000"),
        ("alpha", -1e300, "finite number up to 1,000,000"),
        ("beta_bias_init", None, "finite number"),
        ("normalize_qk", 1, "must be true or false"),
        ("num_state_heads", 1000, "from 1 to 64"),
        ("state_update_mode", "mystery", "standard, lambda_outside, no_lambda"),
        ("memory_write_granularity", "word", "token, message_mean, sentence_mean"),
        ("delta_scale_parameterization", "direct", "alpha_over_rank"),
        ("delta_heads", [], "q, k, v, o"),
        ("delta_heads", ["q", "q"], "each once"),
        ("delta_heads", ["q", "x"], "q, k, v, o"),
        ("delta_heads", "qo", "must be a list of texts"),
        ("target_layers", [-1], "start at 0"),
        ("target_layers", ["1"], "must be a list of whole numbers"),
        ("target_modules", [], "self_attn"),
        ("delta_o_rmsnorm_eps", 0, "above 0"),
    ],
)
def test_values_out_of_range_are_named(key, value, message):
    with pytest.raises(ConfigError, match=f"{key}.*{message}"):
        HFDeltaMemConfig.from_dict({key: value})


@pytest.mark.parametrize(
    "key", ["rank", "alpha", "state_update_mode", "delta_heads", "target_modules", "slot_read_top_k"]
)
@pytest.mark.parametrize("value", ["x" * 10**6, [[]] * 10**5, {"a": ["b"] * 10**5}], ids=["text", "list", "dict"])
def test_messages_stay_short(key, value):
    with pytest.raises(ConfigError, match=key) as caught:
        HFDeltaMemConfig.from_dict({key: value})
    assert len(str(caught.value)) < 500


def test_names_in_messages_stay_short():
    with pytest.raises(ConfigError, match="unknown configuration keys: xxx") as caught:
        HFDeltaMemConfig.from_dict({"x" * 10**6: 1})
    assert len(str(caught.value)) < 500


def test_lists_in_lists_are_refused(tmp_path):
    """As deep as the JSON reader goes, and no error of its own in the message about them."""
    for depth in range(900, 1000, 3):
        text = '{"rank": ' + "[" * depth + "]" * depth + "}"
        (tmp_path / "delta_mem_config.json").write_text(text)
        with pytest.raises(ConfigError):
            HFDeltaMemConfig.load(tmp_path)


def test_scale_must_start_inside_its_range():
    with pytest.raises(ConfigError, match="delta_scale_init is 2.0.*between 0 and delta_scale_max"):
        HFDeltaMemConfig(trainable_delta_scale=True, delta_scale_init=2.0)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", "[" * 100_000])
def test_broken_files_are_refused(text, tmp_path):
    (tmp_path / "delta_mem_config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError):
        HFDeltaMemConfig.load(tmp_path)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="delta_mem_config.json"):
        HFDeltaMemConfig.load(tmp_path)
