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

import errno

_CURES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room, or ask for a larger quota",
    errno.EROFS: "mount it for writing, or choose another place",
    errno.EIO: "the disk or its mount fails; the kernel's log (dmesg) says more",
    errno.ESTALE: "mount it again",
    errno.ENOTCONN: "mount it again",
    errno.ETIMEDOUT: "is its disk or its server there?",
    errno.EUCLEAN: "its file system is damaged: check it (fsck)",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.EFBIG: "allow larger files (ulimit -f)",
}


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


def describe_os_error(error: OSError) -> str:
    """An error of a disk in words: the path, what happened with its code, what to do.

    Of a store's errors, which have no code, their own words.
    """
    if error.errno is None:
        return str(error)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' -> '.join(names)}: " if names else ""
    codes = [name for name, value in vars(errno).items() if value == error.errno]
    code = min(codes, key=len, default=f"errno {error.errno}")  # EDEADLK is EDEADLOCK too
    cure = f"; {_CURES[error.errno]}" if error.errno in _CURES else ""
    return f"{where}{error.strerror} ({code}){cure}"
