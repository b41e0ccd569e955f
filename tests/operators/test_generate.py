"""The generate operator: one task that may be killed, retried and cleared, and pays once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from scripted import Request, http, in_turn, scripted
from support import LocalPlace, S3Place, asked, fire, put_manifest, resume, sha256, started, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.polling.decisions import Ended
from airflow_provider_wisdomgate.polling.events import event_of
from airflow_provider_wisdomgate.sandbox import Sandbox

Place = LocalPlace | S3Place
Context = Callable[..., dict[str, Any]]
Generate = Callable[..., WisdomGateGenerateVideoOperator]


def manifest_of(place: Place) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(place.read("cat.mp4.json"))
    return manifest


def money(sandbox: Sandbox) -> tuple[int, int]:
    """Return how many creates were sent, and how many of them were paid."""
    counts = sandbox.counts()
    return counts["create_requests"], counts["creates"]


# The happy path


def test_one_task_creates_waits_and_stores(generate: Generate, place: Place, sandbox: Sandbox, context: Any) -> None:
    manifest = generate("render=0.05", destination=place.uri("cat.mp4")).execute(context())
    (video,) = sandbox.videos()
    assert manifest == json.loads(json.dumps(manifest)) == manifest_of(place)
    assert place.read("cat.mp4") == whole()
    assert place.names() == ["cat.mp4", "cat.mp4.json"]
    told = ("phase", "uri", "video_id", "size", "sha256", "content_type", "duration", "width", "height")
    assert {name: manifest[name] for name in told} == {
        "phase": "stored",
        "uri": place.uri("cat.mp4"),
        "video_id": video["id"],
        "size": len(whole()),
        "sha256": sha256(whole()),
        "content_type": "video/mp4",
        "duration": 1.0,
        "width": 64,
        "height": 48,
    }
    assert manifest["request_ids"] == [sandbox.requests()[0]["request_id"]]
    assert money(sandbox) == (1, 1)


def test_a_deferred_task_goes_on_in_a_new_object_from_its_event_alone(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        generate("render=0.05", deferrable=True).execute(context())
    assert (manifest_of(local)["phase"], local.names()) == ("created", ["cat.mp4.json"])
    event = fire(deferral.value)
    manifest = resume(generate("render=0.05", deferrable=True), deferral.value, event, context())
    assert (manifest["phase"], local.read("cat.mp4"), money(sandbox)) == ("stored", whole(), (1, 1))
    polls = sandbox.counts()["polls"]
    again = generate("render=0.05", deferrable=True).execute_complete(context(), event)  # dag.test() loses the kwargs
    assert (again, sandbox.counts()["polls"]) == (manifest, polls)


def test_a_deferral_of_a_generate_task_carries_no_prompt_and_no_key(
    generate: Generate, sandbox: Sandbox, local: LocalPlace, context: Any
) -> None:
    started = datetime.now(UTC) - timedelta(seconds=40)
    operator = generate("never", "a secret cat", deferrable=True, execution_timeout=timedelta(seconds=100))
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(context(start_date=started))
    name, arguments = deferral.value.trigger.serialize()
    assert arguments["deadline"] <= started.timestamp() + 100  # what is left of execution_timeout
    carried = json.dumps([name, arguments, dict(deferral.value.kwargs or {})])
    assert ("secret" in carried, sandbox.api_key in carried) == (False, False)
    assert deferral.value.method_name == "execute_complete"


def test_a_manifest_without_the_prompt_keeps_only_its_hash(generate: Generate, local: LocalPlace, context: Any) -> None:
    generate("render=0", "a secret cat", record_prompt=False).execute(context())
    assert b"secret" not in local.read("cat.mp4.json")
    assert manifest_of(local)["request"]["prompt_sha256"] == sha256(asked("render=0", "a secret cat").encode())


# Never pay twice


def test_a_run_again_makes_no_request_at_all(generate: Generate, place: Place, sandbox: Sandbox, context: Any) -> None:
    first = generate(destination=place.uri("cat.mp4")).execute(context())
    asked_before = len(sandbox.requests())
    for deferrable in (False, True):
        operator = generate(destination=place.uri("cat.mp4"), deferrable=deferrable)
        assert operator.execute(context(run_id="another run")) == first
    assert len(sandbox.requests()) == asked_before


@pytest.mark.parametrize("fault", ["401x2", "text-as-mp4x4", "502-htmlx4", "cutx1+403"])
def test_a_failed_download_is_retried_without_a_create(
    fault: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    fault = f"{fault}x1" if fault.endswith("403") else fault
    with pytest.raises(errors.WisdomGateError, match="is paid for and recorded: a retry or a clear"):
        generate(f"render=0 content={fault}").execute(context())
    assert (manifest_of(local)["phase"], local.names()) == ("created", ["cat.mp4.json"])
    generate(f"render=0 content={fault}").execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (1, 1))


def test_a_wait_that_timed_out_goes_on_in_the_next_try(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.WaitTimeoutError) as caught:
        generate("render=0.4", timeout=0.05).execute(context())
    assert isinstance(caught.value, AirflowFailException) is False
    assert str(caught.value).endswith("sends no create. To wait longer in one try, raise timeout (0.05 s).")
    generate("render=0.4").execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (1, 1))


def test_a_wait_that_execution_timeout_ended_names_both_limits(generate: Generate, context: Any) -> None:
    started = datetime.now(UTC) - timedelta(seconds=100)
    both = r"timeout \(60 s\) or execution_timeout \(99 s\), the shorter one"
    with pytest.raises(errors.WaitTimeoutError, match=both):
        generate("never", timeout=60, execution_timeout=timedelta(seconds=99)).execute(context(start_date=started))


@pytest.mark.parametrize("kind", [errors.ConfigurationError, errors.VideoNotReadyError])
def test_an_error_that_comes_after_the_create_says_that_the_video_is_paid_for(
    kind: type[errors.WisdomGateError], generate: Generate, context: Any
) -> None:
    """Say, somebody has taken the key out of the connection while the triggerer waited."""
    with pytest.raises(TaskDeferred) as deferral:
        generate("render=60", deferrable=True).execute(context())
    video_id = deferral.value.trigger.serialize()[1]["video_id"]
    event = event_of(video_id, Ended("refused", error=kind("Told by the triggerer")))
    with pytest.raises(kind, match="is paid for and recorded: a retry or a clear"):
        generate("render=60", deferrable=True).execute_complete(context(), event)


def test_a_lost_create_is_never_sent_again_by_itself(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    for _ in range(2):
        with pytest.raises(errors.LostCreateError) as caught:
            generate("render=0 create=lost").execute(context())
        assert isinstance(caught.value, AirflowFailException)
    assert (money(sandbox), manifest_of(local)["phase"]) == ((1, 1), "creating")


def test_a_lost_create_is_made_up_for_when_somebody_says_so(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.LostCreateError):
        generate("render=0 create=lostx1").execute(context())
    generate("render=0 create=lostx1", on_lost_create="create").execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (2, 2))


@pytest.mark.parametrize("fault", ["400", "401", "403", "429", "no-channel", "model-gone", "moderation"])
def test_a_create_that_was_refused_gives_the_destination_back(
    fault: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.GatewayError):
        generate(f"render=0 create={fault}").execute(context())
    assert (local.names(), sandbox.counts()["creates"]) == ([], 0)


def test_a_failed_video_is_made_anew_by_a_retry(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    for attempt in (1, 2):
        with pytest.raises(errors.VideoFailedError) as caught:
            generate("render=0 fail=internal_error").execute(context())
        assert (isinstance(caught.value, AirflowFailException), money(sandbox)) == (False, (attempt, attempt))
    assert (manifest_of(local)["phase"], manifest_of(local)["error"]["code"]) == ("failed", "internal_error")


def test_a_video_that_failed_while_deferred_is_recorded_and_made_anew(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    def operator() -> WisdomGateGenerateVideoOperator:
        return generate("render=0 fail=internal_error", deferrable=True)

    with pytest.raises(TaskDeferred) as deferral:
        operator().execute(context())
    with pytest.raises(errors.VideoFailedError):
        resume(operator(), deferral.value, fire(deferral.value), context())
    assert manifest_of(local)["phase"] == "failed"
    with pytest.raises(TaskDeferred):
        operator().execute(context())
    assert money(sandbox) == (2, 2)


@pytest.mark.parametrize("code", ["moderation_blocked", "invalid_request_error"])
def test_a_request_that_was_refused_for_its_content_is_never_sent_again(
    code: str, generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    for _ in range(2):
        with pytest.raises((errors.ModerationError, errors.VideoFailedForGoodError)) as caught:
            generate(f"render=0 fail={code}").execute(context())
        assert isinstance(caught.value, AirflowFailException)
    assert money(sandbox) == (1, 1)


def test_a_corrected_prompt_goes_to_the_place_of_a_moderated_one(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.ModerationError):
        generate("render=0 fail=moderation_blocked").execute(context())
    generate("render=0").execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (2, 2))


def test_a_clip_that_expired_before_it_was_fetched_is_its_own_final_error(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.VideoExpiredError) as caught:
        generate("render=0 expires=0").execute(context())
    assert (isinstance(caught.value, AirflowFailException), money(sandbox)) == (True, (1, 1))
    assert local.names() == ["cat.mp4.json"]


def test_a_place_that_cannot_be_written_costs_nothing(
    generate: Generate, sandbox: Sandbox, local: LocalPlace, s3: S3Place, context: Any
) -> None:
    local.write("file", b"no folder")
    for destination in (local.uri("file/cat.mp4"), "s3://aws_default@no-such-bucket/cat.mp4"):
        with pytest.raises(errors.StorageError):
            generate(destination=destination).execute(context())
    assert sandbox.requests() == []


# Something is there


def test_skip_names_the_difference_to_another_requests_clip(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    generate().execute(context())
    asked_before = len(sandbox.requests())
    with pytest.raises(errors.DestinationTakenError, match="aspect: None there, '16:9' wanted"):
        generate(fields={"aspect": "16:9"}).execute(context())
    with pytest.raises(errors.DestinationTakenError, match="the prompt is another one"):
        generate(text="a dog").execute(context())
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
    generate("render=0", "a dog", if_exists="replace").execute(context())
    assert local.read("cat.mp4") == whole("a dog")


def test_a_replacement_that_is_refused_leaves_the_old_clip_and_its_record(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    first = generate().execute(context())
    with pytest.raises(errors.ModerationError):
        generate("create=moderation", if_exists="replace").execute(context())
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
    with pytest.raises(TaskDeferred):
        generate(deferrable=True).execute(context())
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


# Being killed


def test_a_killed_wait_leaves_its_video_to_the_next_try(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate("render=0.4")
    worker, ends = started(operator, context())
    while not sandbox.counts()["polls"]:
        worker.join(0.01)
        assert worker.is_alive()
    operator.on_kill()
    worker.join()
    assert [type(end) for end in ends] == [errors.StoppedError]
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
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """Nobody was killed: a gateway may deny a video that it was asked for a moment ago."""
    for _ in range(2):
        with pytest.raises(errors.VideoNotFoundError):
            generate("render=0 poll=404", delete_on_kill=True).execute(context())
    assert (manifest_of(local)["phase"], money(sandbox)) == ("created", (1, 1))


def test_a_killed_task_that_is_told_to_deletes_its_video_and_a_run_again_makes_another(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate("render=0.4", delete_on_kill=True)
    worker, ends = started(operator, context())
    while not sandbox.counts()["polls"]:
        worker.join(0.01)
    operator.on_kill()
    worker.join()
    assert [type(end) for end in ends] == [errors.StoppedError]
    assert (sandbox.videos(), manifest_of(local)["phase"]) == ([], "failed")
    generate("render=0.4", delete_on_kill=True).execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole(), (2, 2))


def test_a_resumed_task_whose_manifest_was_deleted_stores_the_paid_clip_all_the_same(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        generate(deferrable=True).execute(context())
    event = fire(deferral.value)
    local.delete("cat.mp4.json")
    manifest = resume(generate(deferrable=True), deferral.value, event, context())
    assert (manifest["phase"], manifest["video_id"], local.read("cat.mp4")) == ("stored", event["video_id"], whole())
    assert generate().execute(context()) == manifest  # the next run finds it
    assert money(sandbox) == (1, 1)


def test_a_resumed_task_whose_destination_is_another_requests_says_where_its_video_is(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(TaskDeferred) as deferral:
        generate(deferrable=True).execute(context())
    event = fire(deferral.value)
    with pytest.raises(TaskDeferred):
        generate("render=0.1", "a dog", if_exists="replace", deferrable=True).execute(context(task_id="other"))
    with pytest.raises(errors.DestinationTakenError) as caught:
        resume(generate(deferrable=True), deferral.value, event, context())
    assert (caught.value.video_id, local.names()) == (event["video_id"], ["cat.mp4.json"])


def test_the_claim_is_there_before_the_create_is_sent(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.LostCreateError):
        generate("create=drop").execute(context())
    left = Manifest.load(local.read("cat.mp4.json"), "cat.mp4.json")
    assert (left.phase, left.video_id, left.made_by["task_id"]) == ("creating", None, "clip")
    assert left.claimed_at <= sandbox.requests()[0]["time"]


# The idempotency key


def test_a_claims_id_is_the_idempotency_key_of_all_its_attempts(
    connect: Callable[..., Any], quick: None, local: LocalPlace, context: Any
) -> None:
    video = json.dumps({"id": "video_1", "status": "completed"}).encode()
    tries = in_turn(http(429), http(503, b'{"error": {"code": "get_channel_failed"}}'), http(200, video))

    def answer(request: Request) -> bytes:
        if request.method == "POST":
            return tries(request)
        return http(200, whole() if request.path.endswith("/content") else video)

    with scripted(answer) as gateway:
        connect(host=gateway.url)
        arguments: dict[str, Any] = {"destination": local.uri("cat.mp4"), "poll_interval": 0.01}
        WisdomGateGenerateVideoOperator(task_id="clip", model="any", prompt="a cat", **arguments).execute(context())
        keys = [request.headers.get("idempotency-key") for request in gateway.requests if request.method == "POST"]
    assert keys == [manifest_of(local)["claim_id"]] * 3
