"""What docs/architecture.md shows of the code: `python -m tests.architecture` writes it anew.

It fills three blocks of the page: the imports between rooms as a diagram, a line a room, and a line
a file. `make check` fails where they are not what the code gives.
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
FLOORS = ("jobs", "pipelines", "model")
Graph = Mapping[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Every module of the three floors, by its dotted name."""
    paths = (path for floor in FLOORS for path in sorted((root / floor).rglob("*.py")))
    return {name_of(path.relative_to(root)): path for path in paths}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(root: Path) -> dict[str, set[str]]:
    """Which of our modules each one names in an import, inside functions too."""
    found = modules(root)
    return {name: set(_named(path, found)) - {name} for name, path in found.items()}


def _named(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in inner)


def layers() -> list[list[str]]:
    """The rooms from top to bottom, as import-linter holds them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (rooms,) = [c for c in settings["contracts"] if c.get("containers") == ["pipelines"]]
    return [layer.split(" | ") for layer in rooms["layers"]]


def room_of(name: str) -> str:
    """`scoring` of pipelines.scoring.run; `jobs` and `model` are a room each."""
    parts = name.split(".")
    return parts[0] if parts[0] != "pipelines" else ".".join(parts[1:2])


def between_rooms() -> dict[str, set[str]]:
    """Which rooms each room imports."""
    graph: dict[str, set[str]] = {}
    for name, named in imports(ROOT).items():
        rooms = graph.setdefault(room_of(name), set())
        rooms |= {room_of(other) for other in named} - {room_of(name)}
    return graph


def direct(graph: Graph) -> dict[str, set[str]]:
    """The same without what follows from the rest: a -> c where there are a -> b and b -> c."""
    far = {room: _reached(graph, room) for room in graph}
    return {
        room: {to for to in named if not any(to in far[by] for by in named)}
        for room, named in graph.items()
    }


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        if (room := todo.pop()) not in found:
            found.add(room)
            todo += graph[room]
    return found


def arrows() -> str:
    """The imports between rooms as a Mermaid diagram, which GitHub draws."""
    lines = ["```mermaid", "flowchart TD"]
    for room, named in direct(between_rooms()).items():
        lines += [f"    {room} --> {' & '.join(sorted(named))}"] if named else []
    return "\n".join([*lines, "```"])


def files_of_rooms() -> dict[str, list[Path]]:
    """The files of each room, from top to bottom: jobs, the layers of pipelines/, model."""
    rooms: dict[str, list[Path]] = {"jobs": []}
    rooms |= {room: [] for layer in layers() for room in layer} | {"model": []}
    for name, path in modules(ROOT).items():
        if name != "pipelines":
            rooms[room_of(name)].append(path)
    return rooms


def rooms_table() -> str:
    """A line a room."""
    lines = ["| room | what it is for | files | lines |", "|---|---|---:|---:|"]
    for room, files in files_of_rooms().items():
        sentence = sentence_of(files[0] if len(files) == 1 else _folder(room) / "__init__.py")
        count = sum(len(path.read_text().splitlines()) for path in files)
        lines.append(f"| `{_shown(room)}` | {sentence} | {len(files)} | {_rounded(count):,} |")
    return "\n".join(lines)


def _rounded(lines: int) -> int:
    """To hundreds, so that not every change of the code changes the page."""
    return round(lines, -2 if lines >= 100 else -1)


def _folder(room: str) -> Path:
    return ROOT / room if room in FLOORS else ROOT / "pipelines" / room


def _shown(room: str) -> str:
    folder = _folder(room)
    return f"{folder.relative_to(ROOT)}{'/' if folder.is_dir() else '.py'}"


def files_list() -> str:
    """A line a file, below its room."""
    lines: list[str] = []
    for room, files in files_of_rooms().items():
        named = [
            path for path in files if path.name != "__init__.py" or path.parent != _folder(room)
        ]
        if len(files) == 1:
            continue  # the line of its room says it
        lines += ["", f"**{_shown(room)}**", "", "| file | what it does |", "|---|---|"]
        for path in named:
            shown = path.relative_to(_folder(room))
            lines.append(f"| `{shown}` | {sentence_of(path)} |")
    return "\n".join(lines[1:])


def sentence_of(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def generated(text: str) -> str:
    """The page with its blocks made anew."""
    blocks = {"arrows": arrows(), "rooms": rooms_table(), "files": files_list()}
    for name, block in blocks.items():
        around = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = around.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
