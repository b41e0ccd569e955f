"""Whether a create left is decided by its connection: what goes wrong before connecting returned is tried again."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from senders import Send, both_clients, error_of
from support import AUTHORITY, SHORT_SILENCE

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.transport import check_deferrable
from airflow_provider_wisdomgate.hooks import WisdomGateHook

Connect = Callable[..., dict[str, Any]]
Talk = Callable[[socket.socket], None]


@contextmanager
def talking(talk: Talk) -> Iterator[tuple[int, list[int]]]:
    """Serve each connection with a function, in a thread of its own; yields the port, and how many came."""
    server, came = socket.create_server(("127.0.0.1", 0)), []

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(30)
            talk(connection)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            came.append(1)
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(server.getsockname()[1]), came
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def closes(connection: socket.socket) -> None:
    connection.recv(65536)


def resets(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stalls(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def speaks_no_tls(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def refuses_the_tunnel(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def opens_a_tunnel_to_nowhere(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
    connection.recv(65536)


HANDSHAKES = (closes, resets, stalls, speaks_no_tls)
create = replace(routes.create_video("any", "a cat", {}), timeout=SHORT_SILENCE)


@pytest.mark.parametrize("talk", HANDSHAKES, ids=lambda talk: talk.__name__)
def test_a_handshake_that_fails_leaves_nothing_in_doubt_and_the_create_is_tried_again(
    talk: Talk, connect: Connect, quick: None
) -> None:
    with talking(talk) as (port, came):
        connect(host=f"https://127.0.0.1:{port}")
        with pytest.raises(errors.UnreachableError):
            WisdomGateHook().client.send(create)
        assert len(came) == 4


@pytest.mark.parametrize(
    "talk", [closes, resets, stalls, refuses_the_tunnel, opens_a_tunnel_to_nowhere], ids=lambda talk: talk.__name__
)
def test_a_proxy_that_opens_no_tunnel_got_no_create(talk: Talk, connect: Connect, quick: None) -> None:
    with talking(talk) as (port, came):
        connect(host="https://gateway.invalid", extra={"proxies": f"http://127.0.0.1:{port}"})
        with pytest.raises(errors.UnreachableError):
            WisdomGateHook().client.send(create)
        assert len(came) == 4


@both_clients
@pytest.mark.parametrize("talk", [closes, resets, refuses_the_tunnel], ids=lambda talk: talk.__name__)
def test_a_poll_of_either_client_calls_what_never_connected_unreachable(
    talk: Talk, send: Send, connect: Connect, quick: None
) -> None:
    with talking(talk) as (port, _):
        connect(host="https://gateway.invalid", extra={"proxies": f"http://127.0.0.1:{port}"})
        found = error_of(send, routes.get_video("video_1"))
    assert (type(found), found.is_transient) in [(errors.UnreachableError, True), (errors.ConnectionBrokenError, True)]
    assert talk is not refuses_the_tunnel or isinstance(found, errors.UnreachableError)


def test_plain_text_in_a_tls_stream_after_the_create_is_a_lost_create_and_sent_once(
    connect: Connect, quick: None, ca_bundle: str
) -> None:
    """OpenSSL says WRONG_VERSION_NUMBER, as of a server that speaks no TLS at all."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    def talk(connection: socket.socket) -> None:
        secure = context.wrap_socket(connection, server_side=True)
        secure.recv(65536)
        with socket.socket(fileno=secure.detach()) as plain:
            plain.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with talking(talk) as (port, came):
        connect(host=f"https://127.0.0.1:{port}", extra={"verify": ca_bundle})
        with pytest.raises(errors.LostCreateError):
            WisdomGateHook().client.send(create)
        assert len(came) == 1


def test_a_connection_of_the_pool_that_breaks_has_lost_the_create(connect: Connect, quick: None) -> None:
    video = b'{"id": "video_1", "object": "video", "status": "queued"}'

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(video), video))
        connection.recv(65536)  # the create

    with talking(talk) as (port, came):
        connect(host=f"http://127.0.0.1:{port}")
        client = WisdomGateHook().client
        elsewhere = WisdomGateHook()
        elsewhere.settings = replace(elsewhere.settings, base_url="http://127.0.0.1:9/v1")
        with pytest.raises(errors.UnreachableError):  # what failed before says nothing of what follows
            elsewhere.client.send(create)
        assert client.send(routes.get_video("video_1")).status == "queued"
        with pytest.raises(errors.LostCreateError):
            client.send(create)
        assert len(came) == 1


def test_through_a_socks_proxy_the_connection_records_it_as_well(connect: Connect, quick: None) -> None:
    pytest.importorskip("socks")

    def grants(connection: socket.socket, *, answers: bool) -> None:
        connection.recv(65536)
        connection.sendall(b"\x05\x00")
        connection.recv(65536)
        if answers:
            connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
            connection.recv(65536)

    for answers, kind, times in ((False, errors.UnreachableError, 4), (True, errors.LostCreateError, 1)):
        with talking(lambda connection, answers=answers: grants(connection, answers=answers)) as (port, came):  # type: ignore[misc]
            connect(host="http://127.0.0.1:9", extra={"proxies": f"socks5://127.0.0.1:{port}"})
            with pytest.raises(kind):
                WisdomGateHook().client.send(create)
            assert len(came) == times


# A proxy that a deferred wait cannot use


def test_a_socks_proxy_is_refused_for_a_deferred_wait_before_anything_is_sent(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def is_refused(**extra: Any) -> bool:
        connect(host="https://gateway.example", extra=extra)
        try:
            check_deferrable(WisdomGateHook().settings)
        except errors.ConfigurationError as error:
            return "SOCKS" in str(error)
        return False

    assert is_refused() is False
    assert is_refused(proxies="http://127.0.0.1:9") is False
    assert is_refused(proxies="socks5h://127.0.0.1:9") is True
    assert is_refused(proxies={"https": "SOCKS5://127.0.0.1:9"}) is True
    assert is_refused(proxies={"http": "socks5://127.0.0.1:9"}) is False  # not for an https Base URL
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    assert is_refused() is True
    assert is_refused(trust_env=False) is False
    monkeypatch.setenv("no_proxy", "gateway.example")
    assert is_refused() is False
