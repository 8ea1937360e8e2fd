"""Hive folders `name=value`: how values are written, and stay what they are when they are read."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc

_NULL = "__HIVE_DEFAULT_PARTITION__"
# Arrow, pandas, Polars and Spark take a level for numbers if all its values look so, and 007 is 7
# then. One folder of no rows whose value is no number keeps the others as they are written.
_TEXT = "__TEXT__"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|true|false", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"-?[1-9]\d{0,8}|0")  # read as a number it is written the same


def folder_names(name: str, values: Any) -> Any:
    """`name=value` folders, percent-escaped as Hive, Arrow, DuckDB and Polars read them."""
    encoded: Any = pc.dictionary_encode(values.fill_null(_NULL)).combine_chunks()
    names = [f"{name}={quote(str(value), safe=' ')}" for value in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(names)).cast(pa.string())


def text_folder(folders: Sequence[str], groups: Sequence[str]) -> str | None:
    """The folder of no rows that keeps values such as 007 text, or None where nothing needs it."""
    paths = [[level.partition("=") for level in folder.split("/")] for folder in folders]
    changed = False
    levels: list[str] = []
    for at, (name, _, first) in enumerate(paths[0] if paths else []):
        values = {unquote(path[at][2]) for path in paths} - {_NULL}
        is_number = name in groups and values and all(map(_NUMBER.fullmatch, values))
        as_text = is_number and not all(map(_PLAIN_NUMBER.fullmatch, values))
        changed = changed or bool(as_text)
        levels.append(f"{name}={_TEXT if as_text else first}")
    return "/".join(levels) if changed else None
