"""Result codes of the code below the GIL line, and their meaning in words."""

DESCRIPTIONS = {
    OK: "ok",
    TRUNCATED: "the input ended inside a value",
    SYNTAX: "not JSON",
    SHAPE: "a field is missing, repeated or of another type",
    RANGE: "a number that its field cannot hold",
    INEXACT: "a number with more digits than the instrument keeps",
    OVERSIZE: "more levels than one message may have",
}


def describe(int code):
    """Return the meaning of a `Status` code in words."""
    return DESCRIPTIONS.get(code, f"unknown code {code}")
