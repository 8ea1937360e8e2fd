"""What reading a labels file has to tell: nothing becomes null without a count."""

import dataclasses
from collections import Counter
from collections.abc import Mapping

import pandas as pd

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Told:
    """Counts by kind, for manifest.json, and a sentence of each, for people."""

    counts: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, kinds: pd.Series, texts: pd.Series, sentences: Mapping[str, str]) -> "Told":
        """Count the kinds of a column's values.

        Args:
            kinds: a key of `sentences` for each value, or empty where there is nothing to tell.
            texts: the values as they stand in the file.
            sentences: of each kind, with `{count}` and maybe `{first}`, or `{some}` of the
                different texts, in the order of telling.
        """
        counts, notes = dict[str, int](), list[str]()
        for kind, sentence in sentences.items():
            these = texts[kinds == kind]
            if len(these):
                counts[kind] = len(these)
                some = ", ".join(map(repr, these.drop_duplicates().iloc[:_SHOWN]))
                count = f"{len(these):,}"
                notes.append(sentence.format(count=count, first=these.iloc[0], some=some))
        return cls(counts, tuple(notes))

    def __add__(self, other: "Told") -> "Told":
        """Both: counts of one kind are added up."""
        counts = Counter(self.counts)
        counts.update(other.counts)
        return Told(dict(counts), (*self.notes, *other.notes))
