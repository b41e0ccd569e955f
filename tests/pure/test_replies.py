"""What the gateway's answers mean: tables of answers as they come, and the typed error or video made of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import (
    Reply,
    error_of,
    is_media,
    parse_list,
    parse_nothing,
    parse_object,
    parse_video,
    raise_content_error,
    retry_after_of,
)
from airflow_provider_wisdomgate.gateway.retry import is_surely_not_created
from airflow_provider_wisdomgate.gateway.video import Video, failure_of

JSON_TYPE = {"content-type": "application/json"}


def reply(status: int, body: Any = b"", headers: dict[str, str] | None = None, video_id: str | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, JSON_TYPE if headers is None else headers, raw, at=1_000_000.0, video_id=video_id)


def ended(parse: Callable[[Reply], Any], answer: Reply) -> Any:
    """Return what a parser makes of an answer: a value, or its error as a dict without the next step."""
    try:
        return parse(answer)
    except errors.WisdomGateError as error:
        return fields_of(error)


def fields_of(error: errors.WisdomGateError) -> dict[str, Any]:
    return {name: value for name, value in error.as_dict().items() if name != "next_step"}


def error(kind: str, status: int, message: str, **facts: Any) -> dict[str, Any]:
    return {"error": kind, "message": message, "status": status, **facts}


# ------------------------------------------------------------------------------------- error shapes

INNER = {"message": "No such video", "type": "invalid_request_error", "param": None, "code": "not_found"}
WORDS = {"type": "invalid_request_error", "code": "not_found"}
SHAPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "shape 1: error object": ({"error": INNER}, error("VideoNotFoundError", 404, "No such video", **WORDS)),
    "shape 2: error inside data": (
        {"message": "outer", "data": {"error": INNER}},
        error("VideoNotFoundError", 404, "No such video", **WORDS),
    ),
    "shape 3: code and message": (
        {"code": "fail_to_fetch_task", "message": "task failed", "data": None},
        error("VideoNotFoundError", 404, "task failed", code="fail_to_fetch_task"),
    ),
    "shape 3: JSON in a string": (
        {"code": "fail_to_fetch_task", "message": json.dumps({"error": INNER}), "data": None},
        error("VideoNotFoundError", 404, "No such video", **WORDS),
    ),
    "shape 3: JSON in a string in a string": (
        {"message": json.dumps({"message": json.dumps({"error": INNER})})},
        error("VideoNotFoundError", 404, "No such video", **WORDS),
    ),
    "shape 3: broken JSON in a string": (
        {"code": "x", "message": '{"error": {"message": "cut'},
        error("VideoNotFoundError", 404, '{"error": {"message": "cut', code="x"),
    ),
    "shape 3: an int code": ({"code": 1234, "message": "m"}, error("VideoNotFoundError", 404, "m", code="1234")),
    "shape 4: empty": (
        b"",
        error("VideoNotFoundError", 404, "The gateway answered HTTP 404 with an empty body"),
    ),
    "shape 4: HTML": (
        b"\n<!DOCTYPE html><html>nginx</html>",
        error("VideoNotFoundError", 404, "The gateway answered HTTP 404 with an HTML page"),
    ),
    "shape 4: detail": ({"detail": "Not Found"}, error("VideoNotFoundError", 404, "Not Found")),
    "shape 4: detail as a list": (
        {"detail": [{"loc": ["body", "size"], "msg": "bad"}]},
        error("VideoNotFoundError", 404, '[{"loc": ["body", "size"], "msg": "bad"}]'),
    ),
    "shape 4: error as text": ({"error": "gone"}, error("VideoNotFoundError", 404, "gone")),
    "shape 4: error as text beside a code": (
        {"error": "gone", "code": 5},
        error("VideoNotFoundError", 404, "gone", code="5"),
    ),
    "a bare JSON string": ("no such thing", error("VideoNotFoundError", 404, "no such thing")),
    "text": (
        b"upstream said no",
        error(
            "VideoNotFoundError",
            404,
            "The gateway answered HTTP 404 with application/json that is no answer of a video API",
        ),
    ),
    "weird types": (
        {"error": {"message": {"a": 1}, "type": ["t"], "code": {"c": 1}}},
        error("VideoNotFoundError", 404, '{"a": 1}'),
    ),
    "a very long message": (
        {"error": {"message": "x" * 600}},
        error("VideoNotFoundError", 404, "x" * 500 + "..."),
    ),
    "null": (
        b"null",
        error(
            "VideoNotFoundError",
            404,
            "The gateway answered HTTP 404 with application/json that is no answer of a video API",
        ),
    ),
}


@pytest.mark.parametrize(("body", "expected"), SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("parse", [parse_video, parse_list, parse_object, parse_nothing, raise_content_error])
def test_every_error_shape_gives_its_message_and_words_in_every_parser(
    parse: Callable[[Reply], Any], body: Any, expected: dict[str, Any]
) -> None:
    assert ended(parse, reply(404, body)) == expected


def test_a_reply_without_a_content_type_says_so() -> None:
    assert error_of(reply(404, b"no", headers={})).message == (
        "The gateway answered HTTP 404 with content of no type that is no answer of a video API"
    )


STATUSES = {
    200: "UnexpectedReplyError",
    204: "UnexpectedReplyError",
    302: "UnexpectedReplyError",
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "PermissionDeniedError",
    403: "PermissionDeniedError",
    404: "VideoNotFoundError",
    405: "BadRequestError",
    408: "GatewayFaultError",
    409: "VideoNotReadyError",
    410: "VideoExpiredError",
    413: "BadRequestError",
    418: "BadRequestError",
    422: "BadRequestError",
    425: "VideoNotReadyError",
    429: "RateLimitedError",
    500: "GatewayFaultError",
    502: "GatewayFaultError",
    503: "GatewayFaultError",
    504: "GatewayFaultError",
    520: "GatewayFaultError",
    521: "GatewayFaultError",
    522: "GatewayFaultError",
    523: "GatewayFaultError",
    524: "GatewayFaultError",
    599: "GatewayFaultError",
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items(), ids=str)
def test_without_words_the_status_code_names_the_error(status: int, kind: str) -> None:
    assert fields_of(error_of(reply(status, {"error": {"message": "m"}}))) == error(kind, status, "m")


WORD_ERRORS = {
    "moderation_blocked": "ModerationError",
    "content_policy_violation": "ModerationError",
    "sensitive_words_detected": "ModerationError",
    "video_not_ready": "VideoNotReadyError",
    "video_processing": "VideoNotReadyError",
    "video_expired": "VideoExpiredError",
    "model_not_found": "ModelNotFoundError",
    "insufficient_quota": "PermissionDeniedError",
    "insufficient_user_quota": "PermissionDeniedError",
    "invalid_api_key": "AuthenticationError",
}


@pytest.mark.parametrize("status", [200, 400, 404, 429, 503])
@pytest.mark.parametrize(("word", "kind"), WORD_ERRORS.items(), ids=WORD_ERRORS.keys())
@pytest.mark.parametrize("place", ["code", "type"])
def test_a_word_decides_whatever_the_status_code_says(place: str, word: str, kind: str, status: int) -> None:
    answer = reply(status, {"error": {"message": "m", place: word.upper()}})
    assert fields_of(error_of(answer)) == error(kind, status, "m", **{place: word.upper()})


def test_an_error_carries_the_request_id_the_video_id_and_the_retry_delay() -> None:
    headers = {"x-oneapi-request-id": "2026-a", "x-request-id": "other", "retry-after": "7"}
    answer = reply(429, b"", headers, video_id="video_1")
    assert fields_of(error_of(answer)) == error(
        "RateLimitedError",
        429,
        "The gateway answered HTTP 429 with an empty body",
        request_id="2026-a",
        video_id="video_1",
        retry_after=7.0,
    )


def test_the_plain_request_id_is_taken_where_there_is_no_other() -> None:
    assert error_of(reply(500, b"", {"x-request-id": "r"})).request_id == "r"


def test_a_redirect_of_the_api_says_where_to_without_the_query() -> None:
    answer = reply(301, b"", {"location": "https://new.example/v1/videos?token=secret"})
    assert error_of(answer).next_step == (
        "It redirects to https://new.example/v1/videos: set the connection's Base URL to the address meant."
    )


# ------------------------------------------------------------------------------------ content route

UPSTREAM = "Upstream service returned status {}"
NOT_READY = {
    "message": "Video is still processing",
    "data": {"error": {"message": "not ready", "type": "video_not_ready", "code": "video_processing"}},
}
CONTENT: dict[str, tuple[int, Any, dict[str, Any]]] = {
    "200 JSON, documented": (
        200,
        NOT_READY,
        error("VideoNotReadyError", 200, "not ready", type="video_not_ready", code="video_processing"),
    ),
    "200 JSON, the video object without an error": (
        200,
        {"id": "video_1", "status": "processing"},
        error(
            "VideoNotReadyError",
            200,
            "The gateway answered HTTP 200 with application/json that is no answer of a video API",
        ),
    ),
    "200 JSON, another error": (
        200,
        {"error": {"message": "storage down", "code": "oops"}},
        error("UnexpectedReplyError", 200, "storage down", code="oops"),
    ),
    "200 HTML": (
        200,
        b"<html>",
        error("UnexpectedReplyError", 200, "The gateway answered HTTP 200 with an HTML page"),
    ),
    "200 empty": (
        200,
        b"",
        error("UnexpectedReplyError", 200, "The gateway answered HTTP 200 with an empty body"),
    ),
    "202 empty": (202, b"", error("VideoNotReadyError", 202, "The gateway answered HTTP 202 with an empty body")),
    "202 JSON": (202, {"message": "wait"}, error("VideoNotReadyError", 202, "wait")),
    "409": (409, {"error": {"message": "busy"}}, error("VideoNotReadyError", 409, "busy")),
    "409, and its word says expired": (
        409,
        {"error": {"message": "too late", "code": "video_expired"}},
        error("VideoExpiredError", 409, "too late", code="video_expired"),
    ),
    "400 not completed yet (new-api)": (
        400,
        {"code": "bad", "message": "Task is not completed yet"},
        error("VideoNotReadyError", 400, "Task is not completed yet", code="bad"),
    ),
    "400 moderation": (
        400,
        {"error": {"message": "no", "code": "moderation_blocked"}},
        error("ModerationError", 400, "no", code="moderation_blocked"),
    ),
    "401": (401, b"", error("AuthenticationError", 401, "The gateway answered HTTP 401 with an empty body")),
    "403": (403, b"", error("PermissionDeniedError", 403, "The gateway answered HTTP 403 with an empty body")),
    "404": (404, {"error": "gone"}, error("VideoNotFoundError", 404, "gone")),
    "410": (410, {"error": "gone"}, error("VideoExpiredError", 410, "gone")),
    "413": (413, {"error": "large"}, error("BadRequestError", 413, "large")),
    "422": (422, {"error": "what"}, error("BadRequestError", 422, "what")),
    "429": (429, b"", error("RateLimitedError", 429, "The gateway answered HTTP 429 with an empty body")),
    "502 plain": (502, {"error": "bad gateway"}, error("GatewayFaultError", 502, "bad gateway")),
    "502 upstream 404 means expired": (
        502,
        {"error": {"message": UPSTREAM.format(404)}},
        error("VideoExpiredError", 502, UPSTREAM.format(404)),
    ),
    "502 upstream 401 means the key": (
        502,
        {"error": {"message": UPSTREAM.format(401)}},
        error("AuthenticationError", 502, UPSTREAM.format(401)),
    ),
    "502 upstream 429 means slow down": (
        502,
        {"error": {"message": f"{UPSTREAM.format(429)}: slow"}},
        error("RateLimitedError", 502, f"{UPSTREAM.format(429)}: slow"),
    ),
    "502 upstream 500 is a fault": (
        502,
        {"error": {"message": UPSTREAM.format(500)}},
        error("GatewayFaultError", 502, UPSTREAM.format(500)),
    ),
    "502 upstream, no number": (
        502,
        {"error": {"message": UPSTREAM.format("unknown")}},
        error("GatewayFaultError", 502, UPSTREAM.format("unknown")),
    ),
    "500 that quotes an upstream status is no 502": (
        500,
        {"error": {"message": UPSTREAM.format(404)}},
        error("GatewayFaultError", 500, UPSTREAM.format(404)),
    ),
}


@pytest.mark.parametrize(("status", "body", "expected"), CONTENT.values(), ids=CONTENT.keys())
def test_a_content_answer_that_is_no_video_has_its_name(status: int, body: Any, expected: dict[str, Any]) -> None:
    assert ended(raise_content_error, reply(status, body)) == expected


@pytest.mark.parametrize(
    ("status", "head", "expected"),
    [
        (200, b"\0\0\0\x20ftypisom", True),
        (200, b"\x1a\x45\xdf\xa3", True),
        (200, b"\xff\xd8\xff", True),
        (200, b"", False),
        (200, b'{"error":', False),
        (200, b"[1]", False),
        (200, b"  \r\n\t<html>", False),
        (200, b"\xef\xbb\xbf{", False),
        (200, b'"text"', False),
        (200, b" \n", False),
        (206, b"\0\0\0\x20ftypisom", False),
        (202, b"\0\0\0\x20ftypisom", False),
        (404, b"\0\0\0\x20ftypisom", False),
    ],
    ids=lambda value: repr(value),
)
def test_only_a_200_that_is_no_text_is_taken_for_the_clip(status: int, head: bytes, expected: bool) -> None:
    assert is_media(status, head) is expected


# ---------------------------------------------------------------------------------- the video object

FULL = {
    "id": "video_1",
    "object": "video",
    "model": "sora-2",
    "prompt": "a cat",
    "status": "in_progress",
    "progress": 42,
    "created_at": 1_790_000_000,
    "completed_at": 1_790_000_100,
    "expires_at": 1_790_003_600,
    "seconds": "8",
    "size": "1280x720",
    "remixed_from_video_id": "video_0",
    "error": None,
    "usage": {"tokens": 5},
}
VIDEOS: dict[str, tuple[Any, Video]] = {
    "every field": (
        FULL,
        Video(
            id="video_1",
            model="sora-2",
            prompt="a cat",
            status="in_progress",
            progress=42.0,
            created_at=1_790_000_000.0,
            completed_at=1_790_000_100.0,
            expires_at=1_790_003_600.0,
            seconds="8",
            size="1280x720",
            remixed_from_video_id="video_0",
        ),
    ),
    "only an id": ({"id": "video_1"}, Video("video_1")),
    "only a task_id": ({"task_id": "task_1", "status": "queued"}, Video("task_1", "queued")),
    "both ids": ({"id": "video_1", "task_id": "task_1"}, Video("video_1")),
    "an empty id beside a task_id": ({"id": "", "task_id": "task_1"}, Video("task_1")),
    "a null id beside a task_id": ({"id": None, "task_id": "task_1"}, Video("task_1")),
    "a number for an id": ({"id": 7}, Video("7")),
    "inside data": (
        {"code": "success", "message": "", "data": {"task_id": "task_1", "status": "SUCCESS", "progress": "100%"}},
        Video("task_1", "SUCCESS", progress=100.0),
    ),
    "no id, but a status: the one asked for": ({"status": "queued"}, Video("asked", "queued")),
    "nulls everywhere": (dict.fromkeys(FULL, None) | {"id": "video_1"}, Video("video_1")),
    "lists everywhere": ({key: [1] for key in FULL} | {"id": "video_1"}, Video("video_1")),
    "dicts everywhere": ({key: {"a": 1} for key in FULL} | {"id": "video_1"}, Video("video_1")),
    "booleans everywhere": (dict.fromkeys(FULL, True) | {"id": "video_1"}, Video("video_1")),
    "empty strings everywhere": (dict.fromkeys(FULL, "") | {"id": "video_1"}, Video("video_1")),
    "numbers as strings": (
        {"id": "v", "progress": "42.5%", "created_at": "17", "expires_at": "1e3", "seconds": 8, "status": 3},
        Video("v", "3", progress=42.5, created_at=17.0, expires_at=1000.0, seconds="8"),
    ),
    "no numbers": (
        {"id": "v", "progress": "half", "created_at": "2026-09-24T00:00:00Z", "expires_at": "never"},
        Video("v"),
    ),
    "numbers beyond all bounds": (
        b'{"id": "v", "progress": NaN, "created_at": Infinity, "completed_at": 1e999, "expires_at": 1'
        + b"0" * 400
        + b"}",
        Video("v"),
    ),
    "error with code and message": (
        {"id": "v", "status": "failed", "error": {"code": "moderation_blocked", "message": "no"}},
        Video("v", "failed", error_code="moderation_blocked", error_message="no"),
    ),
    "error with only a message": (
        {"id": "v", "status": "failed", "error": {"message": "no"}},
        Video("v", "failed", error_message="no"),
    ),
    "error as text": ({"id": "v", "status": "failed", "error": "no"}, Video("v", "failed", error_message="no")),
    "error with an int code": (
        {"id": "v", "status": "failed", "error": {"code": 13, "message": "no"}},
        Video("v", "failed", error_code="13", error_message="no"),
    ),
    "error with only a type": (
        {"id": "v", "status": "failed", "error": {"type": "server_error"}},
        Video("v", "failed", error_code="server_error"),
    ),
}


@pytest.mark.parametrize(("body", "expected"), VIDEOS.values(), ids=VIDEOS.keys())
def test_a_video_object_is_read_whatever_its_fields_are(body: Any, expected: Video) -> None:
    assert parse_video(reply(200, body, video_id="asked")) == expected


def test_a_video_carries_the_request_id_of_its_answer() -> None:
    assert parse_video(reply(201, {"id": "v"}, {"x-request-id": "r"})) == Video("v", request_id="r")


NO_VIDEOS: dict[str, tuple[int, Any, str]] = {
    "200 that says not ready": (200, NOT_READY, "VideoNotReadyError"),
    "200 with an error and no id": (200, {"error": {"message": "no", "code": "model_not_found"}}, "ModelNotFoundError"),
    "200 with neither id nor status": (200, {"object": "video"}, "UnexpectedReplyError"),
    "200 with an unusable id": (200, {"id": ["v"], "task_id": True}, "UnexpectedReplyError"),
    "200 with a list": (200, [FULL], "UnexpectedReplyError"),
    "200 with HTML": (200, b"<html>", "UnexpectedReplyError"),
    "200 with nothing": (200, b"", "UnexpectedReplyError"),
    "a video object under 500": (500, FULL, "GatewayFaultError"),
    "a video object under 302": (302, FULL, "UnexpectedReplyError"),
}


@pytest.mark.parametrize(("status", "body", "kind"), NO_VIDEOS.values(), ids=NO_VIDEOS.keys())
def test_what_is_no_video_object_is_a_typed_error(status: int, body: Any, kind: str) -> None:
    assert ended(parse_video, reply(status, body, video_id="asked"))["error"] == kind


def test_an_id_that_was_not_answered_is_not_made_up_for_a_create() -> None:
    assert ended(parse_video, reply(200, {"status": "queued"}))["error"] == "UnexpectedReplyError"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(200, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}), [Video("a"), Video("b")]),
        (reply(200, [{"id": "a"}, "junk", None, {"no": "id"}]), [Video("a")]),
        (reply(200, {"data": []}), []),
    ],
    ids=["data", "bare, with junk in it", "empty"],
)
def test_a_list_is_read_with_or_without_a_wrapper(answer: Reply, expected: list[Video]) -> None:
    assert parse_list(answer) == expected


@pytest.mark.parametrize(
    "answer",
    [reply(200, {"data": "x"}), reply(200, {}), reply(200, "x"), reply(404, [FULL]), reply(500, {"data": []})],
    ids=["data is text", "no data", "text", "404 with a list", "500 with data"],
)
def test_what_is_no_list_is_a_typed_error(answer: Reply) -> None:
    with pytest.raises(errors.GatewayError):
        parse_list(answer)


def test_an_object_is_taken_as_it_is() -> None:
    assert parse_object(reply(200, {"available_balance": 3})) == {"available_balance": 3}


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"deleted"])
def test_nothing_is_what_any_2xx_says(body: bytes) -> None:
    assert ended(parse_nothing, reply(204, body)) is None


def test_an_event_or_xcom_never_holds_the_prompt() -> None:
    video = parse_video(reply(200, FULL))
    assert "prompt" not in video.as_dict()
    assert "a cat" not in repr(video)
    assert Video.from_dict(json.loads(json.dumps(video.as_dict()))) == Video(**(vars(video) | {"prompt": None}))


# -------------------------------------------------------------------------------------- status words

DONE = ["completed", "complete", "succeeded", "success", "finished", "SUCCESS", "Completed", "FINISHED"]
FAILED = ["failed", "failure", "fail", "error", "cancelled", "canceled", "expired", "rejected", "deleted", "FAILURE"]
WAITING = ["queued", "processing", "in_progress", "unknown", "submitted", "pending", "preparing", "running"]
WAITING += ["generating", "postprocessing", "not_start", "NOT_START", "Queued", "IN_PROGRESS"]


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        *((word, (True, False, True)) for word in DONE),
        *((word, (False, True, True)) for word in FAILED),
        *((word, (False, False, True)) for word in WAITING),
        *((word, (False, False, False)) for word in ["paused", "uploading", "done?", "completed ", "100", None]),
    ],
    ids=repr,
)
def test_a_status_word_is_done_or_failed_or_means_wait(word: str | None, verdict: tuple[bool, bool, bool]) -> None:
    video = Video("v", word, progress=100.0, completed_at=1.0)
    assert (video.is_done, video.is_failed, video.is_known_word) == verdict


@settings(deadline=None)
@given(st.none() | st.text())
def test_a_word_that_nobody_documented_never_finishes(word: str | None) -> None:
    video = Video("v", word, progress=100.0)
    known = (word or "").lower() in {w.lower() for w in DONE + FAILED}
    assert (video.is_done or video.is_failed) is known


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        (Video("v", "completed"), False),
        (Video("v", "completed", expires_at=101.0), False),
        (Video("v", "completed", expires_at=100.0), True),
        (Video("v", "Expired"), True),
        (Video("v", None, expires_at=99.0), True),
    ],
    ids=["no time", "in time", "at that second", "the word", "past"],
)
def test_a_clip_expires_at_its_time_or_by_its_word(video: Video, expected: bool) -> None:
    assert video.is_expired(100.0) is expected


@pytest.mark.parametrize(
    ("video", "may_recreate", "kind", "message"),
    [
        (Video("v", "failed"), True, "VideoFailedError", "failed: no reason given"),
        (Video("v", "failed"), False, "VideoFailedForGoodError", "failed: no reason given"),
        (Video("v", "cancelled", error_message="by you"), True, "VideoFailedError", "cancelled: by you"),
        (Video("v", "failed", error_code="moderation_blocked"), True, "ModerationError", "failed: no reason given"),
        (Video("v", "failed", error_code="Moderation_Blocked"), False, "ModerationError", "failed: no reason given"),
        (Video("v", "failed", error_code="invalid_prompt"), True, "VideoFailedForGoodError", "failed: no reason given"),
        (Video("v", "failed", error_code="model_not_found"), True, "VideoFailedError", "failed: no reason given"),
        (Video("v", "EXPIRED"), True, "VideoExpiredError", "EXPIRED: no reason given"),
        (Video("v", "failed", error_code="video_expired"), False, "VideoExpiredError", "failed: no reason given"),
    ],
    ids=lambda value: value.as_dict()["error_code"] or value.status if isinstance(value, Video) else str(value),
)
def test_a_failed_video_has_the_error_that_says_whether_another_one_may_help(
    video: Video, may_recreate: bool, kind: str, message: str
) -> None:
    expected: dict[str, Any] = {
        "error": kind,
        "message": f"The gateway reports the video as {message}",
        "video_id": "v",
    }
    if video.error_code:
        expected["code"] = video.error_code
    assert fields_of(failure_of(video, may_recreate=may_recreate)) == expected


# ------------------------------------------------------------------------------------ surely unmade

UNMADE: list[tuple[errors.WisdomGateError, bool]] = [
    (errors.UnreachableError("m"), True),
    (errors.ConfigurationError("m"), True),
    (errors.ConnectionBrokenError("m"), False),
    (errors.RateLimitedError("m", status=429), True),
    (errors.BadRequestError("m", status=400), True),
    (errors.AuthenticationError("m", status=401), True),
    (errors.PermissionDeniedError("m", status=403), True),
    (errors.VideoNotFoundError("m", status=404), True),
    (errors.BadRequestError("m", status=422), True),
    (errors.ModerationError("m", status=200), True),
    (errors.ModelNotFoundError("m", status=503), True),
    (errors.GatewayFaultError("m", status=408), False),
    (errors.GatewayFaultError("m", status=500), False),
    (errors.GatewayFaultError("m", status=502), False),
    (errors.GatewayFaultError("m", status=503), False),
    (errors.GatewayFaultError("m", status=503, code="get_channel_failed"), True),
    (errors.GatewayFaultError("m", status=503, type="no_available_channel"), True),
    (errors.GatewayFaultError("m", status=502, code="get_channel_failed"), False),
    (errors.GatewayFaultError("m", status=504), False),
    (errors.GatewayFaultError("m", status=524), False),
    (errors.UnexpectedReplyError("m", status=200), False),
    (errors.UnexpectedReplyError("m", status=308), True),
    # "See Other" is how a server answers a POST that it has carried out.
    (errors.UnexpectedReplyError("m", status=303), False),
    (errors.UnexpectedReplyError("m"), False),
    (errors.VideoNotReadyError("m", status=200), False),
    (errors.LostCreateError("m"), False),
    (errors.LostCreateError("m", status=408), False),
    (errors.WisdomGateError("m"), False),
    (errors.StoppedError("m"), False),
]


@pytest.mark.parametrize(
    ("error", "expected"), UNMADE, ids=[f"{type(e).__name__}-{e.status}-{e.code or e.type}" for e, _ in UNMADE]
)
def test_a_create_is_surely_unmade_only_where_it_never_arrived_or_was_refused(
    error: errors.WisdomGateError, expected: bool
) -> None:
    assert is_surely_not_created(error) is expected


# ---------------------------------------------------------------------------------------- retry-after

NOON = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "120"}, 1.5),
        ({"retry-after-ms": "junk", "retry-after": "120"}, 120.0),
        ({"retry-after-ms": "-1"}, 0.0),
        ({"retry-after": DATE}, 60.0),
        ({"retry-after": "Sunday, 06-Nov-94 08:49:37 GMT"}, 60.0),
        ({"retry-after": "Sun, 06 Nov 1994 09:49:37 +0100"}, 60.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "Sun, 99 Nov 1994 99:99:99 GMT"}, None),
        ({"retry-after": "\x00"}, None),
    ],
    ids=repr,
)
def test_the_delay_asked_for_is_read_in_every_spelling(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_of(headers, NOON - 60.0) == expected


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
@pytest.mark.parametrize("date", [DATE, "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000"])
def test_a_date_without_a_zone_is_utc_wherever_the_worker_stands(date: str) -> None:
    assert retry_after_of({"retry-after": date}, NOON - 60.0) == 60.0


# ----------------------------------------------------------------------------------------- anything

# Surrogates, too: JSON may hold half of an emoji, where a gateway cut a text at so many UTF-16 units.
TEXT = st.text(st.characters() | st.sampled_from("\ud83d\x00"), max_size=20)
KEYS = st.sampled_from(
    ["id", "task_id", "status", "error", "data", "message", "detail", "code", "type", "progress", "expires_at"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS | st.sampled_from(["completed", "model_not_found", "video_processing", UPSTREAM.format(404)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | TEXT, inner, max_size=5)
        | st.dictionaries(KEYS, inner, max_size=3).map(json.dumps)
    ),
    max_leaves=8,
)
STATUS = st.integers(100, 599) | st.sampled_from([200, 202, 400, 404, 409, 502])
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "location", "content-type", "x-request-id"]),
    TEXT
    | st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    | st.from_regex(r"[A-Za-z]{0,4},? ?\d{0,3}[ -][A-Z][a-z]{2}[ -]\d{0,9} \d{0,2}:?\d{0,3}:?\d{0,3} ?[-+GMT0-9]{0,6}")
    | st.integers().map(str),
)
PARSERS = [parse_video, parse_list, parse_object, parse_nothing, raise_content_error]


def error_in(parse: Callable[[Reply], Any], answer: Reply) -> errors.WisdomGateError | None:
    try:
        parse(answer)
    except errors.WisdomGateError as error:
        return error
    return None


def judge(answer: Reply) -> None:
    """Run every parser: an answer or a typed error that can be shown, stored and read again."""
    made = error_of(answer)
    assert isinstance(made, errors.GatewayError)
    for parse in PARSERS:
        error = error_in(parse, answer)
        if error is not None:
            assert str(error)
            assert errors.from_dict(json.loads(json.dumps(error.as_dict(), allow_nan=False))).facts == error.facts
    try:
        video = parse_video(answer)
    except errors.WisdomGateError:
        return
    assert video.id
    assert Video.from_dict(json.loads(json.dumps(video.as_dict(), allow_nan=False))).as_dict() == video.as_dict()


@settings(deadline=None)
@given(status=STATUS, headers=HEADERS, body=VALUES, video_id=st.none() | st.just("v"))
def test_any_json_with_any_status_and_headers_gives_an_answer_or_a_typed_error(
    status: int, headers: dict[str, str], body: Any, video_id: str | None
) -> None:
    judge(Reply(status, headers, json.dumps(body).encode(), 1e9, video_id))


@settings(deadline=None)
@given(status=STATUS, headers=HEADERS, body=st.binary(max_size=60))
def test_any_bytes_with_any_status_and_headers_give_an_answer_or_a_typed_error(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    judge(Reply(status, headers, body, 1e9))


@settings(deadline=None)
@example(body=dict.fromkeys(FULL, "a \ud83d"))
@example(body={"error": {"message": "a \ud83d", "code": "\ud83d", "type": "\ud83d"}})
@example(body={"message": ["\ud83d"], "code": "\ud83d"})
@given(body=VALUES)
def test_no_text_of_an_answer_is_such_that_a_file_or_a_log_cannot_hold_it(body: Any) -> None:
    answer = reply(200, body)
    texts = [str(error_of(answer))]
    try:
        texts += [str(value) for value in parse_video(answer).as_dict().values()]
    except errors.WisdomGateError as error:
        texts.append(str(error))
    for text in texts:
        text.encode()


@pytest.mark.parametrize("key", ["id", "status", "progress", "error", "message", "detail", "data"])
def test_nesting_without_end_is_a_typed_error(key: str) -> None:
    for depth in [*range(850, 1050, 20), 100_000]:
        nest = b"[" * depth + b"]" * depth
        for body in (b'{"id": "v", "%s": %s}' % (key.encode(), nest), b'{"%s": %s}' % (key.encode(), nest), nest):
            judge(Reply(200, {}, body, 1e9))
