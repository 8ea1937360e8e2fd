"""matplotlib's SVG -> an element for an HTML page: described, themed, with tooltips."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

TIP = "tip:"  # an id that begins so is a tooltip; SVG has no better place in matplotlib
_DROPPED = ("metadata", "style")  # elements; this style would hold for the whole page
# Attributes of an inline style that the page's style sheet, or the default, says as well.
_INHERITED = ("font", "font-family", "stroke-linecap", "stroke-linejoin")
_DECIMALS = re.compile(r"-?\d+\.\d{2,}")


def for_page(text: str, label: str, roles: Mapping[str, str], text_px: int) -> str:
    """An SVG element that follows the page's colours and tells what it shows.

    Args:
        text: a whole SVG file of matplotlib, its text as text.
        label: read out by a screen reader in place of the image.
        roles: colour of each role, such as `#5a6577` of `muted`, which becomes `var(--muted)`.
        text_px: usual size of the text, which is then left to the page's style sheet.

    Returns:
        `<svg ...>...</svg>`, with the tips of `marks.tip` as titles of their marks.
    """
    root = ET.fromstring(text)
    variables = {colour: f"var(--{role})" for role, colour in roles.items()}
    _rewrite(root, variables, text_px)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return ET.tostring(root, encoding="unicode")


def _rewrite(element: ET.Element, variables: Mapping[str, str], text_px: int) -> None:
    """Shorten an element and all below it; what draws nothing goes, and groups of one."""
    element.tag = _local(element.tag)
    element.tail = None
    if element.tag != "text":
        element.text = None
    element.attrib = {
        _local(name): _short(value) if name in ("d", "x", "y") else value
        for name, value in element.attrib.items()
    }
    if "style" in element.attrib:
        element.attrib["style"] = _style(element.attrib["style"], variables, text_px)
    if element.attrib.get("transform", "").startswith("rotate(-0"):
        del element.attrib["transform"]
    children = list(element)
    element[:] = []
    for child in children:
        _rewrite(child, variables, text_px)
        if child.tag == "g" and len(child) == 1 and not child.attrib:
            child = child[0]
        if not _draws_nothing(child):
            element.append(child)
    if element.tag == "g":
        name = element.attrib.pop("id", "")
        if name.startswith(TIP):
            title = ET.Element("title")
            title.text = name.removeprefix(TIP)
            element.insert(0, title)


def _draws_nothing(element: ET.Element) -> bool:
    if element.tag in ("g", "defs"):
        return not len(element)
    return element.tag in _DROPPED or element.attrib.get("style") == "fill:none"


def _local(name: str) -> str:
    """A name without its namespace, which HTML gives by itself."""
    return name.rpartition("}")[2]


def _short(numbers: str) -> str:
    """Coordinates to a tenth of a pixel, each behind one space."""
    return " ".join(_DECIMALS.sub(lambda match: f"{float(match[0]):.1f}", numbers).split())


def _style(text: str, variables: Mapping[str, str], text_px: int) -> str:
    """An inline style with colours by role, less what the page's style sheet says."""
    pairs = [part.partition(":")[::2] for part in text.split(";")]
    properties = {name.strip(): value.strip() for name, value in pairs}
    kept = {name: variables.get(v, v) for name, v in properties.items() if name not in _INHERITED}
    size = re.search(r"(\d+)(\.\d+)?px", properties.get("font", properties.get("font-size", "")))
    kept.pop("font-size", None)
    if size and size[1] != str(text_px):
        kept["font-size"] = f"{size[1]}px"
    return ";".join(f"{name}:{value}" for name, value in kept.items() if value)
