"""The integrity badge: when a page opens, and after every step."""

from __future__ import annotations

import gradio as gr

from ..integrity import Checks
from ..jobs import Device
from ..panels.integrity import badge
from .common import CHECK, Page, excused


def wire(page: Page, device: Device, opened, changes: list, badge_html: gr.HTML) -> None:
    """Connect the events. opened: after it a page has its workspace. changes: after them memories have changed."""
    checks = Checks(device)

    @excused
    def check(key):
        return badge(checks.of(page.registry.get(key)))

    for event in [opened, *changes]:
        event.then(check, page.key, badge_html, **CHECK)
