"""The difference of two answers: after every turn, and for other columns when they are chosen."""

from __future__ import annotations

from ..panels import difference as view
from .common import DRAW, Page, excused


def wire(page: Page, changes: list) -> None:
    """Connect the events; `changes` are those after which answers have changed."""
    panel = page.difference

    @excused
    def compare(key, left, right):
        return view.draw(panel, page.registry.get(key), left, right)

    inputs = [page.key, panel.left, panel.right]
    for event in changes:
        event.then(compare, inputs, panel.outputs, **DRAW)
    for choice in (panel.left, panel.right):
        choice.input(compare, inputs, panel.outputs, **DRAW)
