"""Types of command-line arguments: what argparse calls with the text and whose ValueError it turns into usage."""

from __future__ import annotations

import argparse
import math

__all__ = ["count", "not_negative", "positive"]


def positive(text: str) -> float:
    """Return a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected more than 0, was {text}")
    return value


def not_negative(text: str) -> float:
    """Return a finite number of at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected 0 or more, was {text}")
    return value


def count(text: str) -> int:
    """Return an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, was {text}")
    return value
