"""Outages, limits, controls and what is counted."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests
from gateway_calls import asked, call, create, made, poll, raw

from airflow_provider_wisdomgate.sandbox import Sandbox, directives


def test_a_gateway_that_is_down_closes_every_connection_and_counts_no_poll(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    sandbox.down(60)
    assert raw(sandbox, f"/v1/videos/{video_id}") == (b"", b"", "closed")
    assert (sandbox.counts()["polls"], sandbox.counts()["refused_down"]) == (0, 1)
    sandbox.down(0)
    assert poll(sandbox, video_id).status_code == 200


def test_what_polls_were_called_before_is_still_understood(sandbox: Sandbox) -> None:
    assert directives.parse("a [sandbox: look=500x2] cat") == directives.parse("a [sandbox: poll=500x2] cat")
    video_id = made(sandbox, "[sandbox: look=404x1] a cat")
    assert [poll(sandbox, video_id).status_code for _ in range(2)] == [404, 200]
    counts = sandbox.counts()
    assert (counts["looks"], counts["polls"]) == (2, 2)


def test_a_burst_answers_everything_for_a_while(sandbox: Sandbox) -> None:
    sandbox.burst(503, 0.1, retry_after=7)
    reply = create(sandbox)
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "7")
    time.sleep(0.1)
    assert create(sandbox).status_code == 200


def test_a_burst_may_have_a_code_and_concern_one_method(sandbox: Sandbox) -> None:
    video_id = made(sandbox)
    sandbox.burst(503, 60, code="get_channel_failed", method="POST")
    reply = create(sandbox)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "get_channel_failed")
    assert poll(sandbox, video_id).status_code == 200


def test_a_gateway_may_be_down_for_one_method(sandbox: Sandbox) -> None:
    sandbox.down(60, "GET")
    assert raw(sandbox, "/v1/models")[2] == "closed"
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
    assert poll(sandbox, video_id).status_code == 404


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
    assert poll(sandbox, video_id).status_code == 500
    assert control("burst?status=500&seconds=0") == 200
    assert control("limit?requests_per_minute=1") == 200
    assert [poll(sandbox, video_id).status_code for _ in range(2)] == [200, 429]
    assert control("down?seconds=60") == 200
    assert raw(sandbox, "/v1/models")[2] == "closed"
    assert control("reset") == 200
    for wrong in ("down", "down?seconds=x", "burst?status=200&seconds=1", "limit?requests_per_minute=0", "nap"):
        assert control(wrong) == 400


def test_many_pollers_at_once_are_all_answered(sandbox: Sandbox) -> None:
    video_id = made(sandbox, "a cat [sandbox: never]")
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: poll(sandbox, video_id).status_code, range(300)))
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
