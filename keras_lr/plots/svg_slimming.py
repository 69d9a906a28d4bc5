"""Leaves out of an SVG what changes nothing in the picture; about half of matplotlib's text is that."""

from __future__ import annotations

from xml.etree.ElementTree import Element

# Said once, on the root, for all letters; what is no letter says its own.
_LETTERS = {"fill": "currentColor", "font-size": "10px", "text-anchor": "middle"}
_NO_EFFECT = {"stroke-dashoffset": "0"}


def slim(root: Element) -> None:
    """Removes groups that say nothing, shapes that paint nothing, and attributes that are said already."""
    shared = {element.get("id"): element for element in root.iter() if element.tag == "path" and element.get("id")}
    for element in root.iter():
        if element.tag == "use":
            _drop_overruled(element, shared.get(element.get("href", "").removeprefix("#")))
        if element.tag == "text":
            _drop_equal(element, _LETTERS)
        _drop_equal(element, _NO_EFFECT)
    _drop_empty(root)
    root.attrib |= _LETTERS


def _drop_overruled(use: Element, shape: Element | None) -> None:
    """A shape's own attribute wins over that of the `<use>` which shows it."""
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
        unseen = child.tag == "path" and child.get("fill") == "none" and child.get("stroke", "none") == "none"
        if child.tag == "g" and not child.attrib:
            children.extend(child)
        elif not unseen and not (child.tag in ("defs", "g") and not len(child)):
            children.append(child)
    element[:] = children
