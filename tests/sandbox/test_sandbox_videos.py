"""What becomes of a video in the sandbox: its states, its padding, its id."""

from __future__ import annotations

import io
import time

import av
import pytest
from gateway_calls import call, content, made, poll, whole_clip

from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.render import Clip, padded


def test_content_before_the_end_is_a_200_that_says_not_ready(sandbox: Sandbox) -> None:
    reply = content(sandbox, made(sandbox, "a cat [sandbox: never]"))
    problem = reply.json()["data"]["error"]
    assert (reply.status_code, problem["type"], problem["code"]) == (200, "video_not_ready", "video_processing")


def test_a_video_that_never_finishes_keeps_processing(sandbox: Sandbox) -> None:
    video = poll(sandbox, made(sandbox, "a cat [sandbox: never]")).json()
    assert (video["status"], video["progress"], video["completed_at"]) == ("processing", 99, None)


def test_a_failed_video_says_why_and_has_no_content(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: fail=moderation_blocked]")
    video = poll(sandbox, video_id).json()
    assert (video["status"], video["progress"], video["error"]["code"]) == ("failed", 100, "moderation_blocked")
    assert content(sandbox, video_id).status_code == 400


def test_status_and_done_words_are_reported_as_asked(sandbox: Sandbox) -> None:
    dreaming = made(sandbox, "a cat [sandbox: status=dreaming never]")
    success = made(sandbox, "a cat [sandbox: done=SUCCESS]")
    assert [poll(sandbox, one).json()["status"] for one in (dreaming, success)] == ["dreaming", "SUCCESS"]
    assert content(sandbox, success).content == whole_clip()


def test_late_content_comes_after_completed(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: late=0.2]")
    assert poll(sandbox, video_id).json()["status"] == "completed"
    assert content(sandbox, video_id).headers["Content-Type"] == "application/json"
    time.sleep(0.2)
    assert content(sandbox, video_id).content == whole_clip()


def test_expired_content_is_gone_but_the_status_stays(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: expires=0]")
    reply, video = content(sandbox, video_id), poll(sandbox, video_id).json()
    assert (reply.status_code, "expired" in reply.json()["error"]["message"]) == (404, True)
    assert (video["status"], video["expires_at"]) == ("completed", video["completed_at"])


@pytest.mark.parametrize("size", [100_000, 3_000_001])
def test_bytes_pads_the_mp4_to_that_size_and_it_still_plays(sandbox: Sandbox, size: int) -> None:
    body = content(sandbox, made(sandbox, f"a cat [sandbox: bytes={size}]")).content
    assert len(body) == size
    with av.open(io.BytesIO(body)) as container:
        assert container.duration == 1_000_000


def test_a_padding_beyond_4_gib_is_a_large_box_that_nobody_holds() -> None:
    clip = padded(Clip(b"head"), 5 * 2**30)
    assert (clip.size, clip.head) == (5 * 2**30, b"head\0\0\0\1free" + (5 * 2**30 - 4).to_bytes(8, "big"))
    assert next(clip.chunks(clip.size - 3, clip.size)) == b"\0\0\0"


def test_an_odd_id_is_found_percent_encoded_only(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: odd-id]")
    assert set("/+=") <= set(video_id)
    assert poll(sandbox, video_id).json()["id"] == video_id
    assert call(sandbox, "GET", f"/v1/videos/{video_id}").status_code == 404
    assert sandbox.polls_of(video_id) == 1
