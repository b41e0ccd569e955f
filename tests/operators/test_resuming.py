"""A task that goes on with what an earlier process began, and finds less than that left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from steps import Generate, deferred, money
from support import LocalPlace, fire, made, put_manifest, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.mark.parametrize("event", [None, {}, {"status": "ready"}])
def test_an_event_that_names_no_video_and_no_manifest_either_say_where_the_id_is(
    event: Any, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    deferral = deferred(generate(deferrable=True), context())
    local.delete("cat.mp4.json")
    with pytest.raises(errors.WisdomGateError, match=r"the trigger's event names no video.*The task's log has"):
        resume(generate(deferrable=True), deferral, event, context())
    assert (local.names(), sandbox.counts()["creates"]) == ([], 1)


def test_an_event_that_names_no_video_leaves_the_manifest_as_it_is(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    deferral = deferred(generate(deferrable=True), context())
    fire(deferral)
    before = Destination(local.uri("cat.mp4")).read()
    with pytest.raises(errors.WisdomGateError):
        resume(generate(deferrable=True), deferral, {}, context())
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


def test_a_resumed_task_whose_manifest_was_deleted_stores_the_paid_clip_all_the_same(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    deferral = deferred(generate(deferrable=True), context())
    event = fire(deferral)
    local.delete("cat.mp4.json")
    manifest = resume(generate(deferrable=True), deferral, event, context())
    assert (manifest["phase"], manifest["video_id"], local.read("cat.mp4")) == ("stored", event["video_id"], whole())
    assert generate().execute(context()) == manifest  # the next run finds it
    assert money(sandbox) == (1, 1)


def test_a_resumed_task_whose_destination_is_another_requests_says_where_its_video_is(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    deferral = deferred(generate(deferrable=True), context())
    event = fire(deferral)
    deferred(generate("render=0.1", "a dog", if_exists="replace", deferrable=True), context(task_id="other"))
    with pytest.raises(errors.DestinationTakenError) as caught:
        resume(generate(deferrable=True), deferral, event, context())
    assert (caught.value.video_id, local.names()) == (event["video_id"], ["cat.mp4.json"])


@pytest.mark.parametrize("delete_on_kill", [False, True])
def test_a_deferred_task_whose_connection_leads_elsewhere_by_now_keeps_its_video(
    delete_on_kill: bool, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, connect: Any
) -> None:
    def make() -> WisdomGateGenerateVideoOperator:
        return generate(deferrable=True, delete_on_kill=delete_on_kill)

    uri = local.uri("cat.mp4")
    deferral = deferred(make(), context())
    Destination(uri).update(lambda found: found and replace(found, created_at=1.0))  # known everywhere by now
    with Sandbox() as elsewhere:
        connect(host=elsewhere.url, password=elsewhere.api_key)
        event = fire(deferral)
        before = Destination(uri).read()
        with pytest.raises(errors.ConfigurationError, match=f"This video is at {sandbox.url}/v1, and .*is paid for"):
            resume(make(), deferral, event, context())
        with pytest.raises(errors.ConfigurationError, match=f"This video is at {sandbox.url}/v1, and .*is paid for"):
            make().execute(context())
        with pytest.raises(errors.DestinationTakenError, match="base_url"):
            make().execute(context(run_id="next"))
        assert (Destination(uri).read(), elsewhere.counts()["creates"]) == (before, 0)
    connect()
    generate().execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def test_a_task_takes_no_video_that_another_gateway_has_by_the_same_id(
    generate: Generate, local: LocalPlace, context: Any, connect: Any
) -> None:
    deferral = deferred(generate(deferrable=True), context())
    event = fire(deferral)
    with Sandbox() as elsewhere:
        connect(host=elsewhere.url, password=elsewhere.api_key)
        with pytest.raises(errors.ConfigurationError, match="This video is at"):
            resume(generate(deferrable=True), deferral, event, context())
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
