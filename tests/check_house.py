"""The rules of the house that no linter knows: `python -m tests.check_house`, part of `make check`.

Rules of the code: lower floors know no flags, no variable is named `model`, every folder of code is
a package, `model/` knows no file system, every import is declared in pyproject.toml. Rules of the
documents: links, paths and commands lead somewhere, and what is made from the code is current.
"""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from benchmarks import cost
from tests import architecture, document_schemas, licences

ROOT = Path(__file__).parents[1]
FLOORS = ("model", "pipelines", "jobs")
CODE = (*FLOORS, "demo", "tests", "benchmarks")
# Of Ray, of aws; a variable of CSS.
OTHER_PROGRAMS = {"--runtime-env-json", "--format", "--muted", "--address"}
# What pages name although it is not there any more: releases of before, and what tests were.
PAST = {"CHANGELOG.md", "docs/decisions/006-test-suite.md", "docs/decisions/007-rooms.md"}


def files(*folders: str) -> list[Path]:
    """Modules of folders of the checkout."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def pages() -> list[Path]:
    """All documents."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    """The path within the checkout."""
    return str(path.relative_to(ROOT))


def flags_below_jobs() -> Iterator[str]:
    """Lower floors name the field, as `shard_rows`; jobs/cli.py renders --shard-rows."""
    for path in files("model", "pipelines"):
        for flag in re.findall(r"(?<![\w(-])--[a-z][a-z-]+", path.read_text()):
            if flag not in OTHER_PROGRAMS:
                yield f"{name_of(path)}: names the flag {flag}; name the field"


def variables_named_model() -> Iterator[str]:
    """`model` is a package; a variable of that name would hide it."""
    for path in files(*FLOORS):
        for node in ast.walk(ast.parse(path.read_text())):
            is_variable = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            name = node.id if is_variable else node.arg if isinstance(node, ast.arg) else ""
            if name == "model":
                yield f"{name_of(path)}:{node.lineno}: a variable `model`; `network` or `bundle`"


def folders_without_init() -> Iterator[str]:
    """Every folder of code is a package."""
    for folder in sorted({path.parent for path in files(*CODE)}):
        if not (folder / "__init__.py").exists():
            yield f"{name_of(folder)}: no __init__.py"


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each absolute import."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def file_systems_in_model() -> Iterator[str]:
    """import-linter sees packages outside ours only as a whole, and pyarrow itself is allowed."""
    for path in files("model"):
        for line, name in imports_of(path):
            if re.match(r"pyarrow\.fs\b", name):
                yield f"{name_of(path)}:{line}: imports {name}; model/ knows no file system"


def declared() -> tuple[set[str], set[str]]:
    """Normalised names in pyproject.toml: what the product may import, and what tests may too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def names(lines: Iterable[str]) -> set[str]:
        return {normalized(re.split(r"[\[<>=~! ;]", line)[0]) for line in lines}

    product = names(project["dependencies"])
    product |= {name for extra in extras if extra != "dev" for name in names(extras[extra])}
    return product, product | names(extras["dev"])


@functools.cache
def distributions_of(top: str) -> set[str]:
    """The installed packages that a top-level module comes from, by their normalised names."""
    return {normalized(name) for name in _providers().get(top, [top])}


@functools.cache
def _providers() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def normalized(name: str) -> str:
    """As PyPI compares names of packages."""
    return re.sub(r"[-_.]+", "-", name).lower()


def undeclared_imports() -> Iterator[str]:
    """What is imported is declared: a package that another one brings may go with it."""
    product, everything = declared()
    for path in files(*CODE):
        allowed = product if path.relative_to(ROOT).parts[0] in (*FLOORS, "demo") else everything
        for line, name in imports_of(path):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in CODE:
                continue
            if not distributions_of(top) & allowed:
                yield f"{name_of(path)}:{line}: imports {top}; declare it in pyproject.toml"


def dead_links() -> Iterator[str]:
    """Links of a page to files lead somewhere."""
    for page in pages():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#\S*)?\)", page.read_text()):
            if "://" not in link and not (page.parent / link).exists():
                yield f"{name_of(page)}: the link {link} leads nowhere"


def dead_paths() -> Iterator[str]:
    """Paths that pages name, and documents that code names, are there."""
    code = r"\b(?:jobs|pipelines|model|tests|benchmarks)/[\w/]+\.py"
    for page in pages():
        if name_of(page) not in PAST and page.parent.name != "log":
            for path in sorted(set(re.findall(code, page.read_text()))):
                if not (ROOT / path).exists():
                    yield f"{name_of(page)}: {path} is not there"
    for path in files(*FLOORS, "benchmarks"):
        for document in sorted(set(re.findall(r"\bdocs/[\w/-]+\.md", path.read_text()))):
            if not (ROOT / document).exists():
                yield f"{name_of(path)}: {document} is not there"


def dead_commands() -> Iterator[str]:
    """Verbs of the Makefile and modules that pages name are there."""
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        if page.name == "CHANGELOG.md" or page.parent.name == "log":
            continue
        text = page.read_text()
        for verb in re.findall(r"`(?:[^`\n]*\$ )?make ([a-z-]+)[^`\n]*`", text):
            if verb not in verbs:
                yield f"{name_of(page)}: `make {verb}` is no verb of the Makefile"
        for module in re.findall(r"-m ((?:jobs|tests|benchmarks)\.[a-z0-9_.]+)", text):
            place = ROOT / module.rstrip(".").replace(".", "/")
            if not (place.with_suffix(".py").exists() or (place / "__main__.py").exists()):
                yield f"{name_of(page)}: `-m {module}` is no module"


def stale_tables() -> Iterator[str]:
    """What is made from the code is what the code makes now."""
    for document in document_schemas.DOCUMENTS:
        if document_schemas.generated(document.read_text()) != document.read_text():
            yield f"{name_of(document)}: stale; run `python -m tests.document_schemas`"
    text = "".join(document.read_text() for document in document_schemas.DOCUMENTS)
    for name in document_schemas.SCHEMAS:
        if f"<!-- schema:{name} -->" not in text:
            yield f"the schema {name} stands in no document"
    page = architecture.PAGE.read_text()
    if architecture.generated(page) != page:
        yield f"{name_of(architecture.PAGE)}: stale; run `python -m tests.architecture`"
    if "\n".join(cost.table()) not in (ROOT / "docs" / "scale.md").read_text():
        yield "docs/scale.md: stale; run `python -m benchmarks.cost`"
    listed = licences.DOCUMENT.read_text()
    for name, version in licences.locked().items():
        if f"| {name} | {version} |" not in listed:
            yield f"{name_of(licences.DOCUMENT)}: lacks {name}; run `python -m tests.licences`"


def untested_rows() -> Iterator[str]:
    """Each row of docs/features.md and docs/field-reports.md names tests that are there."""
    for name in ("docs/features.md", "docs/field-reports.md"):
        for line in (ROOT / name).read_text().splitlines():
            if not line.startswith("| ") or line.startswith(("| what |", "| feature |")):
                continue
            named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", line)
            if not named:
                yield f"{name}: names no test: {line[:80]}"
            for path, test in named:
                if not (ROOT / path).exists() or f"\ndef {test}(" not in (ROOT / path).read_text():
                    yield f"{name}: {path}::{test} is not there"


def broken_walks() -> Iterator[str]:
    """Of the calls that docs/architecture.md numbers, each is made by one before it."""
    parts = re.split(r"^## ", architecture.PAGE.read_text(), flags=re.MULTILINE)
    for part in parts:
        so_far = ""
        for step in re.findall(r"^\d+\. `(\S+\.py:\S+?)`", part, re.MULTILINE):
            file, _, name = step.partition(":")
            if not (ROOT / file).exists() or name not in defined(ROOT / file):
                yield f"docs/architecture.md: {step} is not there"
                continue
            called = name.removesuffix(".__call__").rpartition(".")[2]
            if so_far and not re.search(rf"\b{called}\b", so_far):
                yield f"docs/architecture.md: nothing before {step} calls it"
            so_far += (ROOT / file).read_text()


def defined(path: Path) -> set[str]:
    """Functions, and methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inner}
    return found


def benchmarks_without_pages() -> Iterator[str]:
    """Each benchmark writes to a page that is there, and `make bench` runs it."""
    (line,) = re.findall(r"^BENCHMARKS := (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    run = set(line.split())
    for path in files("benchmarks"):
        for page in re.findall(r'harness\.arguments\(__doc__, "(.+?)"\)', path.read_text()):
            name = path.parent.name if path.stem == "__main__" else path.stem
            if not (ROOT / "docs" / page).is_file():
                yield f"{name_of(path)}: writes docs/{page}, which is not there"
            if name not in run:
                yield f"{name_of(path)}: `make bench` does not run it"
            run.discard(name)
    yield from (f"Makefile: BENCHMARKS names {name}, which is none" for name in sorted(run))


def commands_that_ci_lacks() -> Iterator[str]:
    """The README's test commands are what CI runs."""
    text, steps = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for verb in ("test", "test-slow"):
        if f"make {verb}" not in text or f"step make {verb}\n" not in steps:
            yield f"`make {verb}`: README.md must name it and .ci/run must run it"


RULES: tuple[Callable[[], Iterable[str]], ...] = (
    flags_below_jobs,
    variables_named_model,
    folders_without_init,
    file_systems_in_model,
    undeclared_imports,
    dead_links,
    dead_paths,
    dead_commands,
    stale_tables,
    untested_rows,
    broken_walks,
    benchmarks_without_pages,
    commands_that_ci_lacks,
)


def main() -> None:
    """Print what breaks a rule; exit code 1 where anything does."""
    broken = [line for rule in RULES for line in rule()]
    print("\n".join(broken) or f"house: {len(RULES)} rules, all kept")
    raise SystemExit(int(bool(broken)))


if __name__ == "__main__":
    main()
