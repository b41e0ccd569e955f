"""Sends calls with aiohttp, on an event loop. The rules are those of client.py."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.encodings import decoder_of
from airflow_provider_wisdomgate.gateway.exchange import (
    MAX_REDIRECTS,
    MAX_REPLY,
    after_error,
    encode_body,
    headers_of,
    parse_answer,
)
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.gateway.routes import CONNECT_TIMEOUT, Call, T
from airflow_provider_wisdomgate.gateway.settings import Settings, next_hop
from airflow_provider_wisdomgate.gateway.transport import (
    LOGIN,
    proxy_of,
    root_cause,
    tls_context,
    unreachable,
    without_socks,
)

# Errors before the request is sent; a proxy that refuses to connect gives the last one.
NEVER_ARRIVED = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL),
    aiohttp.ClientHttpProxyError,
)


class AsyncClient:
    """Sends calls on an aiohttp session of its own, which belongs to the event loop it is opened in."""

    def __init__(self, settings: Settings, retry_policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.retry_policy = retry_policy or RetryPolicy()
        self._session: aiohttp.ClientSession | None = None
        # Made once: building these anew cost more than the rest of a poll together.
        self._common = {same: headers_of(settings, same_origin=same) for same in (True, False)}
        self._timeout = _timeout(settings.timeout)
        self._proxies: dict[str, str | None] = {}
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = asyncio.Lock()

    async def __aenter__(self) -> AsyncClient:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=100),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # it knows no bound: 300 KB of gzip became 300 MB
        )
        # aiohttp sends a GET again by itself when the connection breaks, and has no public switch for that.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
            self._session = None

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
        url, same_origin = self.settings.url_of(call.path), True
        data, content_type = encode_body(call)
        for _ in range(MAX_REDIRECTS):
            headers: Mapping[str, str] = self._common[same_origin]
            if content_type:
                own = headers_of(self.settings, same_origin=same_origin, call=call)
                headers = {**own, **content_type}
            status, got, body = await self._exchange(call, url, headers, data)
            location = got.get("location")
            if call.method != "GET" or not 300 <= status < 400 or not location:
                return parse_answer(call, self.settings, status, got, body, is_own=same_origin)
            # aiohttp has read it as UTF-8, requests as Latin-1
            url, still = next_hop(url, location.encode("utf-8", "surrogateescape").decode("latin-1"))
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
                ssl=self._tls or (target.scheme != "https") or await self._read_tls_files(),
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, self.settings.redact_bytes(await _read_reply(response))
        except NEVER_ARRIVED as error:
            raise unreachable(url, error) from (None if LOGIN.search(str(error)) else error)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            cause = None if LOGIN.search(str(error)) else error
            raise errors.ConnectionBrokenError(f"The connection to the gateway broke: {root_cause(error)}") from cause

    async def _read_tls_files(self) -> ssl.SSLContext:
        """Read them once, when an https URL is first met: the Base URL, or where a redirect leads."""
        async with self._tls_lock:
            if self._tls is None:  # the CA bundle takes tens of milliseconds: not on the loop
                self._tls = await asyncio.to_thread(tls_context, self.settings)
        return self._tls

    def _proxy_of(self, url: URL) -> str | None:
        """Choose the proxy once per host.

        Not aiohttp's trust_env: that reads ~/.netrc, too, and raises where it names our host.
        """
        origin = f"{url.scheme}://{url.raw_authority}"
        if origin not in self._proxies:
            self._proxies[origin] = without_socks(proxy_of(self.settings, origin))
        return self._proxies[origin]


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # No total: its timer cost each poll a quarter more. An answer that drips ends with the deferral (BACKSTOP).
    return aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_TIMEOUT, seconds), sock_read=seconds)


async def _read_reply(response: aiohttp.ClientResponse) -> bytes:
    """Read at most MAX_REPLY bytes, decoded."""
    decoder = decoder_of(response.headers.get("content-encoding"), response.status)
    if not decoder.is_encoded and (response.content_length or MAX_REPLY + 1) <= MAX_REPLY:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        for piece in decoder.feed(chunk):
            body += piece
            if len(body) >= MAX_REPLY:
                return bytes(body[:MAX_REPLY])
    decoder.finish()
    return bytes(body)
