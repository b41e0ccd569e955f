"""What a generate task does where something is at its destination already, or on its way there."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from steps import Generate, Place, deferred, manifest_of, money
from support import LocalPlace, put_manifest, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.sandbox import Sandbox


def test_skip_names_the_difference_to_another_requests_clip(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    generate().execute(context())
    asked_before = len(sandbox.requests())
    with pytest.raises(errors.DestinationTakenError, match="aspect: None there, '16:9' wanted"):
        generate(fields={"aspect": "16:9"}).execute(context(run_id="next"))
    with pytest.raises(errors.DestinationTakenError, match="the prompt is another one"):
        generate(text="a dog").execute(context(run_id="next"))
    assert (len(sandbox.requests()), local.read("cat.mp4")) == (asked_before, whole())


def test_fail_refuses_another_runs_clip_and_takes_its_own(generate: Generate, sandbox: Sandbox, context: Any) -> None:
    first = generate(if_exists="fail").execute(context())
    asked_before = len(sandbox.requests())
    assert generate(if_exists="fail").execute(context()) == first
    with pytest.raises(errors.DestinationTakenError, match="if_exists='fail'"):
        generate(if_exists="fail").execute(context(run_id="another run"))
    assert len(sandbox.requests()) == asked_before


def test_replace_makes_a_new_clip_once_for_each_run_and_each_clear(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    paid = []
    for facts in ({}, {}, {"run_id": "another run"}, {"run_id": "another run", "max_tries": 1}):
        generate(if_exists="replace").execute(context(**facts))
        paid.append(sandbox.counts()["creates"])
    assert paid == [1, 1, 2, 3]
    generate("render=0", "a dog", if_exists="replace").execute(context(run_id="a third run"))
    assert local.read("cat.mp4") == whole("a dog")


def test_a_replacement_that_is_refused_leaves_the_old_clip_and_its_record(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    first = generate().execute(context())
    with pytest.raises(errors.ModerationError):
        generate("create=moderation", if_exists="replace").execute(context(run_id="next"))
    assert (manifest_of(local), local.read("cat.mp4")) == (first, whole())


def test_a_file_without_a_manifest_is_left_alone_before_any_create(
    generate: Generate, place: Place, sandbox: Sandbox, context: Any
) -> None:
    place.write("cat.mp4", b"somebody's holiday")
    with pytest.raises(errors.DestinationTakenError, match="a file without a manifest"):
        generate(destination=place.uri("cat.mp4")).execute(context())
    assert (place.read("cat.mp4"), sandbox.requests()) == (b"somebody's holiday", [])


def test_a_create_that_another_task_has_under_way_is_waited_for(
    generate: Generate, hook: WisdomGateHook, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    target = Destination(local.uri("cat.mp4"))
    deferred(generate(deferrable=True), context())
    created = target.read()
    assert created is not None
    creating = replace(created, phase="creating", video_id=None, claim_seconds=60.0)
    put_manifest(creating)
    results: list[dict[str, Any]] = []
    other = Thread(target=lambda: results.append(generate().execute(context(task_id="other"))))
    other.start()
    time.sleep(0.05)
    put_manifest(created)
    other.join()
    assert ([each["video_id"] for each in results], money(sandbox)) == ([created.video_id], (1, 1))


def test_two_tasks_with_one_destination_pay_once(
    generate: Generate, place: Place, sandbox: Sandbox, context: Any
) -> None:
    results: list[Any] = []

    def work(name: str) -> None:
        operator = generate("render=0.1", destination=place.uri("cat.mp4"))
        results.append(operator.execute(context(task_id=name)))

    tasks = [Thread(target=work, args=(name,)) for name in ("first", "second")]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert [each["sha256"] for each in results] == [sha256(whole())] * 2
    assert money(sandbox) == (1, 1)
