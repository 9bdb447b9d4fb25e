"""From what the venue calls a topic to who wants it: a hash table of a connection."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset


cdef extern from *:
    """
    /* In words, the last of which overlaps the one before: a call for the odd bytes would cost more than the rest. */
    static inline uint64_t ff_topic_word(const char *p)
    {
        uint64_t v;
        memcpy(&v, p, 8);
        return v;
    }

    static inline uint32_t ff_topic_hash(const char *topic, int64_t size)
    {
        const uint64_t prime = 0xFF51AFD7ED558CCDULL;
        uint64_t h = 0x9E3779B97F4A7C15ULL ^ (uint64_t)size, last = 0;
        for (int64_t i = 0; i + 8 < size; i += 8) {
            h = (h ^ ff_topic_word(topic + i)) * prime;
            h ^= h >> 32;
        }
        if (size >= 8)
            last = ff_topic_word(topic + size - 8);
        else
            for (int64_t i = 0; i < size; i++)
                last = last << 8 | (unsigned char)topic[i];
        return (uint32_t)(((h ^ last) * prime) >> 32);
    }

    static inline int ff_topic_same(const char *one, const char *other, int64_t size)
    {
        uint64_t differ = 0;
        if (size < 8)
            return memcmp(one, other, (size_t)size) == 0;
        for (int64_t i = 0; i + 8 < size; i += 8)
            differ |= ff_topic_word(one + i) ^ ff_topic_word(other + i);
        return (differ | (ff_topic_word(one + size - 8) ^ ff_topic_word(other + size - 8))) == 0;
    }
    """
    uint32_t _hash "ff_topic_hash"(const char* topic, int64_t size) noexcept nogil
    bint _is_same "ff_topic_same"(const char* one, const char* other, int64_t size) noexcept nogil


cdef int routes_init(Routes* routes, uint32_t capacity) except -1:
    """Make room for `capacity` routes; the table stays at most half full."""
    cdef uint32_t slots = 16
    while slots < 2 * capacity:
        slots *= 2
    routes.slots = <Route*>calloc(slots, sizeof(Route))
    if routes.slots == NULL:
        raise MemoryError
    routes.mask = slots - 1
    routes.used = 0
    return 0


cdef void routes_free(Routes* routes) noexcept:
    cdef Route* route
    cdef uint32_t i
    if routes.slots == NULL:
        return
    for i in range(routes.mask + 1):
        while routes.slots[i].next != NULL:
            route = routes.slots[i].next
            routes.slots[i].next = route.next
            free(route)
    free(routes.slots)
    routes.slots = NULL


cdef Route* routes_find(Routes* routes, const char* topic, Py_ssize_t size) noexcept nogil:
    cdef uint32_t i
    cdef Route* route
    if not 0 < size <= TOPIC_SIZE:
        return NULL
    i = _hash(topic, size)
    while True:
        route = &routes.slots[i & routes.mask]
        if route.topic_size == 0:
            return NULL
        if route.topic_size == size and _is_same(route.topic, topic, size):
            return route
        i += 1


cdef Route* routes_find_pair(Routes* routes, const char* head, Py_ssize_t head_size, const char* tail,
                             Py_ssize_t tail_size) noexcept nogil:
    cdef char[TOPIC_SIZE] topic
    if head_size < 0 or tail_size < 0 or head_size + 1 + tail_size > TOPIC_SIZE:
        return NULL
    memcpy(topic, head, head_size)
    topic[head_size] = c":"
    memcpy(topic + head_size + 1, tail, tail_size)
    return routes_find(routes, topic, head_size + 1 + tail_size)


cdef Route* routes_add(Routes* routes, bytes topic, bytes symbol) except NULL:
    """Add an empty route; its pointer is valid until the next removal."""
    cdef uint32_t i
    cdef Route* route
    cdef const char* text = topic
    if not 0 < len(topic) <= TOPIC_SIZE:
        raise ValueError(f"topic out of range: expected 1 to {TOPIC_SIZE} bytes, was {topic!r}")
    if len(symbol) > SYMBOL_SIZE:
        raise ValueError(f"symbol out of range: expected at most {SYMBOL_SIZE} bytes, was {symbol!r}")
    if 2 * (routes.used + 1) > routes.mask + 1:
        raise ValueError(f"no room for another route: {routes.used} are taken")
    if routes_find(routes, text, len(topic)) != NULL:
        raise ValueError(f"topic already routed: {topic!r}")
    i = _hash(text, len(topic))
    while routes.slots[i & routes.mask].topic_size:
        i += 1
    route = &routes.slots[i & routes.mask]
    memset(route, 0, sizeof(Route))
    memcpy(route.topic, text, len(topic))
    route.topic_size = <uint32_t>len(topic)
    memcpy(route.symbol, <const char*>symbol, len(symbol))
    route.symbol_size = <uint32_t>len(symbol)
    routes.used += 1
    return route


cdef Route* routes_add_next(Route* route) except NULL:
    """Add an empty route for another market of the same topic."""
    cdef Route* added = <Route*>calloc(1, sizeof(Route))
    if added == NULL:
        raise MemoryError
    added.next = route.next
    route.next = added
    return added


cdef int routes_reserve(Routes* routes, uint32_t more) except -1:
    """Have room for `more` routes; the table stays at most half full."""
    cdef Routes larger
    cdef uint32_t i, j
    if 2 * (routes.used + more) <= routes.mask + 1:
        return 0
    routes_init(&larger, routes.used + more)
    for i in range(routes.mask + 1):
        if routes.slots[i].topic_size:
            j = _hash(routes.slots[i].topic, routes.slots[i].topic_size)
            while larger.slots[j & larger.mask].topic_size:
                j += 1
            larger.slots[j & larger.mask] = routes.slots[i]     # with what hangs on it
    larger.used = routes.used
    free(routes.slots)
    routes[0] = larger
    return 0


cdef int routes_drop(Routes* routes, bytes topic, void* market) except -1:
    """Forget the route of `topic` to `market`; what else the topic feeds stays."""
    cdef Route* first = routes_find(routes, topic, len(topic))
    cdef Route* route = first
    cdef Route* before = NULL
    while route != NULL and route.market != market:
        before = route
        route = route.next
    if route == NULL:
        return 0
    if before != NULL:
        before.next = route.next
        free(route)
    elif route.next == NULL:
        routes_remove(routes, topic)
    else:
        # The next one moves up into the slot; topic and symbol are the slot's.
        route = first.next
        first.channel = route.channel
        first.wants = route.wants
        first.px_exp = route.px_exp
        first.sz_exp = route.sz_exp
        first.source = route.source
        first.market = route.market
        first.messages = route.messages
        first.next = route.next
        free(route)
    return 0


cdef bint routes_remove(Routes* routes, bytes topic) except -1:
    """Remove a route and move up what probing had put behind it; True if it was there."""
    cdef Route* route = routes_find(routes, topic, len(topic))
    cdef Route held
    cdef uint32_t i, j
    if route == NULL:
        return False
    i = <uint32_t>(route - routes.slots)
    memset(route, 0, sizeof(Route))
    routes.used -= 1
    i = (i + 1) & routes.mask
    while routes.slots[i].topic_size:
        held = routes.slots[i]
        memset(&routes.slots[i], 0, sizeof(Route))
        j = _hash(held.topic, held.topic_size)
        while routes.slots[j & routes.mask].topic_size:
            j += 1
        routes.slots[j & routes.mask] = held
        i = (i + 1) & routes.mask
    return True
