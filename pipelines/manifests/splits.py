"""Train, val and test, and folds, of an image's content alone; and which images are the same."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from model.errors import UsageError

SPLITS = ("train", "val", "test")
_TENTHS = 10


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How images fall into train, val and test: by content, never by order or name."""

    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the fractions.

        Raises:
            UsageError: they are negative or do not sum to 1.
        """
        if min(self.fractions) < 0 or abs(sum(self.fractions) - 1) > 1e-6:
            raise UsageError(
                f"`split` {','.join(map(str, self.fractions))} must be three shares >= 0 that sum "
                "to 1, for example 0.6,0.2,0.2"
            )

    def split_of(self, content_hash: str) -> str:
        """The split of a duplicate group: the same for the same bytes, whatever else is there."""
        digest = hashlib.sha256(f"{self.seed}:{content_hash}".encode()).hexdigest()
        position = int(digest[:13], 16) / 16**13
        train, val, _ = self.fractions
        return SPLITS[int(position >= train) + int(position >= train + val)]


@dataclasses.dataclass(frozen=True)
class Fold:
    """One of `count` folds: what it is not to see, by content, never by order or name.

    Attributes:
        index: from 0.
        count: how many there are.
    """

    index: int
    count: int

    def split_of(self, identity: str) -> str:
        """What an image is to the network of this fold: the same bytes are always the same.

        SHA-256 of `fold:` and the identity gives two numbers that know nothing of each other: one
        modulo `count` is the image's fold, the other its tenth. Fold k keeps its own images for
        `test` and of the others the k-th tenth for `val`.
        """
        fold, tenth = _fold_and_tenth(identity, self.count)
        if fold == self.index:
            return "test"
        return "val" if tenth == self.index % _TENTHS else "train"


def fold_of(identity: str, count: int) -> int:
    """The fold, from 0, of an image among `count`."""
    return _fold_and_tenth(identity, count)[0]


def _fold_and_tenth(identity: str, count: int) -> tuple[int, int]:
    digest = hashlib.sha256(f"fold:{identity}".encode()).hexdigest()
    return int(digest[:16], 16) % count, int(digest[16:32], 16) % _TENTHS


def identities(rows: pd.DataFrame) -> "pd.Series[str]":
    """What the same bytes share: content hash, else S3's ETag, else the uri.

    Args:
        rows: uri, offset, content_hash and etag of a manifest.
    """
    # Only S3's own ETags follow the content; time and size of other files can agree by chance.
    has_content_etag = rows["uri"].str.startswith("s3://") & rows["offset"].isna()
    return rows["content_hash"].fillna(rows["etag"].where(has_content_etag)).fillna(rows["uri"])


def identities_of(table: pa.Table) -> list[str]:
    """`identities` of a manifest's rows."""
    return identities(table.select(["uri", "offset", "content_hash", "etag"]).to_pandas()).to_list()


def pictures_shown(table: pa.Table) -> npt.NDArray[np.str_]:
    """What each row shows: one name for a picture, the faces in it, and all copies of it.

    Args:
        table: rows with `uri` and `duplicate_group`.

    Returns:
        Names, shape (n,).
    """
    uris: Any = table["uri"].to_pandas()
    groups: Any = table["duplicate_group"].cast(pa.string()).to_pandas().astype(object)
    # Its rows are in groups of their own kind: copies agree on the least of them.
    return groups.groupby(uris).transform("min").fillna(uris).to_numpy(str)


def with_groups(rows: pd.DataFrame, rule: SplitRule) -> pd.DataFrame:
    """Add duplicate_group, label_conflict and, where it is not given, split.

    Args:
        rows: columns of `MANIFEST_SCHEMA` up to taken_at, and maybe `split`.
        rule: how to split.

    Returns:
        The same rows, in uri order.
    """
    rows = rows.sort_values("uri", ignore_index=True, kind="stable")
    identity = identities(rows)
    same, groups = identity, identity.str.slice(0, 16)
    if "face_landmarks" in rows:
        # Two faces of one picture are no duplicates of one another, but never in two splits.
        points = rows["face_landmarks"].map(lambda found: "" if found is None else repr(found))
        same = identity + points
        groups = groups.where(points == "", same.map(_group_name))
    grouped = rows.groupby(same, sort=False)
    copies = grouped["uri"].transform("size")
    names = ("age_years", "age_low_years", "age_high_years", "gender")
    different = [grouped[n].transform("nunique") > 1 for n in names if n in rows]
    rows["duplicate_group"] = groups.where(copies > 1)
    rows["label_conflict"] = pd.concat(different, axis=1).any(axis=1)
    if "split" not in rows:
        rows["split"] = [rule.split_of(value) for value in identity]
    return rows


def _group_name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
