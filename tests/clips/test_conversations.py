"""Whole conversations of a download with a gateway that says anything: one whole clip, or a typed error, soon."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import brotli
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_clips import Recipe, make
from scripted import Answer, Gateway, Request, http, in_turn, scripted
from support import whole, zstd

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.download import MAX_OPENS, PartialClip, fetch
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.exchange import MAX_REDIRECTS
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.gateway.settings import Settings

CAT = whole("a cat")
FRAGMENTS = make(Recipe(flags="frag_every_frame+empty_moov+default_base_moof+skip_trailer", times=range(8)))
MEDIA = CAT.index(b"mdat") + 4
# Of one size and one structure: nothing but the rules on validators keeps a half of one and a half of the other apart.
CLIPS = (CAT, CAT[:MEDIA] + bytes(255 - byte for byte in CAT[MEDIA:]))
AT_ONCE = RetryPolicy(attempts=4, base=0.0002, cap=0.0005, rate_limited_base=0.0002, longest_wait=0.0005)
CONVERSATIONS = 2000 if os.environ.get("CI") else 200


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def in_two_members(data: bytes) -> bytes:
    return gzipped(data[: len(data) // 2]) + gzipped(data[len(data) // 2 :])


def raw_deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


# name -> Content-Encoding, and what makes it
ENCODINGS: dict[str, tuple[str, Any]] = {
    "gzip": ("gzip", gzipped),
    "members": ("x-gzip", in_two_members),
    "deflate": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflated),
    "lie": ("gzip", bytes),
    "brotli": ("br", lambda data: brotli.compress(data, quality=1)),
    "zstd": ("zstd", zstd.compress),
    "unknown": ("compress", bytes),
}


@dataclass(frozen=True)
class Delivery:
    """One answer with bytes of a clip. It never lies about which clip they are of, nor where they begin."""

    clip: int
    etag: str  # "strong", "weak" or "none"
    ranges: str  # "heeded", "ignored", or "forced": If-Range is not looked at
    shift: int  # it begins so much later than asked
    total: str  # of Content-Range: "true", "star" or "wrong"
    framing: str
    length: int  # so much more is announced than there is
    share: float  # of what is due that is sent
    encoding: str | None

    def __call__(self, request: Request) -> bytes:
        data, tag = CLIPS[self.clip], f'"clip-{self.clip}"'
        is_ranged = self.ranges == "forced" or (
            self.ranges == "heeded" and "range" in request.headers and request.headers.get("if-range", tag) == tag
        )
        start = min(request.offset + self.shift, len(data)) if is_ranged else 0
        total = {"true": str(len(data)), "star": "*", "wrong": str(len(data) + 7)}[self.total]
        headers = {"strong": {"ETag": tag}, "weak": {"ETag": f"W/{tag}"}, "none": {}}[self.etag]
        if is_ranged:
            headers = {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{total}"}
        body = data[start:]
        if self.encoding:
            name, encode = ENCODINGS[self.encoding]
            headers, body = {**headers, "Content-Encoding": name}, encode(body)
        sent = body[: int(len(body) * self.share)]
        if self.framing == "length":
            headers = {**headers, "Content-Length": str(len(body) + self.length)}
        return http(206 if is_ranged else 200, sent, {**headers, "Content-Type": "video/mp4"}, self.framing)


def no_answer(request: Request) -> bytes:
    return b""


PAGES = (
    b"",
    b"default backend - 404",
    b"404",
    b"<html>502 Bad Gateway</html>",
    b"<Error><Code>AccessDenied</Code></Error>",
    b'{"error": {"message": "no", "type": "t", "code": "c"}}',
    b'{"error": {"message": "no", "code": "video_processing"}}',
    b'{"id": "video_1", "status": "completed"}',
)
HINTS = ("", "0", "1", "86400", "1790000000", "Thu, 01 Jan 2099 00:00:00 GMT", "soon")
STATUSES = (200, 202, 204, 206, 304, 400, 401, 403, 404, 409, 410, 416, 425, 429, 500, 502, 503, 504, 524)
WHERE_TO = ("/elsewhere", "http://localhost:{port}/storage", "ftp://127.0.0.1/x", "http://[", "//127.0.0.1:{port}/v1/x")

deliveries = st.builds(
    Delivery,
    clip=st.sampled_from([0, 0, 1]),
    etag=st.sampled_from(["strong", "strong", "strong", "weak", "none"]),
    ranges=st.sampled_from(["heeded", "heeded", "ignored", "forced"]),
    shift=st.sampled_from([0, 0, 0, 0, 5]),
    total=st.sampled_from(["true", "true", "star", "wrong"]),
    framing=st.sampled_from(["length", "length", "chunked", "close"]),
    length=st.sampled_from([0, 0, 0, -9, 9]),
    share=st.sampled_from([1.0, 1.0, 0.0, 0.01]) | st.floats(0, 1),
    encoding=st.sampled_from([None, None, None, None, *ENCODINGS]),
)
refusals = st.builds(
    lambda status, body, hint: http(status, body, {"Retry-After": hint} if hint else {}),
    st.sampled_from(STATUSES),
    st.sampled_from(PAGES),
    st.sampled_from(HINTS),
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with scripted(no_answer) as gateway:
        yield gateway


def redirects(port: int) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda status, location: http(status, b"", {"Location": location.format(port=port)}),
        st.sampled_from([301, 302, 307]),
        st.sampled_from(WHERE_TO),
    )


def converse(gateway: Gateway, answer: Answer) -> tuple[bytes | errors.WisdomGateError, int]:
    """Download once: what was stored or raised, and in how many requests."""
    gateway.requests.clear()
    gateway.answer = answer
    file = io.BytesIO()
    with requests.Session() as session:
        client = Client(session, Settings(base_url=f"{gateway.url}/v1", api_key="key", trust_env=False, timeout=5.0))
        try:
            fetch(
                PartialClip(file, 1024**2, Control()),
                lambda offset, validator: client.content("video_1", offset, validator),
                AT_ONCE,
            )
        except errors.WisdomGateError as error:
            return error, len(gateway.requests)
    return file.getvalue(), len(gateway.requests)


@settings(
    deadline=None,
    max_examples=CONVERSATIONS,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_conversation_ends_in_one_of_the_clips_byte_for_byte_or_in_a_typed_error(
    gateway: Gateway, data: st.DataObject
) -> None:
    some = deliveries | deliveries | refusals | redirects(gateway.port) | st.just(no_answer)
    script = data.draw(st.lists(some, min_size=1, max_size=8))
    end, sent = converse(gateway, in_turn(*script))
    assert isinstance(end, errors.WisdomGateError) or end in CLIPS
    assert sent <= MAX_OPENS * MAX_REDIRECTS


CUT = Delivery(0, "strong", "heeded", 0, "true", "length", 0, 0.5, None)
WHOLE = Delivery(0, "strong", "heeded", 0, "true", "length", 0, 1.0, None)
OTHER = Delivery(1, "strong", "forced", 0, "true", "length", 0, 1.0, None)


def test_a_206_of_another_clip_starts_over_and_stores_that_one_alone(gateway: Gateway) -> None:
    whole_other = Delivery(1, "strong", "heeded", 0, "true", "length", 0, 1.0, None)
    end, _ = converse(gateway, in_turn(CUT, OTHER, whole_other))
    assert end == CLIPS[1]
    assert [request.offset for request in gateway.requests] == [0, len(CLIPS[0]) // 2, 0]


def test_a_clip_that_came_without_a_validator_is_never_resumed(gateway: Gateway) -> None:
    cut = Delivery(0, "none", "heeded", 0, "true", "length", 0, 0.5, None)
    end, _ = converse(gateway, in_turn(cut, WHOLE))
    assert (end, ["range" in request.headers for request in gateway.requests]) == (CLIPS[0], [False, False])


def test_a_chunked_body_that_breaks_is_gone_on_with_from_a_206_with_a_total(gateway: Gateway) -> None:
    broken = Delivery(0, "strong", "heeded", 0, "true", "close", 0, 0.5, None)
    end, sent = converse(gateway, in_turn(broken, WHOLE))
    assert (end, sent) == (CLIPS[0], 2)
    assert gateway.requests[1].headers["range"] == f"bytes={len(CLIPS[0]) // 2}-"


def test_what_was_announced_once_stays_announced() -> None:
    """A clip that ends between two fragments looks whole: only the length of the first answer shows that it is cut."""
    half, most, size = len(FRAGMENTS) // 2, FRAGMENTS.rindex(b"moof") - 4, len(FRAGMENTS)
    first = http(200, FRAGMENTS[:half], {"ETag": '"w"', "Content-Length": str(size)})
    rest = {"ETag": '"w"', "Content-Range": f"bytes {half}-{size - 1}/*"}
    with scripted(in_turn(first, http(206, FRAGMENTS[half:most], rest, "chunked"), http(500))) as gateway:
        end, _ = converse(gateway, gateway.answer)
    assert isinstance(end, errors.WisdomGateError)


@pytest.mark.parametrize("tail", [bytes(4), b"\n", b"TAG" + bytes(125), b"\0\0\1\0free"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_whole_clip_with_a_tail_is_stored(framing: str, tail: bytes) -> None:
    for clip in (CAT, FRAGMENTS):
        length = {"Content-Length": str(len(clip + tail))} if framing == "length" else {}
        with scripted(in_turn(http(200, clip + tail, length, framing))) as gateway:
            end, _ = converse(gateway, gateway.answer)
        if clip == CAT or framing == "length":
            assert end == clip + tail
        else:  # a further fragment may have begun there
            assert isinstance(end, errors.ContentError)


def test_totals_that_contradict_each_other_never_end_in_a_mixed_clip(gateway: Gateway) -> None:
    wrong = Delivery(0, "strong", "forced", 0, "wrong", "length", 0, 1.0, None)
    end, sent = converse(gateway, in_turn(CUT, wrong, WHOLE))
    assert (end, sent) == (CLIPS[0], 3)


def test_what_came_encoded_is_never_resumed_by_range(gateway: Gateway) -> None:
    cut = Delivery(0, "strong", "heeded", 0, "true", "length", 0, 0.5, "gzip")
    end, _ = converse(gateway, in_turn(cut, WHOLE))
    assert (end, ["range" in request.headers for request in gateway.requests]) == (CLIPS[0], [False, False])


def test_a_gateway_that_never_gets_further_is_given_up_on(gateway: Gateway) -> None:
    end, sent = converse(gateway, lambda request: OTHER(request) if request.offset else CUT(request))
    assert isinstance(end, errors.ContentError)
    assert sent <= MAX_OPENS
