"""The look of the app: a Gradio theme and one style sheet, both made from one palette.

Notable:

- Light and dark values come from `kronviz.figures.palette`; the style sheet uses them as
  ``--kv-<name>``, so that no colour is written twice.
- The font is IBM Plex from Gradio's static files, with the system's fonts as a fallback, so that no
  page requests anything from another host.
- `Theme.custom_css` holds the sheet, so it is part of ``theme.css``: cached by the browser and
  loaded before the first component is drawn.
"""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr

from kronviz.app.components import Markup, element, join
from kronviz.figures.palette import ARMS, CLASSES, MONO, NEUTRALS, SANS, SCALE

APP = Path(__file__).resolve().parent
ASSETS = APP / "assets"
_FONTS = (
    ("IBM Plex Sans", 400, "IBMPlexSans/IBMPlexSans-Regular"),
    ("IBM Plex Sans", 600, "IBMPlexSans/IBMPlexSans-Bold"),
    ("IBM Plex Mono", 400, "IBMPlexMono/IBMPlexMono-Regular"),
    ("IBM Plex Mono", 600, "IBMPlexMono/IBMPlexMono-Bold"),
)


def style_sheet() -> str:
    """Return the whole style sheet: fonts, the palette as custom properties, every ``*.css``."""
    fonts = "\n".join(
        f"@font-face {{ font-family: '{family}'; font-weight: {weight}; font-style: normal; "
        f"font-display: swap; src: url('static/fonts/{file}.woff2') format('woff2'); }}"
        for family, weight, file in _FONTS
    )
    # Plotly writes colours into a figure's elements; these rules restore the custom properties.
    repainted = "\n".join(
        f'.kv-plot [style*="{part}: {_rgb(colour.light)}"] '
        f"{{ {part}: var(--kv-{name}) !important; }}"
        for name, colour in {**NEUTRALS, **ARMS}.items()
        for part in ("stroke", "fill")
    )
    return "\n".join(
        (
            fonts,
            _palette(),
            repainted,
            *_parts("css"),
        )
    )


def first_sheet() -> str:
    """Return the part of the style sheet needed before the app has loaded, without fonts."""
    return "\n".join((_palette(), _parts("css")[0]))


def _palette() -> str:
    every = {**NEUTRALS, **ARMS, **CLASSES, **SCALE}
    light = "".join(f"--kv-{name}: {colour.light}; " for name, colour in every.items())
    dark = "".join(f"--kv-{name}: {colour.dark}; " for name, colour in every.items())
    arms = "\n".join(f'[data-arm="{arm}"] {{ --kv-arm: var(--kv-{arm}); }}' for arm in ARMS)
    type_faces = f"--kv-sans: {SANS}; --kv-mono: {MONO}; "
    return "\n".join(
        (
            f":root {{ color-scheme: light; {type_faces}{light}}}",
            f":root.dark, :root .dark {{ color-scheme: dark; {dark}}}",
            arms,
        )
    )


def _rgb(colour: str) -> str:
    """Return ``#0072B2`` in the form that browsers write: ``rgb(0, 114, 178)``."""
    return f"rgb({', '.join(str(channel) for channel in bytes.fromhex(colour[1:]))})"


def script() -> str:
    """Return the script for the loaded page, which knows the dark twin of each light colour."""
    dark = json.dumps({c.light: c.dark for c in (*NEUTRALS.values(), *ARMS.values())})
    parts = " ".join(f"({part})();" for part in _parts("js"))
    return f"() => {{ window.kronvizDark = {dark}; {parts} }}"


def _parts(kind: str) -> list[str]:
    """Return the files of a kind: first those in ``assets``, then those in the tabs' folders."""
    own = ASSETS / f"kronviz.{kind}"
    page = sorted(path for path in ASSETS.glob(f"*.{kind}") if path != own)
    tabs = sorted(APP.glob(f"tabs/*/*.{kind}"), key=lambda path: path.name)
    return [path.read_text(encoding="utf-8").strip() for path in (own, *page, *tabs)]


def head(description: str) -> Markup:
    """Return extra elements for the page's head."""
    paper = NEUTRALS["paper"]
    return join(
        [
            element("meta", name="description", content=description),
            element("meta", name="color-scheme", content="light dark"),
            element(
                "meta",
                name="theme-color",
                content=paper.light,
                media="(prefers-color-scheme: light)",
            ),
            element(
                "meta", name="theme-color", content=paper.dark, media="(prefers-color-scheme: dark)"
            ),
        ]
    )


def theme() -> gr.themes.Base:
    """Return the Gradio theme: ink on paper, no shadows, one corner radius, one spacing scale."""
    made = gr.themes.Base(
        primary_hue=gr.themes.colors.stone,
        secondary_hue=gr.themes.colors.stone,
        neutral_hue=gr.themes.colors.stone,
        spacing_size="md",
        radius_size="sm",
        text_size="md",
        font=["sans-serif"],
        font_mono=["monospace"],
    )
    made.font, made.font_mono = SANS, MONO
    values: dict[str, str] = {}

    def both(name: str, colour: str) -> None:
        values[name] = values[f"{name}_dark"] = f"var(--kv-{colour})"

    # Literal colours, because Gradio paints the empty page with them before any style sheet loads.
    for name, colour in (("body_background_fill", "paper"), ("body_text_color", "ink")):
        values[name], values[f"{name}_dark"] = NEUTRALS[colour].light, NEUTRALS[colour].dark
    both("background_fill_secondary", "paper")
    for name in ("background_fill_primary", "input_background_fill", "input_background_fill_focus"):
        both(name, "surface")
    for name in ("block_background_fill", "panel_background_fill"):
        both(name, "paper")
    for name in ("block_title_text_color", "accordion_text_color"):
        both(name, "ink")
    for name in ("body_text_color_subdued", "block_info_text_color", "block_label_text_color"):
        both(name, "muted")
    both("border_color_primary", "line")
    both("input_border_color", "edge")
    both("input_border_color_focus", "ink")
    both("color_accent_soft", "sunken")
    both("border_color_accent", "ink")
    both("slider_color", "ink")
    both("loader_color", "ink")
    both("input_placeholder_color", "muted")
    for state in ("", "_hover", "_focus", "_selected"):
        both(f"checkbox_border_color{state}", "edge")
    both("checkbox_background_color_selected", "ink")
    for state in ("", "_hover"):
        both(f"button_primary_background_fill{state}", "ink")
        both(f"button_primary_border_color{state}", "ink")
        both(f"button_primary_text_color{state}", "paper")
        both(f"button_secondary_background_fill{state}", "surface")
        both(f"button_secondary_border_color{state}", "edge")
        both(f"button_secondary_text_color{state}", "ink")
    both("link_text_color", "ink")
    for state in ("_hover", "_active", "_visited"):
        both(f"link_text_color{state}", "ink")
    made.set(
        **values,
        color_accent="var(--kv-ink)",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_radius="6px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_title_text_weight="600",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_radius="6px",
        input_shadow="none",
        input_shadow_focus="none",
        input_padding="12px",
        layout_gap="16px",
        form_gap_width="0px",
        button_large_radius="6px",
        button_medium_radius="6px",
        button_small_radius="6px",
        button_transition="none",
    )
    made.custom_css = style_sheet()
    return made
