"""A task that goes on with what an earlier process began, and finds less than that left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support import LocalPlace, fire, made, put_manifest, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Generate = Callable[..., WisdomGateGenerateVideoOperator]


@pytest.mark.parametrize("event", [None, {}, {"status": "ready"}])
def test_an_event_that_names_no_video_and_no_manifest_either_say_where_the_id_is(
    event: Any, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        generate(deferrable=True).execute(context())
    local.delete("cat.mp4.json")
    with pytest.raises(errors.WisdomGateError, match=r"the trigger's event names no video.*The task's log has"):
        resume(generate(deferrable=True), deferral.value, event, context())
    assert (local.names(), sandbox.counts()["creates"]) == ([], 1)


def test_an_event_that_names_no_video_leaves_the_manifest_as_it_is(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        generate(deferrable=True).execute(context())
    fire(deferral.value)
    before = Destination(local.uri("cat.mp4")).read()
    with pytest.raises(errors.WisdomGateError):
        resume(generate(deferrable=True), deferral.value, {}, context())
    assert Destination(local.uri("cat.mp4")).read() == before
    generate().execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def test_a_download_that_fails_keeps_the_record_that_a_killed_one_left(
    hook: WisdomGateHook, local: LocalPlace, context: Any
) -> None:
    uri, video_id = local.uri("cat.mp4"), made(hook, "never")
    request = {"base_url": hook.settings.base_url}
    put_manifest(Manifest("created", "killed", uri, 1.0, video_id=video_id, request=request))
    before = Destination(uri).read()
    with pytest.raises(errors.VideoNotReadyError):
        WisdomGateDownloadVideoOperator(task_id="clip", video_id=video_id, destination=uri).execute(context())
    assert (Destination(uri).read(), before is not None) == (before, True)


@pytest.mark.parametrize("delete_on_kill", [False, True])
def test_a_deferred_task_whose_connection_leads_elsewhere_by_now_keeps_its_video(
    delete_on_kill: bool, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, connect: Any
) -> None:
    def make() -> WisdomGateGenerateVideoOperator:
        return generate(deferrable=True, delete_on_kill=delete_on_kill)

    uri = local.uri("cat.mp4")
    with pytest.raises(TaskDeferred) as deferral:
        make().execute(context())
    Destination(uri).update(lambda found: found and replace(found, created_at=1.0))  # known everywhere by now
    with Sandbox() as elsewhere:
        connect(host=elsewhere.url, password=elsewhere.api_key)
        event = fire(deferral.value)
        before = Destination(uri).read()
        with pytest.raises(errors.ConfigurationError, match=f"This video is at {sandbox.url}/v1, and .*is paid for"):
            resume(make(), deferral.value, event, context())
        with pytest.raises(errors.DestinationTakenError, match="base_url"):
            make().execute(context())
        assert (Destination(uri).read(), elsewhere.counts()["creates"]) == (before, 0)
    connect()
    generate().execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def test_a_task_takes_no_video_that_another_gateway_has_by_the_same_id(
    generate: Generate, local: LocalPlace, context: Any, connect: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        generate(deferrable=True).execute(context())
    event = fire(deferral.value)
    with Sandbox() as elsewhere:
        connect(host=elsewhere.url, password=elsewhere.api_key)
        with pytest.raises(errors.ConfigurationError, match="This video is at"):
            resume(generate(deferrable=True), deferral.value, event, context())
    assert local.names() == ["cat.mp4.json"]


def test_a_key_and_a_gateway_that_change_together_send_no_id_to_the_other_gateway(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, connect: Any
) -> None:
    with Sandbox() as elsewhere:
        operator = generate(directives="render=0 poll=401x1", delete_on_kill=True)
        assert operator.hook.settings.base_url == f"{sandbox.url}/v1"
        connect(host=elsewhere.url, password=elsewhere.api_key)
        with pytest.raises(errors.ConfigurationError, match=f"This video is at {sandbox.url}/v1, and .*is paid for"):
            operator.execute(context())
        assert not any(elsewhere.counts().values())
    connect()
    generate(directives="render=0 poll=401x1").execute(context())
    assert (local.names(), sandbox.counts()["creates"]) == (["cat.mp4", "cat.mp4.json"], 1)
