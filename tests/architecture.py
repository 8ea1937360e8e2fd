"""What docs/architecture.md shows of the code: `python -m tests.architecture` writes it anew.

It draws docs/pictures/rooms.svg from the real imports, in the layers of pyproject.toml, and fills
two blocks of docs/architecture.md: a line a room, and a line a file (`<!-- rooms -->`,
`<!-- files -->`). `make check` fails where they are not what the code gives.

`python -m tests.architecture --sizes CHECKOUT ...` prints instead how long the files and functions
of some checkouts are, and their longest chain of imports: docs/decisions/007-rooms.md.
"""

import argparse
import ast
import functools
import html
import itertools
import re
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "pictures" / "rooms.svg"
FLOORS = ("jobs", "pipelines", "model")
Graph = Mapping[str, set[str]]

BOX, LANE, GAP, HEIGHT, ROW, WIDTH = 168, 26, 34, 46, 84, 860
_WORDS = 2  # layers at the bottom that nearly all rooms import: said in words, not by arrows
_STYLE = """
  .page { fill: #ffffff } .box { fill: #eef2f7; stroke: #57606a } .floor { fill: #0969da }
  .name { fill: #1f2328; font-weight: bold } .small { fill: #57606a; font-size: 11px }
  .on-floor { fill: #ffffff; font-weight: bold } .on-floor-small { fill: #ffffff; font-size: 11px }
  .arrow { stroke: #57606a; stroke-width: 1.4; fill: none } .head { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .box { fill: #21262d; stroke: #8b949e } .floor { fill: #1158c7 }
    .name { fill: #e6edf3 } .small { fill: #9ea7b3 } .arrow { stroke: #9ea7b3 }
    .head { fill: #9ea7b3 }
  }
"""


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


def picture() -> str:
    """docs/pictures/rooms.svg."""
    rooms, graph, rows = files_of_rooms(), between_rooms(), layers()
    drawn, below = rows[:-_WORDS], rows[-_WORDS:]
    upper = {room for row in drawn for room in row}
    chains = [
        _chain(room, to, drawn)
        for room, named in direct({room: graph[room] & upper for room in upper}).items()
        for to in sorted(named)
    ]
    places = _placed(drawn, sorted(chains))
    parts = [_arrow(chain, places) for chain in sorted(chains)]
    for index, row in enumerate(drawn):
        for room in row:
            text = _count(len(rooms[room]))
            parts.append(_box(places[room, index], _top(index), BOX, room, text, ""))
    for index, row in enumerate(below, len(drawn)):
        width = (WIDTH - 2 * GAP - GAP * (len(row) - 1)) / len(row)
        for column, room in enumerate(row):
            middle = GAP + width / 2 + column * (width + GAP)
            parts.append(_box(middle, _top(index), width, room, _used(room, graph), ""))
    wide = (WIDTH / 2, WIDTH - 2 * GAP)
    text = _but("imports every room", set(rooms) - graph["jobs"] - {"jobs"})
    parts.append(_box(wide[0], _top(-1), wide[1], "jobs", text, "floor"))
    parts.append(_box(wide[0], _top(len(rows)), wide[1], "model", _used("model", graph), "floor"))
    height = _top(len(rows)) + HEIGHT + 12
    label = "The rooms of pipelines/ in layers; each imports only rooms below it."
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{label}" font-family="Helvetica, Arial, sans-serif" font-size="14">'
    )
    arrow = (
        '<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>'
    )
    back = f'<rect class="page" width="{WIDTH}" height="{height}" rx="10"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", arrow, back, *parts, "</svg>", ""])


def _top(layer: int) -> int:
    return ROW * (layer + 1) + 12


def _used(room: str, graph: Graph) -> str:
    """Who imports a room: `imported by jobs, scoring and training`, or by every room but some."""
    users = sorted(user for user, named in graph.items() if room in named)
    if len(users) <= 4:
        return f"imported by {_listed(users)}"
    above = {name for row in layers() for name in row} - {room}
    if room != "model":
        index = next(i for i, row in enumerate(layers()) if room in row)
        above = {name for row in layers()[:index] for name in row}
    return _but("imported by jobs and every room above it", above - set(users))


def _but(text: str, missing: set[str]) -> str:
    return text + (f" but {_listed(sorted(missing))}" if missing else "")


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _count(files: int) -> str:
    return f"{files} files" if files > 1 else "one file"


def _chain(start: str, end: str, rows: list[list[str]]) -> list[tuple[str, int]]:
    """The places that an arrow runs through: a room, a lane in each layer between, a room."""
    first, last = (next(i for i, row in enumerate(rows) if room in row) for room in (start, end))
    lanes = [(f"{start}>{end}", index) for index in range(first + 1, last)]
    return [(start, first), *lanes, (end, last)]


def _placed(
    rows: list[list[str]], chains: list[list[tuple[str, int]]]
) -> dict[tuple[str, int], float]:
    """The middle of each room and lane: those that are joined stand near one another."""
    order: list[list[tuple[str, int]]] = [
        [*((room, index) for room in row), *(n for c in chains for n in c[1:-1] if n[1] == index)]
        for index, row in enumerate(rows)
    ]
    joined: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for chain in chains:
        for one, other in itertools.pairwise(chain):
            joined.setdefault(one, set()).add(other)
            joined.setdefault(other, set()).add(one)
    places = {place: x for row in order for place, x in _spread(row).items()}
    for turn in range(24):
        for row in order if turn % 2 else order[::-1]:
            means = {
                place: statistics.fmean(places[other] for other in sorted(joined[place]))
                for place in row
                if place in joined
            }
            row.sort(key=lambda place: (means.get(place, places[place]), place))
            places |= _spread(row)
    return places


def _spread(row: list[tuple[str, int]]) -> dict[tuple[str, int], float]:
    widths = [LANE if ">" in name else BOX for name, _ in row]
    at = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
    found: dict[tuple[str, int], float] = {}
    for place, width in zip(row, widths, strict=True):
        found[place] = at + width / 2
        at += width + GAP
    return found


def _arrow(chain: list[tuple[str, int]], places: Mapping[tuple[str, int], float]) -> str:
    x, y = places[chain[0]], _top(chain[0][1]) + HEIGHT
    path = f"M{x:.0f} {y}"
    for place in chain[1:]:
        to, end = places[place], _top(place[1])
        half = (y + end) / 2
        path += f"C{x:.0f} {half:.0f} {to:.0f} {half:.0f} {to:.0f} {end}"
        if place != chain[-1]:
            path += f"V{end + HEIGHT}"
        x, y = to, end + HEIGHT
    return f'<path class="arrow" d="{path}" marker-end="url(#a)"/>'


def _box(middle: float, top: int, width: float, name: str, text: str, kind: str) -> str:
    on = f"on-{kind}" if kind else "name"
    small = f"on-{kind}-small" if kind else "small"
    return (
        f'<rect class="{kind or "box"}" x="{middle - width / 2:.0f}" y="{top}" '
        f'width="{width:.0f}" height="{HEIGHT}" rx="8"/>'
        f'<g text-anchor="middle"><text class="{on}" x="{middle:.0f}" y="{top + 20}">{name}</text>'
        f'<text class="{small}" x="{middle:.0f}" y="{top + 36}">{html.escape(text)}</text></g>'
    )


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
    for name, block in (("rooms", rooms_table()), ("files", files_list())):
        around = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = around.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    return text


def sizes(root: Path) -> dict[str, str]:
    """How long files and functions of a checkout are, and its longest chain of imports."""
    inner = {n: p for n, p in modules(root).items() if n.startswith("pipelines.")}
    files = [len(path.read_text().splitlines()) for path in inner.values()]
    functions = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in inner.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    graph = imports(root)
    within = {n: named & inner.keys() for n, named in graph.items() if n in inner}
    chain = longest_chain(within)
    folders = {path.parent for path in inner.values()}
    return {
        "files of `pipelines/`": f"{len(files)} in {_count_of(len(folders), 'folder')}",
        "their lines": f"{sum(files):,}",
        "lines of a file: median, 90th percentile, longest": _spread_of(files),
        "functions and methods": f"{len(functions)}",
        "lines of a function: median, 90th percentile, longest": _spread_of(functions),
        "files that import one another in a circle": f"{len(in_circles(within))}",
        "longest chain of imports within `pipelines/`": f"{len(chain)} files",
        "longest chain from a job to the end": f"{len(longest_chain(graph))} files",
        "that chain within `pipelines/`": " → ".join(n.removeprefix("pipelines.") for n in chain),
    }


def _count_of(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _spread_of(lengths: list[int]) -> str:
    ninth = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    return f"{statistics.median(lengths):.0f}, {ninth:.0f}, {max(lengths)}"


def in_circles(graph: Graph) -> set[str]:
    """Modules that import themselves by way of others."""
    return {name for name in graph if name in _reached(graph, name)}


def longest_chain(graph: Graph) -> list[str]:
    """The longest path along imports that meets no module twice; circles are left out of it."""
    circles = in_circles(graph)

    @functools.cache
    def below(name: str) -> tuple[str, ...]:
        named = sorted(graph[name] - circles)
        return (name, *max(map(below, named), key=len, default=()))

    return list(max(map(below, sorted(set(graph) - circles)), key=len, default=()))


def _print_sizes(roots: Iterable[Path]) -> None:
    columns = {root.resolve().name: sizes(root) for root in roots}
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for key in next(iter(columns.values())):
        print(f"| {key} | " + " | ".join(column[key] for column in columns.values()) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", type=Path, metavar="CHECKOUT")
    if checkouts := parser.parse_args().sizes:
        _print_sizes(checkouts)
    else:
        PICTURE.write_text(picture())
        PAGE.write_text(generated(PAGE.read_text()))
