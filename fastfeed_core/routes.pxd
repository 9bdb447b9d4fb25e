"""From what the venue calls a topic to who wants it: a hash table of a connection."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from fastfeed_core.event cimport Channel

cdef enum:
    TOPIC_SIZE = 64
    SYMBOL_SIZE = 32

cdef struct Route:
    #: the topic's text; topic_size 0 marks a free slot
    char[TOPIC_SIZE] topic
    uint32_t topic_size
    uint32_t symbol_size
    #: the venue's symbol as messages of this topic spell it: a message that names another one is refused
    char[SYMBOL_SIZE] symbol
    Channel channel
    int32_t px_exp
    int32_t sz_exp
    #: MarketSource*; opaque here
    void* source
    #: messages that came by this route
    uint64_t messages

cdef struct Routes:
    Route* slots
    uint32_t mask
    uint32_t used

cdef int routes_init(Routes* routes, uint32_t capacity) except -1
cdef void routes_free(Routes* routes) noexcept
cdef Route* routes_find(Routes* routes, const char* topic, Py_ssize_t size) noexcept nogil
cdef Route* routes_add(Routes* routes, bytes topic, bytes symbol) except NULL
cdef bint routes_remove(Routes* routes, bytes topic) except -1
