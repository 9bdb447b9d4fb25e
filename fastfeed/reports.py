"""Faults in the log: each distinct one at its 1st, 10th, 100th ... occurrence, so that a storm is a few lines."""

from __future__ import annotations

import logging

__all__ = ["Reports", "is_told"]


def is_told(count: int) -> bool:
    """Return whether the `count`th occurrence of something is worth a line: 1, 10, 100 ..."""
    return str(count).rstrip("0") == "1"


class Reports:
    """Counts faults by place and kind."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._counts: dict[tuple[str, str], int] = {}

    def tell(self, where: str, fault: str, text: str) -> None:
        """Count a fault, and log it if it is worth a line."""
        count = self._counts[where, fault] = self._counts.get((where, fault), 0) + 1
        if is_told(count):
            self._log.warning("%s occurrences=%d", text, count)
