"""Labels that lie beside their pictures: columns of the same table, or files of the same key.

Files as WebDataset has them: `000123.jpg` with `000123.json` (an object with age, gender, …),
`000123.age.txt`, `000123.gender.cls`, or one `000123.txt` with a gender or an age. The key is the
name up to its first dot. Codes of a Hugging Face ClassLabel are read by the names in its schema.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from model.errors import ManifestError
from pipelines import storage
from pipelines.manifests.labels import utkface
from pipelines.manifests.labels.names import GENDER_WORDS
from pipelines.manifests.labels.table import COLUMNS, LabelRows, checked, plain_names
from pipelines.storage import pixel_tables
from pipelines.storage.parquet_rows import columns_of, open_parquet
from pipelines.storage.text_tables import texts_of

SUFFIXES = (".json", ".cls", ".txt")
MOST_BYTES = 64 << 10  # a label is short; a file that is longer is something else
_KEY = re.compile(r"^((?:.*[/#])?)([^/#.]*)\.([^/#]*)$", re.DOTALL)
_SHARE = 0.5  # of the pictures: with fewer labels beside them, they are not what labels them


def is_label_file(uri: str, size: int | None) -> bool:
    """Whether a file may hold the label of a picture beside it."""
    return uri.lower().endswith(SUFFIXES) and 0 < (size or 0) <= MOST_BYTES


def are_beside(rows: pd.DataFrame) -> bool:
    """Whether half of the pictures or more have a label beside them.

    Args:
        rows: listed files, with the texts of label files in `beside`.
    """
    pictures = rows[rows["stage"] != "list"]["uri"]
    named = _named_rows(rows)["path"]
    in_files = sum(
        int((pictures.map(storage.file_of) == file).sum())
        for file, names in _tables(pictures)
        if {"age", "gender"} & {name.strip().lower() for name in names}
    )
    return 0 < _SHARE * len(pictures) <= named.nunique() + in_files


def read_beside(
    rows: pd.DataFrame, split_column: str | None, gender_codes: Mapping[str, str]
) -> LabelRows:
    """What lies beside the pictures, as `read_labels` gives what a file says.

    Args:
        rows: listed files, with the texts of label files in `beside`.
        split_column: column that says train, val or test, or None.
        gender_codes: what numbers of genders mean.

    Raises:
        ManifestError: there is nothing, or it holds what it must not.
    """
    frames = [*_columns(rows, split_column, gender_codes), _named_rows(rows)]
    frame = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
    if frame.empty:
        raise ManifestError(
            "`label_format` sidecar: there is no column age or gender, and no image has a .json, "
            ".txt or .cls of its name; give `labels`, or another `label_format`"
        )
    frame = _with_values(frame, gender_codes)
    return checked(frame, "beside", split_column, gender_codes, decimal_comma=False)


def _tables(uris: pd.Series) -> Iterator[tuple[str, list[str]]]:
    """(file, names of its columns) of each table whose rows are pictures."""
    files = uris[[storage.is_row(uri) for uri in uris]].map(storage.file_of)
    for file in files.unique():
        if pixel_tables.is_pixel_table(file):
            yield file, pixel_tables.header_of(file)
            continue
        with open_parquet(file) as parquet:
            yield file, list(parquet.schema_arrow.names)


def _columns(
    rows: pd.DataFrame, split_column: str | None, gender_codes: Mapping[str, str]
) -> Iterator[pd.DataFrame]:
    """The label columns of each table, all rows."""
    for file, every in _tables(rows["uri"]):
        table = None
        if pixel_tables.is_pixel_table(file):
            table = pixel_tables.labels_of(file)
            table = table if gender_codes else utkface.of_kaggle(table)
            every = list(table.columns)
        names = {column: name for column, name in plain_names(every).items() if name != "path"}
        if not names:
            continue
        if split_column in every:
            names[split_column] = split_column
        if table is None:
            table = _parquet_columns(file, tuple(names))
        frame = pd.DataFrame({"path": [f"{file}#{row}" for row in range(len(table))]})
        for column, name in names.items():
            frame[name] = texts_of(table[column])
        yield frame


def _parquet_columns(file: str, names: tuple[str, ...]) -> pd.DataFrame:
    """Columns of a Parquet file, the numbers of a ClassLabel as their names."""
    with open_parquet(file) as parquet:
        classes = _class_names(parquet.schema_arrow)
    table = columns_of(file, None, names)
    columns_of.cache_clear()
    frame = pd.DataFrame(index=range(table.num_rows))
    for name in names:
        values: pd.Series = table[name].to_pandas()
        frame[name] = values.map(dict(enumerate(classes[name]))) if name in classes else values
    return frame


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """What the numbers of each ClassLabel mean, as Hugging Face's `datasets` writes it."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {n: f["names"] for n, f in said.items() if f.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _named_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a picture with label files of its key; what is not told yet stands in `value`."""
    files = rows[rows["beside"].notna()]
    said: dict[str, dict[str, str]] = {}
    for uri, text in zip(files["uri"], files["beside"], strict=True):
        key, extension = _key(uri)
        said.setdefault(key, {}).update(_said(extension, text))
    pictures: Any = rows[rows["stage"] != "list"]["uri"] if said else []
    found = [{**said[key], "": uri} for uri in pictures if said.get(key := _key(uri)[0])]
    frame = pd.DataFrame(found, columns=None if found else [""], dtype=object).fillna("")
    names = {column: name for column, name in plain_names(frame.columns).items() if name != "path"}
    return frame.drop(columns="path", errors="ignore").rename(columns={**names, "": "path"})


def _key(uri: str) -> tuple[str, str]:
    match = _KEY.match(uri)
    return (match[1] + match[2], match[3].lower()) if match else (uri, "")


def _said(extension: str, text: str) -> dict[str, str]:
    """The columns that one file stands for."""
    *field, kind = extension.split(".")
    if kind == "json":
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(values, dict):
            return {}
        plain = {str(k).strip().lower(): v for k, v in values.items()}
        return {k: str(v) for k, v in plain.items() if v is not None and not isinstance(v, dict)}
    name = field[-1] if field and field[-1] in COLUMNS else f"value_{kind}"
    return {name: text.strip()}


def _with_values(frame: pd.DataFrame, gender_codes: Mapping[str, str]) -> pd.DataFrame:
    """What a plain .txt or .cls says as the column that it means.

    Raises:
        ManifestError: a .cls holds numbers that nothing says the meaning of.
    """
    for column in ("value_txt", "value_cls"):
        if column not in frame:
            continue
        values = frame.pop(column).fillna("")
        is_gender = values.str.lower().isin([*GENDER_WORDS, *gender_codes])
        number = values[values.str.fullmatch(r"\d+") & ~is_gender]
        if column == "value_cls" and len(number):
            raise ManifestError(
                f"`label_format` sidecar: .cls files hold codes such as {number.iloc[0]} without a "
                "meaning: give `gender_codes`, or name the files .age.cls or .race.cls"
            )
        for name, mask in (("gender", is_gender), ("age", ~is_gender)):
            if (mask & (values != "")).any():
                before = frame[name] if name in frame else pd.Series("", index=frame.index)
                frame[name] = before.where(~mask | (values == ""), values)
    return frame
