"""Documents of a section a part, each replaced by itself, such as docs/benchmarks/faces.md."""

import re
from collections.abc import Sequence

_HEAD = """# Faces in photographs

Each part was measured by itself, on the day and the machine that its first line tells.
"""
_SECTION = re.compile(r"<!-- part: (\w+) -->\n(.*?)(?=<!-- part: |\Z)", re.DOTALL)


def with_section(
    before: str,
    order: Sequence[str],
    name: str,
    title: str,
    lines: Sequence[str],
    head: str = _HEAD,
) -> str:
    """The document with one section replaced or added.

    Args:
        before: the document, maybe empty.
        order: of all parts.
        name: of this one.
        title: of this one.
        lines: the first of them a paragraph of its own.
        head: of the document.
    """
    sections = {part: text.strip() for part, text in _SECTION.findall(before)}
    sections[name] = "\n".join([f"## {title}", "", lines[0], "", *lines[1:]])
    known = [f"<!-- part: {part} -->\n{sections[part]}\n" for part in order if part in sections]
    return "\n".join([head, *known])
