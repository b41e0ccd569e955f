"""Any answer at all gives a result or a typed error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from answers import FULL, UPSTREAM, reply
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
from airflow_provider_wisdomgate.gateway.video import Video

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


# Python 3.14 reads JSON of 20,000 dicts in one another, and writes none.
@pytest.mark.parametrize("depth", [900, 5_000, 9_900, 16_400, 20_000, 200_000])
@pytest.mark.parametrize("brackets", [('{"a":', "}"), ("[", "]")], ids=["dicts", "lists"])
@pytest.mark.parametrize(
    "around", ["%s", '{"id":%s,"status":%s}', '{"error":%s}', '{"error":{"message":%s,"code":%s}}', '{"data":[%s]}']
)
@pytest.mark.parametrize("status", [200, 404])
def test_json_that_is_nested_deep_gives_an_answer_or_a_typed_error(
    status: int, around: str, brackets: tuple[str, str], depth: int
) -> None:
    deep = brackets[0] * depth + "1" + brackets[1] * depth
    judge(Reply(status, {}, around.replace("%s", deep).encode(), 1e9))


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
