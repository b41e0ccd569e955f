"""Sends calls with requests, blocking. Decides nothing.

Every request has a timeout. Redirects are followed by hand, and only for GETs, so that neither the key nor a
connection's own headers ever reach another host. What the HTTP libraries would quote in an error (a key or header that
cannot be sent, a proxy's login) never gets to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import requests

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway.content import Content, raw_body
from airflow_provider_wisdomgate.gateway.elsewhere import named_address
from airflow_provider_wisdomgate.gateway.exchange import (
    MAX_REDIRECTS,
    MAX_REPLY,
    Received,
    after_error,
    encode_body,
    headers_of,
    is_evident,
    meaning_of,
    origin_of,
)
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.gateway.routes import CONNECT_TIMEOUT, Call, T, get_content
from airflow_provider_wisdomgate.gateway.settings import Secret, Settings, next_hop
from airflow_provider_wisdomgate.gateway.transport import (
    Evidence,
    asks_for_long_body,
    evidence,
    follow_nothing,
    proxy_of,
    redacted_log,
    sendable,
    tls_context,
    trusted,
    typed_errors,
)


class Client:
    """Sends calls on a requests session."""

    def __init__(self, session: requests.Session, settings: Settings, retry_policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self.retry_policy = retry_policy or RetryPolicy()
        self._session = session
        session.get_redirect_target = follow_nothing  # type: ignore[method-assign,assignment]
        self._knows_tls_files = False

    def close(self) -> None:
        self._session.close()

    def with_key(self, key: str) -> Client:
        """Return a client that sends another key on the same session."""
        return Client(self._session, replace(self.settings, api_key=Secret(key)), self.retry_policy)

    def send(
        self,
        call: Call[T],
        retry_policy: RetryPolicy | None = None,
        control: Control | None = None,
    ) -> T:
        """Send a call, again if that costs nothing, and return what its parser makes of the answer.

        :param control: asked before each sending and during the pauses; if it raises, nothing more is sent.
        :raises WisdomGateError: the typed error of the last attempt.
        :raises LostCreateError: a call that costs may have arrived without an answer.
        """
        control, attempt = control or Control(), 0
        while True:
            attempt += 1
            control.before_attempt(not call.idempotent)
            try:
                return self._send_once(call)
            except errors.WisdomGateError as error:
                delay = after_error(call, error, attempt, retry_policy or self.retry_policy, self.settings)
            control.sleep(delay)

    def _send_once(self, call: Call[T]) -> T:
        seen = None if call.idempotent else Evidence()
        evidence.set(seen)
        try:
            with self._open(call) as (response, is_own):
                body, error = raw_body(response, MAX_REPLY)
                got = Received(response.status_code, response.headers, body, is_own, error)
                if seen is not None and not is_evident(call, got):
                    seen.more()
        except errors.ConnectionBrokenError as error:
            got = Received(None, {}, b"", error=error)
        finally:
            evidence.set(None)
        return meaning_of(call, self.settings, got, seen)

    @contextmanager
    def _open(
        self, call: Call[Any], more_headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[requests.Response, bool]]:
        """Send once and follow redirects; yield the answer, its body unread, and whether the gateway itself gave it."""
        route = self.settings.url_of(call.path)
        url, same_origin = next_hop(route, call.address) if call.address else (route, True)
        body, content_type = encode_body(call)
        for _ in range(MAX_REDIRECTS):
            headers = {
                **headers_of(self.settings, same_origin=same_origin, call=call),
                **content_type,
                **(more_headers or {}),
            }
            guard = nullcontext() if url == route else named_address(self.settings, url, is_own=same_origin)
            with guard, typed_errors(url), redacted_log(self.settings.redactor):
                response = self._request(call, url, headers, body)
            with response:
                location = response.headers.get("location")
                if call.method != "GET" or not 300 <= response.status_code < 400 or not location:
                    yield response, same_origin
                    return
            url, still = next_hop(url, location)
            url, same_origin = sendable(url), same_origin and still
        raise errors.UnexpectedReplyError(f"The gateway redirects more than {MAX_REDIRECTS} times.")

    def _request(self, call: Call[Any], url: str, headers: Mapping[str, str], body: bytes | None) -> requests.Response:
        # Prepared by hand: the session's own headers and redirects must not carry anything to another host.
        if url.startswith("https:") and not self._knows_tls_files:
            tls_context(self.settings)  # requests reads them when a paid create is under way, as if it had left
            self._knows_tls_files = True
        request = requests.Request(call.method, url, headers=dict(headers), data=body).prepare()
        proxy = proxy_of(self.settings, origin_of(url))
        wait = call.timeout or self.settings.timeout
        timeout = (min(CONNECT_TIMEOUT, wait), wait)
        asks_for_long_body.set(call.is_long)
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
    def content(
        self, video_id: str, offset: int = 0, validator: str | None = None, address: str | None = None
    ) -> Iterator[Content]:
        """Open a video's content for reading, from ``offset`` if the gateway allows it. Sends once.

        :param validator: the strong ETag that the bytes before ``offset`` came with.
        :param address: the clip's own address, to ask in place of the content route.
        :raises GatewayError: the answer is no video; its typed error.
        """
        call = get_content(video_id, address)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and validator:
            headers["If-Range"] = validator
        with self._redacted_errors(), self._open(call, headers) as (response, is_own):
            if offset and response.status_code == 416:
                raise errors.ContentError("The gateway says that no bytes follow, but the clip is not whole.")
            content = Content(response, offset, is_own=is_own)
            if not content.is_media:
                meaning_of(call, self.settings, content.received(is_own, MAX_REPLY))
            yield content

    @contextmanager
    def _redacted_errors(self) -> Iterator[None]:
        try:
            yield
        except errors.WisdomGateError as error:
            self.settings.redactor.redact_error(error)
            raise
