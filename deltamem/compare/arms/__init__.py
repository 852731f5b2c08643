"""Arms: the columns of a comparison. Each is one way to give a model its history.

arm = PRESETS["memory"]                                    a preset
arm = make_arm(memory=True, context="rag", adapter="TSW")  made by hand, its title written from its settings
arm = parse_arm("memory:adapter=TSW,strength=0.5")         from a command line
session = start_session(model, arm, history)               made, told the history, put under the arm's control
"""

from .arm import PRESETS, Arm, make_arm, spans, with_control
from .start import make_session, start_session, start_sessions
from .text import parse_arm, parse_arms, parse_layers

__all__ = [
    "PRESETS",
    "Arm",
    "make_arm",
    "make_session",
    "parse_arm",
    "parse_arms",
    "parse_layers",
    "spans",
    "start_session",
    "start_sessions",
    "with_control",
]
