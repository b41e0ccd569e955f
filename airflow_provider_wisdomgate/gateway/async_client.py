"""Sends calls on an event loop. The rules are those of client.py, and so is what reads the answers: wire.py.

asyncio's own connections, because a library's reader makes other answers of the same bytes, and one clock for all
exchanges: a timer for each cost a quarter more CPU.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3.util import wait_for_read

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.exchange import (
    MAX_REDIRECTS,
    MAX_REPLY,
    Received,
    after_error,
    broke,
    encode_body,
    headers_of,
    is_evident,
    meaning_of,
)
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.gateway.routes import CONNECT_TIMEOUT, Call, T
from airflow_provider_wisdomgate.gateway.settings import Settings, next_hop
from airflow_provider_wisdomgate.gateway.transport import (
    LINGER,
    AnswerBrokenError,
    proxy_of,
    reason_of,
    sendable,
    tls_context,
    unreachable,
    without_socks,
)
from airflow_provider_wisdomgate.gateway.wire import Answer, Unshown

MOST_CONNECTIONS = 100
# An idle connection that is older may be closed by the far side just now.
IDLE_FOR = 15.0
PORTS = {"http": 80, "https": 443}


class Clock:
    """Ends what is overdue, with one timer for all: the one of the earliest deadline."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, limit: asyncio.Timeout, seconds: float) -> None:
        """Let a timeout expire in so many seconds, unless it is forgotten before. The first call for it counts."""
        due = self._due.setdefault(limit, asyncio.get_running_loop().time() + seconds)
        if self._timer is None or self._timer.when() > due:
            self._set(due)

    def forget(self, limit: asyncio.Timeout) -> None:
        self._due.pop(limit, None)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _set(self, due: float) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer, now = None, asyncio.get_running_loop().time()
        for limit in [limit for limit, due in self._due.items() if due <= now]:
            del self._due[limit]
            limit.reschedule(now)
        if self._due:
            self._set(min(self._due.values()))


@dataclass(frozen=True)
class Origin:
    """A place that requests go to, and the way there."""

    scheme: str
    host: str
    port: int
    authority: str
    proxy: str | None
    idle: list[Connection] = field(default_factory=list, compare=False)

    @property
    def is_direct(self) -> bool:
        """Whether what is sent is for the far side itself, not for a proxy that passes it on."""
        return self.proxy is None or self.scheme == "https"


class Connection(asyncio.Protocol):
    """One connection, and the answer that it waits for."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.transport: asyncio.Transport
        self.answer: Answer | None = None
        self.idle_since = 0.0
        self._done: asyncio.Future[None] | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            self.transport.abort()  # nobody asked
            return
        self.answer.feed(data)
        self._look()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    @property
    def is_open(self) -> bool:
        return not self._closed.done() and not self.transport.is_closing()

    @property
    def is_silent(self) -> bool:
        """Whether an idle connection is as it should be: nothing came on it, no end either."""
        return self.is_open and not wait_for_read(self.transport.get_extra_info("socket"), timeout=0.0)

    async def ask(self, request: Unshown, answer: Answer) -> None:
        """Send a request and wait until its answer is over, or holds as much as is read of one."""
        self.answer, self._done = answer, asyncio.get_running_loop().create_future()
        if self.is_open:
            self.transport.write(request)
        else:
            answer.end()
        self._look()
        await self._done

    def put_back(self, answer: Answer) -> None:
        """Keep it for the next request, if it can carry one."""
        self.answer = None
        if answer.is_whole and answer.is_kept and self.is_open:
            self.idle_since = asyncio.get_running_loop().time()
            self.origin.idle.append(self)
        else:
            self.transport.abort()

    async def linger(self) -> None:
        """Take what still comes, for a moment."""
        await asyncio.wait([self._closed], timeout=LINGER)

    def _end(self, error: Exception | None) -> None:
        if self.answer and error:
            self.answer.break_off(reason_of(error))
        elif self.answer:
            self.answer.end()
        self._look()
        if not self._closed.done():
            self._closed.set_result(None)

    def _look(self) -> None:
        is_over = self.answer is not None and (self.answer.is_over or self.answer.size >= MAX_REPLY)
        if self._done and is_over and not self._done.done():
            self._done.set_result(None)


class AsyncClient:
    """Sends calls on connections of its own, which belong to the event loop it is opened in."""

    def __init__(self, settings: Settings, retry_policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.retry_policy = retry_policy or RetryPolicy()
        self._is_open = False
        self._slots, self._clock, self._tls_lock = asyncio.Semaphore(MOST_CONNECTIONS), Clock(), asyncio.Lock()
        # Made once: building these anew cost more than the rest of a poll together.
        self._common = {same: _lines(headers_of(settings, same_origin=same)) for same in (True, False)}
        self._base_url = ""
        self._origins: dict[str, Origin] = {}
        self._busy: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> AsyncClient:
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        self._clock.stop()
        for connection in [*self._busy, *(each for origin in self._origins.values() for each in origin.idle)]:
            connection.transport.abort()
        self._origins.clear()
        await asyncio.sleep(0)  # the loop closes their sockets

    async def send(self, call: Call[T], retry_policy: RetryPolicy | None = None) -> T:
        """Send a call; see :meth:`Client.send`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._send_once(call)
            except errors.WisdomGateError as error:
                await asyncio.sleep(after_error(call, error, attempt, retry_policy or self.retry_policy, self.settings))

    async def _send_once(self, call: Call[T]) -> T:
        if not self._is_open:
            raise RuntimeError("AsyncClient is used outside its `async with`.")
        seen = None if call.idempotent else Unshown()
        limit = asyncio.timeout(None)
        try:
            async with self._slots, limit:
                got = await self._follow(call, seen, limit)
        except errors.ConnectionBrokenError as error:
            got = Received(None, {}, b"", error=error)
        except TimeoutError as error:
            got = Received(None, {}, b"", error=errors.ConnectionBrokenError(broke(reason_of(error))))
        finally:
            self._clock.forget(limit)
        return meaning_of(call, self.settings, got, seen)

    async def _follow(self, call: Call[Any], seen: Unshown | None, limit: asyncio.Timeout) -> Received:
        """Send once and follow redirects. The time of the whole begins when the first connection is there."""
        self._base_url = self._base_url or sendable(self.settings.base_url)
        url, same_origin = f"{self._base_url}{call.path}", True
        if self.settings.query:
            url = sendable(self.settings.url_of(call.path))
        if self.settings.query:
            url = sendable(self.settings.url_of(call.path))
        body, content_type = encode_body(call)
        for _ in range(MAX_REDIRECTS):
            own = self._common[same_origin]
            if content_type or call.idempotency_key:
                own = _lines({**headers_of(self.settings, same_origin=same_origin, call=call), **content_type})
            connection = await self._connected(self._origin_of(url), call)
            self._clock.watch(limit, call.timeout or self.settings.timeout)
            got = await self._exchange(call, url, own, body or b"", seen, connection)
            location = got.headers.get("location")
            if call.method != "GET" or not 300 <= (got.status or 0) < 400 or not location:
                return Received(got.status, got.headers, got.body, same_origin, got.error)
            url, still = next_hop(url, location)
            url, same_origin = sendable(url), same_origin and still
        raise errors.UnexpectedReplyError(f"The gateway redirects more than {MAX_REDIRECTS} times.")

    async def _exchange(
        self, call: Call[Any], url: str, headers: Unshown, body: bytes, seen: Unshown | None, on: Connection
    ) -> Received:
        origin, answer = on.origin, Answer(seen)
        path = url[url.index("/", 8) :] if origin.is_direct else url
        line = f"{call.method} {path} HTTP/1.1\r\nHost: {origin.authority}\r\n".encode()
        login = Unshown() if origin.is_direct else _proxy_login(origin.proxy)
        length = b"" if call.method == "GET" else b"Content-Length: %d\r\n" % len(body)
        request = Unshown(b"".join((line, headers, login, length, b"\r\n", body)))
        self._busy.add(on)
        try:
            await on.ask(request, answer)
            error = errors.ConnectionBrokenError(broke(answer.broken)) if answer.broken else None
            got = Received(answer.status, answer.headers, answer.take()[:MAX_REPLY], error=error)
            if not is_evident(call, got):
                await on.linger()
            return got
        finally:
            self._busy.discard(on)
            on.put_back(answer)

    async def _connected(self, origin: Origin, call: Call[Any]) -> Connection:
        """Take the connection that was used last, or open one."""
        fresh = asyncio.get_running_loop().time() - IDLE_FOR
        while origin.idle:
            connection = origin.idle.pop()
            if connection.idle_since > fresh and connection.is_silent:
                return connection
            connection.transport.abort()
        tls = await self._read_tls_files() if "https" in (origin.scheme, (origin.proxy or "")[:5]) else None
        url = f"{origin.scheme}://{origin.authority}"
        try:
            async with asyncio.timeout(min(CONNECT_TIMEOUT, call.timeout or self.settings.timeout)):
                return await _open(origin, tls)
        except (OSError, ValueError) as error:
            raise unreachable(url, error) from None

    async def _read_tls_files(self) -> ssl.SSLContext:
        """Read them once, when an https URL is first met: the Base URL, or where a redirect leads."""
        async with self._tls_lock:
            if self._tls is None:  # the CA bundle takes tens of milliseconds: not on the loop
                self._tls = await asyncio.to_thread(tls_context, self.settings)
        return self._tls

    def _origin_of(self, url: str) -> Origin:
        """Find the origin of a URL; its proxy is chosen once."""
        place = url[: url.index("/", 8)]
        if place not in self._origins:
            proxy = without_socks(proxy_of(self.settings, place))
            self._origins[place] = Origin(*_place(place), urlsplit(place).netloc, proxy)
        return self._origins[place]


async def _open(origin: Origin, tls: ssl.SSLContext | None) -> Connection:
    """Connect, through the origin's proxy if it has one; TLS included."""
    loop = asyncio.get_running_loop()
    scheme, host, port = _place(origin.proxy) if origin.proxy else (origin.scheme, origin.host, origin.port)
    host.encode("idna")  # as getaddrinfo does, in a thread, where its error is noisier
    transport, connection = await loop.create_connection(
        lambda: Connection(origin), host, port, ssl=tls if scheme == "https" else None, happy_eyeballs_delay=0.25
    )
    if not origin.proxy or origin.scheme != "https":
        return connection
    try:
        await _tunnel(connection, origin)
        connection.answer = None
        connection.transport = await loop.start_tls(transport, connection, tls, server_hostname=origin.host)  # type: ignore[arg-type,assignment]
    except BaseException:
        transport.abort()
        raise
    return connection


async def _tunnel(connection: Connection, origin: Origin) -> None:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    there, answer = f"{host}:{origin.port}", Answer(has_body=False)
    head = f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n".encode()
    await connection.ask(Unshown(head + _proxy_login(origin.proxy) + b"\r\n"), answer)
    if answer.status != 200:
        raise AnswerBrokenError("the proxy refused")


def _place(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme]


def _proxy_login(proxy: str | None) -> Unshown:
    parts = urlsplit(proxy or "")
    if parts.username is None:
        return Unshown()
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode("latin-1")
    return Unshown(b"Proxy-Authorization: Basic %b\r\n" % b64encode(login))


def _lines(headers: Mapping[str, str]) -> Unshown:
    return Unshown("".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode())
