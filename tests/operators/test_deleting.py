"""What ``delete_on_kill`` does where the gateway cannot delete, or cannot say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support import LocalPlace, made, put_manifest, started, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

Generate = Callable[..., WisdomGateGenerateVideoOperator]


def test_a_killed_task_whose_video_cannot_be_deleted_goes_on_and_a_run_again_takes_it_up(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate("render=0.4", delete_on_kill=True)
    worker, ends = started(operator, context())
    while not sandbox.counts()["polls"]:
        worker.join(0.01)
    sandbox.burst(500, 60, method="DELETE")
    operator.on_kill()
    worker.join()
    assert [type(end) for end in ends] == [errors.StoppedError]
    generate("render=0.4", delete_on_kill=True).execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def test_a_killed_deferred_task_whose_video_cannot_be_deleted_ends_without_an_error(
    hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    trigger = WisdomGateVideoTrigger(made(hook, "never"), delete_on_kill=True)
    sandbox.burst(405, 60, method="DELETE")
    asyncio.run(trigger.on_kill())
    assert (len(sandbox.videos()), sandbox.requests()[-1]["method"]) == (1, "DELETE")


def test_a_gateway_that_does_not_answer_has_not_said_that_the_video_was_deleted(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """Else a retry would pay for it again."""
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=0.3", delete_on_kill=True, timeout=0.05).execute(context())
    found = Destination(local.uri("cat.mp4")).read()
    assert found is not None
    put_manifest(replace(found, created_at=(found.created_at or 0.0) - 3600))
    sandbox.burst(403, 60, method="GET")
    with pytest.raises(errors.WisdomGateError):
        generate("render=0.3", delete_on_kill=True).execute(context())
    sandbox.burst(403, 0, method="GET")
    generate("render=0.3", delete_on_kill=True).execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)
