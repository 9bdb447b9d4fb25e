"""Alignment and gaps, for tests."""


def judge(int64_t book_seq, int64_t prev_seq, int64_t last_seq, bint in_step=True, int32_t ahead=0,
          bint others_in_step=False):
    """Return (verdict, in_step, ahead) for a message that covers (prev_seq, last_seq]."""
    cdef Chain chain
    cdef Verdict verdict
    chain.in_step = in_step
    chain.ahead = ahead
    verdict = sync_judge(book_seq, prev_seq, last_seq, &chain, others_in_step)
    return ("apply", "old", "wait", "gap")[<int>verdict], bool(chain.in_step), chain.ahead
