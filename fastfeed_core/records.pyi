from enum import IntEnum

import numpy as np

FORMATS: dict[str, list[tuple[str, str, int, int]]]
SIZES: dict[str, int]

class Kind(IntEnum):
    KIND_BBO = 1
    KIND_TRADE = 2
    KIND_DELTA = 3
    KIND_SNAPSHOT = 4
    KIND_STATUS = 5
    KIND_TICKER = 6
    KIND_BAR = 7
    KIND_LIQUIDATION = 8

class Flag(IntEnum):
    FLAG_FIRST = 1
    FLAG_LAST = 2
    FLAG_DERIVED = 4
    FLAG_CROSSED = 8
    FLAG_LOCKED = 16

class State(IntEnum):
    STATE_SYNCING = 0
    STATE_LIVE = 1
    STATE_STALE = 2

class Reason(IntEnum):
    REASON_NONE = 0
    REASON_SUBSCRIBED = 1
    REASON_SNAPSHOT = 2
    REASON_GAP = 3
    REASON_DISCONNECTED = 4
    REASON_MALFORMED = 5
    REASON_BUFFER_FULL = 6
    REASON_STOPPED = 7
    REASON_CONNECTED = 8
    REASON_REFUSED = 9
    REASON_INSTRUMENT = 10
    REASON_VENUE_RESET = 11
    REASON_RESTARTED = 12
    REASON_NO_DATA = 13
    REASON_REPAIRED = 14
    REASON_CROSSED = 15
    REASON_LAPPED = 16
    REASON_UNSUBSCRIBED = 17
    REASON_REQUESTED = 18
    REASON_QUIET = 19
    REASON_STALLED = 20
    REASON_SYNCING = 21
    REASON_UNREACHABLE = 22
    REASON_LIMITED = 23

class ScopeCode(IntEnum):
    SCOPE_INSTRUMENT = 0
    SCOPE_CONNECTION = 1
    SCOPE_BUS = 2
    SCOPE_VENUE = 3

class Health(IntEnum):
    HEALTH_NONE = 0
    HEALTH_OK = 1
    HEALTH_DEGRADED = 2
    HEALTH_DOWN = 3

def description() -> str: ...
def difference(found: str) -> tuple[str, str, str] | None: ...
def dtype(name: str) -> np.dtype[np.void]: ...
def text(raw: bytes) -> str: ...
