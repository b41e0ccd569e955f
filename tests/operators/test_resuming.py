"""A task that goes on with what an earlier process began, and finds less than that left."""

from __future__ import annotations

from typing import Any

import pytest
from steps import Generate, deferred, money
from support import LocalPlace, fire, made, put_manifest, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator
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
