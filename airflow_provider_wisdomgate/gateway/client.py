"""Sends calls, sync (requests) and async (aiohttp). The only module that opens sockets; it decides nothing.

Every request has a timeout. Redirects are followed by hand, and only for GETs, so that neither the key nor a
connection's own headers ever reach another host. Of an answer, what equals the key is struck out; what the HTTP
libraries would quote in an error (a key or header that cannot be sent, a proxy's login) never gets to them.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import requests
from urllib3.filepost import encode_multipart_formdata
from yarl import URL

from airflow_provider_wisdomgate import __version__
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import Reply, is_media
from airflow_provider_wisdomgate.gateway.retry import Patience, ask_again, is_surely_unmade
from airflow_provider_wisdomgate.gateway.routes import Call, Part, get_content, next_hop
from airflow_provider_wisdomgate.gateway.settings import Secret, Settings
from airflow_provider_wisdomgate.gateway.transport import (
    CONNECT_TIMEOUT,
    LOGIN,
    proxy_of,
    root_cause,
    tls_context,
    trusted,
    typed_errors,
)

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_REPLY = 8 * 1024 * 1024
CHUNK = 1024 * 1024


def _headers(settings: Settings, *, same_origin: bool = True) -> dict[str, str]:
    common = {"User-Agent": f"airflow-provider-wisdomgate/{__version__}", "Accept-Encoding": "identity"}
    if not same_origin:
        return common
    return {**common, **settings.headers, "Authorization": Secret(f"Bearer {settings.api_key}")}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _encode(call: Call[Any]) -> tuple[bytes | None, dict[str, str]]:
    """Encode a call's body once for both clients, and say its content type."""
    if call.json is not None:
        return json.dumps(call.json).encode(), {"Content-Type": "application/json"}
    if call.form is None:
        return None, {}
    fields = {
        name: (value.name, value.content, value.content_type) if isinstance(value, Part) else value
        for name, value in call.form.items()
    }
    body, content_type = encode_multipart_formdata(fields)
    return body, {"Content-Type": content_type}


def _finish(call: Call[T], settings: Settings, status: int, headers: Mapping[str, str], body: bytes) -> T:
    names = {name.lower(): settings.strike_out(value) for name, value in headers.items()}
    return call.parse(Reply(status, names, body, time.time(), call.video_id))


def _lost(call: Call[Any], error: errors.WisdomGateError) -> errors.LostCreateError:
    return errors.LostCreateError(
        f"A {call.method} {call.path} may have arrived, its answer did not: {error.message}",
        **{name: value for name, value in error.facts.items() if name in ("status", "code", "request_id")},
    )


def _after_error(call: Call[Any], error: errors.WisdomGateError, attempt: int, patience: Patience) -> float:
    """Say how long to sleep before the next attempt, or raise."""
    delay = ask_again(error, repeatable=call.repeatable, attempt=attempt, patience=patience, jitter=random.random())
    if delay is not None:
        return delay
    if call.repeatable or is_surely_unmade(error):
        raise error
    raise _lost(call, error) from error


# ---------------------------------------------------------------------------------------------- sync


class Client:
    """Sends calls on a requests session."""

    def __init__(self, session: requests.Session, settings: Settings, patience: Patience | None = None) -> None:
        self.settings = settings
        self.patience = patience or Patience()
        self._session = session
        self._knows_tls_files = False

    def close(self) -> None:
        self._session.close()

    def send(self, call: Call[T], patience: Patience | None = None) -> T:
        """Send a call, again where that costs nothing, and return what its parser makes of the answer.

        :raises WisdomGateError: the typed error of the last attempt.
        :raises LostCreateError: a call that costs may have arrived without an answer.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._send_once(call)
            except errors.WisdomGateError as error:
                time.sleep(_after_error(call, error, attempt, patience or self.patience))

    def _send_once(self, call: Call[T]) -> T:
        with self._open(call) as response:
            body = self.settings.strike_out_of(_read(response, MAX_REPLY))
        return _finish(call, self.settings, response.status_code, response.headers, body)

    @contextmanager
    def _open(self, call: Call[Any], more_headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
        """Send once and follow redirects; the body is not read yet."""
        url, same_origin = f"{self.settings.base_url}{call.path}", True
        body, content_type = _encode(call)
        for _ in range(MAX_REDIRECTS):
            headers = {**_headers(self.settings, same_origin=same_origin), **content_type, **(more_headers or {})}
            with typed_errors():
                response = self._request(call, url, headers, body)
            with response:
                location = response.headers.get("location")
                if call.method != "GET" or not 300 <= response.status_code < 400 or not location:
                    yield response
                    return
            url, still = next_hop(url, location)
            same_origin = same_origin and still
        raise errors.UnexpectedReplyError(f"The gateway redirects more than {MAX_REDIRECTS} times.")

    def _request(self, call: Call[Any], url: str, headers: Mapping[str, str], body: bytes | None) -> requests.Response:
        # Prepared by hand: the session's own headers and redirects must not carry anything to another host.
        if url.startswith("https:") and not self._knows_tls_files:
            tls_context(self.settings)  # requests reads them when a paid create is under way, as if it had left
            self._knows_tls_files = True
        request = requests.Request(call.method, url, headers=dict(headers), data=body).prepare()
        proxy = proxy_of(self.settings, _origin(url))
        wait = call.timeout or self.settings.timeout
        timeout = (min(CONNECT_TIMEOUT, wait), wait)
        return self._session.send(
            request,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            # All given here: requests lets the environment win over what a session holds.
            proxies={"all": proxy} if proxy else {},
            verify=trusted(self.settings),
            cert=self.settings.cert,
        )

    @contextmanager
    def content(self, video_id: str, offset: int = 0, validator: str | None = None) -> Iterator[Content]:
        """Open a video's content for reading, from ``offset`` where the gateway allows it. Sends once.

        :param validator: the strong ETag that the bytes before ``offset`` came with.
        :raises GatewayError: the answer is no video; its typed error.
        """
        call = get_content(video_id)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and validator:
            headers["If-Range"] = validator
        with self._open(call, headers) as response:
            if offset and response.status_code == 416:
                raise errors.ContentError("The gateway has nothing beyond the bytes that came.")
            content = Content(response, offset)
            # A resumed body begins in the middle of the clip: only the beginning can be told from text.
            if response.status_code != 206 and not is_media(response.status_code, content.head):
                body = self.settings.strike_out_of(content.head + _read(response, MAX_REPLY))
                _finish(call, self.settings, response.status_code, response.headers, body)
            yield content


class Content:
    """A video's bytes as they come. ``offset`` is where they begin, ``total`` the whole size if it is said."""

    def __init__(self, response: requests.Response, wanted_offset: int) -> None:
        self._response = response
        headers = response.headers
        self.content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        etag = headers.get("etag", "")
        self.validator = etag if etag.startswith('"') else None
        self.offset, self.total = _extent(response.status_code, headers, wanted_offset)
        self.head = _read(response, CHUNK)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes.

        :raises ConnectionBrokenError: the connection broke or stalled, or ended before ``total``.
        """
        data = self.head
        while data:
            yield data
            data = _read(self._response, CHUNK)

    def interrupt(self) -> None:
        """End a read that waits for bytes; safe to call from a signal handler."""
        getattr(self._response.raw, "shutdown", self._response.raw.close)()


def _extent(status: int, headers: Mapping[str, str], wanted_offset: int) -> tuple[int, int | None]:
    """Read where an answer's bytes begin and how many there are in all."""
    if status == 206:
        unit, _, rest = headers.get("content-range", "").partition(" ")
        span, _, total = rest.partition("/")
        start = span.partition("-")[0]
        if unit != "bytes" or _count(start) != wanted_offset:
            raise errors.ContentError("The gateway answered a range request with another range.")
        return wanted_offset, _count(total)
    return 0, _count(headers.get("content-length", ""))


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None  # int() raises beyond 4300 digits


def _read(response: requests.Response, size: int) -> bytes:
    with typed_errors():
        data: bytes = response.raw.read(size)
    return data


# ---------------------------------------------------------------------------------------------- async


class AsyncClient:
    """Sends calls on an aiohttp session of its own, which belongs to the event loop it is opened in."""

    def __init__(self, settings: Settings, patience: Patience | None = None) -> None:
        self.settings = settings
        self.patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None
        # Made once: building these anew cost more than the rest of a look together.
        self._common = {same: _headers(settings, same_origin=same) for same in (True, False)}
        self._timeout = _timeout(settings.timeout)
        self._proxies: dict[str, str | None] = {}

    async def __aenter__(self) -> AsyncClient:
        tls: ssl.SSLContext | None = None
        if self.settings.base_url.startswith("https:"):
            # Reading the CA bundle takes tens of milliseconds: not on the loop.
            tls = await asyncio.to_thread(tls_context, self.settings)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls or True, limit=100),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Content-Type",),
        )
        # aiohttp sends a GET again by itself when the connection breaks, and has no public switch for that.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def send(self, call: Call[T], patience: Patience | None = None) -> T:
        """Send a call; see :meth:`Client.send`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._send_once(call)
            except errors.WisdomGateError as error:
                await asyncio.sleep(_after_error(call, error, attempt, patience or self.patience))

    async def _send_once(self, call: Call[T]) -> T:
        url, same_origin = f"{self.settings.base_url}{call.path}", True
        data, content_type = _encode(call)
        for _ in range(MAX_REDIRECTS):
            headers: Mapping[str, str] = self._common[same_origin]
            if content_type:
                headers = {**headers, **content_type}
            status, got, body = await self._exchange(call, url, headers, data)
            location = got.get("location")
            if call.method != "GET" or not 300 <= status < 400 or not location:
                return _finish(call, self.settings, status, got, body)
            url, still = next_hop(url, location)
            same_origin = same_origin and still
        raise errors.UnexpectedReplyError(f"The gateway redirects more than {MAX_REDIRECTS} times.")

    async def _exchange(
        self, call: Call[Any], url: str, headers: Mapping[str, str], data: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            raise RuntimeError("AsyncClient is used outside its `async with`.")
        timeout = _timeout(call.timeout) if call.timeout else self._timeout
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                call.method,
                target,
                data=data,
                headers=headers,
                timeout=timeout,
                proxy=self._proxy_of(target),
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, self.settings.strike_out_of(await _read_reply(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise errors.UnreachableError(f"No connection to the gateway: {root_cause(error)}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            cause = None if LOGIN.search(str(error)) else error
            raise errors.ConnectionBrokenError(f"The connection to the gateway broke: {root_cause(error)}") from cause

    def _proxy_of(self, url: URL) -> str | None:
        """Choose the proxy once per host.

        Not aiohttp's trust_env: that reads ~/.netrc, too, and raises where it names our host.
        """
        origin = f"{url.scheme}://{url.raw_authority}"
        if origin not in self._proxies:
            proxy = proxy_of(self.settings, origin)
            if proxy and proxy.startswith("socks"):
                raise errors.ConfigurationError(
                    "A deferred wait cannot use a SOCKS proxy: aiohttp speaks HTTP to it.",
                    next_step="Use an HTTP proxy, or deferrable=False.",
                )
            self._proxies[origin] = proxy
        return self._proxies[origin]


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_TIMEOUT, seconds), sock_read=seconds)


async def _read_reply(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or MAX_REPLY + 1) <= MAX_REPLY:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REPLY:
            break
    return bytes(body)
