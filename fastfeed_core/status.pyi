from enum import IntEnum

class Status(IntEnum):
    OK = 0
    TRUNCATED = -1
    SYNTAX = -2
    SHAPE = -3
    RANGE = -4
    INEXACT = -5
    OVERSIZE = -6

DESCRIPTIONS: dict[Status, str]

def describe(code: int) -> str: ...
