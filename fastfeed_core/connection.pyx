"""The receive path of one connection: decoder, routes, counters; from a frame's bytes to the bus.

A connection is made anew for every connect and closed with the socket; what it fed loses its source then. Only what
needs Python comes out: control frames as text, refused frames as samples.
"""

from libc.stdint cimport int64_t, uint32_t

from fastfeed_core.connection cimport FRAME_CONTROL, FRAME_DONE, FRAME_MALFORMED
from fastfeed_core.counters cimport histogram_bucket, latency_add, latency_add_venue
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.event cimport (
    ABSENT,
    CHANNEL_BBO,
    CHANNEL_BOOK,
    CHANNEL_TICKER,
    EVENT_BAR,
    EVENT_BBO,
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_HEARTBEAT,
    EVENT_LIQUIDATION,
    EVENT_REFRESH,
    EVENT_RESET,
    EVENT_SNAPSHOT,
    EVENT_TICKER,
    EVENT_TRADE,
    Channel,
    event_begin,
    event_free,
    event_init,
)
from fastfeed_core.keeper cimport keep_levels, keep_refuse
from fastfeed_core.market cimport Market
from fastfeed_core.publish cimport publisher_flush, publisher_now
from fastfeed_core.records cimport STATE_LIVE, LatencyHead
from fastfeed_core.routes cimport (
    Route,
    routes_add,
    routes_add_next,
    routes_drop,
    routes_find,
    routes_free,
    routes_init,
    routes_reserve,
)
from fastfeed_core.state cimport Source
from fastfeed_core.status cimport OK
from fastfeed_core.tape cimport tape_bars, tape_bbo, tape_deals, tape_ticker

CHANNELS = ("book", "bbo", "trade", "ticker", "bar", "liquidation")

cdef enum:
    #: bytes of a refused frame that are kept for the log
    SAMPLE_SIZE = 256
    #: refused frames kept until somebody asks; the counters have them all
    SAMPLES = 16


cdef void dispatch_event(Route* route, Event* event, int64_t ts_recv, int64_t ts_publish) noexcept nogil:
    """Hand a message to what its route feeds; a group has no source of its own, its deals have."""
    cdef Source* source = <Source*>route.source
    if event.kind == EVENT_TRADE or event.kind == EVENT_LIQUIDATION:
        tape_deals(route, event, ts_recv, ts_publish)
    elif source == NULL:
        return
    elif event.kind == EVENT_BBO:
        tape_bbo(source, event, ts_recv, ts_publish)
    elif event.kind == EVENT_DELTA or event.kind == EVENT_SNAPSHOT or event.kind == EVENT_REFRESH \
            or event.kind == EVENT_RESET or event.kind == EVENT_HEARTBEAT:
        keep_levels(source, event, ts_recv, ts_publish)
    elif event.kind == EVENT_BAR:
        tape_bars(source, event, ts_recv, ts_publish)
    elif event.kind == EVENT_TICKER:
        while route != NULL:
            tape_ticker(<Source*>route.source, event, ts_recv, ts_publish)
            route = route.next


cdef inline void _count_latency(LatencyHead* connection, Route* route, const Event* event, int64_t ts_recv,
                                int64_t to_ring) noexcept nogil:
    """Count a message for its connection, and for each instrument that it concerns."""
    cdef int ring_bucket = histogram_bucket(to_ring)
    cdef int64_t to_socket = event.ts_send if event.ts_send != ABSENT else event.ts_event
    cdef int venue_bucket = 0
    # A snapshot at the subscription, and trades from before it, are as old as the market was quiet.
    cdef bint timed = to_socket != ABSENT and event.kind != EVENT_SNAPSHOT and not event.history
    latency_add(connection, to_ring, ring_bucket)
    if timed:
        to_socket = ts_recv - to_socket
        venue_bucket = histogram_bucket(to_socket)
        latency_add_venue(connection, to_socket, venue_bucket)
    if route.group:
        _count_group(event, to_ring, ring_bucket, timed, to_socket, venue_bucket)
        return
    while route != NULL:
        _count_instrument(route, to_ring, ring_bucket, timed, to_socket, venue_bucket)
        route = route.next


cdef inline void _count_instrument(const Route* route, int64_t to_ring, int ring_bucket, bint timed, int64_t to_socket,
                                   int venue_bucket) noexcept nogil:
    cdef LatencyHead* at
    if route.source == NULL:
        return
    at = (<Source*>route.source).market.pub.latency
    latency_add(at, to_ring, ring_bucket)
    if timed:
        latency_add_venue(at, to_socket, venue_bucket)


cdef void _count_group(const Event* event, int64_t to_ring, int ring_bucket, bint timed, int64_t to_socket,
                       int venue_bucket) noexcept nogil:
    """The deals of a group's message name their instruments; neighbours of the same one count once."""
    cdef const Route* last = NULL
    cdef const Route* route
    cdef int i
    for i in range(event.n_deals):
        route = <const Route*>event.deals[i].route
        if route != NULL and route != last:
            last = route
            _count_instrument(route, to_ring, ring_bucket, timed, to_socket, venue_bucket)


cdef Outcome receive_frame(Receiver* r, const char* p, Py_ssize_t size, int64_t ts_recv) noexcept nogil:
    """Decode a frame and do what it says; nothing here touches Python."""
    cdef bint fallback = False
    cdef Event* event = &r.event
    cdef Route* route
    cdef int64_t ts_publish
    cdef int code
    event_begin(event)
    code = r.decode(p, size, &r.routes, event, &fallback)
    route = <Route*>event.route
    r.row.frames += 1
    r.row.bytes += size
    r.row.fallbacks += fallback
    if code != OK:
        r.row.malformed += 1
        r.last_error = code
        if route != NULL and route.channel == CHANNEL_BOOK and route.source != NULL:
            keep_refuse(<Source*>route.source, ts_recv)
        return FRAME_MALFORMED
    if route == NULL:
        if event.kind == EVENT_CONTROL:
            r.row.controls += 1
            return FRAME_CONTROL
        r.row.unrouted += 1
        return FRAME_DONE
    route.messages += 1
    ts_publish = publisher_now(r.bus, ts_recv)
    dispatch_event(route, event, ts_recv, ts_publish)
    _count_latency(r.latency, route, event, ts_recv, ts_publish - ts_recv)
    return FRAME_DONE


cdef class Connection:
    """One connection's receive path.

    Parameters
    ----------
    hub : shared state of the markets
    id : row of the connection table of the bus
    decoder : the venue's
    topics : routes that it may get
    ts : ns since the epoch of the connect
    """

    def __cinit__(self, Hub hub not None, int id, Decoder decoder not None, int topics, int64_t ts):
        self.hub = hub
        self.id = id
        self.controls = []
        self.malformed = []
        self._decoder = decoder
        self._markets = set()
        self.receiver.decode = decoder.decode
        self.receiver.bus = &hub.bus.publisher
        self.receiver.row = hub.bus.connection_row(id)
        self.receiver.latency = hub.bus.connection_latency(id)
        routes_init(&self.receiver.routes, topics)
        event_init(&self.receiver.event)
        self.receiver.row.connects += 1
        self.receiver.row.connected = ts

    def __dealloc__(self):
        routes_free(&self.receiver.routes)
        event_free(&self.receiver.event)

    def route(self, str topic not None, str symbol not None, str channel not None, Market market not None, *,
              str carrier=None, bint group=False):
        """Have what the venue calls `topic` feed `market`; a topic can be asked for again, for another channel.

        Parameters
        ----------
        topic : at most 96 bytes, with the symbol behind it in a group
        symbol : what such messages call the instrument
        channel : what is wanted of them
        carrier : the channel whose messages these are; None: that channel itself
        group : the topic is of many instruments, which its messages name one by one

        Raises
        ------
        ValueError : the topic feeds another market already, or there is no room
        """
        cdef Channel wanted = <Channel><int>CHANNELS.index(channel)
        cdef Channel number = <Channel><int>CHANNELS.index(carrier or channel)
        cdef bytes text = topic.encode()
        cdef Route* route
        if wanted == CHANNEL_BBO and number == CHANNEL_BOOK:
            # The book is the quote: its top is published, or without a book the messages are read as quotes.
            if market.state.has_book:
                market.state.derives_bbo = True
            else:
                number = CHANNEL_BBO
        if group:
            if routes_find(&self.receiver.routes, text, len(text)) == NULL:
                route = routes_add(&self.receiver.routes, text, b"")
                route.group = True
                route.channel = number
            text = f"{topic}:{symbol}".encode()
        route = routes_find(&self.receiver.routes, text, len(text))
        while route != NULL and route.market != <void*>market:
            route = route.next
        if route != NULL:
            route.wants |= 1U << wanted
            return
        route = routes_find(&self.receiver.routes, text, len(text))
        if route == NULL:
            route = routes_add(&self.receiver.routes, text, symbol.encode())
        elif number == CHANNEL_TICKER:
            route = routes_add_next(route)
        else:
            raise ValueError(f"topic already routed: {topic!r}")
        route.channel = number
        route.wants = 1U << wanted
        route.px_exp = market.px_exp
        route.sz_exp = market.sz_exp
        route.source = market.attach(self.id, number)
        route.market = <void*>market
        self._markets.add(market)

    def reserve(self, int topics):
        """Have room for so many more routes."""
        routes_reserve(&self.receiver.routes, <uint32_t>topics)

    def unroute(self, str topic not None, str symbol not None, str channel not None, Market market not None,
                int64_t ts, *, bint group=False):
        """Take back what `route` began; with the last channel of a topic the market loses this source.

        Parameters
        ----------
        topic, symbol, channel, market, group : as of `route`; what is not routed is ignored
        ts : ns since the epoch
        """
        cdef bytes text = (f"{topic}:{symbol}" if group else topic).encode()
        cdef Route* route = routes_find(&self.receiver.routes, text, len(text))
        while route != NULL and route.market != <void*>market:
            route = route.next
        if route == NULL:
            return
        route.wants &= ~(1U << <int>CHANNELS.index(channel))
        if route.wants:
            return
        if route.source != NULL:
            market.detach(<Source*>route.source, route.channel, ts)
            route.source = NULL
        routes_drop(&self.receiver.routes, text, <void*>market)

    def messages(self, str topic not None):
        """Return how many messages came by a route so far."""
        cdef bytes text = topic.encode()
        cdef Route* route = routes_find(&self.receiver.routes, text, len(text))
        return route.messages if route != NULL else 0

    def taken(self, str topic not None):
        """The venue took the subscription to a book whose snapshot comes by request."""
        cdef Source* source = self._book(topic)
        if source != NULL:
            source.taken = True

    def doubt(self, str topic not None):
        """The subscription to a book is not to be relied on: the book goes on with others, if it can."""
        cdef Source* source = self._book(topic)
        if source != NULL:
            source.taken = False
            source.chain.in_step = False

    cdef Source* _book(self, str topic):
        cdef bytes text = topic.encode()
        cdef Route* route = routes_find(&self.receiver.routes, text, len(text))
        return <Source*>route.source if route != NULL and route.channel == CHANNEL_BOOK else NULL

    def settle(self, int64_t since):
        """Take the books that have not moved since `since` for in step: nothing of them is on its way any more.

        Called a while after the venue took the subscriptions, at `since`. Only books by request: others have a
        snapshot of their own at a subscription, and are in step by that. Returns True if this connection alone would
        keep all books that are live: each is in step, and none has moved without it.
        """
        cdef Route* route
        cdef Source* source
        cdef uint32_t i
        cdef bint all = True
        for i in range(self.receiver.routes.mask + 1):
            route = &self.receiver.routes.slots[i]
            while route != NULL:
                source = <Source*>route.source
                if source != NULL and route.channel == CHANNEL_BOOK and source.market.state == STATE_LIVE:
                    if not source.heard and source.market.pub.ts_recv >= since:
                        all = False
                    elif not source.chain.in_step:
                        source.chain.in_step = source.taken and not source.heard \
                            and source.chain.epoch == source.market.epoch
                        all = all and source.chain.in_step
                route = route.next
        return all

    def accepts(self, bytes frame not None):
        """Return True if the frame is market data of one of the routes."""
        cdef bint fallback = False
        event_begin(&self.receiver.event)
        self.receiver.decode(frame, len(frame), &self.receiver.routes, &self.receiver.event, &fallback)
        return self.receiver.event.route != NULL

    @property
    def last_recv(self):
        """When the last socket read was, ns since the epoch."""
        return self.receiver.row.last_recv

    def hear(self, int64_t ts, bint is_pong):
        """A ping or pong of the WebSocket protocol came: a sign of life."""
        self.receiver.row.last_recv = ts
        if is_pong:
            self.last_pong = ts

    cdef int receive_raw(self, const char* p, Py_ssize_t size, int64_t ts_recv) except -1:
        """Take one frame: 1 if the protocol has to look at something, else 0."""
        cdef Outcome outcome = receive_frame(&self.receiver, p, size, ts_recv)
        if outcome == FRAME_CONTROL:
            self.controls.append(p[:size])
        elif outcome == FRAME_MALFORMED:
            if len(self.malformed) < SAMPLES:
                self.malformed.append((self.receiver.last_error, self.receiver.event.offset,
                                       p[:min(size, <Py_ssize_t>SAMPLE_SIZE)]))
        elif self.hub.state.attention == NULL:
            return 0
        return 1

    def receive(self, bytes frame not None, int64_t ts_recv):
        """Take one frame without flushing; True if the protocol has to look at something."""
        if self.closed:
            raise ValueError(f"connection {self.id} is closed")
        self.receiver.row.last_recv = ts_recv
        return bool(self.receive_raw(frame, len(frame), ts_recv))

    def take_controls(self):
        """Return the control frames since the last call."""
        out = self.controls
        self.controls = []
        return out

    def take_malformed(self):
        """Return [(status, offset, first bytes)] of refused frames since the last call, the first 16 of them."""
        out = self.malformed
        self.malformed = []
        return out

    def close(self, int64_t ts):
        """The socket is gone: its instruments lose this source, and the ones without another lose their book."""
        cdef Route* route
        cdef uint32_t i
        if self.closed:
            return
        self.closed = True
        for i in range(self.receiver.routes.mask + 1):
            route = &self.receiver.routes.slots[i]
            while route != NULL:
                if route.source != NULL:
                    (<Market>route.market).detach(<Source*>route.source, route.channel, ts)
                    route.source = NULL
                route = route.next
        self.receiver.row.connected = 0
        self.receiver.row.disconnects += 1
        publisher_flush(self.receiver.bus)
