"""What is wrong with one file alone: a row of the quarantine, and no reason to stop."""


class ReadFailure(Exception):
    """One file that is not there or may not be read: a quarantine row.

    Attributes:
        reason: `not_found`, `denied`, `not_a_file`, `file_too_large`, `bad_key`, `bad_member`,
            `bad_uri`, `unreachable`, `unreadable`, `timeout`.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keep `reason` (for grouping) beside `message` (for a person)."""
        super().__init__(message)
        self.reason = reason
