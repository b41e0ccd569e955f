"""The video object, its status words and what a failed one raises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from answers import FULL, NOT_READY, ended, fields_of, reply
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.dialects import (
    DONE_WORDS,
    FAILED_WORDS,
    INPUT_WORDS,
    MODERATION_WORDS,
    OUTPUT_WORDS,
)
from airflow_provider_wisdomgate.gateway.replies import (
    Page,
    Reply,
    parse_created,
    parse_list,
    parse_nothing,
    parse_object,
    parse_page,
    parse_video,
)
from airflow_provider_wisdomgate.gateway.video import Video, failure_of, missing_content

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
    "a row number beside the task_id asked for": ({"id": 12, "task_id": "task_1"}, Video("task_1")),
    "a row number beside a video_id": ({"id": 12, "video_id": "video_1"}, Video("video_1")),
    "a row number beside a request_id": ({"id": 12, "request_id": "r"}, Video("12")),
    "camel case": ({"taskId": "task_1", "state": "queued"}, Video("task_1", "queued")),
    "Kling's task_status": (
        {"code": 0, "message": "SUCCEED", "request_id": "r", "data": {"task_id": "t", "task_status": "succeed"}},
        Video("t", "succeed"),
    ),
    "DashScope's output": (
        {"request_id": "r", "output": {"task_id": "t", "task_status": "SUCCEEDED"}},
        Video("t", "SUCCEEDED"),
    ),
    "a status beside a task_status": ({"id": "v", "status": "queued", "task_status": "done"}, Video("v", "queued")),
    "a fraction": ({"id": "v", "progress": 0.42}, Video("v", progress=42.0)),
    "a fraction as text": ({"id": "v", "progress": "0.5"}, Video("v", progress=50.0)),
    "a fraction of a percent": ({"id": "v", "progress": "0.5%"}, Video("v", progress=0.5)),
    "exactly one: a percent": ({"id": "v", "progress": 1}, Video("v", progress=1.0)),
    "no progress yet": ({"id": "v", "progress": 0.0}, Video("v", progress=0.0)),
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
        {"id": "v", "progress": "42.5%", "created_at": "1790000000", "expires_at": "1.79e9", "seconds": 8, "status": 3},
        Video("v", "3", progress=42.5, created_at=1.79e9, expires_at=1.79e9, seconds="8"),
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
    assert parse_video(reply(200, body, video_id=expected.id)) == expected


def test_a_video_carries_the_request_id_of_its_answer() -> None:
    assert parse_video(reply(201, {"id": "v"}, {"x-request-id": "r"})) == Video("v", request_id="r")


@pytest.mark.parametrize(
    "body",
    [
        {"id": 17, "task_id": "task_1", "status": "processing"},
        {"id": 17, "status": "processing"},
        {"data": {"id": 17, "status": "processing", "task_id": "task_1"}},
        {"code": "success", "data": {"id": 17, "status": "processing", "progress": "30%"}},
    ],
    ids=str,
)
def test_the_id_that_was_asked_for_stays_the_id_beside_a_row_number(body: Any) -> None:
    video = parse_video(reply(200, body, video_id="task_1"))
    assert (video.id, video.status) == ("task_1", "processing")


def test_a_row_number_is_no_id_of_a_create_or_a_list() -> None:
    record = {"id": 17, "task_id": "task_1", "status": "queued"}
    assert parse_created(reply(200, record)) == Video("task_1", "queued")
    assert parse_list(reply(200, {"data": [record, {"id": 18}]})) == [Video("task_1", "queued"), Video("18")]


NO_VIDEOS: dict[str, tuple[int, Any, str]] = {
    "200 about another number": (200, {"id": 17, "status": "failed"}, "UnexpectedReplyError"),
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
    assert ended(parse_created, reply(200, {"status": "queued"}))["error"] == "UnexpectedReplyError"


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
    ("answer", "expected"),
    [
        (reply(200, {"data": [{"id": "a"}], "has_more": False, "last_id": "a"}), Page([Video("a")])),
        (reply(200, {"data": [{"id": "a"}], "has_more": True, "last_id": "b"}), Page([Video("a")], "b")),
        (reply(200, {"data": [{"id": "a"}], "has_more": True}), Page([Video("a")], "a")),
        (reply(200, {"data": [{"id": "a"}], "has_more": "no"}), Page([Video("a")])),
        (reply(200, [{"id": "a"}]), Page([Video("a")])),
    ],
    ids=["the last", "more", "more, after its last", "a word", "bare"],
)
def test_a_page_says_where_the_list_goes_on(answer: Reply, expected: Page) -> None:
    assert parse_page(answer) == expected


def test_a_list_that_goes_on_nowhere_is_a_typed_error() -> None:
    with pytest.raises(errors.UnexpectedReplyError):
        parse_page(reply(200, {"data": [], "has_more": True}))


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


URL = "https://cdn.example/cat.mp4?X-Signature=s3cret"
ADDRESSES: dict[str, Any] = {
    "url": {"url": URL},
    "video_url": {"video_url": URL, "url": "https://gateway/v1/videos/v"},
    "meta_data.url": {"meta_data": {"url": URL}},
    "metadata.url": {"metadata": {"url": URL}},
    "outputs.video_url": {"outputs": {"video_url": URL, "cost": 0.1}},
    "content.video_url": {"content": {"video_url": URL, "last_frame_url": "https://cdn.example/last.png"}},
    "unsigned_urls": {"unsigned_urls": [URL, "https://cdn.example/2.mp4"]},
    "data[].url": {"data": [{"url": URL}]},
    "result_url": {"result_url": URL},
    "Replicate's output": {"output": URL, "urls": {"get": "https://gateway/v1/predictions/v"}},
    "Replicate's outputs": {"output": [URL]},
    "fal's video": {"video": {"url": URL, "content_type": "video/mp4"}},
    "Kling's task_result": {"task_result": {"videos": [{"id": "1", "url": URL, "duration": "5"}]}},
    "Luma's assets": {"assets": {"video": URL, "image": "https://cdn.example/cat.jpg"}},
    "blanks and another script": {"url": " https://cdn.example/my cat 猫.mp4?X-Signature=s3cret\n"},
}
NO_ADDRESSES: dict[str, Any] = {
    "relative": {"url": "/v1/files/cat.mp4"},
    "another scheme": {"url": "ftp://cdn.example/cat.mp4", "output": "data:video/mp4;base64,AAAA"},
    "no host": {"url": "https://", "video_url": "http://[", "result_url": "https:///cat.mp4"},
    "no text": {"url": 7, "output": [None, True, {"url": {}}], "data": {"url": [[URL]]}},
    "too long": {"url": "https://cdn.example/" + "a" * 9000},
    "an input": {"content": [{"type": "video_url", "video_url": {"url": URL}}], "input_reference": {"url": URL}},
    "pictures": {"thumbnail_url": URL, "cover_url": URL, "polling_url": URL, "urls": {"get": URL}},
    "nested too deep": {"data": {"data": {"data": {"data": {"data": {"url": URL}}}}}},
}


@pytest.mark.parametrize("body", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_a_finished_object_names_the_clips_own_address(body: Any) -> None:
    address = (
        URL if "cat.mp4" in json.dumps(body) else "https://cdn.example/my%20cat%20%E7%8C%AB.mp4?X-Signature=s3cret"
    )
    assert parse_video(reply(200, {"id": "v", "status": "done"} | body)).address == address
    assert parse_video(reply(200, {"code": 0, "data": {"id": "v", "status": "done"} | body})).address == address


@pytest.mark.parametrize("body", NO_ADDRESSES.values(), ids=NO_ADDRESSES.keys())
def test_what_is_no_address_of_a_clip_is_none(body: Any) -> None:
    assert parse_video(reply(200, {"id": "v", "status": "completed"} | body)).address is None


def test_a_video_in_progress_has_no_address() -> None:
    assert parse_video(reply(200, {"id": "v", "status": "processing", "url": URL})) == Video("v", "processing")


def test_an_address_enters_no_record_no_event_and_no_repr() -> None:
    video = Video("v", "done", address=URL)
    assert "s3cret" not in json.dumps(video.as_dict()) + repr(video)
    assert Video.from_dict({**video.as_dict(), "address": URL}) == Video("v", "done")


DONE = ["completed", "complete", "succeeded", "success", "finished", "SUCCESS", "Completed", "FINISHED"]

DONE += ["succeed", "done", "Done"]

FAILED = ["failed", "failure", "fail", "error", "cancelled", "canceled", "expired", "rejected", "deleted", "FAILURE"]


def test_the_docs_list_the_words_of_the_tables() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gateways.md").read_text().partition("## Words")[2]
    listed = dict(re.findall(r"^\| ([\w ]+) \| (.*) \|$", page, re.M))
    names = {"done": DONE_WORDS, "failed": FAILED_WORDS, "moderation": MODERATION_WORDS}
    names |= {"of the input": INPUT_WORDS, "of the output": OUTPUT_WORDS}
    assert {name: sorted(listed[name].split(", ")) for name in names} == {name: sorted(names[name]) for name in names}


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


@pytest.mark.parametrize(
    ("video", "kind", "code"),
    [
        (Video("v", "expired"), "VideoExpiredError", None),
        (Video("v", "failed"), "VideoFailedForGoodError", None),
        (Video("v", "completed"), "ContentMissingError", None),
        (Video("v", "completed", expires_at=1.0), "ContentMissingError", None),
        (Video("v", "in_progress"), "VideoNotReadyError", None),
        (Video("v", "anything else"), "VideoNotReadyError", None),
    ],
    ids=lambda value: value.status if isinstance(value, Video) else str(value),
)
def test_content_that_is_not_found_means_what_the_videos_status_says(video: Video, kind: str, code: str | None) -> None:
    error = missing_content(video, errors.VideoNotFoundError("no content", video_id="v"), may_recreate=False)
    assert (type(error).__name__, error.code) == (kind, code)
