"""A remix is as durable as a create: it is paid for once, whatever happens to its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support import LocalPlace, asked, fire, made, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateRemixVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Remix = Callable[..., WisdomGateRemixVideoOperator]


@pytest.fixture
def source(hook: WisdomGateHook, sandbox: Sandbox) -> str:
    """A finished video."""
    return made(hook, "render=0")


@pytest.fixture
def remix(source: str, local: LocalPlace) -> Remix:
    def make(directives: str = "render=0", text: str = "at night", **arguments: Any) -> WisdomGateRemixVideoOperator:
        given = {
            "prompt": asked(directives, text),
            "destination": local.uri("night.mp4"),
            "video_id": source,
            "poll_interval": 0.01,
            **arguments,
        }
        return WisdomGateRemixVideoOperator(task_id="remix", **given)

    return make


def paid(sandbox: Sandbox) -> int:
    return sandbox.counts()["remixes"]


def test_a_remix_is_made_waited_for_and_stored_and_a_run_again_asks_nothing(
    remix: Remix, source: str, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    stored = remix().execute(context())
    assert (local.read("night.mp4"), paid(sandbox)) == (whole("at night"), 1)
    assert (stored["phase"], stored["request"]["remixed_from_video_id"]) == ("stored", source)
    requests = len(sandbox.requests())
    assert (remix().execute(context(run_id="next")), len(sandbox.requests())) == (stored, requests)


def test_a_deferred_remix_goes_on_in_a_new_object(
    remix: Remix, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        remix("render=0.05", deferrable=True).execute(context())
    resume(remix("render=0.05", deferrable=True), deferral.value, fire(deferral.value), context())
    assert (local.read("night.mp4"), paid(sandbox)) == (whole("at night"), 1)


def test_a_lost_remix_is_not_sent_again_by_itself(remix: Remix, sandbox: Sandbox, context: Any) -> None:
    for run in ("first", "next"):
        with pytest.raises(errors.LostCreateError):
            remix("render=0 create=lost").execute(context(run_id=run))
    assert (paid(sandbox), sandbox.counts()["remix_requests"]) == (1, 1)


@pytest.mark.parametrize("change", [{"text": "in the rain"}, {"video_id": "video_other"}], ids=["prompt", "source"])
def test_a_remix_belongs_to_its_source_and_its_prompt(
    change: dict[str, str], remix: Remix, sandbox: Sandbox, context: Any
) -> None:
    remix().execute(context())
    with pytest.raises(errors.DestinationTakenError):
        remix(**change).execute(context(run_id="next"))
    assert paid(sandbox) == 1


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"video_id": ""}, "video_id"),
        ({"prompt": ""}, "prompt"),
        ({"on_lost_create": "find"}, "on_lost_create"),
        ({"min_balance": -1}, "min_balance"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_sent(
    wrong: dict[str, Any], name: str, remix: Remix, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    requests = len(sandbox.requests())
    with pytest.raises(errors.ConfigurationError, match=name):
        remix(**wrong).execute(context())
    assert (len(sandbox.requests()), local.names()) == (requests, [])
