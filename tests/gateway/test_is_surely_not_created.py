"""Which errors say that a create surely made no video."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from answers import reply

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.replies import parse_created
from airflow_provider_wisdomgate.gateway.retry import is_surely_not_created

REFUSED = {"error": {"message": "no", "code": "x"}}
PAGE = b"<html>no</html>"
STATUSES = [*(status.value for status in HTTPStatus if status >= 300), 430, 499, 520, 524]
# Anybody sends these before forwarding, and only then.
FOREIGN = {301, 307, 308, 400, 401, 404, 405, 407, 411, 413, 414, 415, 421, 422, 426, 429, 431}


def is_unmade(status: int, body: Any) -> bool:
    with pytest.raises(errors.GatewayError) as caught:
        parse_created(reply(status, body))
    return is_surely_not_created(caught.value)


def test_a_refusal_in_the_gateways_own_words_is_a_4xx_but_four() -> None:
    unmade = {status for status in STATUSES if is_unmade(status, REFUSED)}
    own = {status for status in STATUSES if 400 <= status < 500} - {408, 409, 425, 499}
    assert unmade == own | {301, 307, 308}


def test_a_foreign_page_is_believed_only_if_it_can_only_have_come_before_forwarding() -> None:
    for page in (PAGE, b"", b"blocked", ["no"], "no", 403):
        assert {status for status in STATUSES if is_unmade(status, page)} == FOREIGN, page


@pytest.mark.parametrize("status", [403, 451])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": "Forbidden"}, False),
        ({"detail": "Forbidden"}, False),
        ({"status": 403, "error": "Forbidden", "path": "/v1/videos"}, False),
        ({"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "blocked"}, False),
        ({"error": {"message": "no credit"}}, True),
        ({"code": "access_denied", "message": "no"}, True),
        ({"type": "permission_error", "message": "no"}, True),
        ({"message": "no", "data": {"error": {"message": "no", "code": "access_denied"}}}, True),
    ],
    ids=str,
)
def test_what_filters_say_too_needs_more_than_a_message(status: int, body: Any, expected: bool) -> None:
    assert is_unmade(status, body) is expected


@pytest.mark.parametrize("word", ["get_channel_failed", "no_available_channel", "model_not_found"])
def test_a_503_is_a_refusal_if_it_says_that_nobody_was_there(word: str) -> None:
    said = {"error": {"message": "m", "code": word}}
    assert [is_unmade(status, said) for status in (500, 502, 503, 504)] == [False, False, True, False]
    assert is_unmade(503, {"error": {"message": "busy"}}) is False


@pytest.mark.parametrize("status", [200, 202, 500, 502])
@pytest.mark.parametrize("word", ["moderation_blocked", "insufficient_user_quota", "invalid_api_key"])
def test_a_word_alone_refuses_nothing(status: int, word: str) -> None:
    assert is_unmade(status, {"error": {"message": "m", "code": word}}) is False


@pytest.mark.parametrize("status", [308, 400, 404, 429])
def test_a_video_under_the_status_of_a_page_may_have_been_made(status: int) -> None:
    assert is_unmade(status, {"id": "video_1", "object": "video", "status": "queued"}) is False


OTHERS: list[tuple[errors.WisdomGateError, bool]] = [
    (errors.UnreachableError("m"), True),
    (errors.ConfigurationError("m"), True),
    (errors.ConnectionBrokenError("m"), False),
    (errors.LostCreateError("m"), False),
    (errors.LostCreateError("m", status=404), False),
    (errors.WisdomGateError("m"), False),
    (errors.StoppedError("m"), False),
    (errors.ContentError("m"), False),
]


@pytest.mark.parametrize(("error", "expected"), OTHERS, ids=lambda value: type(value).__name__)
def test_an_error_without_an_answer_leaves_no_doubt_only_if_nothing_left(
    error: errors.WisdomGateError, expected: bool
) -> None:
    assert is_surely_not_created(error) is expected
