"""The errors of facemill, in one tree.

::

    FacemillError
    ├── UsageError          an argument, file or service that the caller must correct: exit code 2
    │   ├── BundleError     a bundle that is missing, damaged or made by a newer version
    │   ├── ManifestError   a manifest that lacks a column or holds no row of use
    │   └── StorageError    a URI that cannot be reached, listed, read or written
    ├── ResourcesError      the cluster cannot hold what was asked for: exit code 1
    ├── ExportError         an exported network that computes something else: exit code 1
    ├── TrainingError       a run that cannot go on (NaN loss): exit code 1, checkpoints are good
    └── DecodeError         one image that cannot be read: a quarantine row, no end of a run
"""


class FacemillError(Exception):
    """Base of all errors raised on purpose."""


class UsageError(FacemillError):
    """The caller must change something; the message says what, what is legal and what to do."""


class BundleError(UsageError):
    """A bundle is missing, damaged or of an unknown version."""


class ManifestError(UsageError):
    """A manifest lacks a column or holds no row of use."""


class StorageError(UsageError):
    """A URI cannot be reached, listed, read or written."""


class ResourcesError(FacemillError):
    """The cluster has not what was asked for, and it cannot come."""


class TrainingError(FacemillError):
    """Training cannot go on; the last checkpoint is good."""


class ExportError(FacemillError):
    """An exported network does not compute what the bundle's computes."""


class DecodeError(FacemillError):
    """One image cannot become pixels.

    Attributes:
        reason: a short class for the quarantine table, one of `model.pictures.DECODE_REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason` (for grouping) beside `message` (for a person)."""
        super().__init__(message)
        self.reason = reason
