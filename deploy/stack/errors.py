"""What the stack tells its user when it cannot go on."""

from __future__ import annotations


class StackError(Exception):
    """Something the user must do first; the message is one line that says what."""
