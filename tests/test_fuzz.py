"""Whatever comes from outside is taken or refused by a typed error: bytes, answers, records, settings. Bounded."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.mp4 import BoxWalk, Clip
from airflow_provider_wisdomgate.gateway.content import extent_of
from airflow_provider_wisdomgate.gateway.replies import (
    Reply,
    is_media,
    parse_list,
    parse_object,
    parse_video,
    retry_after_of,
)
from airflow_provider_wisdomgate.gateway.settings import OWN_EXTRAS, Settings, normal_proxy
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Terms, Wanted, next_step
from airflow_provider_wisdomgate.polling.decisions import video_of
from airflow_provider_wisdomgate.sandbox.render import render

# A fuzzer's share of a test run: each of these takes a second or less.
bounded = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


def taken(act: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """Return what an act made of its input, None if it refused it."""
    try:
        return act()
    except refusals:
        return None


# The box walk


@cache
def real(container: str) -> bytes:
    clip = render("a cat", (64, 48), 1, container)
    return b"".join(clip.chunks(0, clip.size))


def box_places(data: bytes) -> list[int]:
    """Return where the top-level boxes and those in the moov begin."""
    places, at = [], 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        places.append(at)
        at += 8 if name in (b"moov", b"trak", b"mdia") else max(size, 8)
    return places


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real clip with a few things done to it: flipped bits, forged sizes, bytes cut out, put in or moved."""
    data = bytearray(real(draw(st.sampled_from(["mp4", "mov", "webm"]))))
    boxes = box_places(bytes(data))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["size", "size", "size", "flip", "wide", "cut", "insert", "delete", "repeat"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind in ("size", "wide"):
            place = draw(st.sampled_from(boxes))
            number = draw(st.sampled_from([0, 1, 7, 8, 9, 16, 24, 2**31, 2**32 - 1]) | st.integers(0, 2 * len(data)))
            forged = struct.pack(">I", number) if kind == "size" else struct.pack(">I4sQ", 1, b"moov", number)
            data[place : place + len(forged)] = forged
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        elif kind == "delete":
            del data[at : at + draw(st.integers(1, 64))]
        else:
            data[at:at] = data[: draw(st.integers(1, 64))]
    return bytes(data)


def walked(data: bytes, step: int) -> Clip:
    walk = BoxWalk()
    for start in range(0, len(data), step):
        walk.feed(data[start : start + step])
        assert len(walk._pending) <= start + step
    assert walk.size == len(data)
    return walk.finish()


def is_sound(clip: Clip) -> bool:
    numbers = (clip.duration, clip.width, clip.height)
    json.dumps(numbers, allow_nan=False)
    return clip.container in ("mp4", "mov", "webm", "mkv") and all(number is None or number > 0 for number in numbers)


@settings(bounded, max_examples=300)
@given(mutated(), st.sampled_from([3, 64, 1000, 10**6]))
def test_a_damaged_clip_is_judged_the_same_however_it_is_cut_up(data: bytes, step: int) -> None:
    clip = taken(lambda: walked(data, step), errors.ContentError)
    assert clip is None or is_sound(clip)
    assert clip == taken(lambda: walked(data, len(data) or 1), errors.ContentError)


@bounded
@given(st.binary(max_size=400), st.integers(1, 50), st.sampled_from([b"", b"ftyp", b"moov", b"\0\0\0\1moov", b"mvhd"]))
def test_any_bytes_are_a_clip_or_a_content_error_in_any_chunks(data: bytes, step: int, name: bytes) -> None:
    for body in (data, real("mp4")[:40] + data, struct.pack(">I", len(data) + 8) + name + data):
        clip = taken(lambda body=body: walked(body, step), errors.ContentError)
        assert clip is None or is_sound(clip)


# Answers

HEADERS = st.dictionaries(
    st.sampled_from(["content-range", "content-length", "retry-after", "retry-after-ms", "content-type", "location"]),
    st.text(max_size=30)
    | st.from_regex(r"bytes [0-9-]{0,9}/[0-9*]{0,9}", fullmatch=True)
    | st.integers().map(str)
    | st.sampled_from(["bytes 5-9/10", "²", "٣", "1" * 5000, "nan", "-1", "1e400"]),
)


@bounded
@example({"content-length": "²"}, 200, 0)
@example({"content-length": "1" * 5000}, 200, 0)
@example({"content-range": f"bytes {'5' * 5000}-9/10"}, 206, 5)
@given(HEADERS, st.sampled_from([200, 206, 416]), st.integers(0, 20))
def test_any_header_of_a_content_answer_is_an_extent_or_a_content_error(
    headers: dict[str, str], status: int, offset: int
) -> None:
    extent = taken(lambda: extent_of(status, headers, offset), errors.ContentError)
    assert extent is None or (extent[0] in (0, offset) and (extent[1] is None or extent[1] >= 0))
    delay = retry_after_of(headers, 1e9)
    assert delay is None or (delay >= 0 and math.isfinite(delay))


@bounded
@given(st.binary(max_size=120), st.sampled_from([b"", b'{"id": "v", "error": ', b"[", b'{"data": ', b"\xef\xbb\xbf"]))
def test_any_bytes_after_a_good_beginning_are_an_answer_or_a_gateway_error(data: bytes, beginning: bytes) -> None:
    for body in (beginning + data, beginning + json.dumps(data.decode("latin-1")).encode() + b"}"):
        for parse in (parse_video, parse_list, parse_object):
            taken(lambda parse=parse, body=body: parse(Reply(200, {}, body, 1e9, "v")), errors.GatewayError)
        assert is_media(200, body) in (True, False)


# What Airflow and a storage give back


def record(phase: Any = "stored", video_id: str | None = "v") -> dict[str, Any]:
    return Manifest(phase, "c", "file:///a.mp4", 1.0, video_id=video_id, fingerprint="f", size=5).as_dict()


RECORDS = st.sampled_from([record(), record("created"), record("creating", None), record("failed")])


def any_of(keys: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys) | st.text(max_size=5), JSON, max_size=4)


def next_of(manifest: Manifest) -> Any:
    return next_step(manifest, 5, Terms({"dag_id": "d"}), Wanted({"model": "m"}), age=2.0)


@bounded
@given(
    st.binary(max_size=200)
    | st.builds(lambda base, given: json.dumps({**base, **given}).encode(), RECORDS, any_of(sorted(record())))
)
def test_any_file_beside_a_clip_is_a_record_or_a_typed_error(data: bytes) -> None:
    manifest = taken(lambda: Manifest.load(data, "file:///a.mp4.json"), errors.DestinationTakenError)
    if manifest is not None:
        assert Manifest.load(manifest.dump(), "again") == manifest
        taken(lambda: next_of(manifest), errors.WisdomGateError)


@bounded
@given(JSON | any_of(["version", "outcome", "video", "error", "video_id"]).map(lambda given: {"version": 1, **given}))
def test_any_event_is_a_video_or_a_typed_error(event: Any) -> None:
    for may_recreate in (True, False):
        video = taken(lambda may=may_recreate: video_of(event, may_recreate=may), errors.WisdomGateError)
        assert video is None or (isinstance(video, Video) and video.id)


@bounded
@given(any_of(["error", "message", "next_step", *errors.FACTS]))
def test_any_description_is_an_error_that_can_be_shown_and_described_again(fields: dict[str, Any]) -> None:
    error = errors.from_dict(fields)
    assert str(error)
    assert errors.from_dict(error.as_dict()).as_dict() == error.as_dict() or "nan" in repr(error.as_dict())


# Settings

EXTRAS = any_of([*OWN_EXTRAS, "proxies", "proxy", "verify", "cert", "trust_env", "X-Team"])


@bounded
@example({"requests_per_minute": 1e308}, "key", None)
@example({"storage_path": 5}, "key", None)
@given(EXTRAS, st.text(max_size=20), st.none() | st.text(max_size=20))
def test_any_connection_is_settings_or_a_configuration_error(extra: dict[str, Any], key: str, host: str | None) -> None:
    for given_key in (key, "a-key"):
        read = taken(lambda key=given_key: Settings.of("c", host, None, key, extra), errors.ConfigurationError)
        if read is not None:
            sent = [f"Bearer {read.api_key}", *read.headers, *read.headers.values()]
            assert [text.encode("latin-1") for text in sent if "\n" in text or "\r" in text] == []
            assert read.storage_path is None or isinstance(read.storage_path, str)


@bounded
@given(st.text(max_size=30) | st.from_regex(r"(https?://)?u:[!-~]{0,9}@[a-z.\[\]:]{0,9}(:[0-9x]{0,6})?"))
def test_any_proxy_is_an_address_that_stays_or_a_configuration_error(url: str) -> None:
    with_secret = taken(lambda: normal_proxy(url), errors.ConfigurationError)
    assert with_secret is None or normal_proxy(with_secret) == with_secret


def test_nesting_without_end_is_refused() -> None:
    nest = b"[" * 100_000 + b"]" * 100_000
    body = b'{"phase": "stored", "claim_id": "c", "uri": "u", "claimed_at": 1, "request": {"a": %s}}' % nest
    with pytest.raises(errors.DestinationTakenError):
        Manifest.load(body, "u")
