"""Addresses: what a connection's host becomes, where a redirect may lead, and who gets the key there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.settings import Settings, next_hop, normal_base_url

# ------------------------------------------------------------------------------------------ base URLs

DEFAULT = f"{DEFAULT_BASE_URL}/v1"
BASE_URLS: dict[tuple[str | None, int | None], str] = {
    (None, None): DEFAULT,
    ("", None): DEFAULT,
    ("  ", None): DEFAULT,
    ("https://api.wisgate.ai", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/v1", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/v1/", None): "https://api.wisgate.ai/v1",
    ("https://api.wisgate.ai/v1//", None): "https://api.wisgate.ai/v1",
    (" https://api.wisgate.ai/v1\n", None): "https://api.wisgate.ai/v1",
    ("api.wisgate.ai", None): "https://api.wisgate.ai/v1",
    ("localhost:8000", None): "https://localhost:8000/v1",
    ("http://127.0.0.1:8000", None): "http://127.0.0.1:8000/v1",
    ("http://127.0.0.1", 8000): "http://127.0.0.1:8000/v1",
    ("http://127.0.0.1:9000", 8000): "http://127.0.0.1:9000/v1",
    ("http://[::1]:8000/", None): "http://[::1]:8000/v1",
    ("https://h.example/gateway", None): "https://h.example/gateway/v1",
    ("https://h.example/gateway/v1/", 443): "https://h.example/gateway/v1",
    ("HTTPS://h.example", None): "https://h.example/v1",
    ("http://h.example:", 8000): "http://h.example:8000/v1",
    ("https://h.example/v1?x=1#y", None): "https://h.example/v1",
}


@pytest.mark.parametrize(("host", "port", "url"), [(*k, v) for k, v in BASE_URLS.items()], ids=repr)
def test_a_host_becomes_the_address_that_paths_are_appended_to(host: str | None, port: int | None, url: str) -> None:
    assert normal_base_url(host, port) == url


BAD_HOSTS = ["ftp://h.example", "https://", "https:///v1", "://h", "file:///etc/passwd", "javascript://x", "//"]
BAD_HOSTS += ["http://[::1", "https://h.example:abc", "https://h.example:99999", "http://exam℀ple.com"]
BAD_HOSTS += ["https://.", "https://a..b", f"https://{'x' * 64}"]
BAD_HOSTS += ["https://user@h.example", "https://user:secret@h.example", "https://:secret@h.example"]


@pytest.mark.parametrize("port", [None, 80])
@pytest.mark.parametrize("host", BAD_HOSTS, ids=repr)
def test_a_host_that_is_no_address_is_a_clear_error(host: str, port: int | None) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        normal_base_url(host, port)
    assert caught.value.message.startswith("The connection's Base URL (host) ")
    assert caught.value.next_step == f"Use e.g. {DEFAULT_BASE_URL}."


@pytest.mark.parametrize("host", ["https://user:secret@h.example", "https://:secret@h.example"])
def test_a_password_in_a_host_is_not_repeated_in_the_error(host: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        normal_base_url(host)
    assert "secret" not in str(caught.value)


ADDRESSES = st.text(max_size=30) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "http://", "https://", "HTTP://", "ftp://", "//"]),
    st.sampled_from(["h", "h.example", "[::1]", "[::1", "u@h", "h:", "h h", "é", "127.0.0.1"]),
    st.sampled_from(["", ":80", ":0", ":x", ":99999", ":"]),
    st.lists(st.sampled_from(["/", "/v1", "/a", "v1", "?q", "#f", " ", "\\", "%2F", "//"]), max_size=4).map("".join),
)


@settings(deadline=None)
@example("http://[::1", None)
@given(ADDRESSES, st.none() | st.integers(0, 70_000))
def test_any_host_gives_one_stable_address_or_a_typed_error(host: str, port: int | None) -> None:
    try:
        url = normal_base_url(host, port)
    except errors.ConfigurationError:
        return
    assert url.endswith("/v1")
    assert url.startswith(("http://", "https://"))
    assert normal_base_url(url) == url


QUERIES: dict[str, tuple[str, str, str]] = {
    "added": ("https://h.example/v1?api-version=1", "/videos", "/videos?api-version=1"),
    "none": ("https://h.example/v1", "/videos?after=x", "/videos?after=x"),
    "empty": ("https://h.example/v1?", "/videos", "/videos"),
    "beside a route's": ("https://h.example?a=1&b=2#c", "/videos?after=x", "/videos?after=x&a=1&b=2"),
    "a route's wins": ("h.example?after=z&b=2", "/videos?after=x", "/videos?after=x&b=2"),
    "a URL in it": ("h.example/v1?u=http://x/y?z", "/videos", "/videos?u=http://x/y?z"),
    "foreign letters": ("h.example?k=é%41", "/videos", "/videos?k=%C3%A9%41"),
}


@pytest.mark.parametrize(("host", "path", "expected"), QUERIES.values(), ids=QUERIES.keys())
def test_a_base_urls_query_is_sent_with_every_route(host: str, path: str, expected: str) -> None:
    settings = Settings.of("c", host, None, "a-key", {})
    assert (settings.base_url, settings.url_of(path)) == (
        "https://h.example/v1",
        f"https://h.example/v1{expected}",
    )


def test_a_key_in_a_query_is_redacted_and_a_version_is_not() -> None:
    host = (
        "https://h.example?api-version=2026-01-01&subscription-key=a-second/key&x=short&y=a-very-long-value-of-a-kind"
    )
    settings = Settings.of("c", host, None, "the-first-key", {})
    said = "2026-01-01 short a-second/key a-second%2Fkey the-first-key a-very-long-value-of-a-kind"
    assert settings.redactor.redact(said) == "2026-01-01 short *** *** *** ***"
    assert "a-second" not in repr(settings)


# ----------------------------------------------------------------------------------------- redirects

HERE = "https://gate.example/v1/videos/v/content"
HOPS: dict[str, tuple[str, str, tuple[str, bool]]] = {
    "relative": (HERE, "../w", ("https://gate.example/v1/videos/w", True)),
    "a path": (HERE, "/files/1.mp4?sig=a", ("https://gate.example/files/1.mp4?sig=a", True)),
    "no path": (HERE, "", (HERE, True)),
    "same origin": (HERE, "https://gate.example/x", ("https://gate.example/x", True)),
    "same origin, port written": (HERE, "https://gate.example:443/x", ("https://gate.example:443/x", True)),
    "same origin, other case": (HERE, "HTTPS://GATE.example/x", ("https://GATE.example/x", True)),
    "other host": (HERE, "https://cdn.example/x", ("https://cdn.example/x", False)),
    "other host, no scheme": (HERE, "//cdn.example/x", ("https://cdn.example/x", False)),
    "a subdomain": (HERE, "https://cdn.gate.example/x", ("https://cdn.gate.example/x", False)),
    "other port": (HERE, "https://gate.example:8443/x", ("https://gate.example:8443/x", False)),
    "http to https": ("http://gate.example/x", "https://gate.example/x", ("https://gate.example/x", True)),
    "http to https of another host": (
        "http://gate.example/x",
        "https://cdn.example/x",
        ("https://cdn.example/x", False),
    ),
    "http to https on other ports": (
        "http://gate.example:80/x",
        "https://gate.example:8443/x",
        ("https://gate.example:8443/x", False),
    ),
    "http on another port to https": (
        "http://gate.example:81/x",
        "https://gate.example/x",
        ("https://gate.example/x", False),
    ),
    "http to http": ("http://gate.example:80/x", "http://gate.example/y", ("http://gate.example/y", True)),
    "http to other port": ("http://127.0.0.1:1/x", "http://127.0.0.1:2/y", ("http://127.0.0.1:2/y", False)),
    "spaces and raw UTF-8": (
        HERE,
        "/a b/\xc3\xa9%20?x= y#\xff",
        ("https://gate.example/a%20b/%C3%A9%20?x=%20y#%FF", True),
    ),
    "the root of the DNS": (HERE, "https://gate.example./x", ("https://gate.example./x", False)),
    "an IPv6 address": (HERE, "https://[::1]:8443/x", ("https://[::1]:8443/x", False)),
    "the host as a user": (HERE, "https://gate.example@evil.example/x", ("https://gate.example@evil.example/x", False)),
}


@pytest.mark.parametrize(("url", "location", "expected"), HOPS.values(), ids=HOPS.keys())
def test_a_redirect_leads_somewhere_and_only_the_same_origin_gets_the_key(
    url: str, location: str, expected: tuple[str, bool]
) -> None:
    assert next_hop(url, location) == expected


@pytest.mark.parametrize(
    "location",
    [
        "http://gate.example/x",
        "http://cdn.example/x",
        "ftp://gate.example/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://[::1/x",
        "https://gate.example:port/x",
        "https://gate.example:99999/x",
        "http://exam℀ple.com",
        "https://.",
        "https://./x",
        "https://a..b/x",
        "https://.gate.example/x",
        f"https://{'x' * 64}.example/x",
        f"https://{'x.' * 127}example/x",
        "https://gate example/x",
        "https://gate%20example/x",
        "https://b\xc3\xbccher.example/x",
        "https://[v1.x]/x",
        "https://[fe80::1%25eth0]/x",
        "https://gate.example/x\ty",
        "https://gate.example\\x",
    ],
)
def test_a_redirect_that_leaves_https_or_is_no_address_is_refused(location: str) -> None:
    with pytest.raises(errors.UnexpectedReplyError):
        next_hop(HERE, location)


@pytest.mark.parametrize(
    "location",
    [
        # urlsplit reads the host after the "@", urllib3 the one before the backslash: the key would go there.
        "https://evil.example\\@gate.example/x",
        "https://evil.example\\@gate.example:443/x",
    ],
)
def test_an_address_that_two_readers_read_differently_never_gets_the_key(location: str) -> None:
    try:
        _, gets_the_key = next_hop(HERE, location)
    except errors.UnexpectedReplyError:
        return
    assert not gets_the_key


@settings(deadline=None)
@given(ADDRESSES)
def test_any_location_leads_to_http_or_to_a_typed_error(location: str) -> None:
    try:
        target, _ = next_hop(HERE, location)
    except errors.UnexpectedReplyError:
        return
    assert urlsplit(target).scheme == "https"
