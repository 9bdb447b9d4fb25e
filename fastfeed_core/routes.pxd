"""From what the venue calls a topic to who wants it: a hash table of a connection."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from fastfeed_core.event cimport Channel

cdef enum:
    TOPIC_SIZE = 96
    SYMBOL_SIZE = 48

cdef struct Route:
    #: the topic's text; topic_size 0 marks a free slot
    char[TOPIC_SIZE] topic
    uint32_t topic_size
    uint32_t symbol_size
    #: the venue's symbol as messages of this topic spell it: a message that names another one is refused
    char[SYMBOL_SIZE] symbol
    #: what the topic's messages are
    Channel channel
    #: bits (1 << Channel) of what somebody wants of them: trades can carry liquidations
    uint32_t wants
    #: the topic names no instrument: each deal's own route is found by topic, colon, symbol
    bint group
    int32_t px_exp
    int32_t sz_exp
    #: the Source; NULL on a group
    void* source
    #: the Market, borrowed; opaque here
    void* market
    #: another market that the same topic feeds
    Route* next
    #: messages that came by this route
    uint64_t messages

cdef struct Routes:
    Route* slots
    uint32_t mask
    uint32_t used

cdef int routes_init(Routes* routes, uint32_t capacity) except -1
cdef void routes_free(Routes* routes) noexcept
cdef Route* routes_find(Routes* routes, const char* topic, Py_ssize_t size) noexcept nogil
#: the route of the topic `head`, colon, `tail`
cdef Route* routes_find_pair(Routes* routes, const char* head, Py_ssize_t head_size, const char* tail,
                             Py_ssize_t tail_size) noexcept nogil
cdef Route* routes_add(Routes* routes, bytes topic, bytes symbol) except NULL
cdef Route* routes_add_next(Route* route) except NULL
cdef bint routes_remove(Routes* routes, bytes topic) except -1
#: makes room for so many more; pointers to routes are not valid any more
cdef int routes_reserve(Routes* routes, uint32_t more) except -1
#: forgets the route of `topic` to `market`, whose source is gone; pointers to routes are not valid any more
cdef int routes_drop(Routes* routes, bytes topic, void* market) except -1
