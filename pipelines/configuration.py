"""A job's options, declared once: dataclasses in groups, whose fields have one flat name space.

A field's name is the same on the command line, in a saved configuration (`"shard_rows": 512`) and
in the text of an error (`` `shard_rows` ``), whatever group it is in.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from model.errors import UsageError

HIDDEN = "hidden"  # in Annotated: for tests and engines, not offered on the command line
Options = TypeVar("Options")


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
        value = values[name]
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
