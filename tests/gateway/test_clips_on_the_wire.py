"""A clip's bytes as odd gateways send them: what came is kept, and what header says nothing of them is stored."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from scripted import Gateway, Request, http, in_turn
from senders import error_of, send_async, send_sync
from support import LocalPlace, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.hooks import WisdomGateHook

CAT = whole(size=60_000)
TYPE = {"Content-Type": "video/mp4", "ETag": '"cat"'}
CHUNKED = b'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nETag: "cat"\r\n\r\n'

# How a body of 60 KB breaks after 40 KB.
BREAKS = {
    "half a chunk": b"%x\r\n%b" % (len(CAT), CAT[:40_000]),
    "no last chunk": b"%x\r\n%b\r\n" % (40_000, CAT[:40_000]),
    "a negative chunk size": b"%x\r\n%b\r\n-5\r\n" % (40_000, CAT[:40_000]),
    "a chunk size that is no number": b"%x\r\n%b\r\nzz\r\n" % (40_000, CAT[:40_000]),
    "a huge chunk size": b"%x\r\n%b\r\n%b\r\n" % (40_000, CAT[:40_000], b"f" * 99),
}


def ranged(request: Request) -> bytes:
    rest, size = CAT[request.offset :], len(CAT)
    return http(206, rest, {**TYPE, "Content-Range": f"bytes {request.offset}-{size - 1}/{size}"})


@pytest.mark.parametrize("body", BREAKS.values(), ids=BREAKS.keys())
def test_a_download_goes_on_where_its_chunks_broke(body: bytes, gateway: Gateway, local: LocalPlace) -> None:
    gateway.answer = in_turn(CHUNKED + body, ranged)
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert (local.read("cat.mp4"), [request.offset for request in gateway.requests]) == (CAT, [0, 40_000])


def test_a_body_that_is_cut_in_its_length_goes_on_too(gateway: Gateway, local: LocalPlace) -> None:
    gateway.answer = in_turn(http(200, CAT, TYPE)[:-20_000], ranged)
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert (local.read("cat.mp4"), [request.offset for request in gateway.requests]) == (CAT, [0, 40_000])


@pytest.mark.parametrize("first", [b"-5\r\n", b"zz\r\n", b"f" * 99 + b"\r\n"])
def test_chunks_that_never_fit_are_the_gateways_fault(first: bytes, gateway: Gateway, local: LocalPlace) -> None:
    gateway.answer = in_turn(CHUNKED + first + CAT)
    with pytest.raises(errors.ConnectionBrokenError):
        WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert local.names() == []


@pytest.mark.parametrize("name", ["aws-chunked", "binary", "utf-8", "none", "gzip", "br", "zstd", "cloud", "x, gzip"])
def test_a_clip_is_stored_as_it_is_whatever_encoding_its_header_names(
    name: str, gateway: Gateway, local: LocalPlace
) -> None:
    gateway.answer = in_turn(http(200, CAT, {**TYPE, "Content-Encoding": name}))
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert local.read("cat.mp4") == CAT


def test_a_name_that_encodes_nothing_beside_gzip_does_not_hide_it(gateway: Gateway, local: LocalPlace) -> None:
    gateway.answer = in_turn(http(200, gzip.compress(CAT), {**TYPE, "Content-Encoding": "gzip, aws-chunked"}))
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert local.read("cat.mp4") == CAT


def test_a_plain_clip_under_an_odd_encoding_can_be_resumed(gateway: Gateway, local: LocalPlace) -> None:
    odd = {**TYPE, "Content-Encoding": "aws-chunked"}
    gateway.answer = in_turn(
        http(200, CAT, odd)[:-20_000],
        lambda request: ranged(request).replace(b"\r\n\r\n", b"\r\nContent-Encoding: aws-chunked\r\n\r\n", 1),
    )
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert (local.read("cat.mp4"), len(gateway.requests)) == (CAT, 2)


LONG = "x" * 60_000
TALKATIVE: dict[str, Callable[[], bytes]] = {
    "a message": lambda: http(500, b'{"error": {"message": "%b"}}' % LONG.encode()),
    "a code": lambda: http(500, b'{"error": {"message": "no", "code": "%b", "type": "%b"}}' % ((LONG.encode(),) * 2)),
    "a request id": lambda: http(500, b"", {"X-Request-Id": LONG}),
    "a type": lambda: http(500, b"no", {"Content-Type": LONG}),
    "a Location": lambda: http(404, b"", {"Location": "http://h/" + LONG}),
    "a reason": lambda: http(500, b"").replace(b"Whatever", LONG.encode()),
    "a chunk size": lambda: CHUNKED + LONG.encode() + b"\r\n",
    "an encoding": lambda: http(200, bytes(range(128, 256)), {"Content-Encoding": LONG}),
    "colons": lambda: b"HTTP/1.1 200 " + b": [" * 20_000 + b"\r\n\r\n",
    "no HTTP": lambda: LONG.encode(),
}


@pytest.mark.parametrize("answer", TALKATIVE.values(), ids=TALKATIVE.keys())
def test_no_error_is_longer_than_a_screen(answer: Callable[[], bytes], gateway: Gateway) -> None:
    gateway.answer = in_turn(answer())
    ends: list[dict[str, Any]] = [
        error_of(send, routes.get_video("video_1")).as_dict() for send in (send_sync, send_async)
    ]
    assert ends[0] == ends[1]
    assert max(len(str(value)) for value in ends[0].values()) <= 600
