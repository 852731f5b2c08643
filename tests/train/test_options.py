"""Configuration files and the command line."""

from dataclasses import fields

import pytest

from deltamem.core import new_adapter
from deltamem.train.checkpoint import TrainingError
from deltamem.train.options import CONFIGS, Options, parse, read_options
from deltamem.train.run import adapter_config
from tests.core.tiny import make_model

BACKBONES = ("smollm2-135m", "smollm3-3b", "qwen3-4b", "qwen3-8b")


@pytest.mark.parametrize("variant", ["tsw", "ssw", "msw"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_goes_with_every_variant(backbone, variant):
    options = read_options([backbone, variant], {})
    config = adapter_config(options)
    assert config.variant == variant.upper() and config.rank == 8
    # A small model of the same architecture family takes the adapter.
    family = "qwen3" if backbone.startswith("qwen3") else "llama"
    assert len(new_adapter(make_model(family), config).layers) == 3


def test_later_files_and_the_command_line_win(tmp_path):
    (tmp_path / "mine.yaml").write_text("learning_rate: 1\nstates: 2\n")
    run, options = parse(["--config", "smollm2-135m", "msw", str(tmp_path / "mine.yaml"), "--out", "x", "--states", "3",
                          "--checkpoint-layers", "--layers", "1", "2"])  # fmt: skip
    assert (options.learning_rate, options.states, options.checkpoint_layers) == (1.0, 3, True)
    assert options.layers == (1, 2) and str(run.out) == "x" and not run.resume


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(TrainingError, match="there are: .*msw"):
        read_options(["absent"], {})
    for text, message in (("- a", "must be keys"), ("speed: 3", "Unknown training options: speed"),
                          ("steps: many", "steps is 'many'"), ("a: [", "cannot be read")):  # fmt: skip
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(TrainingError, match=message):
            read_options([str(tmp_path / "bad.yaml")], {})


def test_every_configuration_is_read():
    for path in CONFIGS.glob("*.yaml"):
        if not path.stem.startswith("accelerate"):
            assert isinstance(read_options([path.stem], {}), Options)


def test_help_says_what_every_option_is(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(key.metadata["about"] in said for key in fields(Options))
