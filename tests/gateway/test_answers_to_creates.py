"""Every byte of a create's answer is evidence: the id is taken from whatever arrived, or what arrived is shown."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from scripted import Gateway, http, in_turn
from support import SHORT_SILENCE

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.hooks import WisdomGateHook

VIDEO = json.dumps({"id": "video_1", "object": "video", "model": "any", "status": "queued"}).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(VIDEO), VIDEO)
CALLS: dict[str, Callable[[], Call[Video]]] = {
    "create": lambda: routes.create_video("any", "a cat", {}),
    "remix": lambda: routes.remix_video("video_0", "a cat"),
}

both_calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def interim(status: int, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\n%b\r\n" % (status, headers)


def gzipped(data: bytes) -> dict[str, Any]:
    return {"body": gzip.compress(data), "headers": {"Content-Encoding": "gzip"}}


# A gzip that is cut where its JSON is whole: a flushed stream without its end.
FLUSHED = gzip.compress(VIDEO)[:-8]

FRAMINGS = {
    "102 before it": interim(102) + http(200, VIDEO),
    "103 with links before it": interim(103, b"Link: </a.css>\r\nLink: </b.css>\r\n") + http(200, VIDEO),
    "many 1xx before it": interim(100) * 20 + interim(103) * 20 + interim(100) + http(201, VIDEO),
    "500 headers": http(200, VIDEO, {f"X-Header-{number}": "x" for number in range(500)}),
    "a header of 200 KB": http(200, VIDEO, {"Set-Cookie": "c=" + "x" * 200_000}),
    "no last chunk": CHUNKED + CHUNK,
    "half a chunk": CHUNKED + b"%x\r\n%b" % (len(VIDEO) + 50, VIDEO),
    "a chunk size that is no number": CHUNKED + CHUNK + b"zz\r\nmore",
    "a negative chunk size": CHUNKED + CHUNK + b"-5\r\nmore",
    "chunked in name only": CHUNKED + VIDEO,
    "a body shorter than its length": http(200, VIDEO, {"Content-Length": "5000"}),
    "a length that is no number": http(200, VIDEO, {"Content-Length": "many"}),
    "gzip": http(200, **gzipped(VIDEO)),
    "gzip without its end": http(200, FLUSHED, {"Content-Encoding": "gzip"}),
    "gzip in name only": http(200, VIDEO, {"Content-Encoding": "gzip"}),
    "an encoding that nobody knows": http(200, VIDEO, {"Content-Encoding": "aws-chunked"}),
    "two documents": http(200, VIDEO + b'\n{"id": "video_2", "status": "queued"}'),
    "something after it": http(200, VIDEO + b"<!-- served by x -->"),
    "something before it": http(200, b")]}',\n" + VIDEO),
    "a BOM": http(200, b"\xef\xbb\xbf" + VIDEO),
    "UTF-16": http(200, VIDEO.decode().encode("utf-16")),
    "UTF-16 without a BOM": http(200, VIDEO.decode().encode("utf-16-le")),
    "UTF-32": http(200, VIDEO.decode().encode("utf-32")),
    "no type": http(200, VIDEO, {"Content-Type": ""}),
    "202": http(202, VIDEO),
}


@both_calls
@pytest.mark.parametrize("answer", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_the_id_is_taken_from_an_answer_in_any_framing(
    answer: bytes, call: Callable[[], Call[Video]], gateway: Gateway
) -> None:
    gateway.answer = in_turn(answer)
    assert WisdomGateHook().send_create(call()).id == "video_1"
    assert len(gateway.requests) == 1


IDS: dict[str, tuple[Any, str]] = {
    "id": ({"id": "a", "task_id": "b"}, "a"),
    "task_id": ({"task_id": "b", "video_id": "c"}, "b"),
    "video_id": ({"video_id": "c", "generation_id": "d"}, "c"),
    "generation_id": ({"generation_id": "d", "job_id": "e"}, "d"),
    "job_id": ({"job_id": "e", "request_id": "f"}, "e"),
    "request_id": ({"request_id": "f"}, "f"),
    "a row number beside a name": ({"id": 12, "task_id": "b"}, "b"),
    "a row number in digits beside a name": ({"id": "12", "task_id": "b"}, "b"),
    "a number alone": ({"id": 12}, "12"),
    "data": ({"code": 0, "message": "ok", "data": {"task_id": "b"}}, "b"),
    "a list in data": ({"data": [{"task_id": "b"}, {"task_id": "c"}]}, "b"),
    "output, beside the id of the request": ({"request_id": "f", "output": {"task_id": "b"}}, "b"),
    "result": ({"success": True, "result": {"video_id": "c"}}, "c"),
    "video": ({"video": {"id": "a"}}, "a"),
    "an envelope in an envelope": ({"data": {"result": {"id": "a"}}}, "a"),
    "a list": ([{"id": "a"}], "a"),
    "JSend": ({"status": "success", "data": {"video": {"id": "a"}}}, "a"),
}


@both_calls
@pytest.mark.parametrize(("body", "expected"), IDS.values(), ids=IDS.keys())
def test_the_id_is_found_under_any_of_its_names(
    body: Any, expected: str, call: Callable[[], Call[Video]], gateway: Gateway
) -> None:
    gateway.answer = in_turn(http(200, json.dumps(body).encode()))
    assert WisdomGateHook().send_create(call()).id == expected


def lost(gateway: Gateway, answer: bytes, call: Call[Video] | None = None) -> errors.LostCreateError:
    gateway.answer = in_turn(answer)
    with pytest.raises(errors.LostCreateError) as caught:
        WisdomGateHook().send_create(call or CALLS["create"]())
    assert len(gateway.requests) == 1
    again = errors.from_dict(json.loads(json.dumps(caught.value.as_dict())))
    assert (again.as_dict(), str(again)) == (caught.value.as_dict(), str(caught.value))
    return caught.value


NO_IDS: dict[str, Any] = {
    "the id of a refused request": {"error": {"message": "no"}, "request_id": "f"},
    "the id of a refused job": {"data": {"error": "no"}, "job_id": "e"},
    "an error without the word": {"code": "insufficient_user_quota", "message": "no", "request_id": "f"},
    "an envelope of a failure": {"success": False, "request_id": "f"},
    "JSend's failure": {"status": "fail", "request_id": "f"},
    "another name": {"uuid": "g", "status": "queued"},
}


@pytest.mark.parametrize("body", NO_IDS.values(), ids=NO_IDS.keys())
def test_where_no_id_is_found_the_error_shows_the_answer(body: Any, gateway: Gateway) -> None:
    error = lost(gateway, http(200, json.dumps(body).encode()))
    assert (error.status, error.answered_id, error.answer) == (200, None, json.dumps(body))
    assert f"The gateway answered: {json.dumps(body)}" in str(error)


@both_calls
@pytest.mark.parametrize("status", [303, 308, 403, 409, 429, 500, 502, 524])
def test_an_id_in_an_answer_that_is_no_success_is_shown_and_not_taken(
    status: int, call: Callable[[], Call[Video]], gateway: Gateway
) -> None:
    error = lost(gateway, http(status, VIDEO), call())
    assert (error.status, error.answered_id, error.answer) == (status, "video_1", VIDEO.decode())
    assert "names the id video_1" in str(error)


@pytest.mark.parametrize(
    ("answer", "shown", "answered_id"),
    [
        (b"", None, None),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"id": "vid', '{"id": "vid', None),
        (VIDEO, VIDEO.decode(), "video_1"),
        (b"garbage that is no HTTP", "garbage that is no HTTP", None),
    ],
    ids=["nothing", "JSON that is cut", "JSON without a head", "no HTTP"],
)
def test_what_came_before_a_break_is_shown(
    answer: bytes, shown: str | None, answered_id: str | None, gateway: Gateway
) -> None:
    error = lost(gateway, answer)
    assert (error.answer, error.answered_id) == (shown, answered_id)


def test_a_strangers_page_in_place_of_a_made_videos_answer_is_lost_and_sent_once(gateway: Gateway) -> None:
    for status in (402, 403, 408, 410, 425, 451, 499):
        page = http(status, b"<html><h1>Blocked</h1></html>")
        gateway.requests.clear()
        assert lost(gateway, page).answer == "<html><h1>Blocked</h1></html>", status


@pytest.mark.parametrize("spelling", ["plain", "escaped", "UTF-16", "at the edge"])
def test_the_answer_is_shown_without_the_key_the_prompt_and_signatures_and_bounded(
    spelling: str, gateway: Gateway
) -> None:
    key = WisdomGateHook().settings.api_key
    text = f"{key} and a cat at https://store.example/clip.mp4?sig=secret {'x' * 20_000}"
    if spelling == "escaped":
        text = text.replace(key, "".join(f"\\u{ord(letter):04x}" for letter in key))
    if spelling == "at the edge":
        text = "y" * 8_190 + text
    data = text.encode("utf-16") if spelling == "UTF-16" else text.encode()
    error = lost(gateway, http(200, data))
    assert error.answer is not None
    assert len(error.answer) <= 503
    if spelling == "at the edge":
        assert error.answer == "y" * 500 + "..."
    else:
        assert error.answer.startswith("*** and (prompt) at https://store.example/clip.mp4 xxx")
    assert key not in str(error.as_dict())


def test_interim_answers_without_end_are_over_in_their_time(gateway: Gateway) -> None:

    gateway.answer = in_turn(interim(102) * 3_000)
    gateway.drip = 0.001
    call = replace(CALLS["create"](), timeout=SHORT_SILENCE)
    with pytest.raises(errors.LostCreateError):
        WisdomGateHook().client.send(call)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "answer", [CHUNKED + CHUNK, http(200, VIDEO, {"Content-Length": "5000"})], ids=["chunks", "length"]
)
def test_a_poll_whose_answer_breaks_is_a_failed_poll(answer: bytes, gateway: Gateway) -> None:
    gateway.answer = in_turn(answer)
    with pytest.raises(errors.ConnectionBrokenError):
        WisdomGateHook().client.send(routes.get_video("video_1"))
