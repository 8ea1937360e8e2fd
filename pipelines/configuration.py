"""A job's options, declared once: dataclasses in groups, whose fields have one flat name space.

A field's name is the same on the command line, in a saved configuration (`"shard_rows": 512`) and
in the text of an error (`` `shard_rows` ``), whatever group it is in.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from model.errors import UsageError

ADVANCED = "advanced"  # in Annotated: left out of the short help
HIDDEN = "hidden"  # in Annotated: not offered on the command line, only in a saved configuration
Options = TypeVar("Options")


@dataclasses.dataclass(frozen=True)
class Renamed:
    """Options of the version before that have another name or are one option now.

    Attributes:
        old: their names.
        new: the option that stands for them.
        value: old values by name -> the new value; None: the old value stays.
        switches: those of `old` that are given without a value on the command line.
        only: where an option keeps its name, the values of it that have another name now.
    """

    old: tuple[str, ...]
    new: str
    value: Callable[..., Any] | None = None
    switches: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()


def renamed(kind: Any) -> tuple[Renamed, ...]:
    """What was renamed in options of a kind: its `RENAMED` and those of its groups."""
    found: list[Renamed] = list(getattr(kind, "RENAMED", ()))
    for field in dataclasses.fields(kind):
        if _is_group(field.default_factory):
            found += renamed(field.default_factory)
    return tuple(found)


def upgraded(kind: Any, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values by names of now, where some have names of the version before.

    Args:
        kind: of the options.
        values: by name.

    Returns:
        The values, and a sentence for each name that was replaced.
    """
    result, sentences = dict(values), list[str]()
    for rule in renamed(kind):
        names = [n for n in rule.old if n in result and (not rule.only or result[n] in rule.only)]
        old = {name: result.pop(name) for name in names}
        if old:
            result.setdefault(rule.new, rule.value(**old) if rule.value else old[names[0]])
            words = " ".join(f"--{n.replace('_', '-')}" + _shown(v) for n, v in old.items())
            now = f"`{rule.new}`{_shown(result[rule.new])}"
            sentences.append(f"{words} is now {now}; the old name works until 0.3.0")
    return result, sentences


def _shown(value: Any) -> str:
    if value is True:
        return ""
    return f" {' '.join(value)}" if isinstance(value, list) else f" {value}"  # type: ignore[arg-type]


def flat(options: Any) -> dict[str, Any]:
    """Every option by its name, groups dissolved, in the order of declaration."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        values |= flat(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return values


def build(kind: type[Options], **values: Any) -> Options:
    """Options of a kind, from values by name; the others have their defaults.

    Raises:
        UsageError: a name is none of its options.
    """
    unknown = sorted(set(values) - set(names(kind)))
    if unknown:
        raise UsageError(
            f"{kind.__name__} has no option {', '.join(unknown)}: it has {', '.join(names(kind))}"
        )
    return _built(kind, values)


def changed(options: Options, **values: Any) -> Options:
    """The options with some values changed, by name."""
    return build(type(options), **{**flat(options), **values})


def names(kind: Any) -> tuple[str, ...]:
    """The names of all options of a kind."""
    return tuple(
        name
        for field in dataclasses.fields(kind)
        for name in (
            names(field.default_factory) if _is_group(field.default_factory) else (field.name,)
        )
    )


def to_json(options: Any) -> dict[str, Any]:
    """What was chosen, ready for JSON: the options that differ from their defaults, by name."""
    usual = dict(_defaults(type(options)))
    return {
        name: list(value) if isinstance(value, tuple) else value  # type: ignore[arg-type]
        for name, value in flat(options).items()
        if name not in usual or value != usual[name]
    }


def with_places(options: Options, place: Callable[[str], str], *uris: str) -> Options:
    """The options with every URI among them put through `place`, by the names of their fields."""
    values = flat(options)
    placed: dict[str, Any] = {}
    for name in uris:
        value = values.get(name)
        if isinstance(value, tuple):
            placed[name] = tuple(map(place, value))  # type: ignore[arg-type]
        elif value:
            placed[name] = place(value)
    return changed(options, **placed)


def _defaults(kind: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(kind):
        if _is_group(field.default_factory):
            yield from _defaults(field.default_factory)
        elif field.default is not dataclasses.MISSING:
            yield field.name, field.default


def _built(kind: Any, values: Mapping[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if _is_group(field.default_factory):
            arguments[field.name] = _built(field.default_factory, values)
        elif field.name in values:
            value = values[field.name]
            arguments[field.name] = tuple(value) if isinstance(value, list) else value  # type: ignore[arg-type]
    return kind(**arguments)


def _is_group(factory: Any) -> bool:
    return isinstance(factory, type) and dataclasses.is_dataclass(factory)
