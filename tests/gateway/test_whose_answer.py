"""A statement about a video counts only in the object that is this video, from the gateway that made it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from scripted import Gateway, http, in_turn, scripted
from senders import Send, both_clients, error_of

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.hooks import WisdomGateHook

UPSTREAM_404 = {"error": {"message": "Upstream service returned status 404"}}

# An answer to a poll of video_1, and the status that is believed.
VIDEOS: dict[str, tuple[Any, str | None]] = {
    "its object": ({"id": "video_1", "status": "failed"}, "failed"),
    "JSend around it": ({"status": "success", "data": {"id": "video_1", "status": "processing"}}, "processing"),
    "JSend around a place": ({"status": "success", "data": {"video": {"id": "video_1", "status": "queued"}}}, "queued"),
    "an envelope that repeats the id": (
        {"id": "video_1", "status": "success", "data": {"id": "video_1", "status": "processing"}},
        "processing",
    ),
    "a code around it": ({"code": 0, "data": {"task_id": "video_1", "status": "FAILURE"}}, "FAILURE"),
    "a row number, and the upstream's own object": (
        {"data": {"id": 7, "task_id": "video_1", "status": "SUCCESS", "data": {"id": "u", "status": "x"}}},
        "SUCCESS",
    ),
    "a list with others": (
        {"data": [{"id": "v", "status": "failed"}, {"id": "video_1", "status": "queued"}]},
        "queued",
    ),
    "no id, but a video's fields": ({"status": "completed", "progress": 100, "model": "any"}, "completed"),
    "no id, a video's fields in data": ({"code": 0, "data": {"status": "completed", "seconds": 4}}, "completed"),
    "no id, and it waits": ({"status": "queued"}, "queued"),
    "no id, but it calls itself a video": ({"object": "video", "status": "failed"}, "failed"),
}

# An answer with HTTP 200 that says nothing about video_1.
OTHERS: dict[str, Any] = {
    "an API's error": {"status": "error", "message": "maintenance"},
    "an API's success": {"status": "success"},
    "JSend's fail": {"status": "fail", "data": {"reason": "maintenance"}},
    "JSend's success without data": {"status": "success", "data": None},
    "another id": {"id": "video_2", "object": "video", "status": "failed"},
    "another id that is moderated": {"id": "v", "status": "failed", "error": {"code": "moderation_blocked"}},
    "another id in an envelope": {"code": 0, "data": {"task_id": "video_2", "status": "failed", "progress": 100}},
    "a row number alone": {"id": 12, "status": "failed"},
    "a failure without an id": {"status": "failed", "progress": 100, "model": "any"},
    "an envelope with a video's field": {"status": "completed", "message": "ok", "model": "any"},
    "a health check": {"status": "ok"},
}


@both_clients
@pytest.mark.parametrize(("body", "status"), VIDEOS.values(), ids=VIDEOS.keys())
def test_the_object_of_the_video_is_found_and_keeps_the_id_that_was_asked_for(
    body: Any, status: str | None, send: Send, gateway: Gateway
) -> None:
    gateway.answer = in_turn(http(200, json.dumps(body).encode()))
    video = send(WisdomGateHook(), routes.get_video("video_1"))
    assert (video.id, video.status) == ("video_1", status)


@both_clients
@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_no_object_of_this_video_is_a_failed_poll(body: Any, send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(200, json.dumps(body).encode()))
    error = error_of(send, routes.get_video("video_1"))
    assert (type(error), error.video_id) == (errors.UnexpectedReplyError, "video_1")


@both_clients
@pytest.mark.parametrize("status", ["failed", "completed", "processing"])
def test_another_host_says_nothing_about_a_video(status: str, send: Send, gateway: Gateway) -> None:
    body = {"id": "video_1", "object": "video", "status": status}
    with scripted(in_turn(http(200, json.dumps(body).encode()))) as other:
        gateway.answer = in_turn(http(302, b"", {"Location": f"{other.url}/v1/videos/video_1"}))
        error = error_of(send, routes.get_video("video_1"))
    assert type(error) is errors.UnexpectedReplyError
    assert "After a redirect, another host" in str(error)


UNKNOWN: dict[str, tuple[int, Any]] = {
    "404": (404, {"error": {"message": "no", "code": "x"}}),
    "410": (410, {"error": {"message": "Gone"}}),
    "new-api's 400": (400, {"code": "task_not_exist", "message": "task not exist", "data": None}),
    "a 400 without a code": (400, {"message": "Task not exist"}),
    "a 400 in another phrase": (400, {"error": {"message": "Video video_1 was not found", "type": "invalid_request"}}),
    "a 200": (200, {"code": 1, "message": "task not exist"}),
    "a 400 of a missing record": (400, {"error": {"message": "Couldn't find video_1"}}),
    "a 400 that negates": (400, {"error": {"message": "The task doesn't exist."}}),
    "a 422 of an unknown id": (422, {"error": {"message": "invalid task id"}}),
    "a 400 in Chinese": (400, {"code": 1, "message": "任务不存在"}),
    "a 400 of camel case": (400, {"error": {"code": "TaskNotExist", "message": "m"}}),
    "a 200 with an error object": (200, {"error": {"message": "no such video"}}),
    "a 404 of a framework that names the video": (404, {"detail": "Video not found"}),
    "a 404 of a framework that names the id": (404, {"detail": "video_1 not found"}),
    "a 500 with a word": (500, {"error": {"message": "m", "code": "task_not_exist"}}),
    "a wrapped 404": (502, UPSTREAM_404),
    "a wrapped 410": (502, {"error": {"message": "Upstream service returned status 410"}}),
}


@both_clients
@pytest.mark.parametrize(("status", "body"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_video_has_one_class_in_every_dress(status: int, body: Any, send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(status, json.dumps(body).encode()))
    for call in (routes.get_video("video_1"), routes.get_content("video_1"), routes.delete_video("video_1")):
        if call.method == "DELETE" and status == 200:
            continue
        assert type(error_of(send, call)) is errors.VideoNotFoundError, call.path


@both_clients
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"detail": "Not Found"}),
        (404, {"message": "page not found"}),
        (400, {"error": {"message": "The model sora-9 does not exist"}}),
        (400, {"error": {"message": "no route: host not found"}}),
        (500, {"error": {"message": "task not exist"}}),
    ],
    ids=str,
)
def test_what_does_not_name_the_video_says_nothing_of_it(status: int, body: Any, send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(status, json.dumps(body).encode()))
    assert not isinstance(error_of(send, routes.get_video("video_1")), errors.VideoNotFoundError)


@both_clients
@pytest.mark.parametrize("words", [{"code": "expired"}, {"type": "expired"}, {"code": "video_expired"}], ids=str)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.AuthenticationError),
        (402, errors.PermissionDeniedError),
        (403, errors.PermissionDeniedError),
    ],
)
def test_a_401_402_or_403_speaks_of_the_key_never_of_the_video(
    status: int, kind: type[Exception], words: dict[str, str], send: Send, gateway: Gateway
) -> None:
    gateway.answer = in_turn(http(status, json.dumps({"error": {"message": "expired", **words}}).encode()))
    for call in (routes.get_video("video_1"), routes.get_content("video_1")):
        assert type(error_of(send, call)) is kind


@pytest.mark.parametrize(
    ("missing", "status", "kind"),
    [
        (http(502, json.dumps(UPSTREAM_404).encode()), "completed", errors.ContentMissingError),
        (http(404, b'{"error": {"message": "no"}}'), "completed", errors.ContentMissingError),
        (http(410, b'{"error": {"message": "no"}}'), "completed", errors.ContentMissingError),
        (http(400, b'{"message": "task not exist"}'), "completed", errors.ContentMissingError),
        (http(404, b'{"error": {"message": "no"}}'), "expired", errors.VideoExpiredError),
        (http(404, b'{"error": {"message": "no"}}'), "processing", errors.VideoNotReadyError),
    ],
    ids=["wrapped 404", "404", "410", "400", "expired", "not finished"],
)
def test_content_that_is_missing_means_what_the_videos_own_object_says(
    missing: bytes, status: str, kind: type[Exception], gateway: Gateway
) -> None:
    video = http(200, json.dumps({"id": "video_1", "status": status, "expires_at": 1_700_000_000}).encode())
    gateway.answer = lambda request: missing if request.path.endswith("/content") else video
    with pytest.raises(errors.GatewayError) as caught, WisdomGateHook().open_content("video_1"):
        pass
    assert type(caught.value) is kind


def litellm_id(*parts: str) -> str:
    return f"video_{base64.b64encode(';'.join(('litellm:custom_llm_provider:openai', *parts)).encode()).decode()}"


LISTED = litellm_id("model_id:any", "video_id:video_1")


@both_clients
@pytest.mark.parametrize(
    ("named", "is_it"),
    [
        (litellm_id("model_id:any", "video_id:video_1", "deployment_id:0123"), True),
        (LISTED.rstrip("="), True),
        (litellm_id("model_id:any", "video_id:video_2", "deployment_id:0123"), False),
        (litellm_id("model_id:any"), False),
    ],
    ids=["with its deployment", "without padding", "another video", "no video"],
)
def test_litellm_may_add_parts_to_an_id_that_is_polled(named: str, is_it: bool, send: Send, gateway: Gateway) -> None:
    gateway.answer = in_turn(http(200, json.dumps({"id": named, "object": "video", "status": "queued"}).encode()))
    call = routes.get_video(LISTED)
    if is_it:
        assert send(WisdomGateHook(), call).id == LISTED
    else:
        assert type(error_of(send, call)) is errors.UnexpectedReplyError
