"""Addresses that an answer names, not the user: a redirect's, or the clip's own.

No request goes to a host that only this machine can reach. The query, which may be a signature, is in no log and in no
traceback.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import urlsplit

import requests

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.gateway.transport import check_reached, place_of, proxy_of

# Link-local addresses, and those at which AWS, Google, Alibaba, Azure and Oracle serve a machine's own credentials.
# Private ranges are not among them: many gateways that people run themselves serve clips from there.
NEVER = tuple(
    ip_network(text)
    for text in (
        *("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128"),
        *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    )
)
# A proxy may resolve these although this machine cannot.
METADATA_NAMES = {"metadata", "metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"}
# The last bytes of these are the IPv4 address that they lead to.
NAT64 = ip_network("64:ff9b::/96")


@contextmanager
def named_address(settings: Settings, url: str, *, is_own: bool) -> Iterator[None]:
    """Send to an address that an answer named.

    :param is_own: whether it is of the gateway's own origin, which may be anywhere.
    :raises UnexpectedReplyError: it is no URL, or it leads to a host that is refused.
    """
    check = _check_nothing if is_own else _check_of(settings, _host_of(url))
    # A proxy's own address is the user's.
    token = check_reached.set(check if proxy_of(settings, place_of(url)) is None else _check_nothing)
    try:
        yield
    except errors.WisdomGateError as error:
        error.__cause__ = error.__context__ = None  # the libraries' errors quote the URL
        raise error from None
    finally:
        check_reached.reset(token)


def _check_of(settings: Settings, host: str) -> Callable[[str], None]:
    """Check where a host's name leads now; return the check of where it leads once it is connected to."""
    on_loopback = any(ip_address(each).is_loopback for each in _addresses(_host_of(settings.base_url)))
    refusal = errors.UnexpectedReplyError(
        f"The gateway names an address at {host}, which leads to this machine or its cloud's metadata: refused."
    )

    def check(address: str) -> None:
        if is_refused(address, on_loopback=on_loopback):
            raise refusal

    if host in METADATA_NAMES:
        raise refusal
    for address in _addresses(host):
        check(address)
    return check


def _check_nothing(address: str) -> None:
    """Let a connection reach any address."""


def is_refused(address: str, *, on_loopback: bool) -> bool:
    """Whether nothing is sent to an IP address that an answer led to.

    :param on_loopback: whether the gateway itself is there.
    """
    ip = ip_address(address)
    if ip.version == 6:
        ip = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(ip.packed[-4:]) if ip in NAT64 else ip)
    is_here = ip.is_loopback or ip.is_unspecified  # Linux connects to loopback for 0.0.0.0
    return any(ip in network for network in NEVER) or (is_here and not on_loopback)


def _host_of(url: str) -> str:
    """Return a URL's host as requests reads it: another reading of it would be checked in vain."""
    try:
        prepared = requests.Request("GET", url).prepare().url or ""
        return (urlsplit(prepared).hostname or "").rstrip(".")
    except (requests.exceptions.RequestException, ValueError):
        raise errors.UnexpectedReplyError("The gateway names an address that is not a URL.") from None


def _addresses(host: str) -> set[str]:
    """Return what a host resolves to, also one that is written as a number; nothing if only a proxy may know it."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()
