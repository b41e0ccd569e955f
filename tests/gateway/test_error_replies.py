"""What an error answer means: every shape, status and word."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from answers import ended, error, fields_of, reply

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import (
    Reply,
    error_of,
    parse_list,
    parse_nothing,
    parse_object,
    parse_video,
    raise_content_error,
)
from airflow_provider_wisdomgate.gateway.video import failure_of

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
        error("UnexpectedReplyError", 404, "The gateway answered HTTP 404 with an empty body"),
    ),
    "shape 4: HTML": (
        b"\n<!DOCTYPE html><html>nginx</html>",
        error("UnexpectedReplyError", 404, "The gateway answered HTTP 404 with an HTML page"),
    ),
    # An ingress says so, too: alone it is not enough to end a paid wait.
    "shape 4: detail": ({"detail": "Not Found"}, error("UnexpectedReplyError", 404, "Not Found")),
    "a problem of RFC 9457, as any proxy has it": (
        {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no"},
        error("UnexpectedReplyError", 404, "no"),
    ),
    "a message alone": ({"message": "no Route matched"}, error("UnexpectedReplyError", 404, "no Route matched")),
    "shape 4: detail as a list": (
        {"detail": [{"loc": ["body", "size"], "msg": "bad"}]},
        error("UnexpectedReplyError", 404, "body.size: bad"),
    ),
    "shape 4: error as text": ({"error": "gone"}, error("VideoNotFoundError", 404, "gone")),
    "shape 4: error as text beside a code": (
        {"error": "gone", "code": 5},
        error("VideoNotFoundError", 404, "gone", code="5"),
    ),
    "a bare JSON string": (
        "no such thing",
        error(
            "UnexpectedReplyError",
            404,
            "The gateway answered HTTP 404 with application/json, which is not an answer of a video API",
        ),
    ),
    "a page that happens to be a JSON number": (
        b"404",
        error(
            "UnexpectedReplyError",
            404,
            "The gateway answered HTTP 404 with application/json, which is not an answer of a video API",
        ),
    ),
    "text": (
        b"upstream said no",
        error(
            "UnexpectedReplyError",
            404,
            "The gateway answered HTTP 404 with application/json, which is not an answer of a video API",
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
            "UnexpectedReplyError",
            404,
            "The gateway answered HTTP 404 with application/json, which is not an answer of a video API",
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
        "The gateway answered HTTP 404 with content of no type, which is not an answer of a video API"
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
    410: "VideoNotFoundError",
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
        "It redirects to https://new.example/v1/videos: set the connection's Base URL to the right address."
    )


FAILED = {"id": "v1", "object": "video", "status": "failed", "error": {"code": 500, "message": "out of memory"}}


def test_a_failed_video_is_read_out_of_an_answer_with_an_errors_status() -> None:
    video = parse_video(reply(500, FAILED, video_id="v1"))
    assert (video.status, video.error_code, video.error_message) == ("failed", "500", "out of memory")
    assert type(failure_of(video, may_recreate=True)) is errors.VideoFailedError
    refused = parse_video(reply(400, {**FAILED, "error": {"code": 400, "message": "size"}}, video_id="v1"))
    for_good = failure_of(refused, may_recreate=True)
    assert type(for_good) is errors.VideoFailedForGoodError
    assert str(for_good).endswith("the same request fails again.")


@pytest.mark.parametrize("change", [{"id": "v2"}, {"object": "error"}, {"status": "queued"}, {"status": None}])
def test_no_other_object_is_taken_for_the_failed_video(change: dict[str, Any]) -> None:
    with pytest.raises(errors.GatewayFaultError):
        parse_video(reply(500, {**FAILED, **change}, video_id="v1"))


@pytest.mark.parametrize(
    "answer",
    [
        reply(405, {"detail": "Method Not Allowed"}),
        reply(404, {"error": {"message": "Invalid URL (DELETE /v1/videos/v1)", "type": "invalid_request_error"}}),
    ],
)
def test_a_call_that_the_gateway_has_not_is_told_from_one_that_went_wrong(answer: Reply) -> None:
    with pytest.raises(errors.GatewayError, match=r"does not offer that; docs/gateways\.md"):
        parse_nothing(answer)
