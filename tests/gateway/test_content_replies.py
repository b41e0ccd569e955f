"""What an answer of the content route means that is no video."""

from __future__ import annotations

from typing import Any

import pytest
from answers import NOT_READY, UPSTREAM, ended, error, reply

from airflow_provider_wisdomgate.gateway.replies import (
    is_media,
    raise_content_error,
)

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
            "The gateway answered HTTP 200 with application/json, which is not an answer of a video API",
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
    "401 that nobody signs": (
        401,
        b"",
        error("UnexpectedReplyError", 401, "The gateway answered HTTP 401 with an empty body"),
    ),
    "403 that nobody signs": (
        403,
        b"",
        error("UnexpectedReplyError", 403, "The gateway answered HTTP 403 with an empty body"),
    ),
    "401": (401, {"error": {"message": "bad key"}}, error("AuthenticationError", 401, "bad key")),
    "403": (403, {"error": {"message": "no credit"}}, error("PermissionDeniedError", 403, "no credit")),
    "404": (404, {"error": "gone"}, error("VideoNotFoundError", 404, "gone")),
    "410": (410, {"error": "gone"}, error("VideoNotFoundError", 410, "gone")),
    "413": (413, {"error": "large"}, error("BadRequestError", 413, "large")),
    "422": (422, {"error": "what"}, error("BadRequestError", 422, "what")),
    "429": (429, b"", error("RateLimitedError", 429, "The gateway answered HTTP 429 with an empty body")),
    "502 plain": (502, {"error": "bad gateway"}, error("GatewayFaultError", 502, "bad gateway")),
    "502 upstream 404 is a 404": (
        502,
        {"error": {"message": UPSTREAM.format(404)}},
        error("VideoNotFoundError", 502, UPSTREAM.format(404)),
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
