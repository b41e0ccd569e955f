"""What cannot be sent is refused without a word of it: keys, headers, proxies, logins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from key_search import KEY, MARK, Net, Tasks, found, sync_and_async
from support import answering

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.mark.parametrize("key", [f" {KEY}", f"{KEY}\n", f"\t{KEY}\r\n"], ids=ascii)
def test_blanks_around_a_key_are_not_part_of_it(key: str, tasks: Tasks, marked: Callable[..., None]) -> None:
    marked(password=key)
    assert tasks.generate("render=0")["phase"] == "stored"


AWKWARD = [f"{KEY}\n{KEY}", f"{KEY}\r\nX-Evil: 1", f"{KEY} {KEY}", f"{KEY}é", f"{KEY}€", f"{KEY}\0"]


@pytest.mark.parametrize("key", AWKWARD, ids=ascii)
def test_a_key_that_cannot_be_sent_is_refused_without_a_word_of_it(
    key: str,
    tasks: Tasks,
    net: Net,
    gateway: Sandbox,
    marked: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    marked(password=key)
    sync, unsync, events, button = sync_and_async(tasks)
    assert (type(sync), type(unsync)) == (errors.ConfigurationError,) * 2
    assert (events[0]["error"]["error"], button[0]) == ("ConfigurationError", False)
    tasks.close(capfd)
    assert (net.finds(), gateway.requests()) == ([], [])


@pytest.mark.parametrize("extra", [{"X-Team": f"{MARK}\n"}, {"X-Team": f"{MARK}€"}, {"X Team": MARK}], ids=ascii)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    extra: dict[str, str], tasks: Tasks, net: Net, marked: Callable[..., None]
) -> None:
    marked(extra={name: f"a{value}b" for name, value in extra.items()})
    ends = sync_and_async(tasks)
    assert {type(end) for end in ends[:2]} == {errors.ConfigurationError}
    assert found(MARK, net.pieces) == []


PROXIES = {
    "dead": "http://user:{}@127.0.0.1:9",
    "no scheme": "user:{}@127.0.0.1:9",
    "no port": "http://user:{}@127.0.0.1:port",
    "no host": "http://user:{}@",
    "half a bracket": "http://user:{}@[::1",
    "a hash in the password": "http://user:{}#x@127.0.0.1:9",
    "a slash in the password": "http://user:{}/x@127.0.0.1:9",
    "a space in the password": "http://user:{} x@127.0.0.1:9",
    "a letter in the password": "http://user:{}€@127.0.0.1:9",
    "an escaped letter in the password": "http://user:{}%E2%82%AC@127.0.0.1:9",
    "socks": "socks5://user:{}@127.0.0.1:9",
    "ftp": "ftp://user:{}@127.0.0.1:9",
    "wants another login": "http://user:{}@127.0.0.1:407",
    "is none": "http://user:{}@127.0.0.1:200",
    "is none, with TLS": "https://user:{}@127.0.0.1:200",
}


@pytest.mark.parametrize("where", ["extra", "environment"])
@pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES.keys())
def test_a_proxys_password_is_never_told(
    proxy: str,
    where: str,
    tasks: Tasks,
    net: Net,
    marked: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    with refusing as refuser, answering(b"hello\r\n") as nonsense:
        url = proxy.format("pr0xyPa55").replace(":407", f":{refuser}").replace(":200", f":{nonsense}")
        marked(host="https://gateway.invalid", extra={"proxies": {"https": url}} if where == "extra" else {})
        if where == "environment":
            monkeypatch.setenv("https_proxy", url)
        ends = sync_and_async(tasks)
    assert all(isinstance(end, errors.WisdomGateError) for end in ends[:2])
    assert found("pr0xyPa55", net.pieces) == []
    assert net.finds() == []


def test_a_login_in_the_base_url_is_never_told(tasks: Tasks, net: Net, marked: Callable[..., None]) -> None:
    for host in (
        f"https://user:{MARK}@gateway.example",
        f"http://{MARK}@127.0.0.1:9",
        f"https://user:{MARK}@host:port",
    ):
        marked(host=host, password="another-key")
        ends = sync_and_async(tasks)
        assert {type(end) for end in ends[:2]} == {errors.ConfigurationError}
    assert found(MARK, net.pieces) == []
