"""The two ways in which a data set says its labels: in the paths of its pictures, or in files."""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import pandas as pd

from model.errors import ManifestError
from pipelines.manifests.labels.telling import Told
from pipelines.storage.text_tables import read_text_table

_NO_CODES: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """A file of labels: its uri, its base name and its bytes."""

    uri: str
    name: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class InNames:
    """A data set whose pictures say their labels by their paths.

    Attributes:
        title: as its publishers call it.
        form: of a path, for messages.
        pattern: of a path's end, with the group `age` and maybe `gender`.
        codes: what the texts of `gender` mean where they are no words.
        certain: whether no other collection has such paths, so that it may be taken unasked.
    """

    title: str
    form: str
    pattern: re.Pattern[str]
    codes: Mapping[str, str] = dataclasses.field(default_factory=lambda: _NO_CODES)
    certain: bool = True

    def frame(self, uris: pd.Series) -> pd.DataFrame:
        """path, age and gender as texts, of those that are of its form."""
        found = [(uri, m) for uri in uris if (m := self.pattern.search(uri))]
        has_gender = "gender" in self.pattern.groupindex
        return pd.DataFrame(
            {
                "path": [uri for uri, _ in found],
                "age": [match["age"] for _, match in found],
                "gender": [match["gender"] if has_gender else "" for _, match in found],
            },
            dtype=object,
        )


@dataclasses.dataclass(frozen=True)
class InFiles:
    """A data set that has files of labels beside its pictures.

    Attributes:
        title: as its publishers call it.
        example: name of such a file, for messages.
        files: base names of them all.
        columns: that each of its text files has, in lower case; none where they are no text.
        read: a file and the uris of the pictures -> what a labels file of facemill would say, in
            texts: path, age, gender and maybe race, split and a face's box; and what is to be told.
        codes: what the texts of `gender` mean where they are no words.
    """

    title: str
    example: str
    files: re.Pattern[str]
    columns: tuple[str, ...]
    read: Callable[[LabelFile, Collection[str]], tuple[pd.DataFrame, Told]]
    codes: Mapping[str, str] = dataclasses.field(default_factory=lambda: _NO_CODES)


def end_of_path(pattern: str) -> re.Pattern[str]:
    """A pattern of whole names at the end of a path, in any case."""
    return re.compile(rf"(?:^|[/#]){pattern}$", re.IGNORECASE)


def text_table(file: LabelFile, title: str, columns: Sequence[str]) -> pd.DataFrame:
    """A text table with a header line, its columns in lower case, all values as texts.

    Raises:
        ManifestError: it is none, or lacks one of the columns.
    """
    frame, _ = read_text_table(file.data, file.uri, columns)
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ManifestError(
            f"`labels` {file.uri} is none of {title}'s: it lacks {', '.join(missing)} and has "
            f"{', '.join(frame.columns)}: give {title}'s own file, or another `label_format`"
        )
    return frame
