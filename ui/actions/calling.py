"""What scripts may call: the stateless functions of deltamem.compare.api, under their own names, and nothing else."""

from __future__ import annotations

import functools
import inspect
import threading

import gradio as gr

from deltamem.compare.api import Api

from ..jobs import Device, drain
from .common import sentence

CALLS = ("parse_history", "answer", "recall", "state_figure")
CALL = {"concurrency_id": "call", "concurrency_limit": 2}


def wire(device: Device) -> None:
    """Offer the functions; their descriptions are their docstrings."""
    for name in CALLS:
        gr.api(_served(device, name), api_name=name, **CALL)


def _served(device: Device, name: str):
    """The function as a job on the device; what is wrong with a call is one sentence for the caller."""
    function = getattr(Api, name)
    signature = inspect.signature(function)
    own = signature.replace(parameters=list(signature.parameters.values())[1:])

    @functools.wraps(function)
    def call(*args, **kwargs):
        given = own.bind(*args, **kwargs)
        given.apply_defaults()
        try:
            return drain(device.run("call", [], threading.Event(), name, dict(given.arguments)))
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from error

    call.__signature__ = own
    call.__annotations__ = {key: hint for key, hint in function.__annotations__.items() if key != "self"}
    return call
