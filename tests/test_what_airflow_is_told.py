"""Asset events, lineage, the retry policy, the decorator, and being killed."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias
from steps import deferred, killed_at_the_first_poll
from support import SMALL, LocalPlace, alias_events, asked, fire, made, outlet_events, resume

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.decorators import wisdomgate_video_task
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Context = Callable[..., dict[str, Any]]


def generate(prompt: str = "a cat", **arguments: Any) -> WisdomGateGenerateVideoOperator:
    defaults = {"task_id": "generate", "poll_interval": 0.02, "destination": "cat.mp4", **SMALL}
    return WisdomGateGenerateVideoOperator(**{**defaults, "prompt": prompt, **arguments})


def facts_of(clip: dict[str, Any]) -> dict[str, Any]:
    names = ("uri", "video_id", "size", "sha256", "content_type", "duration", "width", "height")
    return {name: clip[name] for name in names}


def test_an_outlet_asset_gets_the_clips_facts(hook: WisdomGateHook, context: Context) -> None:
    asset, alias = Asset("s3://bucket/cat"), AssetAlias("cats")
    task = generate(outlets=[asset, alias])
    events = outlet_events()

    clip = task.execute({**context(), "outlet_events": events})

    assert events[asset].extra == facts_of(clip)
    assert alias_events(events[alias]) == [(clip["uri"], facts_of(clip))]


def test_an_assets_uri_has_no_connection_in_it(hook: WisdomGateHook, s3: Any, context: Context) -> None:
    asset = Asset("cats")
    events = outlet_events()
    video_id = made(hook, "render=0")
    task = WisdomGateDownloadVideoOperator(
        task_id="download", video_id=video_id, destination=s3.uri("cat.mp4"), outlets=[asset]
    )

    task.execute({**context(), "outlet_events": events})

    assert events[asset].extra["uri"] == f"s3://{s3.bucket}/cat.mp4"


def test_openlineage_is_told_the_clip_as_an_output(hook: WisdomGateHook, context: Context) -> None:
    task = generate()

    clip = task.execute(context())

    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, f"file://{output.name}") == ("file", clip["uri"])
    assert output.outputFacets["outputStatistics"].size == clip["size"]


def test_openlineage_is_told_all_of_an_objects_key(hook: WisdomGateHook, s3: Any, context: Context) -> None:
    task = generate(destination=s3.uri("a #1 cat?.mp4"))
    task.execute(context())
    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == (f"s3://{s3.bucket}", "a #1 cat?.mp4")


@pytest.mark.needs("retry policy")
@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (errors.RateLimitedError("m", retry_after=30.0), timedelta(seconds=30)),
        (errors.GatewayFaultError("m", retry_after=99999.0), timedelta(hours=1)),
        (errors.RateLimitedError("m"), None),
        (errors.StoppedError("m", retry_after=5.0), None),
        (ValueError("m"), None),
    ],
    ids=["asked to wait", "asked to wait for a day", "not asked", "stopped", "not ours"],
)
def test_a_retry_waits_as_long_as_the_gateway_asked_for(error: Exception, decision: timedelta | None) -> None:
    from airflow.sdk.definitions.retry_policy import RetryAction, RetryDecision

    from airflow_provider_wisdomgate.retries import WisdomGateRetryPolicy

    policy = WisdomGateRetryPolicy.deserialize(json.loads(json.dumps(WisdomGateRetryPolicy().serialize())))

    decided = policy.evaluate(error, 1, 3)

    if decision is None:
        assert decided == RetryDecision.default()
    else:
        assert (decided.action, decided.retry_delay) == (RetryAction.RETRY, decision)


def decorated(answer: Any, **arguments: Any) -> WisdomGateGenerateVideoOperator:
    def describe() -> Any:
        return answer

    with DAG("decorated", schedule=None):
        defaults = {"poll_interval": 0.02, "destination": "cat.mp4"}
        return wisdomgate_video_task(**{**defaults, **arguments})(describe)().operator


def test_a_decorated_function_returns_the_prompt(hook: WisdomGateHook, sandbox: Sandbox, context: Context) -> None:
    clip = decorated("a dog", **SMALL).execute(context())

    assert [video["prompt"] for video in sandbox.videos()] == ["a dog"]
    assert clip["request"]["prompt"] == "a dog"


def test_a_decorated_function_returns_arguments_and_fields(
    hook: WisdomGateHook, sandbox: Sandbox, context: Context
) -> None:
    answer = {**SMALL, "prompt": "a fish", "mood": "calm"}

    clip = decorated(answer, deferrable=True)
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as deferred:
        clip.execute(context())
    stored = resume(clip, deferred.value, fire(deferred.value), context())

    assert stored["request"]["fields"] == {"mood": "calm", "seconds": "1", "size": "64x48"}
    assert sandbox.counts()["creates"] == 1


@pytest.mark.parametrize("answer", [None, 5, {}, {"seconds": 4}, ["a cat"]], ids=repr)
def test_a_decorated_function_that_returns_no_prompt_is_named(
    answer: Any, hook: WisdomGateHook, sandbox: Sandbox, context: Context
) -> None:
    with pytest.raises(errors.ConfigurationError, match="describe"):
        decorated(answer, **SMALL).execute(context())
    assert sandbox.counts()["create_requests"] == 0


def test_a_killed_task_leaves_its_video_and_a_rerun_goes_on_with_it(
    hook: WisdomGateHook, sandbox: Sandbox, context: Context, local: LocalPlace
) -> None:
    task = generate(asked("render=0.2"))

    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(task, sandbox):
        task.execute(context())
    clip = generate(asked("render=0.2")).execute(context())

    assert (sandbox.counts()["creates"], sandbox.counts()["deletes"]) == (1, 0)
    assert clip["phase"] == "stored"


def test_a_task_killed_with_delete_on_kill_deletes_its_video_and_a_rerun_makes_another(
    hook: WisdomGateHook, sandbox: Sandbox, record: Callable[..., Any]
) -> None:
    task = generate(asked("never"), delete_on_kill=True)
    context: Any = {"ti": record("failed")}

    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(task, sandbox):
        task.execute(context)

    assert (sandbox.counts()["creates"], sandbox.counts()["deletes"]) == (1, 1)
    with pytest.raises(errors.WisdomGateError):
        generate(asked("never"), delete_on_kill=True, timeout=0.05).execute(context)
    assert sandbox.counts()["creates"] == 2


@pytest.mark.parametrize(("delete_on_kill", "deletes"), [(False, 0), (True, 1)])
def test_a_killed_deferred_task_deletes_its_video_only_if_told(
    delete_on_kill: bool, deletes: int, hook: WisdomGateHook, sandbox: Sandbox, record: Callable[..., Any]
) -> None:
    ti = record("failed")
    task = generate(asked("never"), delete_on_kill=delete_on_kill, deferrable=True)
    trigger = deferred(task, {"ti": ti}).trigger
    trigger.task_instance = ti

    asyncio.run(trigger.on_kill())
    asyncio.run(trigger.cleanup())

    assert sandbox.counts()["deletes"] == deletes


def test_a_video_deleted_while_its_task_was_deferred_is_made_anew_by_the_next_run(
    hook: WisdomGateHook, sandbox: Sandbox, record: Callable[..., Any]
) -> None:
    def task() -> WisdomGateGenerateVideoOperator:
        return generate(asked("render=30"), delete_on_kill=True, deferrable=True)

    ti = record("success")
    trigger = deferred(task(), {"ti": ti}).trigger
    trigger.task_instance = ti
    asyncio.run(trigger.on_kill())
    deferred(task(), {"ti": ti})

    assert (sandbox.counts()["creates"], sandbox.counts()["deletes"]) == (2, 1)


def test_errors_cross_a_process_boundary() -> None:
    error = errors.RateLimitedError("slow down", retry_after=2.0, video_id="v")

    assert str(pickle.loads(pickle.dumps(error))) == str(error)
