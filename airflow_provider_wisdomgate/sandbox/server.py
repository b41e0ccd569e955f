"""Runs the sandbox on loopback ports in a thread. Never binds an address that another machine can reach."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

import uvicorn

from airflow_provider_wisdomgate.sandbox import controls
from airflow_provider_wisdomgate.sandbox.app import GATEWAY_ROUTES, STORAGE_ROUTES, GatewayState, build
from airflow_provider_wisdomgate.sandbox.connections import Protocol
from airflow_provider_wisdomgate.sandbox.dialects import DIALECTS
from airflow_provider_wisdomgate.sandbox.middleware import Middleware
from airflow_provider_wisdomgate.sandbox.outages import Outages
from airflow_provider_wisdomgate.sandbox.videos import Store

START_TIMEOUT = 10.0


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A stalled or hanging reply never ends by itself.
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)


def loopback(host: str) -> str:
    """Return the address to bind, or raise ValueError for one that is not loopback."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"wisdomgate-sandbox binds loopback only (127.0.0.1, ::1, localhost), not {host!r}")
    return address


class Sandbox:
    """A gateway to develop and test against; use it as a context manager.

    :param api_key: what must be sent as Bearer token.
    :param port: 0 takes a free one.
    :param host: a loopback address; any other is a ValueError.
    :param render_seconds: seconds until a video is made, for prompts that ask for nothing else.
    :param requests_per_minute: answer 429 to what exceeds this in any 60 s; None: no limit.
    :param expires_after: seconds that content stays, for prompts that ask for nothing else.
    :param dialect: the gateway that it speaks like, one of ``dialects.DIALECTS``.
    """

    def __init__(
        self,
        api_key: str = "sandbox-key",
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        render_seconds: float = 0.2,
        requests_per_minute: int | None = None,
        expires_after: float = 3600.0,
        dialect: str = "wisdomgate",
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"unknown dialect {dialect!r}; known: {' '.join(DIALECTS)}")
        self._dialect = DIALECTS[dialect]
        self.api_key = api_key
        self._address, self._port = loopback(host), port
        self._store = Store(render_seconds, expires_after, self._dialect.new_id)
        self._outages = Outages(requests_per_minute)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.url = self.storage_url = ""

    def start(self) -> Self:
        """Listen; return when requests are answered. Raises OSError when the port is taken."""
        if self._thread is not None:
            raise RuntimeError("this sandbox runs already")
        sockets = self._listen()
        ports = [int(each.getsockname()[1]) for each in sockets]
        host = f"[{self._address}]" if ":" in self._address else self._address
        self.url, self.storage_url = (f"http://{host}:{port}" for port in ports)
        self.url += self._dialect.prefix
        secret = secrets.token_bytes(16)
        gateway = GatewayState(self._store, self._outages, self.api_key, self.storage_url, secret, self._dialect)
        api = build(gateway, GATEWAY_ROUTES + controls.routes(gateway))
        apps = (api, build(gateway, STORAGE_ROUTES))
        middleware = Middleware(gateway, dict(zip(ports, apps, strict=True)))
        self._server = server = _Server(_config(middleware))
        self._thread = thread = threading.Thread(target=server.run, args=(sockets,), name="sandbox", daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
        except RuntimeError:
            self.stop()
            for each in sockets:
                each.close()
            raise
        return self

    def _listen(self) -> list[socket.socket]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        gateway = socket.create_server((self._address, self._port), family=family, backlog=2048)
        try:
            return [gateway, socket.create_server((self._address, 0), family=family, backlog=2048)]
        except OSError:
            gateway.close()
            raise

    def stop(self) -> None:
        """Close every connection and both ports; harmless when it does not run."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(START_TIMEOUT)
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def reset(self) -> None:
        """Forget videos, counts and recorded requests; end outages; take the first rate limit again."""
        self._store.reset()
        self._outages.reset()

    def counts(self) -> dict[str, int]:
        """Return how often what happened. `creates` and `remixes` were paid; `*_requests` and the rest were asked."""
        return self._store.counts()

    def polls_of(self, video_id: str) -> int:
        """Return how often a video was polled."""
        return self._store.polls_of(video_id)

    looks_of = polls_of  # its earlier name

    def videos(self) -> list[dict[str, Any]]:
        """List the video objects in the order of creation, each with what was sent to make it in `fields`."""
        return controls.videos_of(self._store)

    def requests(self) -> list[dict[str, Any]]:
        """List the last 10,000 requests; the key itself is not kept, only whether one was sent (`authorization`)."""
        return self._store.requests()

    def down(self, seconds: float, method: str | None = None) -> None:
        """Close every connection without a reply for a while, on both ports.

        :param seconds: for so long from now.
        :param method: only to requests of this HTTP method.
        """
        self._outages.down(seconds, method)

    def limit(self, requests_per_minute: int | None) -> None:
        """Refuse with 429 what exceeds so many requests in any 60 s from now on; None lifts the limit."""
        self._outages.limit(requests_per_minute)

    def burst(
        self,
        status: int,
        seconds: float,
        retry_after: float | str | None = None,
        code: str | None = None,
        method: str | None = None,
    ) -> None:
        """Answer every /v1 request with an HTTP error for a while.

        :param status: the HTTP status.
        :param seconds: for so long from now.
        :param retry_after: the header ``Retry-After``, as seconds or text; None: none.
        :param code: the error code in the body.
        :param method: only requests of this HTTP method.
        """
        self._outages.burst(status, seconds, retry_after, code, method)


def _await_start(server: _Server, thread: threading.Thread) -> None:
    until = time.monotonic() + START_TIMEOUT
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise RuntimeError("the sandbox did not start")
        time.sleep(0.002)


def _config(app: Middleware) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        # asyncio even if uvloop is installed: the same closes and aborts on every machine.
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        # Longer than a poll interval, else a poller meets a connection that we are just closing.
        timeout_keep_alive=75,
    )
