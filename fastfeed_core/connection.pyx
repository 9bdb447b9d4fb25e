"""The receive path of one connection: decoder, routes, counters; from a frame's bytes to the bus.

A connection is made anew for every connect and closed with the socket; what it fed loses its source then. Only what
needs Python comes out: control frames as text, refused frames as samples.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from fastfeed_core.connection cimport FRAME_CONTROL, FRAME_DONE, FRAME_MALFORMED
from fastfeed_core.counters cimport histogram_add
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.event cimport (
    CHANNEL_BOOK,
    EVENT_BBO,
    EVENT_CONTROL,
    EVENT_DELTA,
    EVENT_SNAPSHOT,
    EVENT_TRADE,
    MAX_LEVELS,
    Channel,
)
from fastfeed_core.market cimport Market, Source, market_bbo, market_levels, market_refuse, market_trade
from fastfeed_core.publish cimport publisher_flush, publisher_now
from fastfeed_core.routes cimport Route, routes_add, routes_find, routes_free, routes_init
from fastfeed_core.status cimport OK

CHANNELS = ("book", "bbo", "trade")

cdef enum:
    #: bytes of a refused frame that are kept for the log
    SAMPLE_SIZE = 256
    #: refused frames kept until somebody asks; the counters have them all
    SAMPLES = 16


cdef Outcome receive_frame(Receiver* r, const char* p, Py_ssize_t size, int64_t ts_recv) noexcept nogil:
    """Decode a frame and do what it says; nothing here touches Python."""
    cdef bint fallback = False
    cdef Event* event = &r.event
    cdef int code = r.decode(p, size, &r.routes, event, &fallback)
    cdef Route* route = <Route*>event.route
    cdef Source* source
    cdef int64_t ts_publish
    r.row.frames += 1
    r.row.bytes += size
    r.row.fallbacks += fallback
    if code != OK:
        r.row.malformed += 1
        r.last_error = code
        if route != NULL and route.channel == CHANNEL_BOOK:
            market_refuse(<Source*>route.source, ts_recv)
        return FRAME_MALFORMED
    if route == NULL:
        if event.kind == EVENT_CONTROL:
            r.row.controls += 1
            return FRAME_CONTROL
        r.row.unrouted += 1
        return FRAME_DONE
    source = <Source*>route.source
    route.messages += 1
    ts_publish = publisher_now(r.bus, ts_recv)
    if event.kind == EVENT_BBO:
        market_bbo(source, event, ts_recv, ts_publish)
    elif event.kind == EVENT_TRADE:
        market_trade(source, event, ts_recv, ts_publish)
    elif event.kind == EVENT_DELTA or event.kind == EVENT_SNAPSHOT:
        market_levels(source, event, ts_recv, ts_publish)
    ts_publish -= ts_recv
    histogram_add(r.latency, ts_publish)
    if ts_publish > r.row.latency_max:
        r.row.latency_max = ts_publish
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
        self._routed = {}
        self.receiver.decode = decoder.decode
        self.receiver.bus = &hub.bus.publisher
        self.receiver.row = hub.bus.connection_row(id)
        self.receiver.latency = hub.bus.histogram(id)
        routes_init(&self.receiver.routes, topics)
        self.receiver.event.levels = <int64_t*>malloc(2 * MAX_LEVELS * sizeof(int64_t))
        if self.receiver.event.levels == NULL:
            raise MemoryError
        self.receiver.row.connects += 1
        self.receiver.row.connected = ts

    def __dealloc__(self):
        routes_free(&self.receiver.routes)
        free(self.receiver.event.levels)

    def route(self, str topic not None, str symbol not None, str channel not None, Market market not None):
        """Have what the venue calls `topic` feed `market`; `symbol` is what such messages call the instrument."""
        cdef int index = CHANNELS.index(channel)
        cdef Channel number = <Channel>index
        cdef Route* route = routes_add(&self.receiver.routes, topic.encode(), symbol.encode())
        route.channel = number
        route.px_exp = market.px_exp
        route.sz_exp = market.sz_exp
        route.source = market.attach(self.id, number == CHANNEL_BOOK)
        self._routed[topic] = market

    def messages(self, str topic not None):
        """Return how many messages came by a route so far."""
        cdef bytes text = topic.encode()
        cdef Route* route = routes_find(&self.receiver.routes, text, len(text))
        return route.messages if route != NULL else 0

    def accepts(self, bytes frame not None):
        """Return True if the frame is market data of one of the routes."""
        cdef bint fallback = False
        self.receiver.decode(frame, len(frame), &self.receiver.routes, &self.receiver.event, &fallback)
        return self.receiver.event.route != NULL

    @property
    def last_recv(self):
        """When the last socket read was, ns since the epoch."""
        return self.receiver.row.last_recv

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
        cdef bytes text
        if self.closed:
            return
        self.closed = True
        for topic, market in self._routed.items():
            text = topic.encode()
            route = routes_find(&self.receiver.routes, text, len(text))
            (<Market>market).detach(<Source*>route.source, route.channel == CHANNEL_BOOK, ts)
            route.source = NULL
        self.receiver.row.connected = 0
        self.receiver.row.disconnects += 1
        publisher_flush(self.receiver.bus)
