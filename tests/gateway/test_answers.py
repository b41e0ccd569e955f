"""Answers that are not the gateway's, that come encoded, or late: what each means, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import brotli
import pytest
from scripted import Gateway, http, in_turn, scripted
from support import QUICK, LocalPlace, made, whole, zstd

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import client as client_module
from airflow_provider_wisdomgate.gateway import encodings as encodings_module
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling.decisions import Ended, Wait
from airflow_provider_wisdomgate.sandbox import Sandbox

Send = Callable[[WisdomGateHook, Call[Any]], Any]
Connect = Callable[..., dict[str, Any]]
VIDEO = {"id": "video_1", "object": "video", "model": "any", "status": "completed", "progress": 100}
TOLD = json.dumps(VIDEO).encode()
CAT = whole()


def send_sync(hook: WisdomGateHook, call: Call[Any]) -> Any:
    return hook.client.send(call, ONCE)


def send_async(hook: WisdomGateHook, call: Call[Any]) -> Any:
    async def send() -> Any:
        async with AsyncClient(hook.settings) as client:
            return await client.send(call, ONCE)

    return asyncio.run(send())


both_clients = pytest.mark.parametrize("send", [send_sync, send_async], ids=["sync", "async"])


@pytest.fixture
def gateway(connect: Connect, quick: None) -> Iterator[Gateway]:
    """A gateway of this test's own, which the default connection leads to."""
    with scripted(lambda request: http(200, TOLD)) as gateway:
        connect(host=gateway.url)
        yield gateway


def error_of(send: Send, call: Call[Any]) -> errors.WisdomGateError:
    with pytest.raises(errors.WisdomGateError) as caught:
        send(WisdomGateHook(), call)
    return caught.value


# Encodings


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 40]) for at in range(0, len(data), 40)) + b"\0" * 512


ENCODED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip, upper case": ("X-GZIP", gzip.compress),
    "gzip of several members and padding": ("gzip", members),
    "deflate with its header": ("deflate", zlib.compress),
    "deflate without it": ("deflate", deflated),
    "brotli": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd of several frames": ("zstd", lambda data: zstd.compress(data[:40]) + zstd.compress(data[40:])),
    "identity": ("identity", bytes),
    "identity and gzip": ("identity, gzip", gzip.compress),
}
encodings = pytest.mark.parametrize(("name", "encode"), ENCODED.values(), ids=ENCODED.keys())


@both_clients
@encodings
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_status_that_arrives_encoded_is_read(
    framing: str, name: str, encode: Callable[[bytes], bytes], send: Send, gateway: Gateway
) -> None:
    gateway.answer = in_turn(http(200, encode(TOLD), {"Content-Encoding": name}, framing))
    assert send(WisdomGateHook(), routes.get_video("video_1")).id == "video_1"


@both_clients
def test_a_paid_id_that_arrives_encoded_is_not_lost(send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(200, gzip.compress(TOLD), {"Content-Encoding": "gzip"}))
    assert send(WisdomGateHook(), routes.create_video("any", "a cat", {})).id == "video_1"


@encodings
def test_a_clip_that_arrives_encoded_is_stored_decoded(
    name: str, encode: Callable[[bytes], bytes], gateway: Gateway, local: LocalPlace
) -> None:
    gateway.answer = in_turn(http(200, encode(CAT), {"Content-Encoding": name, "ETag": '"a"'}))
    stored = WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert (local.read("cat.mp4"), stored.size) == (CAT, len(CAT))


@both_clients
@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("gzip", gzip.compress(TOLD)[:-4], errors.ConnectionBrokenError),
        ("gzip", TOLD, errors.ContentError),
        ("deflate", TOLD, errors.ContentError),
        ("br", brotli.compress(TOLD)[:-4], errors.ConnectionBrokenError),
        ("br", TOLD, errors.ContentError),
        ("zstd", zstd.compress(TOLD)[:-4], errors.ConnectionBrokenError),
        ("zstd", TOLD, errors.ContentError),
        ("compress", TOLD, errors.UnexpectedReplyError),
        ("gzip, gzip", TOLD, errors.UnexpectedReplyError),
    ],
    ids=["cut", "not gzip", "not deflate", "br cut", "not br", "zstd cut", "not zstd", "unknown", "twice"],
)
def test_what_cannot_be_decoded_is_a_passing_fault(
    name: str, body: bytes, kind: type[errors.WisdomGateError], send: Send, gateway: Gateway
) -> None:
    gateway.answer = in_turn(http(200, body, {"Content-Encoding": name}))
    error = error_of(send, routes.get_video("video_1"))
    assert (type(error), error.is_transient) == (kind, True)


@pytest.mark.parametrize(("name", "library"), [("br", "brotli"), ("zstd", "zstd")])
def test_what_no_library_here_decodes_says_what_would(
    name: str, library: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encodings_module, library, None)
    gateway.answer = in_turn(http(200, TOLD, {"Content-Encoding": name}))
    with pytest.raises(errors.UnexpectedReplyError, match=f"install .*{library}"):
        send_sync(WisdomGateHook(), routes.get_video("video_1"))


def gzip_bomb() -> bytes:
    """300 KB of gzip that are 300 MB."""
    compressor, zeros = zlib.compressobj(9, wbits=31), bytes(1024**2)
    return b"".join([*(compressor.compress(zeros) for _ in range(300)), compressor.flush()])


def brotli_bomb() -> bytes:
    compressor, zeros = brotli.Compressor(quality=1), bytes(1024**2)
    return b"".join([*(compressor.process(zeros) for _ in range(300)), compressor.finish()])


def zstd_bomb() -> bytes:
    compressor, zeros = zstd.ZstdCompressor(), bytes(1024**2)
    return b"".join([*(compressor.compress(zeros) for _ in range(300)), compressor.flush()])


BOMBS = {"gzip": gzip_bomb, "br": brotli_bomb, "zstd": zstd_bomb}


@pytest.fixture(scope="module", params=BOMBS)
def bomb(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """A Content-Encoding, and a few hundred kilobytes that are 300 MB."""
    return request.param, BOMBS[request.param]()


def peak_of(work: Callable[[], Any]) -> tuple[BaseException, int]:
    """Return what it raises, and the bytes it held at once."""
    tracemalloc.start()
    try:
        with pytest.raises(errors.WisdomGateError) as caught:
            work()
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@both_clients
def test_a_bomb_in_place_of_a_status_is_read_no_further_than_any_reply(
    send: Send, gateway: Gateway, bomb: tuple[str, bytes]
) -> None:
    gateway.answer = in_turn(http(200, bomb[1], {"Content-Encoding": bomb[0]}))
    hook = WisdomGateHook()
    error, peak = peak_of(lambda: send(hook, routes.get_video("video_1")))
    assert isinstance(error, errors.UnexpectedReplyError)
    assert peak < 64 * 1024**2


def test_a_bomb_in_place_of_a_clip_is_not_held_in_memory_and_not_stored(
    gateway: Gateway, bomb: tuple[str, bytes], local: LocalPlace
) -> None:
    gateway.answer = in_turn(http(200, bomb[1], {"Content-Encoding": bomb[0]}))
    hook = WisdomGateHook()
    error, peak = peak_of(lambda: hook.download_video("video_1", local.uri("cat.mp4")))
    assert isinstance(error, errors.ContentError)
    assert (local.names(), peak < 64 * 1024**2) == ([], True)


# Whose answer is it?

PAGES = {
    "nothing": b"",
    "plain text": b"default backend - 404",
    "HTML": b"<html><h1>403 Forbidden</h1>nginx</html>",
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a number": b"404",
    "JSON that is no object": b'["no"]',
}
CALLS: dict[str, Callable[[], Call[Any]]] = {
    "get": lambda: routes.get_video("video_1"),
    "list": routes.list_videos,
    "delete": lambda: routes.delete_video("video_1"),
    "create": lambda: routes.create_video("any", "a cat", {}),
    "remix": lambda: routes.remix_video("video_1", "a dog"),
    "content": lambda: routes.get_content("video_1"),
}


@both_clients
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_page_that_is_nobodys_answer_is_a_passing_fault_and_says_nothing_of_key_or_credit(
    call: Callable[[], Call[Any]], send: Send, gateway: Gateway
) -> None:
    for status in (400, 401, 402, 403, 404, 405, 409, 410, 422):
        for name, page in PAGES.items():
            gateway.answer = in_turn(http(status, page))
            error = error_of(send, call())
            is_vague = type(error) in (errors.UnexpectedReplyError, errors.GatewayFaultError, errors.VideoNotReadyError)
            assert (is_vague, error.is_transient, error.status) == (True, True, status), (name, error)
            assert not {"key", "credit", "quota", "id,"} & set(str(error).lower().split()), name


def test_a_list_that_goes_round_in_circles_is_a_typed_error(gateway: Gateway) -> None:
    page = {"data": [VIDEO], "has_more": True, "last_id": "video_1"}
    gateway.answer = lambda request: http(200, json.dumps(page).encode())
    with pytest.raises(errors.UnexpectedReplyError):
        WisdomGateHook().list_videos()


def test_an_object_stores_403_after_a_redirect_is_not_ready_whatever_words_it_uses(gateway: Gateway) -> None:
    with scripted(in_turn(http(403, b'{"error": {"message": "no", "code": "insufficient_quota"}}'))) as store:
        gateway.answer = in_turn(http(302, b"", {"Location": f"{store.url}/signed"}))
        with pytest.raises(errors.VideoNotReadyError) as caught, WisdomGateHook().open_content("video_1"):
            pass
    assert "credit" not in str(caught.value)


def test_a_location_that_is_no_url_is_a_typed_error_and_a_create_with_it_is_lost_not_raw(gateway: Gateway) -> None:
    gateway.answer = in_turn(http(302, b"", {"Location": "http://["}))
    assert isinstance(error_of(send_sync, routes.get_video("video_1")), errors.UnexpectedReplyError)
    assert isinstance(error_of(send_sync, routes.create_video("any", "a cat", {})), errors.LostCreateError)


def test_a_create_that_was_not_found_is_not_told_to_check_a_video_id(hook: WisdomGateHook) -> None:
    with pytest.raises(errors.BadRequestError) as caught:
        hook.create_video("any", "a cat [sandbox: create=404]")
    assert caught.value.next_step == "Check the model, and the path in the connection's Base URL."


# Keys that change


def test_a_wait_goes_on_when_the_key_was_changed_meanwhile(hook: WisdomGateHook, connect: Connect) -> None:
    video_id = made(hook)
    connect(password="the-key-of-yesterday")
    waiting, began = WisdomGateHook(), time.time()
    assert waiting.settings.api_key == "the-key-of-yesterday"
    connect()
    end = waiting.wait_for_video(video_id, Wait(began + 30, 0.02, since=began))
    assert (end.outcome, end.video and end.video.id) == ("ready", video_id)


def test_a_wait_whose_key_is_wrong_twice_ends(hook: WisdomGateHook, sandbox: Sandbox, connect: Connect) -> None:
    video_id = made(hook)
    connect(password="the-key-of-yesterday")
    before = sandbox.counts()["unauthorized"]
    end = WisdomGateHook().wait_for_video(video_id, Wait(time.time() + 30, 0.02, since=time.time()))
    assert (type(end.error), sandbox.counts()["unauthorized"] - before) == (errors.AuthenticationError, 2)


def test_a_download_goes_on_when_the_key_was_changed_meanwhile(
    hook: WisdomGateHook, connect: Connect, local: LocalPlace
) -> None:
    video_id = made(hook)
    connect(password="the-key-of-yesterday")
    loading = WisdomGateHook()
    assert loading.settings.api_key == "the-key-of-yesterday"
    connect()
    loading.download_video(video_id, local.uri("cat.mp4"))
    assert local.read("cat.mp4") == CAT


def test_one_401_to_the_question_why_a_clip_is_not_there_does_not_end_a_download(
    gateway: Gateway, local: LocalPlace
) -> None:
    no_clip = http(404, b'{"error": {"message": "no clip yet", "code": "not_found"}}')
    no_key = http(401, b'{"error": {"message": "no such key", "code": "invalid_api_key"}}')
    gateway.answer = in_turn(no_clip, no_key, http(200, TOLD), http(200, CAT, {"Content-Type": "video/mp4"}))
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert local.read("cat.mp4") == CAT


# Times


@pytest.mark.parametrize("fault", ["429-dayx1", "429-epochx1", "429-far-datex1"])
def test_a_wait_that_is_told_to_come_back_in_ages_polls_at_its_deadline(fault: str, hook: WisdomGateHook) -> None:
    video_id, now = made(hook, f"poll={fault}"), time.time()
    end = hook.wait_for_video(video_id, Wait(now + 2.0, 0.02, since=now))
    assert isinstance(end, Ended)
    assert end.outcome == "ready"


def test_a_download_waits_as_long_as_a_429_asks(
    gateway: Gateway, connect: Connect, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the pauses are the real ones here, and only the clock is quick
    connect(host=gateway.url)
    gateway.answer = in_turn(http(429, b"", {"Retry-After": "90"}), http(200, CAT))
    clock, slept = time.monotonic, [0.0]
    mine = threading.get_ident()

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    def now() -> float:
        return clock() + (slept[0] if threading.get_ident() == mine else 0.0)  # the sandbox's clock goes on as it did

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", now)
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert (local.read("cat.mp4"), slept[0] >= 89.0, len(gateway.requests)) == (CAT, True, 2)


# Requests


def test_a_large_upload_may_take_longer_than_a_connect(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT", 0.4)
    gateway.pause = 0.01
    image = routes.Part("large.png", bytes(12 * 1024**2), "image/png")
    assert send_sync(WisdomGateHook(), routes.create_video("any", "a cat", {}, image)).id == "video_1"
    assert len(gateway.requests[0].body) > len(image.content)


@both_clients
def test_each_attempt_of_a_create_carries_the_same_idempotency_key_and_a_get_none(send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(429), http(429), http(200, TOLD))
    call = replace(routes.create_video("any", "a cat", {}), idempotency_key="claim-1")
    hook = WisdomGateHook()
    if send is send_sync:
        hook.client.send(call, QUICK)
    else:
        for _ in range(2):
            error_of(send, call)
        send(hook, call)
    send(hook, routes.get_video("video_1"))
    assert [request.headers.get("idempotency-key") for request in gateway.requests] == ["claim-1"] * 3 + [None]


def test_two_creates_of_a_hook_have_two_idempotency_keys(gateway: Gateway) -> None:
    hook = WisdomGateHook()
    hook.create_video("any", "a cat")
    hook.create_video("any", "a cat")
    hook.remix_video("video_1", "a dog")
    keys = {request.headers["idempotency-key"] for request in gateway.requests}
    assert [len(key) for key in keys] == [32] * 3


def test_to_interrupt_a_download_that_is_read_to_its_end_raises_nothing(hook: WisdomGateHook) -> None:
    with hook.open_content(made(hook)) as content:
        assert b"".join(content.chunks()) == CAT
        content.interrupt()
        hook.interrupt()
    content.interrupt()
    hook.interrupt()
