"""Below a request: the proxy, whom TLS trusts, what a library's error means, and our part of requests' connections.

A connection records that connecting returned: before that, no byte of a request has left. After connecting, sending
uses the read timeout, not the connect timeout. An answer is whole within its time, however slowly it drips, and no byte
of it is lost: 1xx heads are skipped, the limits for headers are wide, and what came before a break is read.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from types import FunctionType
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
import urllib3

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.foreign import Redactor, printable
from airflow_provider_wisdomgate.gateway.routes import CREATE_TIMEOUT
from airflow_provider_wisdomgate.gateway.settings import OWN_EXTRAS, Settings, read_proxies

# Whether connecting (TCP, TLS, proxy tunnel) has returned for what is sent in this context. Only a connection of
# adapter.py says no, and only while it connects: whatever goes another way counts as connected.
is_connected: ContextVar[bool] = ContextVar("is_connected", default=True)
# Errors that requests raises before it connects. InvalidSchema: SOCKS without PySocks. Not every ValueError: requests'
# InvalidHeader is of an answer that came.
UNSENDABLE = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
NO_TLS = "The server there does not speak TLS: if that is meant, write http:// in the connection's Base URL."
# Of a proxy that refuses to connect, aiohttp quotes the whole address.
LOGIN = re.compile(r"//[^/\s]*@")


def proxy_of(settings: Settings, origin: str) -> str | None:
    """Choose the proxy for ``scheme://host:port`` as requests does: the connection's, else the environment's.

    :raises ConfigurationError: the chosen one's address is no URL.
    """
    ours = settings.proxies
    environment = requests.utils.get_environ_proxies(origin, ours.get("no_proxy")) if settings.trust_env else {}
    return read_proxies({"all": requests.utils.select_proxy(origin, {**environment, **ours})}).get("all")


def check_deferrable(settings: Settings) -> None:
    """Refuse a connection that a deferred wait cannot use, before anything is sent.

    :raises ConfigurationError: its requests go through a SOCKS proxy, by its own proxies or by the environment's.
    """
    without_socks(proxy_of(settings, place_of(settings.base_url)))


def without_socks(proxy: str | None) -> str | None:
    """Return a proxy that aiohttp can use.

    :raises ConfigurationError: it is a SOCKS proxy.
    """
    if proxy and proxy.lower().startswith("socks"):
        raise errors.ConfigurationError(
            "A deferred wait cannot use a SOCKS proxy: aiohttp speaks HTTP to it.",
            next_step="Use an HTTP proxy, or deferrable=False.",
        )
    return proxy


def trusted(settings: Settings) -> str | Literal[False]:
    """Return the CA bundle that counts, or False: the connection's, else the environment's, else that of requests."""
    if settings.verify is not True:
        return settings.verify or False
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if settings.trust_env else ()
    return (
        next((os.environ[name] for name in names if os.environ.get(name)), None)
        or requests.utils.DEFAULT_CA_BUNDLE_PATH
    )


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Read the files that TLS needs. Blocks for tens of milliseconds.

    :raises ConfigurationError: one of them cannot be read.
    """
    bundle = trusted(settings)
    try:
        if isinstance(bundle, str) and os.path.isdir(bundle):
            context = ssl.create_default_context(capath=bundle)
        else:
            context = ssl.create_default_context(cafile=bundle or None)
        if settings.cert:
            context.load_cert_chain(*([settings.cert] if isinstance(settings.cert, str) else settings.cert))
    except OSError as error:  # ssl.SSLError is one
        files = f"{bundle or 'none'}, client certificate {settings.cert or 'none'}"
        raise errors.ConfigurationError(
            f"A certificate file cannot be used: {error.strerror or error}. CA bundle {files}.",
            next_step="Correct 'verify' or 'cert' in the connection's extra, or REQUESTS_CA_BUNDLE.",
        ) from error
    if not bundle:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def typed_errors(url: str = "") -> Iterator[None]:
    """Turn the errors of requests and urllib3 into ours, by whether the request may have arrived.

    :param url: the target of the connection.
    """
    is_connected.set(True)  # a connection of the pool need not connect
    try:
        yield
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if not is_connected.get() or isinstance(error, UNSENDABLE):
            raise unreachable(url, error) from error
        raise errors.ConnectionBrokenError(f"The connection to the gateway broke: {root_cause(error)}") from error


def place_of(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, without a login in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "the gateway"


def unreachable(url: str, error: BaseException) -> errors.UnreachableError:
    """Say that no connection came about, where to, and why."""
    why = root_cause(error)
    next_step = NO_TLS if "WRONG_VERSION_NUMBER" in why or "record layer" in why else None
    return errors.UnreachableError(f"No connection to {place_of(url)}: {why}", next_step=next_step)


def root_cause(error: BaseException) -> str:
    """Say an error's innermost cause, without the request's URL around it."""
    seen = error
    while (inner := getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)) is not None:
        if not isinstance(inner, BaseException):
            break
        seen = inner
    # OpenSSL's begins with "[SSL: ITS_NAME] ".
    words = re.sub(r"^.*: (?![^\[]*\])", "", str(seen)) or str(seen)
    return LOGIN.sub("//", f"{type(seen).__name__}: {words}")


# ---- the log of urllib3: it quotes each path, and the heads that it cannot parse


@contextmanager
def redacted_log(redactor: Redactor) -> Iterator[None]:
    """Keep the key and the queries of URLs out of what urllib3 logs meanwhile in this context."""
    token = _redactor.set(redactor)
    try:
        yield
    finally:
        _redactor.reset(token)


_redactor: ContextVar[Redactor | None] = ContextVar("_redactor", default=None)


def _redact_record(record: logging.LogRecord) -> bool:
    if redactor := _redactor.get():
        record.msg, record.args, record.exc_info = printable(redactor.shown(record.getMessage())), (), None
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.response", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_redact_record)


# ---- connections of requests

# Whether what is sent next asks for a body that may take hours: then only its head must come in time.
asks_for_long_body: ContextVar[bool] = ContextVar("asks_for_long_body", default=False)
# Gets the first bytes of the next answer as they come from the socket; None for an answer whose loss costs nothing.
first_bytes: ContextVar[bytearray | None] = ContextVar("first_bytes", default=None)
MAX_FIRST_BYTES = 256 * 1024
# Gets the IP address that a connection has reached and may raise, before anything is sent there; None: anything goes.
check_reached: ContextVar[Callable[[str], None] | None] = ContextVar("check_reached", default=None)


class _InTime(io.RawIOBase):
    """A socket's bytes until a moment. The socket's own timeout begins anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw, self._sock, self._timeout = raw, sock, sock.gettimeout()
        self.until = None if self._timeout is None else time.monotonic() + self._timeout
        self._seen = first_bytes.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size = self._read_in_time(buffer)
        if self._seen is not None and size and len(self._seen) < MAX_FIRST_BYTES:
            self._seen += memoryview(buffer)[:size]
        return size

    def _read_in_time(self, buffer: Any) -> int | None:
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


# http.client's limits (100 headers, 64 KiB a line) are globals of its module: these functions get globals of their own.
_WIDE: dict[str, Any] = {**vars(http.client), "_MAXHEADERS": 10_000, "_MAXLINE": 1024 * 1024}


def _with_wide_limits(function: Any) -> Any:
    wide = FunctionType(function.__code__, _WIDE, function.__name__, function.__defaults__)
    wide.__kwdefaults__ = function.__kwdefaults__
    return wide


_WIDE |= {name: _with_wide_limits(_WIDE[name]) for name in ("_read_headers", "parse_headers")}
_begin = _with_wide_limits(http.client.HTTPResponse.begin)


class _Answer(http.client.HTTPResponse):
    """An answer within its time. A claim lives for as long as a create may take, so that must be a fact."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._in_time = _InTime(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._in_time)
        self._break: Exception | None = None

    def begin(self, **options: Any) -> None:
        _begin(self, **options)
        if asks_for_long_body.get():
            self._in_time.until = None

    def _read_status(self) -> tuple[str, int, str]:
        """Read the first status that is an answer: http.client skips 100 alone, and some send 102 or 103."""
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= found[1] < 200 or found[1] == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return found
            _WIDE["_read_headers"](self.fp)

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            self.close()
            raise ValueError(size)  # as for any other size that is no number
        return size

    def read(self, amt: int | None = None) -> bytes:
        """Read as much as asked, or what comes before a break; the next call raises the break."""
        if self._break:
            raise self._break
        if amt is None:
            return super().read()
        data = bytearray()
        try:
            while len(data) < amt and (piece := self.read1(amt - len(data))):
                data += piece
        except (OSError, http.client.HTTPException) as error:
            if not data:
                raise
            self._break = error
        if self.length == 0 and self.fp:  # read1 leaves it open
            self._close_conn()  # type: ignore[attr-defined]
        return bytes(data)


class _Patient:
    """What our connections do besides those of urllib3."""

    response_class = _Answer
    sock: socket.socket

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        if (check := check_reached.get()) is not None:
            try:
                check(sock.getpeername()[0])
            except BaseException:
                sock.close()
                raise
        return sock

    def connect(self) -> None:
        is_connected.set(False)
        super().connect()  # type: ignore[misc]
        is_connected.set(True)
        if (seen := first_bytes.get()) is not None:
            seen.clear()  # a proxy's answer about the tunnel
        # urllib3 leaves the connect timeout on the socket while a request is sent: 20 MB in 10 s, or a lost create.
        self.sock.settimeout(CREATE_TIMEOUT)


@cache
def _patient(pool: Any) -> Any:
    """Derive a pool of our connections from one of urllib3's: direct, through a proxy or through SOCKS."""
    connection = type("Patient", (_Patient, pool.ConnectionCls), {})
    return type("Pool", (pool,), {"ConnectionCls": connection})


def _with_patience(manager: Any) -> Any:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _patient(pool) for scheme, pool in pools.items()}
    return manager


def follow_nothing(response: requests.Response) -> str | None:
    """Stand in for a session's ``get_redirect_target``: we follow redirects by hand.

    requests reads every Location, followed or not: one that is no URL was a raw ValueError, and a lost paid id.
    """
    return None


class PatientAdapter(requests.adapters.HTTPAdapter):
    """requests' own adapter on such connections."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _with_patience(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        return _with_patience(super().proxy_manager_for(proxy, **options))


def configure(session: requests.Session, settings: Settings) -> None:
    """Make a session that HttpHook has configured ours: bearer auth, our connections, no extras of ours as headers."""
    for name in OWN_EXTRAS:
        session.headers.pop(name, None)
    session.headers["Authorization"] = f"Bearer {settings.api_key}"
    session.verify, session.cert, session.trust_env = settings.verify, settings.cert, settings.trust_env
    for scheme in ("http://", "https://"):
        session.mount(scheme, PatientAdapter())
    session.auth = lambda request: request  # else requests puts a ~/.netrc entry in place of the key
