"""What a venue's decoder offers to the receive path: two functions without state."""


cdef class Decoder:
    """Base of the venues' decoders; `decode_snapshot` stays NULL where books come in the stream."""
