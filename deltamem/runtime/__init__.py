"""Models, chat encoding and sessions: `load_model` and `Session` are all most callers need.

Imported on first use: one light module of this package must not load transformers and a whole engine.
"""

from importlib import import_module

_HOME = {"load_model": "models", "Model": "models", "Session": "session"}
__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
