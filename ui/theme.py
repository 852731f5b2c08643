"""Colours, type and spacing of the page. No font or script comes from another host."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]
CSS_FILES = [Path(__file__).with_name(name) for name in ("style.css", "memory.css")]


def theme() -> gr.themes.Base:
    """Quiet greys, one accent for the memory, small radii."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=FONTS,
        font_mono=MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_shadow="none",
        block_title_text_weight="600",
        block_label_text_weight="500",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        button_large_padding="8px 14px",
        button_large_text_size="*text_md",
        button_small_text_size="*text_sm",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
    )


def launch_options() -> dict:
    """What `launch()` needs of the page's looks."""
    return {"theme": theme(), "css_paths": CSS_FILES}
