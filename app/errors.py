"""The one kind of error that a user is meant to read."""

from __future__ import annotations


class UserError(Exception):
    """Something expected went wrong: one sentence of fact, one of advice.

    Shown in a dialog, or by the command line as one line with exit code 2. Anything else that is raised is a bug.
    """

    def __init__(self, message: str, what_to_do: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.what_to_do = what_to_do

    def __str__(self) -> str:
        return f"{self.message} {self.what_to_do}".strip()
