"""How a feed reaches its venue: through which proxy, trusting whom, and what is said when it does not get there.

Certificates are always verified. Whatever goes wrong on the way comes out as `Unreachable`, with a text that names the
proxy or the certificate that it is about and holds no secret.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import picows
from picows import WSListener
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

from fastfeed.errors import ConfigError
from fastfeed.proxies import Proxy

__all__ = ["Network", "Reply", "Unreachable"]

_HANDSHAKE_S = 10.0
_MAX_FRAME = 16 << 20


class Unreachable(ConnectionError):
    """A connection or a request that did not come about; its text says why."""


class Reply(NamedTuple):
    """An answer to a REST request."""

    status: int
    headers: dict[str, str]
    body: bytes


class Network:
    """The way from a feed to its venue, for WebSocket and REST alike; used inside of `async with`.

    Parameters
    ----------
    proxy : None: a direct way
    ca : file of certificate authorities, instead of the system's
    headers : of all REST calls
    path : where the proxy stands in the configuration, for messages

    Raises
    ------
    ConfigError : the proxy needs a package that is not installed; the file of authorities holds none
    """

    def __init__(
        self,
        proxy: Proxy | None = None,
        ca: str | None = None,
        headers: Mapping[str, str] | None = None,
        path: str = "feed",
    ) -> None:
        self._proxy = proxy
        self._headers = dict(headers or {})
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except OSError as error:  # an SSLError is one, too
            raise ConfigError(f"{path}.endpoints.ca", "a file of certificates", f"{ca!r}: {error.strerror}") from None
        self._connector: Callable[[], aiohttp.BaseConnector | None] = lambda: None
        self._faults: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError)
        if proxy is not None and proxy.scheme == "socks5":
            try:
                import aiohttp_socks  # an optional extra
            except ImportError:
                expected = 'aiohttp-socks, which REST through socks5 needs (pip install "fastfeed[socks]")'
                raise ConfigError(f"{path}.proxy", expected, "nothing") from None
            url = proxy.url
            self._connector = lambda: aiohttp_socks.ProxyConnector.from_url(url)
            self._faults += (
                aiohttp_socks.ProxyError,
                aiohttp_socks.ProxyConnectionError,
                aiohttp_socks.ProxyTimeoutError,
            )
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Network:
        self._http = aiohttp.ClientSession(connector=self._connector())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is open of REST; once more does nothing."""
        if self._http is not None:
            await self._http.close()

    async def open(
        self, listener: Callable[[], WSListener], url: str, headers: Mapping[str, str], local: str | None = None
    ) -> None:
        """Open a WebSocket.

        Parameters
        ----------
        local : the address of this machine to leave from, where there is no proxy; None: the system chooses

        Raises
        ------
        Unreachable : it could not be opened
        """
        leaving = "" if local is None else f" (from {local})"
        try:
            _, made = await picows.ws_connect(
                listener,
                url,
                ssl_context=self._tls if url.startswith("wss:") else None,
                websocket_handshake_timeout=_HANDSHAKE_S,
                # Pings are answered by the session, which counts them as signs of life.
                enable_auto_pong=False,
                max_frame_size=_MAX_FRAME,
                extra_headers=dict(headers),
                proxy=None if self._proxy is None else self._proxy.url,
                local_addr=None if local is None else (local, 0),
            )
        except Exception as error:
            raise Unreachable(f"{self._explain(error, url)}{leaving}") from error
        if made is None:
            # picows takes an end before the answer for no error. Unsaid, it would be tried again at the next tick: no
            # pause, no budget and no breaker would know of it.
            raise Unreachable(f"closed before the handshake was over{self._by_way()}{leaving}")

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Reply:
        """Make a REST request.

        Raises
        ------
        Unreachable : it has no answer
        """
        assert self._http is not None, "used outside of its block"
        tunnel = self._proxy if self._proxy is not None and self._proxy.scheme == "http" else None
        login, tunnelled = {}, url.startswith("https:")
        if tunnel is not None and tunnel.user is not None:
            secret = base64.b64encode(f"{tunnel.user}:{tunnel.password}".encode()).decode()
            login = {"Proxy-Authorization": f"Basic {secret}"}
        try:
            async with self._http.request(
                method,
                url,
                # What is not tunnelled is itself a request to the proxy.
                headers={**self._headers, **headers, **({} if tunnelled else login)},
                data=body,
                ssl=self._tls,
                proxy=None if tunnel is None else str(tunnel),
                proxy_headers=login if tunnelled else None,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as reply:
                content = await reply.read()
                if reply.status == 407 and tunnel is not None:
                    # Plain http is not tunnelled, so that a refusal of the proxy looks like an answer.
                    raise Unreachable(f"proxy {tunnel} refused: status 407")
                return Reply(reply.status, dict(reply.headers), content)
        except Unreachable:
            raise
        except self._faults as error:
            raise Unreachable(self._explain(error, url)) from error

    def _explain(self, error: Exception, url: str) -> str:
        """What went wrong, in words for the log: it names the proxy, or whose certificate it is."""
        for each in _causes(error):  # the libraries wrap what others of them say
            # aiohttp's own class is one of these without saying what was verified; what it came of does.
            verified = getattr(each, "verify_message", "") if isinstance(each, ssl.SSLCertVerificationError) else ""
            if verified:
                return f"certificate of {urlsplit(url).hostname} refused: {verified}{self._by_way()}"
            if isinstance(each, aiohttp.ClientHttpProxyError):
                return f"proxy {self._proxy} refused: status {each.status}"
            if isinstance(each, (ProxyConnectionError, ProxyTimeoutError, aiohttp.ClientProxyConnectionError)):
                return f"proxy {self._proxy} is not reached: {each}"
            if isinstance(each, ProxyError):
                return f"proxy {self._proxy} refused: {each}"
        return f"{type(error).__name__}: {error}{self._by_way()}"

    def _by_way(self) -> str:
        return "" if self._proxy is None else f" (through proxy {self._proxy})"


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and what it came of, outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
