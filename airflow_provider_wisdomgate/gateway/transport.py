"""What both clients agree on below a request: the proxy, whom TLS trusts, what a library's error means. No sockets."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal
from urllib.parse import urlsplit

import requests
import urllib3

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.settings import Settings, read_proxies

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
