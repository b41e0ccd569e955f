"""A kill deletes only what this task's claim paid for, only if a person killed it, and never a clip's last copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from odd_gateway import NOT_FOUND, VIDEO_ID, odd_gateway, sent, video
from steps import Generate, deferred, killed_at_the_first_poll, manifest_of, money
from support import LocalPlace, fire, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Record = Callable[..., Any]
# What Airflow records of a task that nobody ended.
NOT_BY_PERSON = ("deferred", "scheduled", "queued", "running", "up_for_retry", "skipped", "removed", None)


def killed(deferral: Any, ti: Any) -> None:
    """Cancel a deferral's trigger as a triggerer does, with the words of a user's action."""
    deferral.trigger.task_instance = ti
    asyncio.run(deferral.trigger.on_kill())


# ---- D1


@pytest.mark.parametrize("deferrable", [False, True])
def test_one_404_is_no_deletion_though_kills_delete(
    deferrable: bool, generate: Generate, local: LocalPlace, connect: Any, context: Any, later: Callable[[float], None]
) -> None:
    with odd_gateway(connect, poll=(NOT_FOUND, video())) as gateway:
        deferral = deferred(generate(deferrable=True, delete_on_kill=True, timeout=7200.0), context())
        later(3600.0)
        if deferrable:
            event = fire(deferral)
            resume(generate(deferrable=True, delete_on_kill=True), deferral, event, context())
        else:
            generate(delete_on_kill=True).execute(context())
        assert (local.read("cat.mp4"), sent(gateway)) == (whole(), 1)


def test_404s_without_a_recorded_kill_never_pay_again(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, later: Any, impatient: None
) -> None:
    with odd_gateway(connect, poll=(NOT_FOUND,)) as gateway:
        deferred(generate(deferrable=True, delete_on_kill=True), context())
        later(3600.0)
        for run in ({}, {"max_tries": 1}, {"run_id": "next"}):
            with pytest.raises(errors.VideoNotFoundError, match="is paid for"):
                generate(delete_on_kill=True).execute(context(**run))
        assert (sent(gateway), manifest_of(local)["phase"]) == (1, "created")


def test_after_a_recorded_kill_whose_deletion_is_unknown_404s_let_the_next_run_pay(
    generate: Generate, local: LocalPlace, connect: Any, record: Record, impatient: None
) -> None:
    """The answer to DELETE was lost, and the video is gone."""
    ti = record("failed")
    creates = (video("queued"), video("queued", "video_2"))

    def poll(request: Any) -> bytes:
        return video(video_id="video_2") if request.path.endswith("video_2") else NOT_FOUND

    with odd_gateway(connect, create=creates, poll=(poll,), delete=(b"",)) as gateway:
        killed(deferred(generate(deferrable=True, delete_on_kill=True), {"ti": ti}), ti)
        assert (manifest_of(local)["phase"], manifest_of(local)["killed_at"] is None) == ("created", False)
        stored = generate(delete_on_kill=True).execute({"ti": ti})
        assert (stored["video_id"], sent(gateway)) == ("video_2", 2)


# ---- D2


@pytest.mark.parametrize("state", NOT_BY_PERSON)
def test_a_trigger_that_is_taken_over_deletes_nothing(
    state: str | None, generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Record
) -> None:
    ti = record(state)
    deferral = deferred(generate("render=0", delete_on_kill=True, deferrable=True), {"ti": ti})
    before = manifest_of(local)
    killed(deferral, ti)
    assert (manifest_of(local), sandbox.counts()["deletes"]) == (before, 0)
    resume(generate(deferrable=True), deferral, fire(deferral), {"ti": ti})  # the other triggerer's event
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (1, 1))


@pytest.mark.parametrize("state", ["failed", "success", "restarting"])
def test_a_person_who_ends_a_deferred_task_deletes_its_video(
    state: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Record
) -> None:
    ti = record(state)
    killed(deferred(generate("never", delete_on_kill=True, deferrable=True), {"ti": ti}), ti)
    assert (sandbox.videos(), manifest_of(local)["phase"]) == ([], "failed")


def test_a_trigger_whose_airflow_does_not_answer_deletes_nothing(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    facts = context()
    killed(deferred(generate("never", delete_on_kill=True, deferrable=True), facts), facts["ti"])
    assert (manifest_of(local)["phase"], sandbox.counts()["deletes"]) == ("created", 0)


@pytest.mark.parametrize("state", NOT_BY_PERSON)
def test_a_running_task_that_no_person_ended_keeps_its_video(
    state: str | None, generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Record
) -> None:
    """A pod that is moved away gets SIGTERM, too."""
    operator, ti = generate("render=0.4", delete_on_kill=True), record(state)
    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(operator, sandbox):
        operator.execute({"ti": ti})
    assert (manifest_of(local)["phase"], sandbox.counts()["deletes"]) == ("created", 0)


# ---- D3


def test_a_kill_does_not_delete_a_video_that_another_run_paid_for(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, record: Record
) -> None:
    def task() -> WisdomGateGenerateVideoOperator:
        return generate("render=0.3", delete_on_kill=True, deferrable=True)

    payer, ti = context(run_id="payer"), record("failed")
    pays = deferred(task(), payer)
    joins = deferred(task(), {"ti": ti})
    killed(joins, ti)
    operator = generate("render=0.3", delete_on_kill=True)
    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(operator, sandbox):
        operator.execute({"ti": ti})
    assert (manifest_of(local)["phase"], sandbox.counts()["deletes"]) == ("created", 0)
    resume(task(), pays, fire(pays), payer)
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (1, 1))


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_kill_does_not_delete_the_last_copy_of_a_stored_clip(
    deferrable: bool, generate: Generate, local: LocalPlace, connect: Any, record: Record
) -> None:
    """Somebody moved the clip away, and the task was cleared: its video is what is left."""
    ti = record("failed")
    with odd_gateway(connect, poll=(video(), video("processing"))) as gateway:
        stored = generate(delete_on_kill=True).execute({"ti": ti})
        local.delete("cat.mp4")
        operator = generate(delete_on_kill=True, deferrable=deferrable)
        if deferrable:
            killed(deferred(operator, {"ti": ti}), ti)
        else:
            operator.on_kill()
            with pytest.raises(errors.StoppedError):
                operator.execute({"ti": ti})
        assert (manifest_of(local), sent(gateway, "DELETE"), sent(gateway)) == (stored, 0, 1)


def test_a_kill_does_not_delete_the_video_of_a_claim_that_replaced_its_own(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, record: Record
) -> None:
    ti = record("failed")
    old = deferred(generate("never", delete_on_kill=True, deferrable=True), {"ti": ti})
    deferred(generate("never", "a dog", if_exists="replace", deferrable=True), context(task_id="other"))
    before = manifest_of(local)
    killed(old, ti)
    assert (manifest_of(local), sandbox.counts()["deletes"], len(sandbox.videos())) == (before, 0, 2)


def test_a_kill_sends_no_deletion_to_another_gateway(
    generate: Generate, local: LocalPlace, connect: Any, record: Record
) -> None:
    ti = record("failed")
    with odd_gateway(connect) as gateway, odd_gateway(connect) as other:
        connect(host=gateway.url)
        deferral = deferred(generate(delete_on_kill=True, deferrable=True), {"ti": ti})
        connect(host=other.url)
        killed(deferral, ti)
        assert (other.requests, sent(gateway, "DELETE"), manifest_of(local)["video_id"]) == ([], 0, VIDEO_ID)


def test_a_kill_of_a_trigger_without_a_claim_deletes_nothing(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Record
) -> None:
    """A row that an earlier version wrote names no claim."""
    ti = record("failed")
    deferral = deferred(generate("never", delete_on_kill=True, deferrable=True), {"ti": ti})
    deferral.trigger.claim = None
    killed(deferral, ti)
    assert (manifest_of(local)["phase"], sandbox.counts()["deletes"]) == ("created", 0)
