"""The sandbox's routes, over real sockets: create, poll, list, delete, remix, balance, models."""

from __future__ import annotations

import hashlib
import io
import re
import time
from typing import Any

import av
import pytest
import requests
from gateway_calls import asked, call, content, create, made, poll, whole_clip

from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.render import render


def test_a_video_is_made_polled_and_downloaded(sandbox: Sandbox) -> None:
    before = int(time.time())
    reply = create(sandbox, "a cat [sandbox: render=0.1]")
    video = reply.json()
    assert reply.status_code == 200
    assert video.pop("created_at") in range(before, before + 3)
    assert re.fullmatch(r"video_[0-9a-f]{32}", video["id"])
    assert video == {
        "id": video["id"],
        "object": "video",
        "model": "any",
        "status": "queued",
        "progress": 0,
        "completed_at": None,
        "expires_at": None,
        "seconds": "1",
        "size": "64x48",
        "prompt": "a cat [sandbox: render=0.1]",
        "error": None,
        "remixed_from_video_id": None,
    }
    seen = []
    while not seen or seen[-1]["status"] != "completed":
        seen.append(poll(sandbox, video["id"]).json())
    statuses = list(dict.fromkeys(one["status"] for one in seen))
    assert statuses in (["queued", "processing", "completed"], ["processing", "completed"])
    assert seen[-1]["progress"] == 100
    assert seen[-1]["expires_at"] - seen[-1]["completed_at"] in (3600, 3601)
    clip = content(sandbox, video["id"])
    assert clip.content == whole_clip()
    assert clip.headers["Content-Type"] == "video/mp4"
    assert clip.headers["Content-Length"] == str(len(clip.content))
    polls = len(seen)
    paid = {"creates": 1, "create_requests": 1, "polls": polls, "looks": polls, "downloads": 1, "downloaded_whole": 1}
    assert asked(sandbox) == {**paid, "max_in_flight": 1}
    assert sandbox.polls_of(video["id"]) == polls


@pytest.mark.parametrize(("size", "seconds"), [((64, 48), 1), ((320, 180), 2), ((720, 1280), 4), ((16, 16), 1)])
def test_the_mp4_plays_with_the_asked_size_and_length(size: tuple[int, int], seconds: int) -> None:
    clip = render("a cat in the rain", size, seconds)
    with av.open(io.BytesIO(clip.head)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (frames[0].width, frames[0].height, len(frames)) == (*size, seconds * 8)
        assert container.duration == seconds * 1_000_000
    assert clip.head.index(b"moov") < clip.head.index(b"mdat")
    first, last = (frame.reformat(format="gray").planes[0] for frame in (frames[0], frames[-1]))
    assert bytes(first) != bytes(last)


def test_the_same_clip_is_the_same_bytes_after_the_cache_forgot_it() -> None:
    first = render("again", (320, 180), 1)
    render.cache_clear()
    assert render("again", (320, 180), 1) == first


def test_another_prompt_is_another_picture() -> None:
    assert render("a cat", (320, 180), 1).head != render("a dog", (320, 180), 1).head


@pytest.mark.parametrize(
    ("fields", "seconds", "size"),
    [
        ({"model": "sora-2"}, "4", "720x1280"),
        ({"model": "sora-2-pro", "seconds": "12", "size": "1280x720"}, "12", "1280x720"),
        ({"model": "doubao-seedance-2", "duration": 4, "size": "640x480"}, "4", "640x480"),
        ({"model": "wan-2", "seconds": 3}, "3", "1280x720"),
        ({"model": "wan-2", "duration": "7", "resolution": "whatever"}, "7", "1280x720"),
    ],
)
def test_each_dialect_is_understood(sandbox: Sandbox, fields: dict[str, Any], seconds: str, size: str) -> None:
    video = call(sandbox, "POST", "/v1/videos", json={"prompt": "a cat", **fields}).json()
    assert (video["seconds"], video["size"]) == (seconds, size)
    assert sandbox.videos()[0]["fields"] == {"prompt": "a cat", **fields}


def test_a_multipart_create_carries_its_reference_picture(sandbox: Sandbox) -> None:
    fields = {"model": "sora-2", "prompt": "a cat", "seconds": "4", "size": "64x48"}
    files = {"input_reference": ("cat.png", b"picture", "image/png")}
    assert call(sandbox, "POST", "/v1/videos", data=fields, files=files).status_code == 200
    sent = sandbox.videos()[0]["fields"]["input_reference"]
    digest = hashlib.sha256(b"picture").hexdigest()
    assert sent == {"filename": "cat.png", "content_type": "image/png", "size": 7, "sha256": digest}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"model": None}, "model"),
        ({"model": "sora-2", "seconds": 4}, "seconds"),
        ({"model": "sora-2", "seconds": "5"}, "seconds"),
        ({"model": "doubao-seedance-2", "duration": "5"}, "duration"),
        ({"model": "doubao-seedance-2", "duration": 16}, "duration"),
        ({"seconds": "soon"}, "seconds"),
        ({"seconds": 0}, "seconds"),
        ({"size": "big"}, "size"),
        ({"size": "63x48"}, "size"),
        ({"size": "8x8"}, "size"),
        ({"size": "4098x16"}, "size"),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_nothing_is_made(
    sandbox: Sandbox, fields: dict[str, Any], param: str
) -> None:
    reply = create(sandbox, **{"prompt": "a cat", **fields})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert asked(sandbox) == {"create_requests": 1, "max_in_flight": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"'])
def test_a_body_that_is_no_json_object_is_refused(sandbox: Sandbox, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert call(sandbox, "POST", "/v1/videos", data=body, headers=headers).status_code == 400


def test_a_reference_that_is_no_image_is_refused(sandbox: Sandbox) -> None:
    fields = {"model": "sora-2", "prompt": "a cat"}
    reply = call(sandbox, "POST", "/v1/videos", data=fields, files={"input_reference": ("a.txt", b"x", "text/plain")})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input_reference")


def test_videos_are_listed_page_by_page(sandbox: Sandbox) -> None:
    ids = [made(sandbox, f"cat {number}") for number in range(3)]
    first = call(sandbox, "GET", "/v1/videos", params={"limit": 2}).json()
    assert ([one["id"] for one in first["data"]], first["has_more"]) == ([ids[2], ids[1]], True)
    rest = call(sandbox, "GET", "/v1/videos", params={"after": first["last_id"]}).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    assert [one["id"] for one in sandbox.videos()] == ids


def test_a_deleted_video_is_gone(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    reply = call(sandbox, "DELETE", f"/v1/videos/{video_id}")
    assert reply.json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert [poll(sandbox, video_id).status_code, content(sandbox, video_id).status_code] == [404, 404]


def test_a_remix_is_a_new_video_that_names_its_source(sandbox: Sandbox) -> None:
    source = made(sandbox)
    remix = call(sandbox, "POST", f"/v1/videos/{source}/remix", json={"prompt": "a dog"}).json()
    assert (remix["remixed_from_video_id"], remix["prompt"], remix["size"]) == (source, "a dog", "64x48")
    assert (sandbox.counts()["creates"], sandbox.counts()["remixes"]) == (1, 1)


def test_a_video_that_is_not_finished_cannot_be_remixed(sandbox: Sandbox) -> None:
    source = made(sandbox, "a cat [sandbox: never]")
    assert call(sandbox, "POST", f"/v1/videos/{source}/remix", json={"prompt": "a dog"}).status_code == 400


def test_the_balance_falls_with_each_paid_second(sandbox: Sandbox) -> None:
    before = call(sandbox, "GET", "/v1/users/me/balance").json()
    made(sandbox, seconds="10")
    after = call(sandbox, "GET", "/v1/users/me/balance").json()
    assert round(before["available_balance"] - after["available_balance"], 6) == 1.0
    assert set(before) >= {"package_balance", "cash_balance", "token_balance", "is_token_unlimited_quota"}


def test_the_models_are_listed(sandbox: Sandbox) -> None:
    assert "sora-2" in [one["id"] for one in call(sandbox, "GET", "/v1/models").json()["data"]]


@pytest.mark.parametrize("path", ["/v1/videos/nope", "/v1/videos/nope/content", "/v1/videos/a%2Fb%3D", "/v1/video"])
def test_what_nobody_knows_is_a_404_in_the_documented_shape(sandbox: Sandbox, path: str) -> None:
    reply = call(sandbox, "GET", path)
    assert (reply.status_code, set(reply.json()["error"])) == (404, {"message", "type", "param", "code"})


def test_a_wrong_method_is_a_405(sandbox: Sandbox) -> None:
    assert call(sandbox, "PUT", "/v1/videos").status_code == 405


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer ", "sandbox-key", "Bearer kéy"])
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/videos/x", "/v1/videos/x/content", "/v1/users/me/balance"])
def test_without_the_key_nothing_is_told(sandbox: Sandbox, path: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization.encode()} if authorization else {}
    reply = requests.get(sandbox.url + path, headers=headers, timeout=5)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert sandbox.counts()["unauthorized"] == 1


def test_every_reply_has_a_request_id_and_says_that_this_is_no_gateway(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    paths = ["/", "/v1/models", "/v1/nope", f"/v1/videos/{video_id}/content", "/_sandbox/counts"]
    replies = [call(sandbox, "GET", path) for path in paths]
    assert len({reply.headers["X-Oneapi-Request-Id"] for reply in replies}) == len(paths)
    assert all("no gateway" in reply.headers["Server"] for reply in replies)
    assert "no gateway and makes no AI video" in replies[0].text
