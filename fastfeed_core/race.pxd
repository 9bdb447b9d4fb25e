"""Which of several sources was first with a message, and by how much."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.records cimport ConnectionRow

cdef enum:
    #: messages remembered, each at a place of its own number
    RACE_PLACES = 64

#: a message that came: its number (sequence, id or time), when, and by which connection
cdef struct Finish:
    int64_t number
    int64_t ts_recv
    ConnectionRow* winner

cdef struct Race:
    Finish[RACE_PLACES] lately


cdef inline Finish* race_place(Race* race, int64_t number) noexcept nogil:
    return &race.lately[<uint64_t>number * 0x9E3779B97F4A7C15ULL >> 58]


cdef inline void race_won(Race* race, ConnectionRow* row, int64_t number, int64_t ts_recv) noexcept nogil:
    """A message came that nobody had brought before."""
    cdef Finish* finish = race_place(race, number)
    row.wins += 1
    finish.number = number
    finish.ts_recv = ts_recv
    finish.winner = row


cdef inline void race_lost(Race* race, ConnectionRow* row, int64_t number, int64_t ts_recv) noexcept nogil:
    """A message came once more: by another connection it lost a race, by the same one it is a repetition."""
    cdef Finish* finish = race_place(race, number)
    cdef ConnectionRow* winner = finish.winner
    cdef int64_t lead
    if winner == NULL or winner == row or finish.number != number:
        return
    lead = ts_recv - finish.ts_recv
    row.losses += 1
    winner.leads += 1
    winner.lead_sum += lead
    if lead > winner.lead_max:
        winner.lead_max = lead
