"""The faults of content: cuts, labels, redirects."""

from __future__ import annotations

import io
import re
from functools import reduce
from typing import Any

import av
import pytest
import requests
from gateway_calls import content, made, poll, raw, whole_clip

from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.directives import ADDRESSES
from airflow_provider_wisdomgate.sandbox.render import render

WHOLE = len(render("a cat", (64, 48), 1).head)

HALF = WHOLE // 2


@pytest.mark.parametrize(
    ("fault", "length", "chunked", "ending"),
    [
        ("cut", WHOLE, False, "closed"),
        ("cut-chunked", None, True, "silent"),
        ("cut-close", None, False, "closed"),
        ("stall", WHOLE, False, "silent"),
        ("truncated", HALF, False, "silent"),
    ],
)
def test_half_a_body_arrives_as_the_fault_says(
    sandbox: Sandbox, fault: str, length: int | None, chunked: bool, ending: str
) -> None:
    video_id = made(sandbox, f"a cat [sandbox: content={fault}]")
    head, body, ended = raw(sandbox, f"/v1/videos/{video_id}/content", timeout=0.15)
    found = re.search(rb"content-length: (\d+)", head)
    assert (int(found[1]) if found else None, b"chunked" in head, ended) == (length, chunked, ending)
    if chunked:
        size, _, rest = body.partition(b"\r\n")
        assert (int(size, 16), rest[HALF:]) == (HALF, b"\r\n0\r\n\r\n")
        body = rest[:HALF]
    assert body == whole_clip()[:HALF]
    assert sandbox.counts()["downloaded_whole"] == 0


@pytest.mark.parametrize("fault", ["cut-chunked", "cut-close", "truncated"])
def test_a_client_notices_nothing_when_the_body_ends_early_but_cleanly(sandbox: Sandbox, fault: str) -> None:
    assert content(sandbox, made(sandbox, f"a cat [sandbox: content={fault}]")).content == whole_clip()[:HALF]


def test_a_cut_body_is_resumed_with_range(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: content=cutx1]")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        content(sandbox, video_id)
    rest = content(sandbox, video_id, headers={"Range": f"bytes={HALF}-"})
    assert (rest.status_code, rest.content) == (206, whole_clip()[HALF:])
    assert (sandbox.counts()["downloads"], sandbox.counts()["downloaded_whole"]) == (2, 1)


def test_a_cut_large_body_really_sends_its_half(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: content=cut-close bytes=6000000]")
    assert len(content(sandbox, video_id).content) == 3_000_000


def test_a_chunked_body_is_whole_without_a_length(sandbox: Sandbox) -> None:
    reply = content(sandbox, made(sandbox, "a cat [sandbox: content=chunked]"))
    assert (reply.content, "Content-Length" in reply.headers) == (whole_clip(), False)


def test_no_range_brings_the_whole_whatever_is_asked(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: content=no-range]")
    reply = content(sandbox, video_id, headers={"Range": "bytes=10-"})
    assert (reply.status_code, reply.content, "Accept-Ranges" in reply.headers) == (200, whole_clip(), False)


@pytest.mark.parametrize(
    ("fault", "content_type", "start"),
    [
        ("octet-stream", "application/octet-stream", b"\0\0\0 ftyp"),
        ("json-as-mp4", "video/mp4", b'{"error"'),
        ("html-as-mp4", "video/mp4", b"<!DOCTYPE html>"),
        ("text-as-mp4", "video/mp4", b"upstream"),
        ("jpeg", "video/mp4", b"\xff\xd8\xff"),
        ("empty", "video/mp4", b""),
    ],
)
def test_a_wrong_label_is_sent_as_asked(sandbox: Sandbox, fault: str, content_type: str, start: bytes) -> None:
    reply = content(sandbox, made(sandbox, f"a cat [sandbox: content={fault}]"))
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, content_type)
    assert reply.content[: len(start)] == start
    assert reply.headers["Content-Length"] == str(len(reply.content))
    assert sandbox.counts()["downloaded_whole"] == (fault == "octet-stream")


@pytest.mark.parametrize(
    ("fault", "content_type", "codec"), [("webm", "video/webm", "vp8"), ("mov", "video/quicktime", "h264")]
)
def test_another_container_is_a_real_video_too(sandbox: Sandbox, fault: str, content_type: str, codec: str) -> None:
    reply = content(sandbox, made(sandbox, f"a cat [sandbox: content={fault}]"))
    assert reply.headers["Content-Type"] == content_type
    with av.open(io.BytesIO(reply.content)) as container:
        assert container.streams.video[0].codec_context.name == codec
        assert len(list(container.decode(video=0))) == 8


def test_a_redirect_leads_to_storage_that_needs_no_key(sandbox: Sandbox) -> None:
    reply = content(sandbox, made(sandbox, "a cat [sandbox: content=redirect]"))
    assert (reply.status_code, reply.content, len(reply.history)) == (200, whole_clip(), 1)
    assert reply.url.startswith(sandbox.storage_url)
    assert [one["authorization"] for one in sandbox.requests()[-2:]] == [True, False]
    assert (sandbox.counts()["storage_downloads"], sandbox.counts()["downloaded_whole"]) == (1, 1)


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_finished_object_names_the_clips_address(sandbox: Sandbox, name: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: render=0.2 content=404 address={name}]")
    assert sandbox.storage_url not in poll(sandbox, video_id).text
    while (video := poll(sandbox, video_id).json())["status"] != "completed":
        pass
    address = reduce(value_below, name.split("."), video)
    assert requests.get(address, timeout=5).content == whole_clip()
    assert content(sandbox, video_id).status_code == 404


def value_below(value: Any, name: str) -> Any:
    below = value[name]
    return below[0] if isinstance(below, list) else below


def test_the_storage_misbehaves_on_request(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: render=0 address=url storage=403x1+cut]")
    address = poll(sandbox, video_id).json()["url"]
    assert requests.get(address, timeout=5).status_code == 403
    with pytest.raises(requests.RequestException):
        requests.get(address, timeout=5)


def test_storage_refuses_a_key_and_a_wrong_signature(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: content=redirect]")
    place = content(sandbox, video_id, allow_redirects=False).headers["Location"]
    with_key = requests.get(place, headers={"Authorization": f"Bearer {sandbox.api_key}"}, timeout=5)
    assert (with_key.status_code, requests.get(place + "x", timeout=5).status_code) == (400, 403)
