"""What a simulated connection puts on the wire, and its WebSocket framing.

Outputs are values: a session returns them, the fault layer changes them, the socket server encodes them. Only
`encode_output` knows RFC 6455; a server never masks.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class Frame:
    """A message to the client.

    `topic` is the name under which the client subscribed and `name` the unified name of the instrument; both are empty
    for acknowledgements and other control messages, which faults leave alone. `stale` is what the fault of an old
    snapshot sends instead, where the frame is a snapshot.
    """

    payload: bytes
    topic: str = ""
    name: str = ""
    binary: bool = False
    stale: bytes = b""


@dataclass(frozen=True, slots=True)
class Ping:
    """A WebSocket ping frame."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A WebSocket pong frame."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame, after which the server closes the connection."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """The connection is cut without a close frame."""


@dataclass(frozen=True, slots=True)
class Framed:
    """Many text messages that are framed already, for replay at full speed."""

    wire: bytes


Output = Frame | Ping | Pong | Close | Abort | Framed


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return one unmasked, final WebSocket frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


def encode_output(output: Output) -> bytes:
    """Return the bytes of an output on the wire; `Abort` has none."""
    match output:
        case Frame():
            return encode_frame(BINARY if output.binary else TEXT, output.payload)
        case Framed():
            return output.wire
        case Ping():
            return encode_frame(PING, output.payload)
        case Pong():
            return encode_frame(PONG, output.payload)
        case Close():
            return encode_frame(CLOSE, output.code.to_bytes(2, "big") + output.reason.encode())
        case Abort():
            return b""
