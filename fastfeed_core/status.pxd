"""Result codes of the code below the GIL line: success is 0, failures are negative."""


cpdef enum Status:
    OK = 0
    #: the input ended inside a value
    TRUNCATED = -1
    #: the input is not JSON
    SYNTAX = -2
    #: JSON, but a field is missing, repeated or of another type than the venue's
    SHAPE = -3
    #: a number that its field cannot hold
    RANGE = -4
    #: a number with more digits than the instrument's exponent keeps
    INEXACT = -5
    #: more levels than one message may have
    OVERSIZE = -6
