"""Round trips of `bytes` between two Python processes over one transport: ours, or a peer's.

`python pair.py TRANSPORT BYTES CALIBRATION CHUNKS TRIPS CPU CPU` prints a JSON line a chunk, medians in ns. It stands
alone, so that any interpreter can run it that has the transport; CALIBRATION is the compiled `calibrate.c`.

Both ends spin where the transport lets them. A message of BYTES bytes comes back as a new `bytes`
object and is compared with what was sent: each one before anything is timed, the last of each group then. The clock is
read once a group of trips, because it costs as much as a part of a trip.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

WARM_UP = 512
MADV_POPULATE_WRITE = 23
GROUP = 8  # trips

#: sends a message so many times, each when the one before is back, and returns what came back last
Trips = Callable[[bytes, int], bytes]
#: sends back what comes, so many times
Echo = Callable[[int], None]


class Pair:
    """One transport: what is made before the fork, and each side's own part after it."""

    def __init__(self, folder: str, size: int) -> None:
        self.folder = folder
        self.size = size

    def parent(self) -> Trips:
        raise NotImplementedError

    def child(self) -> Echo:
        raise NotImplementedError


class Fastfeed(Pair):
    CAPACITY = 1 << 20

    def __init__(self, folder: str, size: int) -> None:
        from fastfeed_core.ring import Ring

        super().__init__(folder, size)
        self.ring = Ring
        self.memory = [mmap.mmap(-1, Ring.size(self.CAPACITY)) for _ in range(2)]
        for memory in self.memory:
            memory.write(bytes(len(memory)))

    def _open(self, out: int, back: int):
        with contextlib.suppress(OSError):  # without it the first lap pays for page faults
            for memory in self.memory:
                memory.madvise(MADV_POPULATE_WRITE)
        write = self.ring(self.CAPACITY, 1, self.memory[out]).write
        receive = self.ring(self.CAPACITY, 1, self.memory[back], attach=True).receive
        return write, receive

    def parent(self) -> Trips:
        write, receive = self._open(0, 1)

        def trips(message: bytes, count: int) -> bytes:
            for _ in range(count):
                write(message)
                while (found := receive(1000)) is None:
                    pass
            return found

        return trips

    def child(self) -> Echo:
        write, receive = self._open(1, 0)

        def echo(count: int) -> None:
            for _ in range(count):
                while (found := receive(1000)) is None:
                    pass
                write(found)

        return echo


class Aeron(Pair):
    """pyaeron over IPC with exclusive publications; the media driver is a process of its own."""

    def __init__(self, folder: str, size: int) -> None:
        super().__init__(folder, size)
        self.places, places = os.pipe()
        self.driver = os.fork()
        if self.driver == 0:
            import pyaeron

            with pyaeron.MediaDriver() as driver:
                os.write(places, driver.dir.encode())
                while os.getppid() != 1:
                    time.sleep(1)
            os._exit(0)
        self.place = os.read(self.places, 4096).decode()

    def _open(self, out: int, back: int):
        import pyaeron

        self.aeron = pyaeron.Aeron(dir=self.place)
        publication = self.aeron.add_exclusive_publication(pyaeron.IPC_CHANNEL, out)
        subscription = self.aeron.add_subscription(pyaeron.IPC_CHANNEL, back)
        publication.await_connected()
        subscription.await_connected()
        found: list[bytes] = []

        def handler(buffer, header) -> None:
            found.append(buffer.tobytes())

        return publication.offer, subscription.poll, handler, found.pop

    def parent(self) -> Trips:
        offer, poll, handler, pop = self._open(1, 2)

        def trips(message: bytes, count: int) -> bytes:
            for _ in range(count):
                while not offer(message):
                    pass
                while not poll(handler, 1):
                    pass
                found = pop()
            return found

        return trips

    def child(self) -> Echo:
        offer, poll, handler, pop = self._open(2, 1)

        def echo(count: int) -> None:
            for _ in range(count):
                while not poll(handler, 1):
                    pass
                message = pop()
                while not offer(message):
                    pass

        return echo

    def close(self) -> None:
        os.kill(self.driver, 9)
        os.waitpid(self.driver, 0)


class Iceoryx(Pair):
    """iceoryx2, publish and subscribe of a fixed-size payload."""

    def _open(self, out: str, back: str):
        import iceoryx2 as iox2

        class Payload(ctypes.Structure):
            _fields_ = [("data", ctypes.c_uint8 * self.size)]

            @staticmethod
            def type_name() -> str:
                return "Payload"

        iox2.set_log_level(iox2.LogLevel.Error)
        self.node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)

        def service(name: str):
            name = f"{os.path.basename(self.folder)}/{name}"
            return self.node.service_builder(iox2.ServiceName.new(name)).publish_subscribe(Payload).open_or_create()

        publisher = service(out).publisher_builder().create()
        subscriber = service(back).subscriber_builder().create()
        loan = publisher.loan_uninit

        def send(message: bytes) -> None:
            loan().write_payload(Payload.from_buffer_copy(message)).send()

        receive = subscriber.receive

        def spin() -> bytes:
            while (sample := receive()) is None:
                pass
            return bytes(sample.payload().contents)

        return send, spin

    def parent(self) -> Trips:
        send, spin = self._open("there", "back")

        def trips(message: bytes, count: int) -> bytes:
            for _ in range(count):
                send(message)
                found = spin()
            return found

        time.sleep(0.5)  # until the other side has its ports
        return trips

    def child(self) -> Echo:
        send, spin = self._open("back", "there")

        def echo(count: int) -> None:
            for _ in range(count):
                send(spin())

        return echo


class Zmq(Pair):
    """pyzmq, a pair of sockets over ipc."""

    def parent(self) -> Trips:
        import zmq

        socket = zmq.Context().socket(zmq.PAIR)
        socket.bind(f"ipc://{self.folder}/socket")

        def trips(message: bytes, count: int) -> bytes:
            for _ in range(count):
                socket.send(message)
                found: bytes = socket.recv()
            return found

        return trips

    def child(self) -> Echo:
        import zmq

        socket = zmq.Context().socket(zmq.PAIR)
        socket.connect(f"ipc://{self.folder}/socket")

        def echo(count: int) -> None:
            for _ in range(count):
                socket.send(socket.recv())

        return echo


class Queue(Pair):
    """Two queues of multiprocessing."""

    def __init__(self, folder: str, size: int) -> None:
        import multiprocessing

        super().__init__(folder, size)
        context = multiprocessing.get_context("fork")
        self.there, self.back = context.Queue(), context.Queue()

    def parent(self) -> Trips:
        put, get = self.there.put, self.back.get

        def trips(message: bytes, count: int) -> bytes:
            for _ in range(count):
                put(message)
                found: bytes = get()
            return found

        return trips

    def child(self) -> Echo:
        put, get = self.back.put, self.there.get

        def echo(count: int) -> None:
            for _ in range(count):
                put(get())

        return echo


TRANSPORTS = {
    "fastfeed": Fastfeed,
    "pyaeron": Aeron,
    "iceoryx2": Iceoryx,
    "pyzmq": Zmq,
    "multiprocessing.Queue": Queue,
}


class Calibration:
    """The bare ping-pong of the same pair of processes."""

    TRIPS = 5000

    def __init__(self, library: str) -> None:
        self.library = ctypes.CDLL(library)
        self.library.bench_ping.restype = ctypes.c_double
        self.memory = mmap.mmap(-1, 4096)
        at = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.lines = ctypes.c_void_p(at), ctypes.c_void_p(at + 256)
        self.base = 0

    def run(self, name: str) -> float:
        found: float = getattr(self.library, name)(*self.lines, ctypes.c_uint64(self.base), self.TRIPS)
        self.base += self.TRIPS
        return found


def middle(samples: list[float]) -> float:
    """The median, finer than the clock's steps: the mean of the fifth around it."""
    samples.sort()
    part = samples[2 * len(samples) // 5 : 3 * len(samples) // 5]
    return sum(part) / len(part)


def run(pair: Pair, calibration: Calibration, chunks: int, trips: int, cpus: tuple[int, int]) -> Iterator[dict]:
    """Fork, and yield the chunks in the parent; the child does not return."""
    child = os.fork()
    os.sched_setaffinity(0, {cpus[child == 0]})
    gc.disable()
    if child == 0:
        echo = pair.child()
        echo(WARM_UP)
        for _ in range(chunks):
            calibration.run("bench_pong")
            echo(trips // GROUP * GROUP)
            calibration.run("bench_pong")
        time.sleep(0.2)  # a queue's thread may still be writing
        os._exit(0)
    make = pair.parent()
    messages = [os.urandom(pair.size) for _ in range(64)]
    for number in range(WARM_UP):
        if make(messages[number % 64], 1) != messages[number % 64]:
            raise AssertionError("a message came back changed")
    clock = time.perf_counter_ns
    for _ in range(chunks):
        before = calibration.run("bench_ping")
        samples = []
        for number in range(trips // GROUP):
            message = messages[number % 64]
            start = clock()
            back = make(message, GROUP)
            samples.append((clock() - start) / GROUP)
            if back != message:
                raise AssertionError("a message came back changed")
        after = calibration.run("bench_ping")
        yield {"before": before, "trip": middle(samples), "after": after}
    os.waitpid(child, 0)


def main() -> None:
    """Run one transport."""
    name, size, library, *numbers = sys.argv[1:]
    chunks, trips, *cpus = map(int, numbers)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pair = TRANSPORTS[name](folder, int(size))
        if isinstance(pair, Aeron):
            stack.callback(pair.close)
        for chunk in run(pair, Calibration(library), chunks, trips, (cpus[0], cpus[1])):
            print(json.dumps(chunk), flush=True)


if __name__ == "__main__":
    main()
