"""Heads are data: what each output means, its loss, and how it is read into columns.

A fourth head is one more `Head` in a recipe; a new kind of head is one branch in
`output_layer` (model/networks.py), `encode_target`, `example_losses` (model/losses.py) and
`read_out`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from model import labels
from model.errors import UsageError

Array = npt.NDArray[np.float32]
HeadKind = Literal["binary", "value", "distribution", "classes"]


@dataclasses.dataclass(frozen=True)
class Head:
    """One output of the network.

    Attributes:
        name: the key in the network's output dictionary.
        label: the label it learns: `gender`, `age_years` or `race`.
        kind: `binary` sigmoid (batch, 1); `value` relu (batch, 1), in years; `distribution`
            softmax over whole years 0-116 (batch, 117), read as its expectation (DEX, Rothe 2018);
            `classes` softmax (batch, len(classes)).
        classes: names for `classes` heads; age classes are named `0-2` … `60+`.
        weight: factor of this head's loss in the sum.
        sigma_years: for `distribution`, the width of the Gaussian soft label
            (label distribution learning, Gao 2017).
        units: width of the head's own hidden layer, 0 for none.
    """

    name: str
    label: Literal["gender", "age_years", "race"]
    kind: HeadKind
    classes: tuple[str, ...] = ()
    weight: float = 1.0
    sigma_years: float = 2.0
    units: int = 0

    @property
    def width(self) -> int:
        """Number of output units."""
        if self.kind == "distribution":
            return labels.MAX_AGE_YEARS + 1
        return len(self.classes) if self.kind == "classes" else 1

    @property
    def activation(self) -> str:
        """Keras activation of the output layer."""
        return {"binary": "sigmoid", "value": "relu"}.get(self.kind, "softmax")

    @property
    def bins(self) -> labels.Bins:
        """The inclusive year ranges of an age `classes` head."""
        pairs: list[tuple[int, int]] = []
        for name in self.classes:
            low, _, high = name.removesuffix("+").partition("-")
            pairs.append((int(low), int(high) if high else labels.MAX_AGE_YEARS))
        return tuple(pairs)


GENDER = Head("gender", "gender", "binary")
AGE = Head("age", "age_years", "value")
AGE_GROUPS = Head("age_group", "age_years", "classes", labels.bin_names(labels.DECADES))
RACE = Head("race", "race", "classes", labels.RACES, weight=0.5)


def encode_target(
    head: Head,
    values: npt.ArrayLike,
    low_years: npt.ArrayLike | None = None,
    high_years: npt.ArrayLike | None = None,
) -> Array:
    """Labels as the head's loss wants them.

    Args:
        head: the head.
        values: shape (n,): gender or race codes, or ages in years; NaN where unlabelled.
        low_years: of ages that are ranges the lowest, else NaN; shape (n,). None: none is.
        high_years: the highest, likewise.

    Returns:
        float32 of shape (n, 1): the value itself, or the class index; of a range that which both
        its ends have, else that of its middle. NaN stays NaN and weighs nothing in the loss. For a
        `distribution` where ages are ranges, of shape (n, 2): lowest and highest age.
    """
    column = np.asarray(values, dtype=np.float32)
    if head.label != "age_years" or head.kind == "binary":
        return column[:, None]
    low, high = (
        column if edge is None else np.where(np.isnan(edge), column, edge).astype(np.float32)
        for edge in (low_years, high_years)
    )
    if head.kind == "distribution" and not np.array_equal(low, high, equal_nan=True):
        return np.stack([low, high], axis=1)
    if head.kind == "classes":
        first, last, middle = (_class_of(head, years) for years in (low, high, column))
        column = np.where(first == last, first, middle)
    return column[:, None]


def _class_of(head: Head, years: Array) -> Array:
    """The class of each age, NaN where it is."""
    known = ~np.isnan(years)
    index = labels.bin_of(np.where(known, years, 0.0), head.bins)
    return np.where(known, index, np.nan).astype(np.float32)


def require_distribution(name: str, heads: Sequence[Head]) -> None:
    """Refuse to tell the distribution of ages of a network that says none.

    Args:
        name: of the network, for the message.
        heads: of it.

    Raises:
        UsageError: it has no such head.
    """
    if not any(head.kind == "distribution" for head in heads):
        have = ", ".join(f"{head.name} ({head.kind})" for head in heads)
        raise UsageError(
            f"`age_distribution` needs a head of kind distribution, and {name} has none: "
            f"its heads are {have}; leave it out, or give another `bundle`"
        )


def read_out(heads: Sequence[Head], outputs: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """The network's outputs as columns.

    Args:
        heads: the bundle's heads.
        outputs: head name -> array of shape (n, head.width).

    Returns:
        float32 arrays of shape (n,), only those that the heads give: `age_years` (0-116; from an
        age `classes` head the expectation over class centres), `p_female` (0-1). A `classes` head
        adds `age_group` or `race` as the index of its likeliest class, a `distribution` head its
        `age_distribution`, shape (n, 117).
    """
    columns: dict[str, Array] = {}
    for head in heads:
        values = np.asarray(outputs[head.name], dtype=np.float32)
        if head.label == "gender":
            columns["p_female"] = values[:, -1]  # sigmoid (n, 1) or softmax (n, 2): female is last
        elif head.label == "race":
            columns["race"] = values.argmax(axis=1).astype(np.float32)
        elif head.kind == "value":
            columns["age_years"] = values[:, 0].clip(labels.MIN_AGE_YEARS, labels.MAX_AGE_YEARS)
        elif head.kind == "distribution":
            years = np.arange(head.width, dtype=np.float32)
            columns["age_years"] = values @ years
            columns["age_distribution"] = values
        else:
            columns["age_group"] = values.argmax(axis=1).astype(np.float32)
            columns["age_years"] = values @ labels.bin_centres(head.classes)
    return columns
