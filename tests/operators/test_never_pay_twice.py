"""Cases that once cost a second payment or a clip, each by its rule. [sim]: what the system does is simulated."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from s3_server import proxy_before
from support import LocalPlace, S3Place, StateStore, put_manifest, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips import claim as claiming
from airflow_provider_wisdomgate.clips.claim import ClipClaim
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.ledger import Wanted
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.polling.decisions import Ended
from airflow_provider_wisdomgate.polling.events import event_of
from airflow_provider_wisdomgate.sandbox import Sandbox

Generate = Callable[..., WisdomGateGenerateVideoOperator]


def deferred(operator: WisdomGateGenerateVideoOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(context)
    return deferral.value


def news(video_id: str, status: str) -> dict[str, Any]:
    """What a trigger says of a video whose status the gateway gave as this."""
    video = Video(video_id, status)
    if status == "completed":
        return event_of(video_id, Ended("ready", video))
    if status == "expired":
        return event_of(video_id, Ended("expired", video, errors.VideoExpiredError("gone", video_id=video_id)))
    return event_of(video_id, Ended("failed", video, errors.VideoFailedError("no luck", video_id=video_id)))


def manifest_at(place: LocalPlace, name: str = "cat.mp4") -> Manifest:
    found = Destination(place.uri(name)).read()
    assert found is not None
    return found


# ------------------------------------------------------------------------------ late news about another video


def test_the_failure_of_an_earlier_video_does_not_touch_the_record_of_the_next(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    one, other = context(run_id="one"), context(run_id="other")
    first = deferred(generate("render=0.5", deferrable=True), one)
    waits_too = deferred(generate("render=0.5", deferrable=True), other)
    failed = news(str(manifest_at(local).video_id), "failed")
    with pytest.raises(errors.VideoFailedError):
        resume(generate(), first, failed, one)
    deferred(generate("render=0.5", deferrable=True), one)  # its retry pays a second video
    second = manifest_at(local)
    with pytest.raises(errors.VideoFailedError):
        resume(generate(), waits_too, failed, other)
    assert (manifest_at(local), second.phase) == (second, "created")
    assert generate("render=0.5").execute(other)["video_id"] == second.video_id
    assert sandbox.counts()["creates"] == 2


@pytest.mark.parametrize("status", ["expired", "failed"])
def test_a_stored_clip_beats_whatever_is_said_of_its_video_later(
    status: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    late = deferred(generate(deferrable=True), context(run_id="late"))
    stored = generate().execute(context())
    event = news(stored["video_id"], status)
    assert resume(generate(), late, event, context(run_id="late")) == stored
    assert (manifest_at(local).as_dict(), sandbox.counts()["creates"]) == (stored, 1)


def test_a_removed_clip_that_is_gone_at_the_gateway_stays_recorded(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    stored = generate("render=0 expires=0.3").execute(context())
    local.delete("cat.mp4")
    time.sleep(0.4)
    with pytest.raises(errors.VideoExpiredError, match="if_exists='replace'"):
        generate("render=0 expires=0.3").execute(context(run_id="next"))
    assert (manifest_at(local).as_dict(), sandbox.counts()["creates"]) == (stored, 1)


def test_a_replacement_that_fails_leaves_the_old_clip_to_its_next_run(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    stored = generate().execute(context())
    with pytest.raises(errors.VideoFailedError):
        generate("render=0 fail=server_error", if_exists="replace").execute(context(run_id="other"))
    assert manifest_at(local).as_dict() == stored
    requests = len(sandbox.requests())
    assert generate().execute(context(run_id="next")) == stored
    assert (len(sandbox.requests()), local.read("cat.mp4")) == (requests, whole())


# ----------------------------------------------------------------------------------- what was paid is written down


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Refuse the next replacements of a file, as a full disk does [sim]."""
    monkeypatch.setattr(claiming, "RECORD_DELAYS", (0.0,) * 3)
    real = os.replace

    def fill(times: int) -> None:
        left = [times]

        def refused(source: Any, target: Any) -> None:
            if left[0] and str(target).endswith(".json"):
                left[0] -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            real(source, target)

        monkeypatch.setattr(os, "replace", refused)

    return fill


def test_a_record_that_cannot_be_written_at_once_is_written_again(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, full_disk: Any, context: Any
) -> None:
    full_disk(3)
    stored = generate().execute(context())
    assert (stored["phase"], sandbox.counts()["creates"]) == ("stored", 1)


def test_an_id_that_cannot_be_written_is_on_the_error_and_in_the_log(
    generate: Generate, full_disk: Any, sandbox: Sandbox, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    full_disk(4)
    with caplog.at_level("INFO"), pytest.raises(errors.StorageError) as caught:
        generate().execute(context())
    (video,) = sandbox.videos()
    assert (caught.value.video_id, video["id"] in str(caught.value)) == (video["id"], True)
    assert any(video["id"] in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("somebody_deletes_the_manifest", [False, True])
def test_a_retry_goes_on_with_the_id_that_its_task_remembers(
    somebody_deletes_the_manifest: bool,
    generate: Generate,
    local: LocalPlace,
    sandbox: Sandbox,
    full_disk: Any,
    context: Any,
) -> None:
    memory = StateStore()
    full_disk(4)
    with pytest.raises(errors.StorageError):
        generate().execute(context() | {"task_state_store": memory})
    if somebody_deletes_the_manifest:
        local.delete("cat.mp4.json")
    stored = generate().execute(context() | {"task_state_store": memory})
    assert (stored["phase"], sandbox.counts()["creates"], dict(memory)) == ("stored", 1, {})


def test_a_memory_that_does_not_answer_stops_nothing(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("the API server is away")

    stored = generate().execute(context() | {"task_state_store": Broken()})
    assert (stored["phase"], sandbox.counts()["creates"]) == ("stored", 1)


# ------------------------------------------------------------------------------------------ a claim and its time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """This process's own clock, set forward by hand."""
    real, now = time.monotonic, SimpleNamespace(ahead=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: real() + now.ahead)
    return now


def new_claim(local: LocalPlace) -> ClipClaim:
    return ClipClaim(Destination(local.uri("cat.mp4")), Wanted({}, "f"))


def test_a_claim_is_renewed_before_an_attempt_that_would_outlive_it(local: LocalPlace, clock: SimpleNamespace) -> None:
    claim = new_claim(local)
    _, mine = claim.begin(attempt_seconds=310.0)
    written: list[tuple[float, bool]] = []

    def send(keep_claim: Callable[[], None]) -> Video:
        for waited in (0.0, 60.0, 60.0, 60.0):  # 429 with Retry-After, several times
            clock.ahead += waited
            before = manifest_at(local).claimed_at
            keep_claim()
            written.append((waited, manifest_at(local).claimed_at > before))
        return Video("v1", "queued")

    created = claim.create(mine, send)
    assert written == [(0.0, False), (60.0, True), (60.0, True), (60.0, True)]
    assert (created.phase, created.video_id, mine.claim_seconds) == ("created", "v1", 370.0)


@pytest.mark.parametrize("what", ["deleted", "taken"])
def test_who_lost_its_claim_sends_nothing_more(what: str, local: LocalPlace, clock: SimpleNamespace) -> None:
    claim = new_claim(local)
    _, mine = claim.begin(attempt_seconds=310.0)
    if what == "deleted":
        local.delete("cat.mp4.json")
    else:
        put_manifest(replace(mine, claim_id="theirs"))
    sent: list[str] = []

    def send(keep_claim: Callable[[], None]) -> Video:
        clock.ahead += 31.0  # stopped, and gone on later
        keep_claim()
        sent.append("create")
        return Video("v1")

    with pytest.raises(errors.WisdomGateError, match="nothing was sent"):
        claim.create(mine, send)
    assert sent == []


def test_a_lost_create_says_at_once_that_nobody_sends_it_any_more(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.LostCreateError):
        generate("create=drop").execute(context())
    assert manifest_at(local).claim_seconds == 0.0
    began = time.monotonic()
    with pytest.raises(errors.LostCreateError):  # need not wait until the claim's time is over
        generate("create=drop").execute(context(run_id="next"))
    assert (time.monotonic() - began < 60, sandbox.counts()["create_requests"]) == (True, 1)


def test_a_claim_whose_writing_failed_is_taken_back(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is made, and the disk then fails: nobody may find a claim that no create followed [sim]."""
    real, calls = os.fsync, iter(range(100))

    def fails_once(handle: int) -> None:
        if next(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fails_once)
    stored = generate().execute(context())  # read back: it is there, so it counts
    assert (stored["phase"], sandbox.counts()["create_requests"]) == ("stored", 1)


def test_a_claim_is_given_back_though_the_storage_fails_once(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left behind, it would be waited for by the next try, and then called a lost create [sim]."""
    monkeypatch.setattr(claiming, "CORRECT_DELAYS", (0.0, 0.0))
    real, left = os.unlink, [2]

    def refused(path: Any, **options: Any) -> None:
        if left[0] and str(path).endswith(".json"):
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        real(path, **options)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(errors.BadRequestError):
        generate("create=400").execute(context())
    assert (left, local.names()) == ([0], [])


# ----------------------------------------------------------------------------------- runs, places, other requests


def started_at(moment: datetime) -> dict[str, Any]:
    return {"dag_run": SimpleNamespace(start_date=moment)}


def test_a_run_that_was_created_again_under_its_id_makes_a_new_clip(
    generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    then = datetime(2026, 11, 1, tzinfo=UTC)
    first = generate(if_exists="replace").execute(context() | started_at(then))
    retried = generate(if_exists="replace").execute(context() | started_at(then))
    again = generate(if_exists="replace").execute(context() | started_at(then + timedelta(hours=1)))
    assert (retried, again["video_id"] != first["video_id"], sandbox.counts()["creates"]) == (first, True, 2)


def test_a_clip_is_where_it_is_found_after_its_folder_was_renamed(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, context: Any
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    stored = generate(destination=str(old / "cat.mp4")).execute(context())
    old.rename(new)
    found = generate(destination=str(new / "cat.mp4")).execute(context())
    assert found == stored | {"uri": f"file://{new}/cat.mp4"}
    assert sandbox.counts()["creates"] == 1


def test_a_wait_whose_folder_was_renamed_goes_on_at_the_new_place(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, context: Any
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    deferred(generate(destination=str(old / "cat.mp4"), deferrable=True), context())
    old.rename(new)
    stored = generate(destination=str(new / "cat.mp4")).execute(context())
    assert (stored["uri"], old.exists()) == (f"file://{new}/cat.mp4", False)
    assert json.loads((new / "cat.mp4.json").read_text()) == stored
    assert sandbox.counts()["creates"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "half \ud83d"},
        {"model": "\ud83d"},
        {"fields": {"style": "half \ud83d"}},
        {"fields": {"half \ud83d": "style"}},
        {"fields": {"deep": [{"er": "half \udc00"}]}},
    ],
    ids=["prompt", "model", "a field", "a field's name", "deep in a field"],
)
def test_half_a_character_is_refused_before_the_claim(
    arguments: dict[str, Any], generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    model = arguments.pop("model", "any")
    operator = generate(**arguments)
    operator.model = model
    with pytest.raises(errors.ConfigurationError, match="half a character"):
        operator.execute(context())
    assert (sandbox.requests(), local.names()) == ([], [])


# --------------------------------------------------------------------------- a store that ignores conditions


@pytest.fixture
def deaf_store(s3: S3Place, _s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A destination in a store that writes whatever the condition says, as older clones of S3 do."""
    with proxy_before(_s3_url) as proxy:
        proxy.deaf = True
        extra = {"endpoint_url": proxy.url, "region_name": "us-east-1"}
        aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEAF", json.dumps(aws))
        yield f"s3://aws_deaf@{s3.bucket}/cat.mp4"


def test_a_store_that_ignores_conditions_is_refused_before_anybody_pays(
    generate: Generate, deaf_store: str, s3: S3Place, sandbox: Sandbox, context: Any
) -> None:
    def end(number: int) -> Any:
        try:
            return generate(destination=deaf_store).execute(context(run_id=str(number)))
        except errors.WisdomGateError as error:
            return type(error), "allow_unsafe_storage" in str(error)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(end, range(4))) == [(errors.StorageError, True)] * 4
    assert (sandbox.requests(), s3.names()) == ([], [])


def test_a_store_that_ignores_conditions_is_used_by_who_says_so(
    generate: Generate, deaf_store: str, sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__ALLOW_UNSAFE_STORAGE", "True")
    assert generate(destination=deaf_store).execute(context())["phase"] == "stored"
    assert sandbox.counts()["creates"] == 1
