"""Which entries of a listing are left out on purpose: `exclude`, patterns of their paths."""

import dataclasses
import fnmatch
import functools
import re

from model.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Exclusion:
    """What to leave out of a listing.

    Attributes:
        root: what is listed; patterns are of the path below it.
        patterns: in which * stands for anything, slashes too, ? for one letter, [ab] for one of
            these. One without a slash also names any folder or file on the way, as `lost+found`.
    """

    root: str
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the patterns.

        Raises:
            UsageError: one is empty, or is a whole path.
        """
        for pattern in self.patterns:
            if not pattern.strip("/") or pattern.startswith("/") or "://" in pattern:
                raise UsageError(
                    f"`exclude` {pattern!r} must be a pattern of paths below `images`, such as "
                    "'lost+found/*' or '*.gif'"
                )

    @functools.cached_property
    def _expression(self) -> "re.Pattern[str]":
        return re.compile("|".join(map(fnmatch.translate, self.patterns)))

    @functools.cached_property
    def _names(self) -> "re.Pattern[str] | None":
        names = [pattern for pattern in self.patterns if "/" not in pattern]
        return re.compile("|".join(map(fnmatch.translate, names))) if names else None

    def __call__(self, uri: str) -> bool:
        """Whether an entry is left out."""
        if not self.patterns:
            return False
        below = uri.removeprefix(self.root).lstrip("/#")
        if self._expression.match(below):
            return True
        names = self._names
        return names is not None and any(map(names.match, filter(None, re.split("[/#]", below))))
