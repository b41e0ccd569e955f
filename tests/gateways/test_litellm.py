"""LiteLLM's own proxy in front of the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MASTER_KEY, Gateway
from round_trip import OFFERS, assert_is_a_clip, carry, context, lose_a_create, more
from support import asked

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

Connect = Callable[..., dict[str, Any]]


@pytest.fixture
def gateway(litellm: Gateway, connect: Connect, quick: None) -> Gateway:
    litellm.upstream.reset()
    connect(host=litellm.url, password=MASTER_KEY)
    return litellm


def test_litellm_carries_a_clip_and_offers_what_its_stand_in_offers(gateway: Gateway, tmp_path: Path) -> None:
    video_id = carry("any", tmp_path)
    assert gateway.upstream.counts()["creates"] == 3
    assert more(video_id) == OFFERS["litellm"]


def test_a_failed_video_ends_the_wait_behind_litellm(gateway: Gateway) -> None:
    video_id = WisdomGateHook().create_video("any", asked("render=0 fail=boom"), seconds="1", size="64x48").id
    sensor = WisdomGateVideoSensor(task_id="wait", video_id=video_id, mode="poke", timeout=60.0, poke_interval=0.01)
    with pytest.raises(errors.VideoFailedForGoodError):
        sensor.execute(context())


def test_a_reference_image_reaches_litellms_upstream(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    picture = str(tmp_path / "cat.png")
    WisdomGateHook().create_video("any", asked("render=0"), seconds="1", size="64x48", input_reference=picture)
    (video,) = gateway.upstream.videos()
    assert video["fields"]["input_reference"]["size"] == 12


def test_litellms_connection_test_tells_a_good_key_from_a_bad_one(gateway: Gateway, connect: Connect) -> None:
    assert WisdomGateHook().test_connection()[0] is True
    connect(host=gateway.url, password="sk-another-key-of-nobody")
    assert WisdomGateHook().test_connection()[0] is False


@pytest.mark.parametrize(("model", "paid"), [("any", 1), ("retried", 3)])
def test_litellm_pays_three_times_for_a_lost_create_unless_it_is_told_not_to_retry(
    model: str, paid: int, gateway: Gateway
) -> None:
    with pytest.raises(errors.LostCreateError):
        WisdomGateHook().create_video(model, asked("render=0 create=lost"), seconds="1", size="64x48")
    assert gateway.upstream.counts()["creates"] == paid


def test_a_litellm_of_one_model_lists_its_videos_and_a_lost_create_is_found_again(
    litellm_of_one_model: Gateway, connect: Connect, quick: None, tmp_path: Path
) -> None:
    connect(host=litellm_of_one_model.url, password=MASTER_KEY)
    next_try = lose_a_create(asked("render=0 create=lostx1"), tmp_path)
    assert_is_a_clip(next_try())
    assert litellm_of_one_model.upstream.counts()["creates"] == 1
