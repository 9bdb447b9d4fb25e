"""The listener of a WebSocket connection: what a socket read brings goes to the receive path, the rest to the shell.

The only module that names the WebSocket library. Frames are decoded where they lie in its read buffer; a message that
comes in several frames is put together first.
"""

from libc.stdint cimport int64_t

from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from fastfeed_core.connection cimport Connection
from fastfeed_core.publish cimport publisher_flush
from fastfeed_core.wake cimport ff_realtime

import picows

if not picows.__version__.startswith("2.3."):
    raise ImportError(f"picows version: expected 2.3.*, was {picows.__version__}; its classes are built in")

cdef enum:
    #: bytes of a message in several frames; a larger one is cut off, and refused as malformed
    MAX_MESSAGE = 16 << 20


cdef class Session(WSListener):
    """Listener of one connection.

    Parameters
    ----------
    shell : object with `opened(session)`, `attend()` and `closed(session)`: called when the socket is open, when
        the protocol has to look at something, and when the socket is gone
    key : what the shell calls this session
    """

    cdef object _shell
    cdef readonly WSTransport transport
    cdef public Connection connection
    cdef bytearray _parts
    cdef int64_t _ts_recv
    cdef bint _in_read
    cdef readonly object key

    def __init__(self, shell, key):
        self._shell = shell
        self.key = key

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self._shell.opened(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef Connection connection = self.connection
        cdef int attend = 0
        if connection is None or connection.closed:
            return
        # One clock read a socket read: the frames of a read arrived together.
        if not self._in_read:
            self._ts_recv = ff_realtime()
            self._in_read = True
            connection.receiver.row.last_recv = self._ts_recv
        if frame.msg_type == WSMsgType.TEXT and frame.fin:
            attend = connection.receive_raw(frame.payload_ptr, frame.payload_size, self._ts_recv)
        elif frame.msg_type == WSMsgType.PING:
            # Answered here and not by the library, so that a ping counts as a sign of life.
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PONG:
            connection.last_pong = self._ts_recv
        else:
            attend = self._receive_part(frame)
        if frame.last_in_buffer:
            self._in_read = False
            publisher_flush(connection.receiver.bus)
        if attend:
            self._shell.attend()

    cdef int _receive_part(self, WSFrame frame) except -1:
        """Frames of a fragmented message, and binary ones."""
        cdef bytes whole
        if frame.msg_type != WSMsgType.CONTINUATION:
            self._parts = bytearray()
        elif self._parts is None:
            return 0                        # a continuation of nothing
        if len(self._parts) <= MAX_MESSAGE:
            self._parts += frame.get_payload_as_memoryview()
        if not frame.fin:
            return 0
        whole = bytes(self._parts)
        self._parts = None
        return self.connection.receive_raw(whole, len(whole), self._ts_recv)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._shell.closed(self)

    def send(self, bytes payload not None):
        """Send a text frame."""
        self.transport.send(WSMsgType.TEXT, payload)

    def ping(self):
        """Send a ping of the WebSocket protocol."""
        self.transport.send_ping()

    def disconnect(self, bint graceful=True):
        """Close the socket."""
        self.transport.disconnect(graceful)
