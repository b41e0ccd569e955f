"""Answers that come encoded: each encoding is read by both clients, and a bomb is read no further than any answer."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
from answers import TOLD
from scripted import Gateway, http, in_turn
from senders import Send, both_clients, error_of, send_sync
from support import LocalPlace, whole, zstd

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes, wire
from airflow_provider_wisdomgate.hooks import WisdomGateHook

CAT = whole()
NOISE = bytes(reversed(range(256)))


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
        ("gzip", NOISE, errors.ContentError),
        ("deflate", NOISE, errors.ContentError),
        ("br", brotli.compress(TOLD)[:-4], errors.ConnectionBrokenError),
        ("br", NOISE, errors.ContentError),
        ("zstd", zstd.compress(TOLD)[:-4], errors.ConnectionBrokenError),
        ("zstd", NOISE, errors.ContentError),
        ("compress", NOISE, errors.UnexpectedReplyError),
        ("gzip, gzip", gzip.compress(TOLD), errors.ContentError),
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
    monkeypatch.setattr(wire, library, None)
    gateway.answer = in_turn(http(200, NOISE, {"Content-Encoding": name}))
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
