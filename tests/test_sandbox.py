"""The sandbox, over real sockets: no mocks, and no part of the provider, whose far side it is."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import av
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate.sandbox import Sandbox, directives
from airflow_provider_wisdomgate.sandbox.cli import parser
from airflow_provider_wisdomgate.sandbox.content import DELIVERY_FAULTS, SUBSTITUTES
from airflow_provider_wisdomgate.sandbox.render import Clip, padded, render
from airflow_provider_wisdomgate.sandbox.replies import FIXED

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "airflow_provider_wisdomgate" / "sandbox"
SMALL = {"model": "any", "seconds": "1", "size": "64x48"}
IGNORED_BY_PLUGINS = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(render_seconds=0.0) as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.reset()
    return server


def call(sandbox: Sandbox, method: str, path: str, **kwargs: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {sandbox.api_key}", **kwargs.pop("headers", {})}
    return requests.request(method, f"{sandbox.url}{path}", headers=headers, timeout=kwargs.pop("timeout", 5), **kwargs)


def create(sandbox: Sandbox, prompt: str = "a cat", **fields: Any) -> requests.Response:
    return call(sandbox, "POST", "/v1/videos", json={**SMALL, "prompt": prompt, **fields})


def made(sandbox: Sandbox, prompt: str = "a cat", **fields: Any) -> str:
    return str(create(sandbox, prompt, **fields).json()["id"])


def look(sandbox: Sandbox, video_id: str, **kwargs: Any) -> requests.Response:
    return call(sandbox, "GET", f"/v1/videos/{quote(video_id, safe='')}", **kwargs)


def content(sandbox: Sandbox, video_id: str, method: str = "GET", **kwargs: Any) -> requests.Response:
    return call(sandbox, method, f"/v1/videos/{quote(video_id, safe='')}/content", **kwargs)


def raw(sandbox: Sandbox, path: str, timeout: float = 2.0) -> tuple[bytes, bytes, str]:
    """GET on a bare socket, keep-alive: head, body, and how it ended ("closed" by the server or "silent")."""
    received, ending = b"", "closed"
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), timeout=timeout) as plain:
        head = f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {sandbox.api_key}\r\n\r\n"
        plain.sendall(head.encode())
        try:
            while piece := plain.recv(65536):
                received += piece
        except TimeoutError:
            ending = "silent"
    head_bytes, _, body = received.partition(b"\r\n\r\n")
    return head_bytes.lower(), body, ending


def whole_clip(text: str = "a cat") -> bytes:
    return render(text, (64, 48), 1).head


def asked(sandbox: Sandbox) -> dict[str, int]:
    return {name: count for name, count in sandbox.counts().items() if count}


# The happy path


def test_a_video_is_made_looked_at_and_downloaded(sandbox: Sandbox) -> None:
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
        seen.append(look(sandbox, video["id"]).json())
    statuses = list(dict.fromkeys(one["status"] for one in seen))
    assert statuses in (["queued", "processing", "completed"], ["processing", "completed"])
    assert seen[-1]["progress"] == 100
    assert seen[-1]["expires_at"] - seen[-1]["completed_at"] in (3600, 3601)
    clip = content(sandbox, video["id"])
    assert clip.content == whole_clip()
    assert clip.headers["Content-Type"] == "video/mp4"
    assert clip.headers["Content-Length"] == str(len(clip.content))
    looks = len(seen)
    paid = {"creates": 1, "create_requests": 1, "polls": looks, "looks": looks, "downloads": 1, "downloaded_whole": 1}
    assert asked(sandbox) == {**paid, "max_in_flight": 1}
    assert sandbox.polls_of(video["id"]) == looks


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


# The other routes


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
    assert [look(sandbox, video_id).status_code, content(sandbox, video_id).status_code] == [404, 404]


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


# Range


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


# Directives: how a video lives


def test_content_before_the_end_is_a_200_that_says_not_ready(sandbox: Sandbox) -> None:
    reply = content(sandbox, made(sandbox, "a cat [sandbox: never]"))
    problem = reply.json()["data"]["error"]
    assert (reply.status_code, problem["type"], problem["code"]) == (200, "video_not_ready", "video_processing")


def test_a_video_that_never_finishes_keeps_processing(sandbox: Sandbox) -> None:
    video = look(sandbox, made(sandbox, "a cat [sandbox: never]")).json()
    assert (video["status"], video["progress"], video["completed_at"]) == ("processing", 99, None)


def test_a_failed_video_says_why_and_has_no_content(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: fail=moderation_blocked]")
    video = look(sandbox, video_id).json()
    assert (video["status"], video["progress"], video["error"]["code"]) == ("failed", 100, "moderation_blocked")
    assert content(sandbox, video_id).status_code == 400


def test_status_and_done_words_are_reported_as_asked(sandbox: Sandbox) -> None:
    dreaming = made(sandbox, "a cat [sandbox: status=dreaming never]")
    success = made(sandbox, "a cat [sandbox: done=SUCCESS]")
    assert [look(sandbox, one).json()["status"] for one in (dreaming, success)] == ["dreaming", "SUCCESS"]
    assert content(sandbox, success).content == whole_clip()


def test_late_content_comes_after_completed(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: late=0.2]")
    assert look(sandbox, video_id).json()["status"] == "completed"
    assert content(sandbox, video_id).headers["Content-Type"] == "application/json"
    time.sleep(0.2)
    assert content(sandbox, video_id).content == whole_clip()


def test_expired_content_is_gone_but_the_status_stays(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: expires=0]")
    reply, video = content(sandbox, video_id), look(sandbox, video_id).json()
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
    assert look(sandbox, video_id).json()["id"] == video_id
    assert call(sandbox, "GET", f"/v1/videos/{video_id}").status_code == 404
    assert sandbox.polls_of(video_id) == 1


@pytest.mark.parametrize(
    ("directive", "told"),
    [
        ("fial=x", "fail=CODE"),
        ("poll=5000", "429-after"),
        ("create=cut", "lost-504"),
        ("content=lost", "cut-chunked"),
        ("poll=500xx", "502-html"),
        ("render=soon", "seconds"),
        ("bytes=-1", "whole number"),
        ("never=yes", "no value"),
        ("", "known"),
    ],
)
def test_a_typo_in_a_directive_is_a_400_that_names_what_is_known(sandbox: Sandbox, directive: str, told: str) -> None:
    reply = create(sandbox, f"a cat [sandbox: {directive}]")
    assert (reply.status_code, told in reply.json()["error"]["message"]) == (400, True)
    assert sandbox.counts()["creates"] == 0


def test_a_directive_without_its_end_is_a_400(sandbox: Sandbox) -> None:
    assert create(sandbox, "a cat [sandbox: never").status_code == 400


def test_directives_are_taken_out_of_the_picture_but_not_of_the_prompt() -> None:
    read = directives.parse("a [sandbox: never, render=1.5] cat [Sandbox: poll=500x2+429]")
    assert (read.text, read.never, read.render) == ("a cat", True, 1.5)
    assert read.replies == {"poll": (directives.Turn("500", 2), directives.Turn("429", None))}


@settings(max_examples=60, deadline=None, database=None)
@given(st.text() | st.text("abcdefx=+,0129. -").map(lambda text: f"[sandbox:{text}]"))
def test_any_prompt_is_read_or_refused(prompt: str) -> None:
    with contextlib.suppress(directives.DirectiveError):
        assert isinstance(directives.parse(prompt), directives.Directives)


# Faults


ALONE = {"401-quoting", "drop", "slow", "hang", "lost", "lost-504", "no-id", "task-id", "redirect"}


def test_the_table_names_each_fault_that_is_built_and_no_other() -> None:
    assert {fault.name for fault in directives.FAULTS} == {*FIXED, *DELIVERY_FAULTS, *SUBSTITUTES, *ALONE}
    assert len(directives.FAULTS) == len({fault.name for fault in directives.FAULTS})


def fixed(route: str) -> list[str]:
    return [fault.name for fault in directives.FAULTS if route in fault.routes and fault.name in FIXED]


def check_fixed(reply: requests.Response, fault: str) -> None:
    expected = FIXED[fault]
    assert reply.status_code == expected.status
    assert reply.headers.get("Retry-After") == expected.headers.get("Retry-After")
    assert reply.headers["Content-Type"].startswith(expected.media_type)
    assert (reply.json() if isinstance(expected.body, dict) else reply.text) == expected.body


@pytest.mark.parametrize("fault", fixed("poll"))
def test_a_look_answers_with_the_fault_once_and_then_behaves(sandbox: Sandbox, fault: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: poll={fault}x1]")
    check_fixed(look(sandbox, video_id), fault)
    assert look(sandbox, video_id).json()["id"] == video_id


@pytest.mark.parametrize("fault", fixed("content"))
def test_content_answers_with_the_fault_once_and_then_behaves(sandbox: Sandbox, fault: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: content={fault}x1]")
    check_fixed(content(sandbox, video_id), fault)
    assert content(sandbox, video_id).content == whole_clip()


@pytest.mark.parametrize("fault", fixed("create"))
def test_a_create_answers_with_the_fault_once_and_makes_nothing(sandbox: Sandbox, fault: str) -> None:
    prompt = f"a cat [sandbox: create={fault}x1]"
    check_fixed(create(sandbox, prompt), fault)
    assert sandbox.videos() == []
    assert create(sandbox, prompt).json()["status"] == "completed"
    assert (sandbox.counts()["create_requests"], sandbox.counts()["creates"]) == (2, 1)


def test_faults_joined_by_plus_are_used_up_in_order(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: poll=500x2+429x1+404]")
    assert [look(sandbox, video_id).status_code for _ in range(5)] == [500, 500, 429, 404, 404]


def test_an_upstream_error_wrapped_in_a_string_is_json_twice(sandbox: Sandbox) -> None:
    body = look(sandbox, made(sandbox, "a cat [sandbox: poll=string-wrapped]")).json()
    assert (body["data"], json.loads(body["message"])["error"]["code"]) == (
        None,
        "internal_error",
    )


def test_a_401_may_quote_the_key_that_was_sent(sandbox: Sandbox) -> None:
    reply = look(sandbox, made(sandbox, "a cat [sandbox: poll=401-quoting]"))
    assert (reply.status_code, sandbox.api_key in reply.json()["error"]["message"]) == (401, True)


@pytest.mark.parametrize("route", ["", "/content"])
def test_a_dropped_connection_closes_without_a_byte(sandbox: Sandbox, route: str) -> None:
    video_id = made(sandbox, "a cat [sandbox: poll=drop content=drop]")
    assert raw(sandbox, f"/v1/videos/{video_id}{route}") == (b"", b"", "closed")


@pytest.mark.parametrize("fault", ["hang", "slow"])
@pytest.mark.parametrize("route", ["", "/content"])
def test_a_reply_that_hangs_or_is_slow_sends_nothing_meanwhile(sandbox: Sandbox, route: str, fault: str) -> None:
    video_id = made(sandbox, f"a cat [sandbox: poll={fault} content={fault}]")
    assert raw(sandbox, f"/v1/videos/{video_id}{route}", timeout=0.1) == (b"", b"", "silent")


@pytest.mark.parametrize(("fault", "paid"), [("drop", 0), ("lost", 1)])
def test_a_create_that_is_dropped_is_paid_only_when_it_was_lost(sandbox: Sandbox, fault: str, paid: int) -> None:
    prompt = f"a cat [sandbox: create={fault}x1]"
    with pytest.raises(requests.ConnectionError):
        create(sandbox, prompt)
    assert sandbox.counts()["creates"] == paid
    create(sandbox, prompt)
    assert sandbox.counts()["creates"] == paid + 1


def test_a_create_that_hangs_makes_nothing(sandbox: Sandbox) -> None:
    with pytest.raises(requests.ReadTimeout):
        call(sandbox, "POST", "/v1/videos", json={**SMALL, "prompt": "a cat [sandbox: create=hang]"}, timeout=0.1)
    assert sandbox.counts()["creates"] == 0


def test_a_lost_504_is_paid(sandbox: Sandbox) -> None:
    assert create(sandbox, "a cat [sandbox: create=lost-504]").status_code == 504
    assert sandbox.counts()["creates"] == 1


def test_a_create_without_an_id_is_paid_and_has_none_of_any_kind(sandbox: Sandbox) -> None:
    reply = create(sandbox, "a cat [sandbox: create=no-id]").json()
    assert (reply["object"], "id" in reply, "task_id" in reply) == ("video", False, False)
    assert sandbox.counts()["creates"] == 1


def test_a_task_id_stands_alone_at_first_and_beside_the_id_later(sandbox: Sandbox) -> None:
    reply = create(sandbox, "a cat [sandbox: create=task-id]").json()
    assert "id" not in reply
    video = look(sandbox, reply["task_id"]).json()
    assert video["id"] == video["task_id"] == reply["task_id"]


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


def test_storage_refuses_a_key_and_a_wrong_signature(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: content=redirect]")
    place = content(sandbox, video_id, allow_redirects=False).headers["Location"]
    with_key = requests.get(place, headers={"Authorization": f"Bearer {sandbox.api_key}"}, timeout=5)
    assert (with_key.status_code, requests.get(place + "x", timeout=5).status_code) == (400, 403)


# The whole gateway


def test_a_gateway_that_is_down_closes_every_connection_and_counts_no_look(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    sandbox.down(60)
    assert raw(sandbox, f"/v1/videos/{video_id}") == (b"", b"", "closed")
    assert (sandbox.counts()["polls"], sandbox.counts()["refused_down"]) == (0, 1)
    sandbox.down(0)
    assert look(sandbox, video_id).status_code == 200


def test_what_polls_were_called_before_is_still_understood(sandbox: Sandbox) -> None:
    assert directives.parse("a [sandbox: look=500x2] cat") == directives.parse("a [sandbox: poll=500x2] cat")
    video_id = made(sandbox, "[sandbox: look=404x1] a cat")
    assert [look(sandbox, video_id).status_code for _ in range(2)] == [404, 200]
    counts = sandbox.counts()
    assert (counts["looks"], counts["polls"]) == (2, 2)


def test_a_burst_answers_everything_for_a_while(sandbox: Sandbox) -> None:
    sandbox.burst(503, 0.1, retry_after=7)
    reply = create(sandbox)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "7")
    time.sleep(0.1)
    assert create(sandbox).status_code == 200


def test_a_limit_refuses_what_exceeds_it_and_says_when_to_come_back(sandbox: Sandbox) -> None:
    sandbox.limit(2)
    replies = [call(sandbox, "GET", "/v1/models") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert int(replies[2].headers["Retry-After"]) in (59, 60)
    assert sandbox.counts()["refused_429"] == 1
    sandbox.limit(None)
    assert call(sandbox, "GET", "/v1/models").status_code == 200


def test_a_reset_forgets_everything(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    sandbox.down(60)
    sandbox.limit(1)
    sandbox.reset()
    assert (asked(sandbox), sandbox.videos(), sandbox.requests(), sandbox.polls_of(video_id)) == ({}, [], [], 0)
    assert look(sandbox, video_id).status_code == 404


def test_each_request_is_recorded_without_the_key(sandbox: Sandbox) -> None:
    reply = call(sandbox, "GET", "/v1/videos", params={"limit": "1"}, headers={"X-Mine": "yes"})
    record = sandbox.requests()[0]
    assert (record["method"], record["path"], record["authorization"]) == ("GET", "/v1/videos?limit=1", True)
    assert (record["port"], record["headers"]["x-mine"]) == (urlsplit(sandbox.url).port, "yes")
    assert record["request_id"] == reply.headers["X-Oneapi-Request-Id"]
    assert sandbox.api_key not in str(record)


def test_the_controls_work_over_http_without_a_key(sandbox: Sandbox) -> None:
    video_id = made(sandbox)

    def control(path: str) -> int:
        return requests.post(f"{sandbox.url}/_sandbox/{path}", timeout=5).status_code

    assert requests.get(f"{sandbox.url}/_sandbox/counts", timeout=5).json() == sandbox.counts()
    assert requests.get(f"{sandbox.url}/_sandbox/videos", timeout=5).json() == sandbox.videos()
    assert control("burst?status=500&seconds=60&retry_after=3") == 200
    assert look(sandbox, video_id).status_code == 500
    assert control("burst?status=500&seconds=0") == 200
    assert control("limit?requests_per_minute=1") == 200
    assert [look(sandbox, video_id).status_code for _ in range(2)] == [200, 429]
    assert control("down?seconds=60") == 200
    assert raw(sandbox, "/v1/models")[2] == "closed"
    assert control("reset") == 200
    for wrong in ("down", "down?seconds=x", "burst?status=200&seconds=1", "limit?requests_per_minute=0", "nap"):
        assert control(wrong) == 400


def test_many_pollers_at_once_are_all_answered(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: never]")
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: look(sandbox, video_id).status_code, range(300)))
    assert statuses == [200] * 300
    assert sandbox.polls_of(video_id) == 300


def test_a_sandbox_stops_at_once_though_a_client_hangs() -> None:
    with Sandbox(render_seconds=0) as own:
        video_id = made(own, "a cat [sandbox: poll=hang]")
        with socket.create_connection(("127.0.0.1", urlsplit(own.url).port or 0), timeout=5) as plain:
            plain.sendall(
                f"GET /v1/videos/{video_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {own.api_key}\r\n\r\n".encode()
            )
            while own.polls_of(video_id) == 0:
                time.sleep(0.01)
            began = time.monotonic()
            own.stop()
            assert time.monotonic() - began < 2
            with contextlib.suppress(ConnectionResetError):
                assert plain.recv(1) == b""
    with pytest.raises(requests.ConnectionError):
        requests.get(own.url, timeout=1)


def test_requests_that_arrive_together_are_counted_as_in_flight_together(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: poll=hang]")
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(raw, sandbox, f"/v1/videos/{video_id}", 0.2)
    assert sandbox.counts()["max_in_flight"] == 3


def test_a_port_that_is_taken_is_an_error_at_once(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=urlsplit(sandbox.url).port or 0).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_only_loopback_is_bound(host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        Sandbox(host=host)


def test_the_sandbox_logs_no_traceback_for_what_it_breaks_on_purpose(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for fault in ("drop", "cut", "cut-close", "cut-chunked"):
        raw(sandbox, f"/v1/videos/{made(sandbox, f'a cat [sandbox: content={fault}]')}/content", timeout=0.05)
    ours = [record for record in caplog.records if record.name.startswith(("uvicorn", "asyncio", "airflow_provider"))]
    assert (ours, capfd.readouterr().err) == ([], "")


# The command and the fixture


def test_help_lists_every_fault_and_directive_and_says_what_this_is_not() -> None:
    text = parser().format_help()
    names = [fault.name for fault in directives.FAULTS] + [directive.key for directive in directives.DIRECTIVES]
    assert [name for name in names if not re.search(rf"^  {re.escape(name)}(=\S+)?\s", text, re.MULTILINE)] == []
    assert "no gateway and makes no AI video" in text


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_url_serves_and_ends_cleanly(ending: signal.Signals) -> None:
    command = [sys.executable, "-m", "airflow_provider_wisdomgate.sandbox.cli", "--print-url", "--api-key", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        name, _, url = process.stdout.readline().strip().partition("=")
        reply = requests.get(f"{url}/v1/models", headers={"Authorization": "Bearer mine"}, timeout=5)
        process.send_signal(ending)
        _, errors = process.communicate(timeout=10)
    assert (name, reply.status_code, process.returncode, errors) == ("WISDOMGATE_SANDBOX_URL", 200, 0, "")


def test_the_command_refuses_a_host_that_others_can_reach() -> None:
    command = [sys.executable, "-m", "airflow_provider_wisdomgate.sandbox.cli", "--host", "0.0.0.0"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20, check=False)
    assert (ran.returncode, "loopback only" in ran.stderr) == (2, True)


def run_pytest(folder: Path, test: str, conftest: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(test)
    (folder / "conftest.py").write_text(conftest)
    plugin = "airflow_provider_wisdomgate.sandbox.pytest_plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", str(folder)]
    environment = {**os.environ, **IGNORED_BY_PLUGINS}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=60, check=False)


def test_the_fixture_starts_fresh_for_each_test(tmp_path: Path) -> None:
    test = """
import pytest, requests
@pytest.mark.parametrize("time", [1, 2])
def test_it(wisdomgate_sandbox, time):
    headers = {"Authorization": "Bearer " + wisdomgate_sandbox.api_key}
    assert requests.get(wisdomgate_sandbox.url + "/v1/models", headers=headers).status_code == 200
    assert wisdomgate_sandbox.counts()["models"] == 1
"""
    ran = run_pytest(tmp_path, test)
    assert (ran.returncode, "2 passed" in ran.stdout) == (0, True), ran.stdout


def test_the_fixture_without_the_extra_says_how_to_install_it(tmp_path: Path) -> None:
    without = "import sys\nsys.modules['uvicorn'] = None\n"
    ran = run_pytest(tmp_path, "def test_it(wisdomgate_sandbox): ...", without)
    assert (ran.returncode, "pip install 'airflow-provider-wisdomgate[sandbox]'" in ran.stdout) == (1, True)


def test_loading_the_plugin_loads_no_server() -> None:
    code = (
        "import sys, airflow_provider_wisdomgate.sandbox.pytest_plugin;"
        "print([name for name in ('uvicorn', 'starlette', 'av', 'PIL', 'airflow') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_sandbox_imports_neither_airflow_nor_the_provider() -> None:
    names = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names.add(node.module or "")
    assert {name for name in names if name.startswith("airflow") and ".sandbox" not in name} == set()
