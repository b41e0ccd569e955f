"""The generate operator: one task that may be killed, retried and cleared, and pays once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from scripted import Request, http, in_turn, scripted
from steps import Generate, Place, deferred, manifest_of, money
from support import LocalPlace, S3Place, asked, fire, resume, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.polling.decisions import Ended, event_of
from airflow_provider_wisdomgate.sandbox import Sandbox

Context = Callable[..., dict[str, Any]]


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
    deferral = deferred(generate("render=0.05", deferrable=True), context())
    assert (manifest_of(local)["phase"], local.names()) == ("created", ["cat.mp4.json"])
    event = fire(deferral)
    manifest = resume(generate("render=0.05", deferrable=True), deferral, event, context())
    assert (manifest["phase"], local.read("cat.mp4"), money(sandbox)) == ("stored", whole(), (1, 1))
    polls = sandbox.counts()["polls"]
    again = generate("render=0.05", deferrable=True).execute_complete(context(), event)  # dag.test() loses the kwargs
    assert (again, sandbox.counts()["polls"]) == (manifest, polls)


def test_a_deferral_of_a_generate_task_carries_no_prompt_and_no_key(
    generate: Generate, sandbox: Sandbox, local: LocalPlace, context: Any
) -> None:
    started = datetime.now(UTC) - timedelta(seconds=40)
    operator = generate("never", "a secret cat", deferrable=True, execution_timeout=timedelta(seconds=100))
    deferral = deferred(operator, context(start_date=started))
    name, arguments = deferral.trigger.serialize()
    assert arguments["deadline"] <= started.timestamp() + 100  # what is left of execution_timeout
    carried = json.dumps([name, arguments, dict(deferral.kwargs or {})])
    assert ("secret" in carried, sandbox.api_key in carried) == (False, False)
    assert deferral.method_name == "execute_complete"


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
    with pytest.raises(errors.WisdomGateError, match=r"is paid for and recorded at .* and costs nothing"):
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
    assert str(caught.value).endswith(f"{local.uri('cat.mp4')} To wait longer in one try, raise timeout (0.05 s).")
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
    deferral = deferred(generate("render=60", deferrable=True), context())
    video_id = deferral.trigger.serialize()[1]["video_id"]
    event = event_of(video_id, Ended("refused", error=kind("Told by the triggerer")))
    with pytest.raises(kind, match=r"is paid for and recorded at .* and costs nothing"):
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


@pytest.mark.parametrize("fault", ["429", "no-channel"])
def test_a_create_that_never_reached_a_model_gives_the_destination_back(
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

    deferral = deferred(operator(), context())
    with pytest.raises(errors.VideoFailedError):
        resume(operator(), deferral, fire(deferral), context())
    assert manifest_of(local)["phase"] == "failed"
    deferred(operator(), context())
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
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, later: Callable[[float], None]
) -> None:
    deferred(generate("render=0 content=404", deferrable=True), context())
    later(3600 + 600)
    with pytest.raises(errors.VideoExpiredError) as caught:
        generate("render=0 content=404").execute(context())
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
