"""Killed tasks: their video goes on for the next try, or is deleted where ``delete_on_kill`` says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from steps import Generate, deferred, killed_at_the_first_poll, manifest_at, manifest_of, money
from support import LocalPlace, put_manifest, started, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.sandbox import Sandbox


def test_a_killed_wait_leaves_its_video_to_the_next_try(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate("render=0.4")
    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(operator, sandbox):
        operator.execute(context())
    assert manifest_of(local)["phase"] == "created"
    generate("render=0.4").execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (1, 1))


def test_a_task_that_is_killed_while_it_waits_to_create_says_that_nothing_was_made(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate("render=0 create=429-day")
    operator.hook.client.retry_policy = RetryPolicy(attempts=2, longest_wait=3600.0)
    worker, ends = started(operator, context())
    while not sandbox.counts()["create_requests"]:
        worker.join(0.01)
        assert worker.is_alive()
    operator.on_kill()
    worker.join()
    assert ([type(end) for end in ends], local.names()) == ([errors.StoppedError], [])
    generate().execute(context())
    assert sandbox.counts()["creates"] == 1


def test_a_video_that_the_gateway_does_not_know_yet_is_not_paid_for_again_because_kills_delete(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, impatient: None
) -> None:
    """Nobody was killed: a gateway may deny a video that it was asked for a moment ago."""
    for _ in range(2):
        with pytest.raises(errors.VideoNotFoundError, match="is paid for and recorded"):
            generate("render=0 poll=404", delete_on_kill=True).execute(context())
    assert (manifest_of(local)["phase"], money(sandbox)) == ("created", (1, 1))


def test_a_killed_task_that_is_told_to_deletes_its_video_and_a_run_again_makes_another(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Any
) -> None:
    operator = generate("render=0.4", delete_on_kill=True)
    context: Any = {"ti": record("failed")}
    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(operator, sandbox):
        operator.execute(context)
    assert (sandbox.videos(), manifest_of(local)["phase"]) == ([], "failed")
    generate("render=0.4", delete_on_kill=True).execute(context)
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (2, 2))


def test_a_killed_task_whose_video_cannot_be_deleted_goes_on_and_a_run_again_takes_it_up(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Any
) -> None:
    operator = generate("render=0.4", delete_on_kill=True)
    context: Any = {"ti": record("failed")}
    sandbox.burst(500, 60, method="DELETE")
    with pytest.raises(errors.StoppedError), killed_at_the_first_poll(operator, sandbox):
        operator.execute(context)
    assert sandbox.requests()[-1]["method"] == "DELETE"
    generate("render=0.4", delete_on_kill=True).execute(context)
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def test_a_killed_deferred_task_whose_video_cannot_be_deleted_ends_without_an_error(
    generate: Generate, sandbox: Sandbox, record: Any
) -> None:
    ti = record("failed")
    trigger = deferred(generate("never", delete_on_kill=True, deferrable=True), {"ti": ti}).trigger
    trigger.task_instance = ti
    sandbox.burst(405, 60, method="DELETE")
    asyncio.run(trigger.on_kill())
    assert (len(sandbox.videos()), sandbox.requests()[-1]["method"]) == (1, "DELETE")


def test_a_gateway_that_does_not_answer_has_not_said_that_the_video_was_deleted(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """Else a retry would pay for it again."""
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=0.3", delete_on_kill=True, timeout=0.05).execute(context())
    found = manifest_at(local)
    put_manifest(replace(found, created_at=(found.created_at or 0.0) - 3600))
    sandbox.burst(403, 60, method="GET")
    with pytest.raises(errors.WisdomGateError):
        generate("render=0.3", delete_on_kill=True).execute(context())
    sandbox.burst(403, 0, method="GET")
    generate("render=0.3", delete_on_kill=True).execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)
