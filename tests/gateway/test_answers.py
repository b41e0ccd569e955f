"""Answers that are not the gateway's, or that come late: what each means, over real sockets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from answers import VIDEO
from scripted import Gateway, http, in_turn, scripted
from senders import Send, both_clients, error_of, send_sync
from support import LocalPlace, made, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.dialects import BEFORE_FORWARDING
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling.decisions import Ended, Wait

Connect = Callable[..., dict[str, Any]]
CAT = whole()

# Whose answer is it?

PAGES = {
    "nothing": b"",
    "plain text": b"default backend - 404",
    "HTML": b"<html><h1>403 Forbidden</h1>nginx</html>",
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a number": b"404",
    "JSON that is no object": b'["no"]',
}
CALLS: dict[str, Callable[[], Call[Any]]] = {
    "get": lambda: routes.get_video("video_1"),
    "list": routes.list_videos,
    "delete": lambda: routes.delete_video("video_1"),
    "create": lambda: routes.create_video("any", "a cat", {}),
    "remix": lambda: routes.remix_video("video_1", "a dog"),
    "content": lambda: routes.get_content("video_1"),
}


@both_clients
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_page_that_is_nobodys_answer_is_a_passing_fault_and_says_nothing_of_key_or_credit(
    call: Callable[[], Call[Any]], send: Send, gateway: Gateway
) -> None:
    for status in (400, 401, 402, 403, 404, 405, 409, 410, 422):
        for name, page in PAGES.items():
            gateway.answer = in_turn(http(status, page))
            error = error_of(send, call())
            if not call().idempotent and status not in BEFORE_FORWARDING:
                assert isinstance(error, errors.LostCreateError), name
                continue
            is_vague = type(error) in (errors.UnexpectedReplyError, errors.GatewayFaultError, errors.VideoNotReadyError)
            assert (is_vague, error.is_transient, error.status) == (True, True, status), (name, error)
            assert not {"key", "credit", "quota", "id,"} & set(str(error).lower().split()), name


def test_a_list_that_goes_round_in_circles_is_a_typed_error(gateway: Gateway) -> None:
    page = {"data": [VIDEO], "has_more": True, "last_id": "video_1"}
    gateway.answer = lambda request: http(200, json.dumps(page).encode())
    with pytest.raises(errors.UnexpectedReplyError):
        WisdomGateHook().list_videos()


def test_an_object_stores_403_after_a_redirect_is_not_ready_whatever_words_it_uses(gateway: Gateway) -> None:
    with scripted(in_turn(http(403, b'{"error": {"message": "no", "code": "insufficient_quota"}}'))) as store:
        gateway.answer = in_turn(http(302, b"", {"Location": f"{store.url}/signed"}))
        with pytest.raises(errors.VideoNotReadyError) as caught, WisdomGateHook().open_content("video_1"):
            pass
    assert "credit" not in str(caught.value)


def test_a_location_that_is_no_url_is_a_typed_error_and_a_create_with_it_is_lost_not_raw(gateway: Gateway) -> None:
    gateway.answer = in_turn(http(302, b"", {"Location": "http://["}))
    assert isinstance(error_of(send_sync, routes.get_video("video_1")), errors.UnexpectedReplyError)
    assert isinstance(error_of(send_sync, routes.create_video("any", "a cat", {})), errors.LostCreateError)


def test_a_create_that_was_not_found_is_not_told_to_check_a_video_id(hook: WisdomGateHook) -> None:
    with pytest.raises(errors.BadRequestError) as caught:
        hook.create_video("any", "a cat [sandbox: create=404]")
    assert caught.value.next_step == "Check the model, and the path in the connection's Base URL."


# Times


@pytest.mark.parametrize("fault", ["429-dayx1", "429-epochx1", "429-far-datex1"])
def test_a_wait_that_is_told_to_come_back_in_ages_polls_at_its_deadline(fault: str, hook: WisdomGateHook) -> None:
    video_id, now = made(hook, f"poll={fault}"), time.time()
    end = hook.wait_for_video(video_id, Wait(now + 2.0, 0.02, since=now))
    assert isinstance(end, Ended)
    assert end.outcome == "ready"


def test_a_download_waits_as_long_as_a_429_asks(
    gateway: Gateway, connect: Connect, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the pauses are the real ones here, and only the clock is quick
    connect(host=gateway.url)
    gateway.answer = in_turn(http(429, b"", {"Retry-After": "90"}), http(200, CAT))
    clock, slept = time.monotonic, [0.0]
    mine = threading.get_ident()

    def sleep(seconds: float) -> None:
        slept[0] += seconds

    def now() -> float:
        return clock() + (slept[0] if threading.get_ident() == mine else 0.0)  # the sandbox's clock goes on as it did

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", now)
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert (local.read("cat.mp4"), slept[0] >= 89.0, len(gateway.requests)) == (CAT, True, 2)
