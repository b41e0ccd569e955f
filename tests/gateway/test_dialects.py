"""Each dialect of the sandbox: the same way of a clip, and what each gateway does not offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from round_trip import ASKED_BY, LISTS_PROMPTS, OFFERS, SET_UP, assert_is_a_clip, carry, context, lose_a_create, more
from support import asked

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sandbox.cli import parser
from airflow_provider_wisdomgate.sandbox.dialects import DIALECTS
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

Connect = Callable[..., dict[str, Any]]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(dialect: str, connect: Connect, quick: None) -> Iterator[Sandbox]:
    with Sandbox(dialect=dialect, render_seconds=0.0) as sandbox:
        connect(host=sandbox.url, extra=SET_UP.get(dialect, {}))
        yield sandbox


def test_every_dialect_carries_a_clip_and_offers_what_the_docs_say(
    dialect: str, gateway: Sandbox, tmp_path: Path
) -> None:
    video_id = carry("any", tmp_path, ASKED_BY.get(dialect))
    assert gateway.counts()["creates"] == 3
    assert more(video_id) == OFFERS[dialect]


@pytest.mark.parametrize("model", ["sora-2", "veo-9"])
def test_every_dialect_takes_a_create_of_each_kind(model: str, gateway: Sandbox) -> None:
    video = WisdomGateHook().create_video(model, asked("render=0"), seconds="4", size="64x48")
    assert [one["id"] for one in gateway.videos()] == [video.id]


def test_a_failed_video_ends_the_wait_in_every_dialect(gateway: Sandbox) -> None:
    video_id = WisdomGateHook().create_video("any", asked("fail=internal_error"), seconds="1", size="64x48").id
    sensor = WisdomGateVideoSensor(task_id="wait", video_id=video_id, mode="poke", timeout=60.0, poke_interval=0.01)
    with pytest.raises(errors.VideoFailedForGoodError):
        sensor.execute(context())
    assert gateway.polls_of(video_id) == 1


def test_content_that_is_not_there_yet_is_waited_for_in_every_dialect(
    dialect: str, gateway: Sandbox, tmp_path: Path
) -> None:
    hook = WisdomGateHook()
    length = ASKED_BY.get(dialect, {}).get("fields", {"seconds": 1})
    video = hook.create_video("any", asked("late=0.01"), size="64x48", **length)
    assert hook.download_video(video.id, str(tmp_path / "late.mp4")).duration == 1.0


def test_a_lost_create_is_found_where_the_gateway_lists_prompts(dialect: str, gateway: Sandbox, tmp_path: Path) -> None:
    next_try = lose_a_create(asked("create=lost"), tmp_path)
    if dialect in LISTS_PROMPTS:
        assert_is_a_clip(next_try())
    else:
        with pytest.raises(errors.WisdomGateError):
            next_try()
    assert gateway.counts()["create_requests"] == 1


def test_an_encoding_that_a_gateway_does_not_take_makes_nothing_and_is_named(connect: Connect, quick: None) -> None:
    for dialect, model in (("vllm-omni", "any"), ("bifrost", "sora-2")):
        with Sandbox(dialect=dialect) as sandbox:
            connect(host=sandbox.url)
            with pytest.raises(errors.BadRequestError, match="this gateway reads"):
                WisdomGateHook().create_video(model, "a cat", seconds="4", size="64x48")
            assert sandbox.videos() == []


def test_a_call_that_a_gateway_does_not_offer_says_where_to_look(connect: Connect, quick: None) -> None:
    for dialect in ("litellm", "new-api", "aisix"):
        with Sandbox(dialect=dialect, render_seconds=0.0) as sandbox:
            connect(host=sandbox.url, extra=SET_UP.get(dialect, {}))
            hook = WisdomGateHook()
            video = hook.create_video("any", "a cat", seconds="1", size="64x48")
            with pytest.raises(errors.WisdomGateError, match=r"docs/gateways\.md"):
                hook.delete_video(video.id)


def test_help_names_every_dialect_and_another_is_refused() -> None:
    (text,) = (action.help or "" for action in parser()._actions if action.dest == "dialect")
    assert [name for name in DIALECTS if name not in text] == []
    with pytest.raises(ValueError, match="unknown dialect 'klingon'; known: wisdomgate openai"):
        Sandbox(dialect="klingon")
