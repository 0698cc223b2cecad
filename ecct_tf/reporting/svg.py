"""A matplotlib figure as SVG that is part of a page: in its font and its colours."""

import io
import re
import xml.etree.ElementTree as ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from ecct_tf.reporting.theme import SCREEN_VARIABLES, drawing

__all__ = ["inline_svg"]

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_DROPPED_STYLES = ("font-family",)
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def inline_svg(figure: Figure, *, name: str, description: str) -> Markup:
    """The figure as one `<svg>` element for an HTML page.

    Text stays text in the page's font, colours are the CSS variables of
    `SCREEN_VARIABLES`, and no address of another host is left.

    Args:
      figure: drawn with the theme `SCREEN`, inside `drawing()`.
      name: unique on the page; its identifiers begin with it.
      description: what the figure shows, for people who do not see it.
    """
    file = io.StringIO()
    with drawing(name):
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    root = ElementTree.fromstring(file.getvalue())
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', file.getvalue()))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        _mend(element, name=name, referred=referred)
    width, height = root.get("viewBox", "0 0 0 0").split()[2:]
    root.attrib = {
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-label": description,
        "class": "chart",
    }
    # The tree was parsed and is written again: whatever text it holds is escaped.
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


def _mend(element: ElementTree.Element, *, name: str, referred: set[str]) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    if element.tag != "text":
        element.text = None
    element.tail = None
    identifier = element.attrib.pop("id", None)
    if identifier in referred:
        element.set("id", f"{name}-{identifier}")
    target = element.attrib.pop(_LINK, None)
    if target is not None:
        element.set("href", f"#{name}-{target.removeprefix('#')}")
    for key, value in list(element.attrib.items()):
        if key in ("d", "x", "y", "transform"):
            shorter = _NUMBER.sub(lambda number: f"{float(number.group()):.2f}", value)
            element.set(key, shorter.replace("\n", "").strip())
        elif key == "clip-path":
            element.set(key, value.replace("url(#", f"url(#{name}-"))
        elif key == "style":
            element.set(key, _style(value))


def _style(text: str) -> str:
    kept = []
    for declaration in text.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key and key not in _DROPPED_STYLES:
            variable = SCREEN_VARIABLES.get(value)
            kept.append(f"{key}:{f'var({variable})' if variable else value}")
    return ";".join(kept)
