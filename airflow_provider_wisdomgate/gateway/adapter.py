"""What of requests' connections is ours: once connected, sending gets the time of an answer, not that of a connect;
and an answer is whole within its time, however slowly it drips.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import requests
import urllib3

from airflow_provider_wisdomgate.gateway.routes import CREATE_TIMEOUT
from airflow_provider_wisdomgate.gateway.settings import OWN_EXTRAS, Settings

# Whether what is sent next asks for a body that may take hours: then only its head must come in time.
asks_for_long_body: ContextVar[bool] = ContextVar("asks_for_long_body", default=False)


class _InTime(io.RawIOBase):
    """A socket's bytes until a moment. The socket's own timeout begins anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw, self._sock, self._timeout = raw, sock, sock.gettimeout()
        self.until = None if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.until is None:
            return self._raw.readinto(buffer)
        rest = self.until - time.monotonic()
        if rest <= 0:
            raise TimeoutError(f"the answer was not whole within {self._timeout:g} s")
        self._sock.settimeout(rest)
        try:
            return self._raw.readinto(buffer)
        finally:
            with suppress(OSError):  # closed meanwhile
                self._sock.settimeout(self._timeout)  # the next request is sent with it

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer within its time. A claim lives for as long as a create may take, so that must be a fact."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._in_time = _InTime(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._in_time)

    def begin(self) -> None:
        super().begin()
        if asks_for_long_body.get():
            self._in_time.until = None


class _PatientConnection(urllib3.connection.HTTPConnection):
    response_class = _Answer

    def connect(self) -> None:
        # urllib3 leaves the connect timeout on the socket while a request is sent: 20 MB in 10 s, or a lost create.
        super().connect()
        self.sock.settimeout(CREATE_TIMEOUT)


class _PatientTLSConnection(urllib3.connection.HTTPSConnection):
    response_class = _Answer

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(CREATE_TIMEOUT)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PatientConnection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PatientTLSConnection


def follow_nothing(response: requests.Response) -> str | None:
    """Stand in for a session's ``get_redirect_target``: we follow redirects by hand.

    requests reads every Location, followed or not: one that is no URL was a raw ValueError, and a lost paid id.
    """
    return None


POOLS = {"http": _Pool, "https": _TLSPool}


class PatientAdapter(requests.adapters.HTTPAdapter):
    """requests' own adapter on such connections."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # those connect in their own way
            manager.pool_classes_by_scheme = POOLS
        return manager


def configure(session: requests.Session, settings: Settings) -> None:
    """Make a session that HttpHook has configured ours: bearer auth, our connections, no extras of ours as headers."""
    for name in OWN_EXTRAS:
        session.headers.pop(name, None)
    session.headers["Authorization"] = f"Bearer {settings.api_key}"
    session.verify, session.cert, session.trust_env = settings.verify, settings.cert, settings.trust_env
    for scheme in ("http://", "https://"):
        session.mount(scheme, PatientAdapter())
    session.auth = lambda request: request  # else requests puts a ~/.netrc entry in place of the key
