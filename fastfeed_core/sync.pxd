"""Alignment and gaps: the one sequence rule of all venues, as a pure decision.

A message covers the venue's sequences (prev_seq, last_seq]. What the book has already is old; what starts behind the
book's sequence leaves a gap; everything else applies, overlap included, because sizes are absolute. With several
sources a gap is first of all the source's own: as long as another one is in step, the book waits for that one.
"""

from libc.stdint cimport int32_t, int64_t

cdef enum Verdict:
    SYNC_APPLY = 0
    SYNC_OLD = 1
    #: ahead of the book, but another source may still bring what is missing
    SYNC_WAIT = 2
    SYNC_GAP = 3

cdef enum:
    #: messages of a source ahead of a book that does not move, let pass while another source is in step: 64 depth
    #: messages are seconds, far more than two connections of one venue lie apart
    AHEAD_LIMIT = 64

#: a source's own chain
cdef struct Chain:
    bint in_step
    int32_t ahead
    #: whole books, or quotes, in a row that are older than what it brought before
    int32_t behind
    #: whose numbers it brings: compared with that of the book
    int64_t epoch
    #: the greatest sequence since its snapshot, ABSENT before one; of a quote: the last one
    int64_t last
    #: where its own deltas have come to, ABSENT before the first
    int64_t reached
    #: the last sequence of a delta that fell behind that
    int64_t fallen


cdef inline Verdict sync_judge(int64_t book_seq, int64_t prev_seq, int64_t last_seq, Chain* chain,
                               bint others_in_step) noexcept nogil:
    if last_seq <= book_seq:
        # Behind the book: its next message connects.
        chain.in_step = True
        chain.ahead = 0
        return SYNC_OLD
    if prev_seq <= book_seq:
        chain.in_step = True
        chain.ahead = 0
        return SYNC_APPLY
    chain.in_step = False
    chain.ahead += 1
    if others_in_step and chain.ahead <= AHEAD_LIMIT:
        return SYNC_WAIT
    return SYNC_GAP
