"""Ranges, ETags and HEAD of the sandbox's content."""

from __future__ import annotations

import pytest
from gateway_calls import asked, content, made, whole_clip

from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.mark.parametrize(
    ("asked_range", "span"),
    [
        ("bytes=0-", (0, None)),
        ("bytes=10-19", (10, 20)),
        ("bytes=-5", (-5, None)),
        ("bytes=100-99999999", (100, None)),
    ],
)
def test_a_range_is_answered_with_just_that_part(
    sandbox: Sandbox, asked_range: str, span: tuple[int, int | None]
) -> None:
    whole = whole_clip()
    reply = content(sandbox, made(sandbox), headers={"Range": asked_range})
    assert (reply.status_code, reply.content) == (206, whole[slice(*span)])
    start = whole.index(reply.content) if span[0] else 0
    assert reply.headers["Content-Range"] == f"bytes {start}-{start + len(reply.content) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked_range", ["bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=x-"])
def test_a_range_that_is_none_or_several_brings_the_whole(sandbox: Sandbox, asked_range: str) -> None:
    reply = content(sandbox, made(sandbox), headers={"Range": asked_range})
    assert (reply.status_code, reply.content) == (200, whole_clip())


@pytest.mark.parametrize("asked_range", ["bytes=99999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_a_416(sandbox: Sandbox, asked_range: str) -> None:
    reply = content(sandbox, made(sandbox), headers={"Range": asked_range})
    assert (reply.status_code, reply.headers["Content-Range"]) == (416, f"bytes */{len(whole_clip())}")


def test_if_range_resumes_the_same_clip_only(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    etag = content(sandbox, video_id, "HEAD").headers["ETag"]
    same = content(sandbox, video_id, headers={"Range": "bytes=10-", "If-Range": etag})
    other = content(sandbox, video_id, headers={"Range": "bytes=10-", "If-Range": '"other"'})
    assert (same.status_code, same.content) == (206, whole_clip()[10:])
    assert (other.status_code, other.content) == (200, whole_clip())


def test_head_tells_all_and_sends_nothing(sandbox: Sandbox) -> None:
    reply = content(sandbox, made(sandbox, "a cat [sandbox: content=cut]"), "HEAD")
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(whole_clip()))
    assert asked(sandbox) == {"creates": 1, "create_requests": 1, "heads": 1, "max_in_flight": 1}
