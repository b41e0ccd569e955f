"""One table of fates, three modes of waiting for them: poke, reschedule and deferrable end alike."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from support import AirflowRescheduleException, StateStore, asked, fire, import_string, made, resume

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor
from airflow_provider_wisdomgate.triggers import BACKSTOP, WisdomGateVideoTrigger

Context = Callable[..., dict[str, Any]]
MODES = ("poke", "reschedule", "deferrable")
LONG, BRIEF = 60.0, 0.1


@dataclass(frozen=True)
class Fate:
    """What a video comes to.

    :param end: the status of the video that the sensor returns, or the error it raises.
    :param rescheduled: what is different in reschedule mode, where nothing counts the failed_polls in a row.
    """

    directives: str
    end: str | type[BaseException]
    timeout: float = LONG
    rescheduled: type[BaseException] | None = None


FATES = {
    "ready at once": Fate("render=0", "completed"),
    "ready later": Fate("render=0.1", "completed"),
    "ready in another word": Fate("render=0 done=SUCCESS", "SUCCESS"),
    "ready after a word nobody knows": Fate("render=0.1 status=dreaming", "completed"),
    "ready after a burst of faults": Fate("render=0 poll=500x1+502-htmlx1+503x1+dropx1", "completed"),
    "ready after being told to slow down": Fate("render=0 poll=429x2+429-emptyx1", "completed"),
    "ready after not being known yet": Fate("render=0 poll=404x2", "completed"),
    "failed": Fate("render=0 fail=internal_error", errors.VideoFailedForGoodError),
    "moderated": Fate("render=0 fail=moderation_blocked", errors.ModerationError),
    "expired": Fate("render=0 done=expired", errors.VideoExpiredError),
    "bad key": Fate("poll=401", errors.AuthenticationError),
    "bad request": Fate("poll=422", errors.BadRequestError),
    "never known": Fate("poll=404", errors.VideoNotFoundError, rescheduled=AirflowSensorTimeout),
    "a gateway that stays broken": Fate("poll=500", errors.GatewayFaultError, rescheduled=AirflowSensorTimeout),
    "never": Fate("never", AirflowSensorTimeout, timeout=BRIEF),
}


def end_of(mode: str, context: dict[str, Any], video_id: str, timeout: float = LONG, **kwargs: Any) -> Any:
    """Run a sensor in a mode until it ends, in a new object whenever Airflow would use one."""

    def sensor() -> WisdomGateVideoSensor:
        return WisdomGateVideoSensor(
            task_id="wait",
            video_id=video_id,
            poke_interval=0.004,
            timeout=timeout,
            mode="reschedule" if mode == "reschedule" else "poke",
            deferrable=mode == "deferrable",
            **kwargs,
        )

    if mode == "reschedule":
        context["ti"].first_reschedule_date = datetime.now(UTC)
    while True:
        try:
            return sensor().execute(context)
        except AirflowRescheduleException:
            continue
        except TaskDeferred as deferred:
            return resume(sensor(), deferred, fire(deferred), context)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fate", FATES)
def test_each_fate_ends_alike_in_every_mode(fate: str, mode: str, hook: WisdomGateHook, context: Context) -> None:
    told = FATES[fate]
    video_id = hook.create_video("any", asked(told.directives), seconds="1", size="64x48").id
    end, timeout = told.end, told.timeout
    if mode == "reschedule" and told.rescheduled:
        end, timeout = told.rescheduled, BRIEF
    if isinstance(end, str):
        video = end_of(mode, context(), video_id, timeout)
        assert video == json.loads(json.dumps(video))
        assert (video["id"], video["status"], video["progress"], video["model"]) == (video_id, end, 100, "any")
        assert "prompt" not in video
    else:
        with pytest.raises(AirflowException) as caught:
            end_of(mode, context(), video_id, timeout)
        assert type(caught.value) is end


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("fate", ["failed", "moderated", "expired", "bad key", "never", "never known"])
def test_a_sensor_that_may_not_fail_skips_in_every_mode(
    fate: str, flag: str, mode: str, hook: WisdomGateHook, context: Context
) -> None:
    told = FATES[fate]
    video_id = hook.create_video("any", asked(told.directives), seconds="1", size="64x48").id
    timeout = BRIEF if mode == "reschedule" and told.rescheduled else told.timeout
    with pytest.raises(AirflowSkipException):
        end_of(mode, context(), video_id, timeout, **{flag: True})


@pytest.mark.parametrize("mode", MODES)
def test_a_poll_that_fails_sleeps_too(mode: str, hook: WisdomGateHook, sandbox: Sandbox, context: Context) -> None:
    video_id = made(hook, "poll=500")
    rescheduled = mode == "reschedule"
    with pytest.raises(AirflowException):
        end_of(mode, context(), video_id, BRIEF if rescheduled else LONG)
    # Airflow waits between the polls of a rescheduled task, and this test does not.
    assert rescheduled or sandbox.polls_of(video_id) in (10, 11)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("video_id", ["", "  ", None, True])
def test_a_video_id_that_is_none_is_named_before_any_request(
    video_id: Any, mode: str, connection: dict[str, Any], sandbox: Sandbox, context: Context
) -> None:
    with pytest.raises(errors.ConfigurationError, match="video_id must be a non-empty string"):
        end_of(mode, context(), video_id)
    assert sandbox.requests() == []


@pytest.mark.parametrize("wrong", [{"timeout": 1e12}, {"timeout": 0}, {"poke_interval": 0}, {"poke_interval": 1e12}])
def test_a_time_that_no_trigger_can_wait_is_named_before_any_request(
    wrong: dict[str, Any], hook: WisdomGateHook, sandbox: Sandbox, context: Context
) -> None:
    sensor = WisdomGateVideoSensor(task_id="wait", video_id="video_1", deferrable=True, **wrong)
    with pytest.raises(errors.ConfigurationError, match=f"{next(iter(wrong))} must be a number of seconds above 0"):
        sensor.execute(context())
    assert sandbox.requests() == []


def test_a_missing_connection_ends_a_deferred_wait_after_some_failed_polls_and_is_named(
    hook: WisdomGateHook, context: Context
) -> None:
    sensor = WisdomGateVideoSensor(task_id="wait", video_id="video_1", deferrable=True)
    lost = WisdomGateVideoTrigger("video_1", "no_such_connection", 0.002, time.time() + 600)
    with pytest.raises(errors.ConnectionBrokenError, match="no_such_connection"):
        resume(sensor, TaskDeferred(trigger=lost, method_name="execute_complete"), fire_trigger(lost), context())


def fire_trigger(trigger: WisdomGateVideoTrigger) -> Any:
    return fire(TaskDeferred(trigger=trigger, method_name="execute_complete"))


# The trigger and what crosses the database


def test_a_deferral_carries_ids_and_numbers_only(hook: WisdomGateHook, sandbox: Sandbox, context: Context) -> None:
    video_id = hook.create_video("any", asked("never", "a secret cat"), seconds="1", size="64x48").id
    before = datetime.now(UTC).timestamp()
    sensor = WisdomGateVideoSensor(task_id="wait", video_id=video_id, deferrable=True, timeout=600, poke_interval=7)
    with pytest.raises(TaskDeferred) as deferral:
        sensor.execute(context())
    name, arguments = deferral.value.trigger.serialize()
    assert name == "airflow_provider_wisdomgate.triggers.WisdomGateVideoTrigger"
    assert json.loads(json.dumps(arguments)) == arguments
    assert 0 <= arguments.pop("deadline") - before - 600 < 60
    assert arguments == {
        "video_id": video_id,
        "wisdomgate_conn_id": "wisdomgate_default",
        "poll_interval": 7,
        "delete_on_kill": False,
        "claim": {"base_url": f"{sandbox.url}/v1"},
        "not_before": None,
    }
    assert deferral.value.timeout == timedelta(seconds=600) + BACKSTOP
    assert json.loads(json.dumps(dict(deferral.value.kwargs or {}))) == {}


def test_a_trigger_is_made_again_from_what_it_serialises_to() -> None:
    trigger = WisdomGateVideoTrigger("video_1", "another", 7.5, 1e9, True, {"claim_id": "mine"}, 5e8)
    name, arguments = trigger.serialize()
    again = import_string(name)(**json.loads(json.dumps(arguments)))
    assert (type(again), again.serialize()) == (WisdomGateVideoTrigger, trigger.serialize())


def test_a_trigger_row_that_version_0_1_0_wrote_still_runs_and_its_task_resumes(
    hook: WisdomGateHook, context: Context
) -> None:
    """Word for word what stands in a database whose Airflow was upgraded while a task was deferred."""
    row = {
        "classpath": "airflow_provider_wisdomgate.triggers.WisdomGateVideoTrigger",
        "kwargs": {
            "video_id": made(hook),
            "wisdomgate_conn_id": "wisdomgate_default",
            "poll_interval": 0.05,
            "deadline": datetime.now(UTC).timestamp() + 60,
            "delete_on_kill": False,
        },
    }
    trigger = import_string(row["classpath"])(**row["kwargs"])
    deferred = TaskDeferred(trigger=trigger, method_name="execute_complete")
    event = fire(deferred)
    assert (event["version"], event["outcome"]) == (1, "ready")
    operator = WisdomGateVideoSensor(task_id="wait", video_id=row["kwargs"]["video_id"], deferrable=True)
    assert resume(operator, deferred, event, context())["id"] == row["kwargs"]["video_id"]


@pytest.mark.parametrize("fate", ["ready at once", "failed", "moderated", "expired", "bad key", "never"])
def test_an_event_is_plain_json_and_tells_neither_prompt_nor_key(
    fate: str, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    directives = FATES[fate].directives
    video = hook.create_video("any", asked(directives, "a secret cat"), seconds="1", size="64x48")
    deadline = datetime.now(UTC).timestamp() + (BRIEF if fate == "never" else LONG)
    event = fire_trigger(WisdomGateVideoTrigger(video.id, "wisdomgate_default", 0.01, deadline))
    outcomes = {"ready at once": "ready", "moderated": "failed", "bad key": "refused", "never": "timed_out"}
    assert (set(event), event["claim"]) == ({"version", "video_id", "claim", "outcome", "video", "error"}, None)
    assert (event["version"], event["video_id"], event["outcome"]) == (1, video.id, outcomes.get(fate, fate))
    assert "secret" not in json.dumps(event)
    assert sandbox.api_key not in json.dumps(event)


def test_a_finished_video_beats_a_deadline_that_has_passed(hook: WisdomGateHook) -> None:
    event = fire_trigger(WisdomGateVideoTrigger(made(hook), "wisdomgate_default", 0.01, 1.0))
    assert event["outcome"] == "ready"


@pytest.mark.parametrize("event", [None, {}, {"version": 99}, "ready", {"version": 1, "outcome": "ready"}])
def test_an_event_that_is_none_of_ours_is_an_error_and_no_success(event: Any, context: Context) -> None:
    sensor = WisdomGateVideoSensor(task_id="wait", video_id="video_1", deferrable=True)
    with pytest.raises(errors.WisdomGateError):
        sensor.execute_complete(context(), event)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
def test_airflows_own_end_of_a_deferral_is_the_sensors_timeout(
    flags: dict[str, bool], error: type[Exception], context: Context
) -> None:
    sensor = WisdomGateVideoSensor(task_id="wait", video_id="video_1", timeout=70, deferrable=True, **flags)
    with pytest.raises(error, match=r"clear the task to go on waiting. To wait longer, raise timeout \(70 s\)."):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, context())


@pytest.mark.parametrize("fate", ["never known", "a gateway that stays broken"])
def test_reschedule_mode_counts_failed_polls_where_airflow_keeps_them(
    fate: str, hook: WisdomGateHook, context: Context
) -> None:
    told = FATES[fate]
    video_id = hook.create_video("any", asked(told.directives), seconds="1", size="64x48").id
    memory = StateStore()
    with pytest.raises(AirflowException) as caught:
        end_of("reschedule", context() | {"task_state_store": memory}, video_id, told.timeout)
    assert (type(caught.value), dict(memory)) == (told.end, {})


def test_reschedule_mode_keeps_to_the_pause_that_the_gateway_asked_for(
    hook: WisdomGateHook, sandbox: Sandbox, context: Context
) -> None:
    video_id = hook.create_video("any", asked("never"), seconds="1", size="64x48").id
    sandbox.burst(429, 60, retry_after=30)
    memory, polls = StateStore(), list[int]()
    for _ in range(3):
        sensor = WisdomGateVideoSensor(task_id="wait", video_id=video_id, mode="reschedule", poke_interval=0.01)
        assert sensor.poke(context() | {"task_state_store": memory}) is False
        polls.append(sandbox.counts()["burst_replies"])
    assert polls == [1, 1, 1]


def test_a_good_poll_forgives_the_failed_ones_in_reschedule_mode_too(
    hook: WisdomGateHook, sandbox: Sandbox, context: Context
) -> None:
    memory, kept = StateStore(), list[int]()
    video_id = made(hook, "never poll=500x2")
    for _ in range(3):
        sensor = WisdomGateVideoSensor(task_id="wait", video_id=video_id, mode="reschedule", poke_interval=0.01)
        assert sensor.poke(context() | {"task_state_store": memory}) is False
        kept.append(sum(words["failed_polls"] for words in memory.values()))
    assert kept == [1, 2, 0]


def test_a_trigger_that_breaks_tells_its_task_why(context: Context) -> None:
    trigger = WisdomGateVideoTrigger("video_1", poll_interval="often")  # type: ignore[arg-type]
    sensor = WisdomGateVideoSensor(task_id="wait", video_id="video_1", deferrable=True)
    with pytest.raises(errors.WisdomGateError, match="The trigger failed: TypeError"):
        sensor.execute_complete(context(), fire_trigger(trigger))
