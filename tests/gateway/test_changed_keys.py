"""Keys that change while somebody waits or downloads: one 401 ends nothing, the next one does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from answers import TOLD
from scripted import Gateway, http, in_turn
from support import LocalPlace, made, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling.decisions import Wait
from airflow_provider_wisdomgate.sandbox import Sandbox

Connect = Callable[..., dict[str, Any]]
CAT = whole()


def test_a_wait_goes_on_when_the_key_was_changed_meanwhile(hook: WisdomGateHook, connect: Connect) -> None:
    video_id = made(hook)
    connect(password="the-key-of-yesterday")
    waiting, began = WisdomGateHook(), time.time()
    assert waiting.settings.api_key == "the-key-of-yesterday"
    connect()
    end = waiting.wait_for_video(video_id, Wait(began + 30, 0.02, since=began))
    assert (end.outcome, end.video and end.video.id) == ("ready", video_id)


def test_a_wait_whose_key_is_wrong_twice_ends(hook: WisdomGateHook, sandbox: Sandbox, connect: Connect) -> None:
    video_id = made(hook)
    connect(password="the-key-of-yesterday")
    before = sandbox.counts()["unauthorized"]
    end = WisdomGateHook().wait_for_video(video_id, Wait(time.time() + 30, 0.02, since=time.time()))
    assert (type(end.error), sandbox.counts()["unauthorized"] - before) == (errors.AuthenticationError, 2)


def test_a_download_goes_on_when_the_key_was_changed_meanwhile(
    hook: WisdomGateHook, connect: Connect, local: LocalPlace
) -> None:
    video_id = made(hook)
    connect(password="the-key-of-yesterday")
    loading = WisdomGateHook()
    assert loading.settings.api_key == "the-key-of-yesterday"
    connect()
    loading.download_video(video_id, local.uri("cat.mp4"))
    assert local.read("cat.mp4") == CAT


def test_one_401_to_the_question_why_a_clip_is_not_there_does_not_end_a_download(
    gateway: Gateway, local: LocalPlace
) -> None:
    no_clip = http(404, b'{"error": {"message": "no clip yet", "code": "not_found"}}')
    no_key = http(401, b'{"error": {"message": "no such key", "code": "invalid_api_key"}}')
    gateway.answer = in_turn(no_clip, no_key, http(200, TOLD), http(200, CAT, {"Content-Type": "video/mp4"}))
    WisdomGateHook().download_video("video_1", local.uri("cat.mp4"))
    assert local.read("cat.mp4") == CAT
