"""Both clients over TLS and through proxies: whom they trust, and what a refusal means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import http, scripted
from support import AUTHORITY, SMALL, answering, asked, tls_in_front_of

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.connection import read_settings_async
from airflow_provider_wisdomgate.gateway.exchange import MAX_REDIRECTS
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox

Connect = Callable[..., dict[str, Any]]


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[str]:
    with tls_in_front_of(sandbox.url) as url:
        yield url


def poll_sync(video_id: str) -> str | None:
    return WisdomGateHook().client.send(routes.get_video(video_id), ONCE).status


def poll_async(video_id: str) -> str | None:
    async def poll() -> str | None:
        async with AsyncClient(await read_settings_async("wisdomgate_default")) as client:
            return (await client.send(routes.get_video(video_id), ONCE)).status

    return asyncio.run(poll())


@pytest.fixture(params=[poll_sync, poll_async], ids=["hook", "trigger"])
def poll(request: pytest.FixtureRequest) -> Callable[[str], str | None]:
    chosen: Callable[[str], str | None] = request.param
    return chosen


@pytest.fixture
def video_id(hook: WisdomGateHook) -> str:
    return hook.create_video(prompt=asked("render=0"), **SMALL).id


def test_a_ca_bundle_of_the_connection_is_trusted(
    gateway: str, ca_bundle: str, video_id: str, poll: Callable[[str], str], connect: Connect
) -> None:
    connect(host=gateway, extra={"verify": ca_bundle})
    assert poll(video_id) == "completed"


def test_a_ca_bundle_of_the_environment_is_trusted(
    gateway: str,
    ca_bundle: str,
    video_id: str,
    poll: Callable[[str], str],
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
    connect(host=gateway)
    assert poll(video_id) == "completed"
    connect(host=gateway, extra={"trust_env": False})
    with pytest.raises(errors.UnreachableError):
        poll(video_id)


def test_verification_can_be_switched_off(
    gateway: str, video_id: str, poll: Callable[[str], str], connect: Connect
) -> None:
    connect(host=gateway, extra={"verify": False})
    assert poll(video_id) == "completed"


def test_a_gateway_that_nobody_vouches_for_is_not_spoken_to(
    gateway: str, video_id: str, poll: Callable[[str], str], connect: Connect
) -> None:
    connect(host=gateway)
    with pytest.raises(errors.UnreachableError, match=r"certificate|CERTIFICATE"):
        poll(video_id)


def test_a_folder_of_certificates_is_read_as_one(
    gateway: str, video_id: str, poll: Callable[[str], str], connect: Connect, tmp_path: Path
) -> None:
    """An empty one trusts nobody; that it is a folder is no error."""
    connect(host=gateway, extra={"verify": str(tmp_path)})
    with pytest.raises(errors.UnreachableError, match=r"certificate|CERTIFICATE"):
        poll(video_id)


def test_redirects_without_end_are_followed_a_few_times(poll: Callable[[str], str], connect: Connect) -> None:
    with scripted(lambda request: http(307, headers={"Location": request.path})) as gateway:
        connect(host=gateway.url)
        with pytest.raises(errors.UnexpectedReplyError, match=f"redirects more than {MAX_REDIRECTS} times"):
            poll("video_1")
        assert len(gateway.requests) == MAX_REDIRECTS


def test_a_certificate_for_another_host_is_not_taken(
    gateway: str, ca_bundle: str, video_id: str, poll: Callable[[str], str], connect: Connect
) -> None:
    connect(host=gateway.replace("127.0.0.1", "localhost"), extra={"verify": ca_bundle})
    with pytest.raises(errors.UnreachableError, match=r"certificate|CERTIFICATE"):
        poll(video_id)


def test_a_create_that_tls_refused_is_not_taken_for_lost(
    gateway: str, sandbox: Sandbox, quick: None, connect: Connect
) -> None:
    connect(host=gateway)
    with pytest.raises(errors.UnreachableError):
        WisdomGateHook().create_video(prompt="a boat", **SMALL)
    assert sandbox.counts()["create_requests"] == 0


def test_a_client_certificate_is_shown(
    sandbox: Sandbox, ca_bundle: str, video_id: str, poll: Callable[[str], str], connect: Connect, tmp_path: Path
) -> None:
    identity, mine = AUTHORITY.issue_cert("worker"), tmp_path / "client.pem"
    identity.private_key_and_cert_chain_pem.write_to_path(str(mine))
    with tls_in_front_of(sandbox.url, asks_for_certificate=True) as url:
        connect(host=url, extra={"verify": ca_bundle, "cert": str(mine)})
        assert poll(video_id) == "completed"
        connect(host=url, extra={"verify": ca_bundle})
        with pytest.raises(errors.WisdomGateError):
            poll(video_id)


# A redirect from http to https


@pytest.mark.parametrize("bundle", [True, False], ids=["trusted", "not trusted"])
def test_a_redirect_to_https_is_followed_if_the_connection_trusts_who_is_there(
    bundle: bool, poll: Callable[[str], str], gateway: str, ca_bundle: str, quick: None, connect: Connect
) -> None:
    moved = f"HTTP/1.1 307 Moved\r\nLocation: {gateway}/v1/videos/x\r\nContent-Length: 0\r\n\r\n"
    with answering(moved.encode()) as port:
        connect(host=f"http://127.0.0.1:{port}", extra={"verify": ca_bundle} if bundle else {})
        # Another port is another origin: no key comes along, so what is read there is a refusal.
        with pytest.raises(errors.WisdomGateError) as caught:
            poll("video_1")
    assert isinstance(caught.value, errors.UnreachableError) != bundle


# A create that cannot have left is not lost


def create() -> None:
    WisdomGateHook().create_video(prompt="a boat", **SMALL)


def test_what_speaks_no_tls_gets_no_create(
    sandbox: Sandbox, poll: Callable[[str], str], quick: None, connect: Connect
) -> None:
    url = sandbox.url.replace("http:", "https:")
    connect(host=url)
    for ask in (create, lambda: poll("video_1")):
        with pytest.raises(errors.UnreachableError, match=f"No connection to {url}: .*write http://"):
            ask()


@pytest.mark.parametrize("where", ["verify", "cert", "environment"])
def test_a_certificate_file_that_cannot_be_used_is_said_before_any_request(
    where: str,
    gateway: str,
    poll: Callable[[str], str],
    quick: None,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    if where == "environment":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    connect(host=gateway, extra={} if where == "environment" else {where: str(bad)})
    for ask in (create, lambda: poll("video_1")):
        with pytest.raises(errors.ConfigurationError, match="certificate file"):
            ask()


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden", b"502 Bad Gateway"])
def test_a_proxy_that_lets_nothing_through_gets_no_create(
    status: bytes, poll: Callable[[str], str], quick: None, connect: Connect
) -> None:
    with answering(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status) as port:
        connect(host="https://gateway.invalid", extra={"proxies": f"http://127.0.0.1:{port}"})
        with pytest.raises(errors.UnreachableError):
            create()
        with pytest.raises(errors.WisdomGateError):
            poll("video_1")


def test_a_socks_proxy_is_refused_where_it_cannot_be_used(quick: None, connect: Connect) -> None:
    connect(host="http://gateway.invalid", extra={"proxies": "socks5://127.0.0.1:9"})
    with pytest.raises(errors.UnreachableError):  # requests needs PySocks for it
        create()
    with pytest.raises(errors.ConfigurationError, match="SOCKS"):
        poll_async("video_1")


def test_a_proxy_of_the_environment_that_is_for_something_else_is_not_judged(
    video_id: str, poll: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("AUTO_PROXY", "http://pac.example/proxy.pac?x=1")
    monkeypatch.setenv("ftp_proxy", "ftp://u:p#@x")
    assert poll(video_id) == "completed"


def test_no_proxy_of_the_connection_counts_for_both_clients(
    video_id: str, poll: Callable[[str], str], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    connect(extra={"proxies": {"no_proxy": "127.0.0.1"}})
    assert poll(video_id) == "completed"
