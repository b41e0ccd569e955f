"""Completes and checks addresses: the Base URL, a proxy, where a redirect leads. Pure.

What two readers of a URL would read differently is refused: one of them would send the key to another host.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urljoin, urlsplit

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors

# Two readers of a URL disagree about these: one of them would send the key to another host.
TRICKY = re.compile(r"[\\\x00-\x20\x7f]")


def normal_base_url(host: str | None, port: int | None = None) -> str:
    """Complete a connection's host to the URL that the paths are appended to, ending in ``/v1``.

    Without a scheme https is taken: the key does not travel in the clear unless somebody writes ``http://``.
    """
    url = (host or "").strip() or DEFAULT_BASE_URL
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        name, its_port = parts.hostname, parts.port or port
        if its_port and not 0 < its_port < 65536:
            raise ValueError(its_port)
    except ValueError:
        parts, name, its_port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not name or parts.username is not None or TRICKY.search(url):
        raise errors.ConfigurationError(
            "The connection's Base URL (host) is not an http(s) URL with a host, or it contains a login.",
            next_step=f"Use e.g. {DEFAULT_BASE_URL}.",
        )
    authority = (f"[{name}]" if ":" in name else name) + (f":{its_port}" if its_port else "")
    return f"{parts.scheme}://{authority}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}/v1"


def normal_proxy(url: str) -> str:
    """Complete a proxy's address by its scheme.

    :raises ConfigurationError: it is none. Never says what was given: there may be a password in it.
    """
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        is_good = bool(parts.hostname) and parts.port != 0 and not TRICKY.search(url) and url.isascii()
        unquote(parts.netloc).encode("latin-1")  # what a login is sent in
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment:
        raise errors.ConfigurationError(
            "The address of a proxy is not a URL. It is in the connection's extra 'proxies' or in the environment.",
            next_step="Use e.g. http://user:password@proxy:3128; in a password, / # ? @ and : are written as %2F etc.",
        )
    return whole


def next_hop(url: str, location: str) -> tuple[str, bool]:
    """Say where a redirect leads and whether that is the same origin, where alone the key may go.

    The same host on https instead of http counts as the same.

    :raises UnexpectedReplyError: it leaves http(s), or leaves https.
    """
    try:
        if TRICKY.search(location):
            raise ValueError(location)
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        origins = [(p.scheme, p.hostname, p.port or {"http": 80, "https": 443}.get(p.scheme)) for p in (old, new)]
    except ValueError:
        raise errors.UnexpectedReplyError("The gateway redirects to an address that is not a URL.") from None
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
        raise errors.UnexpectedReplyError(
            f"The gateway redirects from {old.scheme} to {new.scheme or 'no scheme'}: refused."
        )
    (_, old_host, old_port), (_, new_host, new_port) = origins
    is_secured = (old.scheme, new.scheme, old_port, new_port) == ("http", "https", 80, 443) and old_host == new_host
    return target, origins[0] == origins[1] or is_secured
