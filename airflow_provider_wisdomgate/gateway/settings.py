"""A connection's fields, checked, and how it keeps its secrets out of what is shown. Pure: no I/O, no Airflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from math import inf
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.foreign import SHORTEST_SECRET, Redactor

OWN_EXTRAS = (
    "storage_path",
    "requests_per_minute",
    "timeout",
    "min_balance",
    "create_as",
    "content_from",
    "upload_args",
)
# The values of extras that are words.
CHOICES: Mapping[str, tuple[str, ...]] = {"create_as": ("form", "json"), "content_from": ("route", "address", "either")}
# The extras that providers-http understands; everything else there is a header of the user's.
HTTP_EXTRAS = frozenset(
    {"stream", "cert", "proxies", "proxy", "timeout", "verify", "verify_ssl", "allow_redirects", "max_redirects"}
    | {"trust_env", "check_response", "srv_lookup"}
)
DEFAULT_TIMEOUT = 60.0
DAY = 86400.0  # longer than any answer takes; a socket cannot wait for centuries
# Parameters of the Base URL that may hold a key.
KEY_NAME = re.compile(r"key|token|secret|sig|auth|pass|code|cred", re.IGNORECASE)
LONG_VALUE = 20
KEY = re.compile(r"[\x21-\x7e]+")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# ASCII alone: other letters would be sent in different bytes.
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


class Secret(str):
    """A text that its repr hides: error reporters show the reprs of local variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True)
class Settings:
    """A connection's fields, for both clients. ``timeout`` is seconds without a byte.

    :param base_url: without its query: this is compared, recorded and shown.
    :param query: the Base URL's, sent with every request and never shown: there may be a key in it.
    """

    base_url: str
    api_key: str = field(repr=False)
    query: str = field(default="", repr=False)
    timeout: float = DEFAULT_TIMEOUT
    requests_per_minute: int | None = None
    storage_path: str | None = None
    min_balance: float | None = None
    create_as: str | None = None
    content_from: str = "either"
    upload_args: Any = None  # the stores check them
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    trust_env: bool = True

    @classmethod
    def of(
        cls, conn_id: str, host: str | None, port: int | None, key: str | None, extra: Mapping[str, Any]
    ) -> Settings:
        """Read a connection.

        :raises ConfigurationError: it has no key, or a field of it is wrong. Null fields count as unset.
        """
        key = _api_key(conn_id, key)
        known = {name: value for name, value in extra.items() if value is not None and value != ""}
        own = {*HTTP_EXTRAS, *OWN_EXTRAS}
        if not isinstance(known.get("storage_path", ""), str):
            raise errors.ConfigurationError(f"Connection {conn_id!r}: extra 'storage_path' must be a path or a URI.")
        rpm = _positive(conn_id, known, "requests_per_minute")
        return cls(
            base_url=normal_base_url(host, port),
            query=query_of(host),
            api_key=key,
            timeout=_positive(conn_id, known, "timeout", DAY) or DEFAULT_TIMEOUT,
            requests_per_minute=None if rpm is None else max(1, int(rpm)),
            storage_path=known.get("storage_path"),
            min_balance=_positive(conn_id, known, "min_balance"),
            create_as=_choice(conn_id, known, "create_as"),
            content_from=_choice(conn_id, known, "content_from") or "either",
            upload_args=known.get("upload_args"),
            headers={name: _header(conn_id, name, value) for name, value in known.items() if name not in own},
            proxies=read_proxies(known.get("proxies", known.get("proxy"))),
            verify=_verify(conn_id, known.get("verify", known.get("verify_ssl", True))),
            cert=_cert(conn_id, known.get("cert")),
            trust_env=_trust_env(conn_id, known.get("trust_env", True)),
        )

    def url_of(self, path: str) -> str:
        """Return the URL of a route. A parameter that the route has wins over the Base URL's."""
        route, _, own = path.partition("?")
        names = {pair.partition("=")[0] for pair in own.split("&")}
        kept = [pair for pair in self.query.split("&") if pair and pair.partition("=")[0] not in names]
        query = "&".join([*filter(None, [own]), *kept])
        return f"{self.base_url}{route}{'?' if query else ''}{query}"

    @cached_property
    def redactor(self) -> Redactor:
        """Strikes the key, and those in the Base URL's query, out of texts that came from outside."""
        return Redactor(self.api_key, *keys_in(self.query))

    def redact_bytes(self, body: bytes) -> bytes:
        """Redact the key as it is spelled here, because error reporters show local variables.

        ``redactor`` redacts what is read of a body.
        """
        return body.replace(self.api_key.encode(), b"***") if len(self.api_key) >= SHORTEST_SECRET else body


def _api_key(conn_id: str, key: str | None) -> Secret:
    key = Secret((key or "").strip())
    if not key:
        raise errors.ConfigurationError(
            f"Connection {conn_id!r} has no API key.",
            next_step="Put it into the connection's password field, in Admin > Connections or wherever it is defined.",
        )
    if not KEY.fullmatch(key):
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: the API key has a space, a line break or a letter that is not ASCII.",
            next_step="Put the key alone into the password field.",
        )
    return key


def _positive(conn_id: str, extra: Mapping[str, Any], name: str, most: float = inf) -> float | None:
    value = extra.get(name)
    try:
        number = None if value is None else -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number is not None and not (0 < number < inf and number <= most):
        limit = f" and at most {most:g}" if most < inf else ""
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: extra {name!r} must be a number above 0{limit}, not {value!r}."
        )
    return number


def _choice(conn_id: str, extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is None or (isinstance(value, str) and value in CHOICES[name]):
        return value
    *others, last = map(repr, CHOICES[name])
    raise errors.ConfigurationError(
        f"Connection {conn_id!r}: extra {name!r} must be {', '.join(others)} or {last}, not {value!r}."
    )


def _flag(value: Any) -> Any:
    """Read true and false if they came as text: a connection given as a URI holds nothing else."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _verify(conn_id: str, value: Any) -> bool | str:
    value = _flag(value)
    if not isinstance(value, bool | str):
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: extra 'verify' must be true, false or the path of a CA bundle, not {value!r}."
        )
    return value


def _trust_env(conn_id: str, value: Any) -> bool:
    value = _flag(value)
    if not isinstance(value, bool | int):
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: extra 'trust_env' must be true or false, not {value!r}."
        )
    return bool(value)


def _cert(conn_id: str, value: Any) -> str | tuple[str, str] | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(path, str) for path in value):
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: extra 'cert' must be a path, or the paths of certificate and key, not {value!r}."
        )
    return value[0], value[1]


def _header(conn_id: str, name: str, value: Any) -> Secret:
    if not name.lower().startswith("x-") and (meant := get_close_matches(_plain(name), OWN_EXTRAS, 1, 0.85)):
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: there is no extra {name!r}; it would be sent as a header.",
            next_step=f"Write {meant[0]!r}.",
        )
    text = Secret(str(value).strip())
    if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(text):
        raise errors.ConfigurationError(
            f"Connection {conn_id!r}: extra {name!r} cannot be sent as a header.",
            next_step="A header takes printable ASCII, and its name no space or colon.",
        )
    return text


def _plain(name: str) -> str:
    return re.sub(r"[-\s]", "_", name.strip().lower())


def read_proxies(value: Any) -> dict[str, str]:
    """Read proxies by scheme, or one for all, as a connection or the environment gives them."""
    if isinstance(value, str):
        value = {"http": value, "https": value}
    found = {str(name): str(url) for name, url in value.items() if url} if isinstance(value, Mapping) else {}
    return {name: url if name in ("no", "no_proxy") else Secret(normal_proxy(url)) for name, url in found.items()}


# ---- addresses: the Base URL, a proxy, a redirect. If two readers of a URL would read it differently, it is refused.

# Two readers of a URL disagree about these: one of them would send the key to another host.
TRICKY = re.compile(r"[\\\x00-\x20\x7f]")
DEFAULT_PORT = re.compile(r"^(http://[^/]*(?=:80(?:/|$))|https://[^/]*(?=:443(?:/|$))):\d+")


def normal_base_url(host: str | None, port: int | None = None) -> str:
    """Complete a connection's host to the URL that the paths are appended to, ending in ``/v1``.

    Without a scheme https is taken: the key does not travel in the clear unless somebody writes ``http://``.
    """
    url = (host or "").strip() or DEFAULT_BASE_URL
    try:
        parts = urlsplit(url if "://" in url.partition("?")[0] else f"https://{url}")
        name, its_port = parts.hostname, parts.port or port
        (name or "").encode("idna")  # "a..b": aiohttp would find that out, in the middle of a wait
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
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return without_default_port(f"{parts.scheme}://{authority}{path}/v1")


def query_of(host: str | None) -> Secret:
    """Return the query of a connection's host, in the bytes that both HTTP libraries send."""
    query = (host or "").strip().partition("#")[0].partition("?")[2]
    return Secret(quote(query, safe="!$%&'()*+,/:;=?@~", errors="replace"))


def keys_in(query: str) -> list[str]:
    """Return the values of a query that may be keys: long ones, and those whose names state it.

    Others, such as an API's version, are not struck out of answers: that would spoil dates and ids.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    found = [value for name, value in pairs if len(value) >= LONG_VALUE or KEY_NAME.search(name)]
    return list(dict.fromkeys([*found, *(quote(value, safe="") for value in found)]))


def without_default_port(url: str) -> str:
    """Return a URL without a port that its scheme implies: with it and without it, it is one gateway."""
    return DEFAULT_PORT.sub(r"\1", url)


def normal_proxy(url: str) -> str:
    """Complete a proxy's address by its scheme.

    :raises ConfigurationError: it is none. The value is never quoted: there may be a password in it.
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


# These characters of a Location stay: spaces and raw UTF-8 are quoted, so that both clients ask for the same.
ASCII = "".join(map(chr, range(0x21, 0x7F)))
HOST = re.compile(r"(?=.{1,254}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|[0-9a-f.]*:[0-9a-f:.]*")


def next_hop(url: str, location: str) -> tuple[str, bool]:
    """Return where a redirect leads, and whether that is the same origin: only there may the key go.

    The same host on https instead of http counts as the same.

    :param location: the header's bytes, each as one character.
    :raises UnexpectedReplyError: it leaves http(s), or leaves https.
    """
    try:
        if TRICKY.search(location.replace(" ", "")):
            raise ValueError(location)
        target = urljoin(url, quote(location.encode("latin-1"), safe=ASCII))
        old, new = urlsplit(url), urlsplit(target)
        host = new.hostname or ""
        if new.scheme in ("http", "https") and (not HOST.fullmatch(host) or ("[" in new.netloc) != (":" in host)):
            raise ValueError(location)
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
