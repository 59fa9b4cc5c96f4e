"""From a matplotlib figure to an SVG in a page: its colours come from the page, its ids clash with nobody's."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASS = "fc-"
"""What begins with this in an artist's gid becomes a class of the page's style sheet."""

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COLOUR = re.compile(r"(?:fill|stroke): [^;]*;? ?")
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and printed sharply
    "svg.hashsalt": "fedchain",  # ids are the same each time
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: widths are the same everywhere
}
_lock = threading.Lock()
"""matplotlib's settings are global."""

ElementTree.register_namespace("", _SVG)


def drawn(figure: Figure, key: str, title: str, description: str, titles: Mapping[str, str]) -> str:
    """An `<svg>` element.

    Args:
        figure: with gids on its artists: `fc-` and class names, and one more word that `titles` has, if any.
        key: of the picture in its page; ids begin with it.
        title, description: read aloud instead of the picture.
        titles: gid to what is shown when somebody points at it.
    """
    import matplotlib

    out = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with _lock, matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]  # its type lists every key of every release
        figure.savefig(out, format="svg", transparent=True, metadata=metadata)
    root = ElementTree.fromstring(out.getvalue())
    _clean(root, key, titles)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-description")
    for at, (name, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{_SVG}}}{name}", id=f"{key}-{'title' if name == 'title' else 'description'}")
        element.text = text
        root.insert(at, element)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(root: ElementTree.Element, key: str, titles: Mapping[str, str]) -> None:
    """Keep only ids that something refers to, each of them this picture's own; gids become classes and titles."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for shape in root.findall(f".//{{{_SVG}}}defs/{{{_SVG}}}path"):  # a marker's: its colours are those of its uses
        shape.set("style", _COLOUR.sub("", shape.get("style", "")))
    used = set()
    for element in root.iter():
        for value in element.attrib.values():
            used.update(_REFERENCE.findall(value))
        if element.get(_XLINK, "").startswith("#"):
            used.add(element.get(_XLINK, "")[1:])
    for element in root.iter():
        own = element.attrib.pop("id", "")
        if own in used:
            element.set("id", f"{key}-{own}")
        elif own.startswith(CLASS):
            element.set("class", own.removeprefix(CLASS).partition(" @")[0])
        if own in titles:
            told = ElementTree.Element(f"{{{_SVG}}}title")
            told.text = titles[own]
            element.insert(0, told)
        for name, value in list(element.attrib.items()):
            if name == _XLINK and value.startswith("#"):
                del element.attrib[name]
                element.set("href", f"#{key}-{value[1:]}")
            elif "url(#" in value:
                element.set(name, _REFERENCE.sub(rf"url(#{key}-\1)", value))
