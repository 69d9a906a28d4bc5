"""Figures as SVG text for an HTML page; the same figure always gives the same bytes."""

from __future__ import annotations

import io
import json
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from keras_lr.plots._style import plain_text

# Text and axes are drawn in this colour, which `_rewrite` replaces by the page's own text colour, so that one figure
# serves a light and a dark page.
_INK = "#12161c"
_STYLE = {
    "svg.hashsalt": "keras_lr",
    "svg.fonttype": "none",
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.linewidth": 0.8,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "patch.edgecolor": _INK,
    "savefig.facecolor": "none",
}
# Reading or setting "backend" would make matplotlib choose one.
_DEFAULTS = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}
# `rc_context` is not thread-safe: a second thread would save the first one's style as the user's and restore that.
_DRAWING = threading.Lock()

_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LINK = re.compile(r'xlink:href="#([^"]+)"')
_DECIMALS = re.compile(r"-?\d+\.\d{3,}")
# Before version 3.10, matplotlib writes the font as one value, which is a style but no attribute.
_FONT = re.compile(r"(?:(?P<style>italic|oblique) )?(?:(?P<weight>\d+) )?(?P<size>[\d.]+px) ")
_XLINK = "{http://www.w3.org/1999/xlink}href"
_DROPPED_TAGS = {"metadata", "style"}
# The root element states these for all texts, so that only texts that differ need their own.
_TEXT_DEFAULTS = {"fill": "currentColor", "font-size": "10px", "text-anchor": "middle"}
_NO_EFFECT = {"stroke-dashoffset": "0"}


def figure_svg(
    draw: Callable[[Figure], object],
    *,
    title: str,
    description: str,
    prefix: str,
    width: float = 7.6,
    height: float = 3.9,
) -> str:
    """One figure as an inline `<svg>` element, with a title and a description for screen readers.

    Args:
        draw: Draws on the empty figure it is given.
        title: Short name of the figure.
        description: What the figure shows, in words.
        prefix: Starts every id in the figure; unique on the page.
        width: In inches.
        height: In inches.

    Returns:
        SVG text without `style=` attributes, which a strict content security policy would forbid.
    """
    # Even without pyplot a figure reads rcParams, which the user may have changed, so start from the defaults.
    with _DRAWING, mpl.rc_context(_DEFAULTS), mpl.rc_context(_STYLE):
        # At the resolution of an SVG and with its canvas, so that the layout is that of the file.
        figure = FigureCanvasSVG(Figure(figsize=(width, height), dpi=72, layout="constrained")).figure
        draw(figure)
        axes = _number_axes_of_curves(figure)
        stream = io.StringIO()
        with warnings.catch_warnings():
            # The browser may have the fonts that matplotlib lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            layout = figure.get_layout_engine()
            assert layout is not None
            layout.execute(figure)
            # `savefig` would draw the whole figure once more to lay it out.
            figure.set_layout_engine(None)
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        scales = [_scale(ax, width=72 * width, height=72 * height) for ax in axes]
    return _inline(stream.getvalue(), title=title, description=description, prefix=prefix, scales=scales)


def _number_axes_of_curves(figure: Figure) -> list[Axes]:
    """The axes that hold curves with a `curve_id`; each such id gets the number of its axes."""
    found: list[Axes] = []
    for ax in figure.axes:
        named = {artist: gid for artist in ax.get_children() if (gid := artist.get_gid())}
        for artist, gid in named.items():
            artist.set_gid(json.dumps(json.loads(gid) | {"axes": len(found)}))
        found += [ax] if named else []
    return found


def _scale(ax: Axes, *, width: float, height: float) -> dict[str, Any]:
    """What turns a place in the drawing into values: the box of the axes in points, and scale, limits and names."""
    box = ax.get_position()
    # Axes that share the epochs with those below them have no label of their own.
    across = next(filter(None, (other.get_xlabel() for other in (ax, *ax.get_shared_x_axes().get_siblings(ax)))), "")
    return {
        "box": [
            round(number, 2)
            for number in (box.x0 * width, (1 - box.y0) * height, box.x1 * width, (1 - box.y1) * height)
        ],
        "x": [
            across.removesuffix(" (log scale)"),
            ax.get_xscale(),
            *(float(f"{limit:.9g}") for limit in ax.get_xlim()),
        ],
        "y": [ax.get_ylabel(), ax.get_yscale(), *(float(f"{limit:.9g}") for limit in ax.get_ylim())],
    }


def _inline(svg: str, *, title: str, description: str, prefix: str, scales: list[dict[str, Any]]) -> str:
    root = ElementTree.fromstring(svg)
    referenced = dict.fromkeys([*_REFERENCE.findall(svg), *_LINK.findall(svg)])
    names = {name: f"{prefix}-{place}" for place, name in enumerate(referenced)}
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        for child in [child for child in element if child.tag.rpartition("}")[2] in _DROPPED_TAGS]:
            element.remove(child)
        element.tail = None
        if element.tag != "text":
            element.text = None
        _rewrite(element, names)
    _slim(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{prefix}-title {prefix}-desc", "stroke-linejoin": "round"}
    if scales:
        root.set("data-scales", json.dumps(scales, separators=(",", ":")))
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        label = Element(tag, {"id": f"{prefix}-{tag}"})
        label.text = plain_text(text, limit=1000)
        root.insert(position, label)
    return ElementTree.tostring(root, encoding="unicode")


def _rewrite(element: Element, names: dict[str, str]) -> None:
    """Turns `style=` into attributes and renames ids."""
    attributes = dict(element.attrib)
    for declaration in attributes.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font" and (font := _FONT.match(value)):
            attributes |= {f"font-{part}": value for part, value in font.groupdict().items() if value}
        elif name and name != "font-family":
            attributes[name] = value
    if target := attributes.pop(_XLINK, ""):
        attributes["href"] = f"#{names[target.removeprefix('#')]}"
    name = attributes.pop("id", "")
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    element.attrib.clear()
    if name in names:
        element.set("id", names[name])
    elif name.startswith("{"):
        for key, value in json.loads(name).items():
            if value != "":
                element.set(f"data-{key}", str(value))
    for name, value in attributes.items():
        value = _REFERENCE.sub(lambda match: f"url(#{names[match[1]]})", value)
        value = "currentColor" if value == _INK else value
        element.set(name, value if name == "href" else _DECIMALS.sub(_round, " ".join(value.split())))


def _round(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _slim(root: Element) -> None:
    """Removes empty groups, invisible shapes and redundant attributes."""
    shared = {element.get("id"): element for element in root.iter() if element.tag == "path" and element.get("id")}
    for element in root.iter():
        if element.tag == "use":
            _drop_overruled(element, shared.get(element.get("href", "").removeprefix("#")))
        if element.tag == "text":
            _drop_equal(element, _TEXT_DEFAULTS)
        _drop_equal(element, _NO_EFFECT)
    _drop_empty(root)
    root.attrib |= _TEXT_DEFAULTS


def _drop_overruled(use: Element, shape: Element | None) -> None:
    """Removes attributes that the referenced shape sets itself, which win over those of `<use>`."""
    for name in ("fill", "stroke", "stroke-width"):
        if shape is not None and name in shape.attrib:
            use.attrib.pop(name, None)


def _drop_equal(element: Element, values: dict[str, str]) -> None:
    for name, value in values.items():
        if element.get(name) == value:
            del element.attrib[name]


def _drop_empty(element: Element) -> None:
    children: list[Element] = []
    for child in list(element):
        _drop_empty(child)
        invisible = child.tag == "path" and child.get("fill") == "none" and child.get("stroke", "none") == "none"
        if child.tag == "g" and not child.attrib:
            children.extend(child)
        elif not invisible and not (child.tag in ("defs", "g") and not len(child)):
            children.append(child)
    element[:] = children
