"""A helper thread that waits for a reader in the kernel, so that an event loop stays idle while nothing comes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

__all__ = ["Helper"]

_KEEP_S = 1.0  # a thread that nobody has asked for anything for so long ends


class Helper:
    """Waits beside one event loop for one reader, which belongs to the thread meanwhile.

    Parameters
    ----------
    wait : called in the thread; returns when the reader should be looked at, or soon after `interrupt`
    interrupt : has `wait` return; may come too early, and is repeated then
    """

    def __init__(self, wait: Callable[[], None], interrupt: Callable[[], None]) -> None:
        self._wait = wait
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._asked = threading.Semaphore(0)
        self._back = threading.Event()
        self._back.set()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._done: Callable[[BaseException | None], None] = lambda _: None

    async def wait(self) -> None:
        """Let the thread wait, and the loop do other things. When cancelled, the thread has ended first."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)

        def done(error: BaseException | None) -> None:
            # From the thread: the loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, error)

        self._back.clear()
        self._done = done
        with self._lock:
            self._asked.release()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fastfeed-reader", daemon=True)
                self._thread.start()
        try:
            await future
        except BaseException:
            self.close()
            raise

    def fetch_back(self) -> None:
        """Have the thread out of the reader; a task that awaits it goes on."""
        while not self._back.is_set():
            self._interrupt()
            self._back.wait(0.001)

    def close(self) -> None:
        """Have the thread out of the reader, and end it."""
        self.fetch_back()
        with self._lock:
            thread = self._thread
            self._ending = True
            self._asked.release()
        if thread is not None:
            thread.join()
        self._thread = None
        self._ending = False
        self._asked = threading.Semaphore(0)

    def _run(self) -> None:
        while True:
            if not self._asked.acquire(timeout=_KEEP_S):
                with self._lock:
                    if not self._asked.acquire(blocking=False):
                        self._thread = None
                        return
            if self._ending:
                return
            failed = None
            try:
                self._wait()
            except BaseException as error:  # for the task to see
                failed = error
            done = self._done
            self._back.set()
            done(failed)
