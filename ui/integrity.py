"""Findings on whether the memory does what it should: once for each adapter, and after every step of every column."""

from __future__ import annotations

import threading

from deltamem.compare.integrity import Findings, check_turn

from .jobs import Device, drain
from .workspace import Workspace

Found = dict[str, Findings]  # what was looked at -> what was found


class Checks:
    """The findings on a loaded model and its adapters, each made once and shared by all pages."""

    def __init__(self, device: Device):
        self.device, self.model = device, device.model
        self._found: Found = {}
        self._lock = threading.Lock()

    def of(self, workspace: Workspace) -> Found:
        """Findings on the adapters in use and on every shown column's last step."""
        found = {}
        labels = dict.fromkeys(column.session.adapter for column in workspace.memories.values())
        for label in labels or [self.model.adapter_name]:
            found[f"{self.model.name} with {label}"] = self._adapter(label)
        for column in workspace.arms.values():
            if column.session.stats()["turns"] or column.session.history:
                found[column.now.title] = check_turn(column.session)
        return found

    def _adapter(self, label: str) -> Findings:
        with self._lock:
            if label not in self._found:
                self._found[label] = drain(self.device.run("check", [], threading.Event(), label))
            return self._found[label]
