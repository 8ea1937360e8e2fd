"""What every job shares: arguments from its options, errors in the words of flags, exit codes.

The options are declared below jobs/, as dataclasses in groups (pipelines/configuration.py). Here a
field becomes a flag, a group a heading of --help, and `` `field` `` in an error becomes --field.
"""

import dataclasses
import importlib
import json
import os
import re
import shlex
import signal
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import docstring_parser
import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from model.errors import FacemillError, UsageError, describe_os_error
from pipelines import configuration, storage
from pipelines.cluster.session import quiet_libraries
from pipelines.configuration import ADVANCED, HIDDEN
from pipelines.telemetry import log
from pipelines.telemetry.phases import begin_run, phase

Options = TypeVar("Options")
HELP_ALL = "--help-all"
DRY_RUN = "dry run: nothing was started or written"
_WORDS = {int: "N", float: "NUMBER", str: "TEXT"}


def run(
    options_type: type[Options], job: Callable[[Options], None], argv: Sequence[str] | None
) -> None:
    """Parse `argv` into options and run `job`; the process ends with its exit code.

    0 is success, 2 a user's error (one sentence, no traceback), 1 a failure, of a disk or a store
    too, 130 an interrupt.
    """
    quiet_libraries()
    if sys.flags.optimize > 1:
        print(
            "error: python -OO drops docstrings, which Ray needs: use -O or none", file=sys.stderr
        )
        raise SystemExit(2)
    try:
        os.getcwd()
    except FileNotFoundError:
        print("error: the working directory was removed: change to another one", file=sys.stderr)
        raise SystemExit(2) from None
    module = sys.modules[job.__module__]
    name = (module.__spec__.name if module.__spec__ else job.__module__).rpartition(".")[2]

    def words(text: str) -> str:
        return rendered(text, options_type)

    log.reword_notes(words)
    try:
        options = parse(options_type, f"jobs.{name}", module.__doc__ or "", argv)
        begin_run(name)
        with phase("job"):
            job(options)
    except UsageError as error:
        print(f"error: {words(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    except FacemillError as error:
        print(f"failed: {words(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        # Whoever reads our lines has enough of them, as `| head -1` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        # A full disk, a store that is gone: no fault of the code, so no traceback.
        text = "what has been written is complete; fix this, then run the same command again"
        print(f"failed: {words(describe_os_error(error))}; {text}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        raise SystemExit(130) from None


def moved(argv: Sequence[str] | None, option: str, job: str) -> bool:
    """Run the job that an option of the version before has become.

    Args:
        argv: of this job.
        option: that is a job of its own now; as a switch it is dropped, with a value it stays.
        job: its name.

    Returns:
        Whether the option was there, and the other job has run.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not any(word.partition("=")[0] == option for word in words):
        return False
    log.note(f"note: {option} is now `python -m jobs.{job}`; the old name works until 0.3.0")
    module = importlib.import_module(f"jobs.{job}")
    module.main([word for word in words if word != "--card"])
    return True


def rendered(text: str, options_type: Any) -> str:
    """The text with each `` `field` `` of the options, or of another job's, as its flag."""
    text = re.sub(r"`jobs\.(\w+)\.(\w+)`", lambda m: f"`jobs.{m[1]} {flag(m[2])}`", text)
    return re.sub(
        r"`(\w+)`",
        lambda m: flag(m[1]) if m[1] in configuration.names(options_type) else m[0],
        text,
    )


def flag(name: str) -> str:
    """`--shard-rows` for `shard_rows`."""
    return f"--{name.replace('_', '-')}"


def parse(
    options_type: type[Options], program: str, text: str, argv: Sequence[str] | None
) -> Options:
    """Options from a command line, over those of --config where it is given.

    Raises:
        UsageError: the file of --config cannot be read.
        SystemExit: an argument is not legal; tyro has said so. Also after --help and --help-all.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Advanced options are always parsed, and left out of the plain help alone.
    wants_help = {"-h", "--help", HELP_ALL} & {*arguments}
    everything = not wants_help or HELP_ALL in wants_help
    arguments = ["--help" if word == HELP_ALL else word for word in arguments]
    if wants_help:
        print(f"{_wrapped(text)}\n")
    arguments, old = _without_old_names(arguments, options_type)
    given, sentences = configuration.upgraded(options_type, old)
    for sentence in sentences:
        log.note(f"note: {sentence}")
    arguments = [*_words_of(given, arguments), *arguments]
    saved = _saved(options_type, arguments)
    return tyro.cli(
        options_type,
        args=_without_redundant_switches(arguments, options_type, saved),
        prog=f"python -m {program}",
        description="",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        registry=_registry(options_type, saved, everything),
    )


def _without_old_names(argv: Sequence[str], options_type: Any) -> tuple[list[str], dict[str, Any]]:
    """The command line without options of the version before, and these by name."""
    rules = {name: rule for rule in configuration.renamed(options_type) for name in rule.old}
    left, old = list[str](), dict[str, Any]()
    words = list(argv)
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        name = name.removeprefix("--").replace("-", "_")
        rule = rules.get(name) if word.startswith("--") else None
        if rule is not None and name in rule.switches:
            old[name] = True
            continue
        value = value or (words[0] if words else "")
        if rule is None or (rule.only and value not in rule.only):
            left.append(word)
            continue
        old[name] = value
        if "=" not in word and words:
            words.pop(0)
    return left, old


def _words_of(values: dict[str, Any], argv: Sequence[str]) -> list[str]:
    """Values by name as words of a command line, but those that it gives anyway."""
    given = {word.partition("=")[0] for word in argv}
    words = list[str]()
    for name, value in values.items():
        if flag(name) not in given and value is not False:
            values_of = value if isinstance(value, list | tuple) else [value]
            words += [flag(name), *([] if value is True else map(str, values_of))]  # type: ignore[arg-type]
    return words


def _wrapped(text: str) -> str:
    """The paragraphs of a docstring, 80 columns wide."""
    return "\n\n".join(textwrap.fill(part, 80) for part in text.split("\n\n"))


def _saved(options_type: type[Options], argv: list[str]) -> dict[str, Any]:
    """What the file of --config says; {} without one."""
    at = next((i for i, word in enumerate(argv) if word.partition("=")[0] == "--config"), None)
    if at is None:
        return {}
    uri = argv[at].partition("=")[2] or (argv[at + 1] if at + 1 < len(argv) else "")
    try:
        record: Any = json.loads(storage.read_bytes(storage.normalize(uri)))
        values, _ = configuration.upgraded(options_type, record["options"])
        configuration.build(options_type, **values)
    except FileNotFoundError:
        raise UsageError(f"--config {uri} does not exist: check the path") from None
    except (ValueError, TypeError, KeyError) as error:
        file = getattr(options_type, "SAVED_IN", "file")
        raise UsageError(
            f"--config {uri} holds no options ({error!r}): give the {file} of a run "
            "of 0.2.0 or later"
        ) from None
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}  # type: ignore[arg-type]


def _without_redundant_switches(
    argv: list[str], options_type: Any, saved: dict[str, Any]
) -> list[str]:
    """The command line without switches that say what is so already, as `--no-compact`."""
    redundant = set[str]()
    for name, hint in _hints(options_type):
        if hint is bool:
            redundant.add(flag(name) if saved.get(name) else flag(f"no_{name}"))
    return [word for word in argv if word.replace("_", "-") not in redundant]


def _hints(options_type: Any) -> list[tuple[str, Any]]:
    """(name, type) of every option, groups dissolved."""
    options: list[tuple[str, Any]] = []
    hints = typing.get_type_hints(options_type)
    for field in dataclasses.fields(options_type):
        hint = hints[field.name]
        options += _hints(hint) if dataclasses.is_dataclass(hint) else [(field.name, hint)]
    return options


def _registry(root: Any, saved: dict[str, Any], everything: bool) -> ConstructorRegistry:
    """How tyro reads our options: units, defaults and texts from their declaration."""
    registry = ConstructorRegistry()

    @registry.struct_rule
    def options(info: StructTypeInfo) -> StructConstructorSpec | None:  # pyright: ignore[reportUnusedFunction]
        kind: Any = info.type
        if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
            return None
        texts = {
            p.arg_name: " ".join((p.description or "").split())
            for base in reversed(kind.__mro__)  # a text may stand where the field is inherited from
            if dataclasses.is_dataclass(base)
            for p in docstring_parser.parse_from_object(base).params
        }
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [
            _field(
                field,
                hints[field.name],
                rendered(texts.get(field.name, ""), root),
                saved,
                everything,
            )
            for field in dataclasses.fields(kind)
        ]
        if kind is root:
            fields.append(_help_all(root))
        file = getattr(kind, "SAVED_IN", None)
        if file is None:
            return StructConstructorSpec(
                instantiate=lambda help_all=False, **values: kind(**values), fields=tuple(fields)
            )
        text = f"An earlier run's {file}: its options hold where no flag says otherwise."
        hint: Any = Annotated[str | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]
        fields.append(StructFieldSpec("config", hint, None, helptext=text))

        def build(config: str | None = None, help_all: bool = False, **values: Any) -> Any:
            return kind(**values)

        return StructConstructorSpec(instantiate=build, fields=tuple(fields))

    return registry


def _help_all(root: Any) -> StructFieldSpec:
    """--help-all, which `parse` has read already."""
    more = any(ADVANCED in notes for notes in _notes(root))
    hint: Any = bool if more else tyro.conf.Suppress[bool]
    if more:
        hint = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
    return StructFieldSpec("help_all", hint, False, helptext="Show all options and exit.")


def _notes(options_type: Any) -> list[tuple[Any, ...]]:
    """What stands in Annotated beside the type of each option, groups dissolved."""
    notes = list[tuple[Any, ...]]()
    hints = typing.get_type_hints(options_type, include_extras=True)
    for field in dataclasses.fields(options_type):
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            notes += _notes(hint)
        else:
            notes.append(getattr(hint, "__metadata__", ()))
    return notes


def _field(
    field: "dataclasses.Field[Any]",
    hint: Any,
    text: str,
    saved: dict[str, Any],
    everything: bool,
) -> StructFieldSpec:
    """One option or group as tyro shall show it."""
    notes = getattr(hint, "__metadata__", ())
    plain = typing.get_args(hint)[0] if notes else hint
    default: Any = tyro.MISSING
    if field.name in saved:
        default = saved[field.name]
    elif field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if isinstance(plain, type) and dataclasses.is_dataclass(plain):
        group: Any = plain
        return StructFieldSpec(field.name, group, default, helptext=group.__doc__)
    if HIDDEN in notes or (ADVANCED in notes and not everything):
        return StructFieldSpec(field.name, tyro.conf.Suppress[plain], default)
    notes = tuple(note for note in notes if note != ADVANCED)
    words = [_WORDS[kind] for kind in typing.get_args(plain) if kind in _WORDS]
    shown: dict[str, Any] = {}
    if notes or (type(None) in typing.get_args(plain) and words):
        shown["metavar"] = notes[0] if notes else words[0]
    if default is None or default is False or default in ((), ""):
        shown["help_behavior_hint"] = ""
    offered: Any = Annotated[plain, tyro.conf.arg(**shown)]
    return StructFieldSpec(field.name, offered, default, helptext=text)


def print_table(title: str, rows: Sequence[tuple[str, object]]) -> None:
    """A two-column summary on stdout, which names flags as notes and errors do."""
    width = max(len(name) for name, _ in rows)
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<{width}}  {log.reworded(str(value))}")


def command(job: str, **options: str) -> str:
    """What to type for a job, quoted for a shell."""
    words = [word for name, value in options.items() for word in (flag(name), value)]
    return shlex.join(["python", "-m", f"jobs.{job}", *words])
