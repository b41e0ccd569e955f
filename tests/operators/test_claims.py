"""The manifest before a create and after it, whatever fails. [sim]: what the system does is simulated."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from steps import Generate, manifest_at
from support import LocalPlace, StateStore, put_manifest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger import driver
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.driver import ClipTask
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Terms, Wanted
from airflow_provider_wisdomgate.sandbox import Sandbox

# ----------------------------------------------------------------------------------- what was paid is written down


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Refuse the next replacements of a file, as a full disk does [sim]."""
    monkeypatch.setattr(driver, "RECORD_DELAYS", (0.0,) * 3)
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
    (words,) = memory.values()
    assert (stored["phase"], sandbox.counts()["creates"]) == ("stored", 1)
    assert words == {"destination": local.uri("cat.mp4"), "made_by": stored["made_by"]}


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


def claimed(local: LocalPlace) -> ClipTask:
    task = ClipTask(Destination(local.uri("cat.mp4")), Terms())
    task.begin(lambda: Wanted({}, attempt_seconds=310.0))
    return task


def test_a_claim_is_renewed_before_an_attempt_that_would_outlive_it(local: LocalPlace, clock: SimpleNamespace) -> None:
    task = claimed(local)
    written: list[tuple[float, bool]] = []

    def send(control: Control) -> Video:
        for waited in (0.0, 60.0, 60.0, 60.0):  # 429 with Retry-After, several times
            clock.ahead += waited
            before = manifest_at(local).claimed_at
            control.before_attempt(True)
            written.append((waited, manifest_at(local).claimed_at > before))
        return Video("v1", "queued")

    lives = task.mine.claim_seconds
    task.create(send)
    assert written == [(0.0, False), (60.0, True), (60.0, True), (60.0, True)]
    assert (task.mine.phase, task.mine.video_id, lives) == ("created", "v1", 370.0)


@pytest.mark.parametrize("what", ["deleted", "taken"])
def test_a_task_that_lost_its_claim_sends_nothing_more(what: str, local: LocalPlace, clock: SimpleNamespace) -> None:
    task = claimed(local)
    if what == "deleted":
        local.delete("cat.mp4.json")
    else:
        put_manifest(replace(task.mine, claim_id="theirs"))
    sent: list[str] = []

    def send(control: Control) -> Video:
        clock.ahead += 31.0  # stopped, and gone on later
        control.before_attempt(True)
        sent.append("create")
        return Video("v1")

    with pytest.raises(errors.WisdomGateError, match="nothing was sent"):
        task.create(send)
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
    monkeypatch.setattr(driver, "CORRECT_DELAYS", (0.0, 0.0))
    real, left = os.unlink, [2]

    def refused(path: Any, **options: Any) -> None:
        if left[0] and str(path).endswith(".json"):
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        real(path, **options)

    monkeypatch.setattr(os, "unlink", refused)
    with pytest.raises(errors.RateLimitedError):
        generate("create=429").execute(context())
    assert (left, local.names()) == ([0], [])


# ---------------------------------------------------------------------------------------- every wait has an end


def test_a_place_that_cannot_be_claimed_ends_in_an_error_that_says_so(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "AWAIT_DELAY", 0.0)
    local.folder.mkdir()
    (local.folder / "cat.mp4.json").symlink_to(local.folder / "gone.json")  # nothing to read, and a name that is taken
    with pytest.raises(errors.StorageError, match=r"could not be claimed: 50 times .*a link that leads nowhere"):
        generate().execute(context())
    assert sandbox.counts()["creates"] == 0


def test_a_claim_is_over_when_it_was_watched_for_as_long_as_it_lives_whatever_the_clocks_say(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate()
    wanted = operator._wanted()
    claim = Manifest("creating", "killed", local.uri("cat.mp4"), time.time(), fingerprint=wanted.fingerprint)
    put_manifest(replace(claim, claim_seconds=0.3))
    tomorrow = time.time() + 86400  # somebody has set the clock back since
    os.utime(local.folder / "cat.mp4.json", (tomorrow, tomorrow))
    with pytest.raises(errors.LostCreateError):
        operator.execute(context())
    assert sandbox.counts()["creates"] == 0
