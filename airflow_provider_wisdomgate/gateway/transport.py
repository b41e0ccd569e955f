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
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
import urllib3
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.foreign import Redactor, printable
from airflow_provider_wisdomgate.gateway.exchange import broke
from airflow_provider_wisdomgate.gateway.routes import CREATE_TIMEOUT
from airflow_provider_wisdomgate.gateway.settings import Settings, read_proxies
from airflow_provider_wisdomgate.gateway.wire import MAX_SEEN, Answer, Unshown

CHUNK = 1024 * 1024
# Whether connecting (TCP, TLS, proxy tunnel) has returned for what is sent in this context. Only a connection of
# ours answers no, and only while it connects: whatever goes another way counts as connected.
is_connected: ContextVar[bool] = ContextVar("is_connected", default=True)
# Errors that requests raises before it connects. InvalidSchema: SOCKS without PySocks. Not every ValueError: requests'
# InvalidHeader is of an answer that came.
UNSENDABLE = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
NO_TLS = "The server there does not speak TLS: if that is meant, write http:// in the connection's Base URL."
# No library is quoted: its words differ from those of another one for the same bytes, and it quotes what came, where
# the key may be.
REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((TimeoutError, urllib3.exceptions.TimeoutError), "it took too long"),
    (ConnectionRefusedError, "it was refused"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "it was reset"),
    (socket.gaierror, "the host's name is not known"),
    ((UnicodeError, requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError), "the address is no URL"),
    (requests.exceptions.InvalidSchema, "a SOCKS proxy needs the package pysocks"),
    (urllib3.exceptions.ProxyError, "the proxy refused"),
)
LINGER = 1.0  # seconds for what comes after an answer that seems to be over, and whose loss would cost


class AnswerBrokenError(OSError):
    """An answer that will never be whole. Its text is a reason of wire.py's."""


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
    """Return a proxy that a deferred wait can use.

    :raises ConfigurationError: it is a SOCKS proxy.
    """
    if proxy and proxy.lower().startswith("socks"):
        raise errors.ConfigurationError(
            "A deferred wait cannot use a SOCKS proxy: it speaks HTTP to proxies.",
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
    except AirflowException:
        raise
    except Exception as error:  # urllib3 lets some of http.client's and of ssl's through
        if not is_connected.get() or isinstance(error, UNSENDABLE):
            raise unreachable(url, error) from None
        raise errors.ConnectionBrokenError(broke(reason_of(error))) from None


def sendable(url: str) -> str:
    """Return a URL as requests sends it: its host in ASCII, its path quoted. A login in it is not ours to send.

    :raises UnreachableError: nothing can be sent there.
    """
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
        parts = urlsplit(str(request.url))
        (parts.hostname or "").encode("idna")
    except (ValueError, requests.exceptions.RequestException) as error:
        raise unreachable(url, error) from None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def place_of(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, without a login in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "the gateway"


def unreachable(url: str, error: BaseException) -> errors.UnreachableError:
    """Make the error of a connection that did not come about: where to, and why."""
    speaks_no_tls = any("WRONG_VERSION_NUMBER" in str(each) or "record layer" in str(each) for each in _causes(error))
    next_step = NO_TLS if speaks_no_tls else None
    return errors.UnreachableError(f"No connection to {place_of(url)}: {reason_of(error)}", next_step=next_step)


def reason_of(error: BaseException) -> str:
    """Return in our own words why a connection broke or did not come about."""
    causes = _causes(error)
    for cause in reversed(causes):
        if isinstance(cause, AnswerBrokenError):
            return str(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"  # OpenSSL's words and our host
        if isinstance(cause, ssl.SSLError) and (reason := getattr(cause, "reason", None)):
            return f"TLS failed: {reason}"
        if words := next((words for kinds, words in REASONS if isinstance(cause, kinds)), None):
            return words
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return type(causes[-1]).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what it was made of, the innermost last."""
    found = [error]
    while len(found) < 20:
        last = found[-1]
        inner = [getattr(last, "reason", None), *last.args, last.__cause__, last.__context__]
        new = next((each for each in inner if isinstance(each, BaseException) and each not in found), None)
        if new is None:
            break
        found.append(new)
    return found


# ---- the log of urllib3: it quotes each path, and the heads that it cannot parse


@contextmanager
def redacted_log(redactor: Redactor) -> Iterator[None]:
    """Keep the key and the queries of URLs out of what urllib3 logs meanwhile in this context."""
    token = _redactor.set(redactor)
    try:
        yield
    finally:
        _redactor.reset(token)


REQUEST_LINE = re.compile(r'("[A-Z]+ [^"\s?]*)\?[^"\s]*')
_redactor: ContextVar[Redactor | None] = ContextVar("_redactor", default=None)


def _redact_record(record: logging.LogRecord) -> bool:
    if redactor := _redactor.get():
        text = REQUEST_LINE.sub(r"\1", redactor.shown(record.getMessage()))
        record.msg, record.args, record.exc_info = printable(text), (), None
    return True


for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.response", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_redact_record)


# ---- connections of requests

# Whether what is sent next asks for a body that may take hours: then only its head must come in time.
asks_for_long_body: ContextVar[bool] = ContextVar("asks_for_long_body", default=False)
# Gets the IP address that a connection has reached and may raise, before anything is sent there; None: anything goes.
check_reached: ContextVar[Callable[[str], None] | None] = ContextVar("check_reached", default=None)


class Evidence(Unshown):
    """The bytes after the head of an answer whose loss would cost. ``more`` reads on for a moment."""

    more: Callable[[], None] = staticmethod(lambda: None)


# Gets what comes next; None for an answer whose loss costs nothing.
evidence: ContextVar[Evidence | None] = ContextVar("evidence", default=None)


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
            raise TimeoutError
        self._sock.settimeout(rest)
        try:
            return self._raw.readinto(buffer)
        finally:
            with suppress(OSError):  # closed meanwhile
                self._sock.settimeout(self._timeout)  # the next request is sent with it

    def shut_down(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that wire.py reads, within its time: a claim lives for as long as a create may take."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._in_time = _InTime(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._in_time)
        self._answer, self._ready = Answer(evidence.get()), bytearray()
        self._evidence = evidence.get()
        if self._evidence is not None:
            self._evidence.more = self._linger

    def begin(self, **options: Any) -> None:
        answer = self._answer
        while answer.status is None and not answer.broken:
            self._read_on()
        if answer.status is None:
            self._raise_break()
        if asks_for_long_body.get():
            self._in_time.until = None
        self.version, self.status, self.reason = 11, int(answer.status or 0), ""
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in answer.headers.items():
            self.headers[name] = value
        self.length, self.chunked = None, False
        self.will_close = self._evidence is not None or not (answer.is_kept or answer.is_whole)

    def read(self, amt: int | None = None) -> bytes:
        """Read as much as asked, or what comes before a break; the next call raises the break."""
        self._ready += self._answer.take()
        while not self._answer.is_over and (amt is None or len(self._ready) < amt):
            self._read_on(CHUNK if amt is None else amt - len(self._ready))
            self._ready += self._answer.take()
        if not self._ready:
            self._finish()
        data = bytes(self._ready[:amt])
        del self._ready[: len(data)]
        return data

    def _read_on(self, size: int = CHUNK) -> None:
        try:
            data = self.fp.read1(size)
        except OSError as error:
            self._answer.break_off(reason_of(error))
            return
        self._answer.feed(data) if data else self._answer.end()

    def _finish(self) -> None:
        if self._answer.broken:
            self._raise_break()
        if self._evidence is None and self.fp:
            if not self._answer.is_kept:
                self._in_time.shut_down()
            self._close_conn()  # type: ignore[attr-defined]

    def _raise_break(self) -> None:
        self._linger()
        raise AnswerBrokenError(self._answer.broken)

    def _linger(self) -> None:
        """Read what comes after what seemed to be the end, for a moment."""
        seen, self._in_time.until = self._evidence, time.monotonic() + LINGER
        with suppress(OSError, ValueError):
            while seen is not None and len(seen) < MAX_SEEN and self.fp and (data := self.fp.read1(CHUNK)):
                self._answer.feed(data)


class _Patient:
    """Our additions to urllib3's connections."""

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
    """Give a session the connection's bearer auth, headers, proxies and certificates, and connections of ours."""
    session.headers.update({**settings.headers, "Authorization": f"Bearer {settings.api_key}"})
    session.proxies = dict(settings.proxies)
    session.verify, session.cert, session.trust_env = settings.verify, settings.cert, settings.trust_env
    for scheme in ("http://", "https://"):
        session.mount(scheme, PatientAdapter())
    session.auth = lambda request: request  # else requests puts a ~/.netrc entry in place of the key
