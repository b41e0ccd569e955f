"""What one task does at one destination, with real files: claims, sends, records, resumes, gives up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ledger_cases import ANOTHER_RUN, ME, ME_CLEARED, OTHER, terms
from ledger_cases import REQUEST as PLAIN

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control, StopFlag
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger import driver
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.driver import (
    ClipTask,
    NoMemory,
    TaskMemory,
    mark_killed,
    place_of_round,
    record_deletion,
)
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Claim, Done, Follow, Terms, Wanted, old_fingerprint, utc

# Its fingerprint of earlier versions differs from today's.
REQUEST = PLAIN | {"fields": {"duration": 8, "seed": None}}
VIDEO = Video("video_1", "queued", request_id="q")
GONE = errors.VideoNotFoundError("unknown", video_id="video_1")


class Kept:
    """What a task store of Airflow 3.3 does, in this process."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class TimedOut(BaseException):
    """What Airflow raises in a task: no Exception."""


class Raises(Control):
    """Raises at a check, once it is set."""

    error: BaseException | None = None

    def check(self) -> None:
        if self.error:
            raise self.error

    def sleep(self, seconds: float) -> None:
        self.check()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "CORRECT_DELAYS", ())
    monkeypatch.setattr(driver, "RECORD_DELAYS", ())


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/cat.mp4"


@pytest.fixture
def kept() -> Kept:
    return Kept()


def same() -> Wanted:
    return Wanted(REQUEST, attempt_seconds=60.0)


def other() -> Wanted:
    return Wanted(OTHER, attempt_seconds=60.0)


def no_request() -> Wanted:
    raise errors.ConfigurationError("the reference image is gone")


def task(uri: str, asks: Terms | None = None, kept: Kept | None = None, control: Control | None = None) -> ClipTask:
    memory = NoMemory() if kept is None else TaskMemory(kept)
    return ClipTask(Destination(uri), terms() if asks is None else asks, control or Raises(), memory)


def sent(control: Control) -> Video:
    """Send a create that is answered at once."""
    control.before_attempt(True)
    return VIDEO


def answered(*ends: BaseException | Video) -> Callable[[Control], Video]:
    """Return what sends an attempt for each of these, with a pause before all but the first."""

    def send(control: Control) -> Video:
        for number, end in enumerate(ends):
            if number:
                control.sleep(1.0)
            control.before_attempt(True)
            if isinstance(end, Video):
                return end
            if number == len(ends) - 1:
                raise end
        raise AssertionError

    return send


def recorded(uri: str) -> Manifest | None:
    return Destination(uri).read()


def paid(uri: str, asks: Terms | None = None, kept: Kept | None = None) -> ClipTask:
    clip = task(uri, asks, kept)
    assert isinstance(clip.begin(same), Claim)
    clip.create(sent)
    return clip


def change(uri: str, **values: Any) -> Manifest:
    """Change a record as another task or a person does."""
    new = Destination(uri).update(lambda found: replace(found, **values) if found else None)
    assert new is not None
    return new


# ---- the create


def test_a_paid_id_is_recorded_here_and_in_the_memory(uri: str, kept: Kept) -> None:
    clip = paid(uri, kept=kept)
    assert recorded(uri) == clip.mine
    assert (clip.mine.phase, clip.mine.video_id, clip.mine.request_ids) == ("created", "video_1", ("q",))
    assert TaskMemory(kept).recall() == {
        "destination": uri,
        "made_by": ME,
        "claim_id": clip.mine.claim_id,
        "fingerprint": same().fingerprint,
        "video_id": "video_1",
        "base_url": "https://g/v1",
    }


@pytest.mark.parametrize("error", [errors.StoppedError("stop"), errors.RateLimitedError("slow"), TimedOut()], ids=repr)
def test_what_is_raised_between_two_attempts_gives_the_claim_back(uri: str, error: BaseException) -> None:
    control = Raises()
    clip = task(uri, control=control)
    clip.begin(same)

    def send(inner: Control) -> Video:
        inner.before_attempt(True)  # answered with 429
        control.error = error
        inner.sleep(1.0)
        raise AssertionError

    with pytest.raises(type(error)):
        clip.create(send)
    assert recorded(uri) is None


@pytest.mark.parametrize("attempts", [1, 2])
def test_what_is_raised_during_an_attempt_is_a_lost_create(uri: str, attempts: int) -> None:
    clip = task(uri)
    clip.begin(same)
    with pytest.raises(TimedOut):
        clip.create(answered(*[errors.RateLimitedError("slow")] * (attempts - 1), TimedOut()))
    found = recorded(uri)
    assert found is not None
    assert (found.phase, found.claim_seconds, found.lost_at is not None) == ("creating", 0.0, True)
    with pytest.raises(errors.LostCreateError):
        task(uri).begin(same)


def test_what_is_raised_before_the_first_attempt_gives_the_claim_back(uri: str) -> None:
    """The balance is asked for first, for example: it costs nothing."""
    clip = task(uri)
    clip.begin(same)

    def send(control: Control) -> Video:
        control.before_attempt(False)
        raise TimedOut

    with pytest.raises(TimedOut):
        clip.create(send)
    assert recorded(uri) is None


def test_a_task_that_is_stopped_sends_nothing_and_gives_its_claim_back(uri: str) -> None:
    flag = StopFlag()
    clip = task(uri, control=flag)
    clip.begin(same)
    flag.stop()
    with pytest.raises(errors.StoppedError):
        clip.create(sent)
    assert recorded(uri) is None


def test_a_lost_create_names_the_moment_of_its_last_attempt_and_the_next_try_names_the_same(uri: str) -> None:
    clip, began = task(uri), time.time()
    clip.begin(same)

    def send(control: Control) -> Video:
        control.before_attempt(True)
        change(uri, claimed_at=1000.0)  # the first attempt was long ago
        control.sleep(1.0)
        control.before_attempt(True)
        raise errors.LostCreateError("no answer", answer="<html>")

    with pytest.raises(errors.LostCreateError) as first:
        clip.create(send)
    with pytest.raises(errors.LostCreateError) as second:
        task(uri).begin(same)
    found = recorded(uri)
    assert found is not None
    assert found.claimed_at >= began
    assert f"sent at {utc(found.claimed_at)}" in second.value.message
    assert f"made at about {utc(found.claimed_at)}" in str(first.value.next_step)
    assert first.value.next_step == second.value.next_step
    assert (first.value.answer, second.value.answer) == ("<html>", "<html>")


@pytest.mark.parametrize("error", [errors.BadRequestError("no"), errors.ModerationError("no")], ids=repr)
def test_a_refused_create_is_not_sent_again_by_a_retry(uri: str, error: errors.WisdomGateError) -> None:
    clip = task(uri)
    clip.begin(same)
    with pytest.raises(type(error)):
        clip.create(answered(error))
    with pytest.raises(type(error), match="not sent again"):
        task(uri).begin(same)
    cleared = task(uri, terms(ME_CLEARED))
    if isinstance(error, errors.ModerationError):
        with pytest.raises(errors.ModerationError):
            cleared.begin(same)
    else:
        assert isinstance(cleared.begin(same), Claim)


def test_a_claim_that_was_taken_before_an_attempt_sends_nothing_and_is_left(uri: str) -> None:
    clip, sends = task(uri), []
    clip.begin(same)

    def send(control: Control) -> Video:
        control.before_attempt(True)
        change(uri, claim_id="somebody's")
        control.sleep(1.0)
        control.before_attempt(True)
        sends.append("paid")
        return VIDEO

    with pytest.raises(errors.WisdomGateError, match="nothing was sent"):
        clip.create(send)
    found = recorded(uri)
    assert (sends, found and found.claim_id) == ([], "somebody's")


@pytest.mark.parametrize("error", [errors.StorageError("full"), TimedOut()], ids=repr)
def test_an_id_that_cannot_be_recorded_here_stays_in_the_memory(
    uri: str, kept: Kept, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = task(uri, kept=kept)
    clip.begin(same)

    def fail(*arguments: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Destination, "update", fail)
        with pytest.raises(type(error)) as caught:
            clip.create(lambda control: VIDEO)
    assert TaskMemory(kept).recall()["video_id"] == "video_1"
    assert isinstance(caught.value, TimedOut) or "clips adopt" in str(caught.value)
    step = task(uri, kept=kept).begin(same)
    assert isinstance(step, Follow)
    assert recorded(uri) == step.found


# ---- a later try


@pytest.mark.parametrize("make", [same, other, no_request])
def test_a_retry_continues_with_the_paid_video_whatever_its_request_is_now(
    uri: str, make: Callable[[], Wanted]
) -> None:
    first = paid(uri, terms(if_exists="replace"))
    for again in (terms(if_exists="replace"), terms(ME | {"round": 9})):
        assert task(uri, again).begin(make) == Follow(first.mine, "video_1")


def test_another_run_that_can_make_no_request_learns_of_the_paid_video(uri: str) -> None:
    paid(uri)
    with pytest.raises(errors.ConfigurationError, match="the reference image is gone") as caught:
        task(uri, terms(ANOTHER_RUN)).begin(no_request)
    assert "Video video_1 is paid for and recorded" in str(caught.value)
    assert f"wisdomgate clips fetch {uri}" in str(caught.value)


REMEMBERED: dict[str, Any] = {
    "video_id": "video_1",
    "claim_id": "c",
    "made_by": ME,
    "fingerprint": Wanted(REQUEST).fingerprint,
}
WORDS: dict[str, tuple[dict[str, Any], Callable[[], Wanted]]] = {
    "the same request": (REMEMBERED, same),
    "another request": (REMEMBERED, other),
    "no request": (REMEMBERED, no_request),
    "an earlier version's": (REMEMBERED | {"fingerprint": old_fingerprint(REQUEST), "made_by": None}, same),
    "before a clear": (REMEMBERED | {"made_by": ME_CLEARED}, same),
}


@pytest.mark.parametrize(("words", "make"), WORDS.values(), ids=WORDS.keys())
@pytest.mark.parametrize("is_open", [True, False], ids=["claimed", "no record"])
def test_a_retry_records_the_id_that_only_its_memory_has(
    uri: str, kept: Kept, words: dict[str, Any], make: Callable[[], Wanted], is_open: bool
) -> None:
    if is_open:
        claim = Manifest("creating", "c", uri, 5.0, fingerprint=REMEMBERED["fingerprint"], request=REQUEST, made_by=ME)
        claim = replace(claim, claim_seconds=0.0)
        Destination(uri).swap(None, claim)
    TaskMemory(kept).remember(words)
    step = task(uri, kept=kept).begin(make)
    assert isinstance(step, Follow)
    assert step.found == recorded(uri)
    assert (step.video_id, step.found.claim_id) == ("video_1", "c")
    assert Wanted(REQUEST).is_same_as(step.found)


def test_the_memory_of_another_round_s_other_request_is_not_taken(uri: str, kept: Kept) -> None:
    TaskMemory(kept).remember(REMEMBERED)
    assert isinstance(task(uri, terms(ME_CLEARED), kept).begin(other), Claim)


def test_a_memory_that_is_broken_stops_nothing(uri: str) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("Airflow is away")

    clip = ClipTask(Destination(uri), terms(), memory=TaskMemory(Broken()))
    assert isinstance(clip.begin(same), Claim)
    clip.create(sent)
    assert (found := recorded(uri)) is not None
    assert found.video_id == "video_1"


# ---- where a round's record is


def test_a_round_looks_first_at_the_place_that_it_recorded(tmp_path: Path, kept: Kept) -> None:
    first, second = (f"file://{tmp_path}/{name}/cat.mp4" for name in ("old", "new"))
    paid(first, kept=kept)
    assert place_of_round([second], terms(), TaskMemory(kept)) == first
    assert place_of_round([second], terms(ME | {"round": 9}), TaskMemory(kept)) == first
    assert place_of_round([second], terms(ME_CLEARED), TaskMemory(kept)) == second
    assert place_of_round([second], terms(ANOTHER_RUN), TaskMemory(kept)) == second


def test_a_round_without_a_memory_looks_below_every_storage_path(tmp_path: Path) -> None:
    first, second, third = (f"file://{tmp_path}/{name}/cat.mp4" for name in ("old", "new", "none"))
    paid(first)
    assert place_of_round([second, third, first], terms(), NoMemory()) == first
    assert place_of_round([second, first], terms(ME_CLEARED), NoMemory()) == first  # paid is paid, also after a clear
    assert place_of_round([second, first], terms(ANOTHER_RUN), NoMemory()) == second
    assert place_of_round([second], terms(), NoMemory()) == second


def test_a_failure_of_this_round_binds_it_to_no_place(tmp_path: Path, kept: Kept) -> None:
    first, second = (f"file://{tmp_path}/{name}/cat.mp4" for name in ("old", "new"))
    clip = paid(first, kept=kept)
    clip.record_failure(errors.VideoFailedError("no luck"))
    assert place_of_round([second, first], terms(), TaskMemory(kept)) == second


@pytest.mark.parametrize("words", [{}, {"destination": 5}, {"destination": "file:///x.mp4"}, {"made_by": ME}], ids=repr)
def test_a_memory_of_other_words_names_no_place(uri: str, kept: Kept, words: dict[str, Any]) -> None:
    TaskMemory(kept).remember(words)
    assert place_of_round([uri], terms(), TaskMemory(kept)) == uri


# ---- a task that was deferred


def words_of(clip: ClipTask) -> dict[str, Any]:
    words: dict[str, Any] = json.loads(json.dumps(clip.claim_words()))
    return words


def test_the_words_of_a_claim_are_plain_and_complete(uri: str) -> None:
    clip = paid(uri)
    assert words_of(clip) == {
        "destination": uri,
        "claim_id": clip.mine.claim_id,
        "fingerprint": same().fingerprint,
        "base_url": REQUEST["base_url"],
        "created_at": clip.mine.created_at,
        "made_by": ME,
    }


@pytest.mark.parametrize("make", [same, other, no_request])
def test_a_resumed_task_takes_up_its_record(uri: str, make: Callable[[], Wanted]) -> None:
    clip = paid(uri)
    for video_id, words in (("video_1", words_of(clip)), ("video_1", {}), (None, {})):
        resumed = task(uri)
        resumed.resume(video_id, words, make)
        assert resumed.mine == clip.mine


@pytest.mark.parametrize("make", [same, other, no_request])
@pytest.mark.parametrize("of", [lambda request: Wanted(request).fingerprint, old_fingerprint], ids=["now", "0.2"])
def test_a_resumed_task_without_its_record_keeps_the_fingerprint(
    uri: str, make: Callable[[], Wanted], of: Callable[[Mapping[str, Any]], str]
) -> None:
    """A decorated function may return another prompt after the deferral, or its image may be gone."""
    clip = paid(uri)
    words = words_of(clip) | {"fingerprint": of(REQUEST)}
    Destination(uri).update(lambda found: None)
    resumed = task(uri)
    resumed.resume("video_1", words, make)
    assert (resumed.mine.phase, resumed.mine.video_id) == ("created", "video_1")
    assert (resumed.mine.claim_id, resumed.mine.fingerprint) == (clip.mine.claim_id, words["fingerprint"])
    assert resumed.mine.request == (REQUEST if make is same else {"base_url": REQUEST["base_url"]})
    assert resumed.mine.dump()
    if make is same or of is not old_fingerprint:  # else nothing shows which request it was
        assert Wanted(REQUEST).is_same_as(resumed.mine)


def test_a_resumed_task_of_an_earlier_version_has_the_fingerprint_of_its_request(uri: str) -> None:
    resumed = task(uri)
    resumed.resume("video_1", {}, same)
    assert (resumed.mine.fingerprint, resumed.mine.request) == (same().fingerprint, REQUEST)


def test_a_resumed_task_beside_another_s_record_keeps_its_own(uri: str) -> None:
    words = words_of(paid(uri))
    change(uri, video_id="video_2", claim_id="theirs", fingerprint="theirs", made_by=ANOTHER_RUN)
    resumed = task(uri)
    resumed.resume("video_1", words, same)
    assert (resumed.mine.video_id, resumed.mine.claim_id) == ("video_1", words["claim_id"])


def test_a_resumed_task_of_a_damaged_record_names_the_paid_video(uri: str, tmp_path: Path) -> None:
    words = words_of(paid(uri))
    path = tmp_path / "cat.mp4.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(errors.DamagedManifestError) as caught:
        task(uri).resume("video_1", words, same)
    assert "Video video_1 is paid for" in str(caught.value)


def test_an_event_without_a_video_beside_no_record_is_an_error(uri: str) -> None:
    with pytest.raises(errors.WisdomGateError, match="is gone, and the trigger's event names no video"):
        task(uri).resume(None, {}, same)


# ---- a kill


def test_a_kill_is_recorded_and_then_its_deletion_and_the_next_run_pays(uri: str) -> None:
    clip = paid(uri)
    mark_killed(words_of(clip), "video_1")
    assert (found := recorded(uri)) is not None
    assert (found.phase, found.killed_at is not None) == ("created", True)
    record_deletion(words_of(clip), "video_1")
    assert (found := recorded(uri)) is not None
    assert found.phase == "failed"
    assert isinstance(task(uri).begin(same), Claim)


def test_a_deletion_without_a_recorded_kill_changes_nothing(uri: str) -> None:
    clip = paid(uri)
    record_deletion(words_of(clip), "video_1")
    assert recorded(uri) == clip.mine


def test_a_kill_of_a_task_that_continues_another_run_s_video_deletes_nothing(uri: str) -> None:
    first = paid(uri)
    second = task(uri, terms(ANOTHER_RUN))
    second.begin(same)
    with pytest.raises(errors.WisdomGateError):
        mark_killed(words_of(second), "video_1")
    assert recorded(uri) == first.mine


@pytest.mark.parametrize("words", [{}, {"destination": "s3:/x"}, {"destination": "file:///none/cat.mp4"}], ids=repr)
def test_words_of_no_claim_delete_nothing(words: dict[str, Any]) -> None:
    with pytest.raises(errors.WisdomGateError):
        mark_killed(words, "video_1")


# ---- a video that the gateway does not have any more


@contextmanager
def nothing_there(video_id: str, offset: int, validator: str | None) -> Iterator[Any]:
    if offset == 0:
        raise errors.ContentMissingError("no content", video_id=video_id)
    yield


def give_up_at_once(error: errors.WisdomGateError) -> None:
    raise error


def test_missing_content_leaves_the_video_created_unless_its_expiry_is_long_over(uri: str) -> None:
    clip = paid(uri)
    for expires_at in (None, time.time() + 60, 5.0):
        done = Video("video_1", "completed", expires_at=expires_at)
        with pytest.raises(errors.ContentMissingError):
            clip.finish(partial(replace, done), nothing_there, give_up_at_once)
    assert recorded(uri) == clip.mine


def test_missing_content_after_its_announced_expiry_ends_the_video(uri: str) -> None:
    clip = paid(uri)
    clip.mine = change(uri, created_at=1000.0, claimed_at=1000.0)
    done = Video("video_1", "completed", expires_at=time.time() - 700)
    with pytest.raises(errors.VideoExpiredError):
        clip.finish(lambda: done, nothing_there, give_up_at_once)
    assert (found := recorded(uri)) is not None
    assert found.phase == "failed"


def test_an_unknown_video_after_its_announced_expiry_stays_created(uri: str) -> None:
    """Only the content route confirms an expiry."""
    clip = paid(uri)
    clip.mine = change(uri, created_at=1000.0, claimed_at=1000.0, expires_at=2000.0)

    def wait() -> Video:
        raise GONE

    with pytest.raises(errors.VideoNotFoundError):
        clip.finish(wait, nothing_there, give_up_at_once)
    assert recorded(uri) == clip.mine


def stored_by_a_sibling(uri: str, clip: ClipTask) -> Manifest:
    Path(uri.removeprefix("file://")).write_bytes(b"12345")
    return change(uri, phase="stored", size=5, sha256="ab", stored_at=5.0)


@pytest.mark.parametrize("error", [GONE, errors.VideoExpiredError("x"), errors.VideoFailedError("x")], ids=repr)
def test_the_clip_that_a_sibling_stored_ends_the_wait(uri: str, error: errors.WisdomGateError) -> None:
    """``delete_after_download`` of one of two runs: the other one's video is gone."""
    clip = paid(uri)

    def wait() -> Video:
        stored_by_a_sibling(uri, clip)
        raise error

    stored = clip.finish(wait, nothing_there, give_up_at_once)
    assert stored == recorded(uri)


def test_a_gone_video_is_given_up_once_for_another_create(uri: str) -> None:
    asks = terms(on_gone="create")
    clip = paid(uri, asks)
    assert clip.may_recreate()
    clip.recreate(GONE, same)
    clip.create(answered(Video("video_2")))
    found = recorded(uri)
    assert found == clip.mine
    assert [(record.phase, record.video_id) for record in (clip.mine, *clip.mine.below)] == [
        ("created", "video_2"),
        ("failed", "video_1"),
    ]
    assert not clip.may_recreate()
    assert not paid(f"{uri}.2.mp4", terms()).may_recreate()


def test_a_stored_clip_that_was_removed_and_is_gone_at_the_gateway_is_made_again(uri: str) -> None:
    asks = terms(ANOTHER_RUN, on_gone="create")
    stored = stored_by_a_sibling(uri, paid(uri))
    Path(uri.removeprefix("file://")).unlink()
    clip = task(uri, asks)
    assert clip.begin(same) == Follow(stored, "video_1")
    assert clip.may_recreate()
    clip.recreate(GONE, same)
    assert (found := recorded(uri)) is not None
    assert found.phase == "creating"


def test_a_stored_clip_that_is_back_is_not_made_again(uri: str) -> None:
    asks = terms(on_gone="create")
    stored = stored_by_a_sibling(uri, paid(uri, asks))
    clip = task(uri, asks)
    assert clip.begin(same) == Done(stored)
    with pytest.raises(errors.WisdomGateError, match="nothing was sent"):
        clip.recreate(GONE, same)
    assert recorded(uri) == stored


def test_a_video_whose_record_changed_is_not_given_up(uri: str) -> None:
    clip = paid(uri, terms(on_gone="create"))
    change(uri, phase="failed", error={"error": "VideoFailedError"})
    with pytest.raises(errors.WisdomGateError, match="nothing was sent"):
        clip.recreate(GONE, same)
    change(uri, claim_id="theirs", video_id="video_2", phase="created")
    assert not clip.may_recreate()
    with pytest.raises(errors.DestinationTakenError):
        clip.recreate(GONE, same)


@pytest.mark.parametrize("refusal", [errors.BadRequestError("no such route", status=405), None], ids=repr)
def test_a_kill_whose_delete_is_refused_leaves_no_mark(uri: str, refusal: errors.WisdomGateError | None) -> None:
    clip = paid(uri)
    mark_killed(words_of(clip), "video_1")
    record_deletion(words_of(clip), "video_1", refusal or errors.ConnectionBrokenError("who knows"))
    assert (recorded(uri).phase, recorded(uri).killed_at is None) == ("created", refusal is not None)


def test_an_id_that_a_foreign_file_took_the_place_of_is_remembered_and_named(
    uri: str, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "RECORD_DELAYS", ())
    clip = task(uri, kept=kept)
    clip.begin(same)
    path = Path(uri.removeprefix("file://") + ".json")

    def send(control: Control) -> Video:
        path.write_text('{"title": "somebody else wrote this"}')
        return Video("video_1", "queued")

    with pytest.raises(errors.StorageError, match="video_1 was created and is paid for"):
        clip.create(send)
    assert TaskMemory(kept).recall()["video_id"] == "video_1"


def test_an_id_that_only_the_memory_has_counts_above_another_tasks_failed_record(uri: str, kept: Kept) -> None:
    clip = paid(uri, kept=kept)
    words = dict(TaskMemory(kept).recall())
    failed = replace(clip.mine, claim_id="theirs", made_by=ANOTHER_RUN, phase="failed", video_id="video_9")
    clip.destination.update(lambda _: failed)
    TaskMemory(kept).remember(words)
    step = task(uri, kept=kept).begin(same)
    assert isinstance(step, Follow)
    assert step.video_id == "video_1"


def test_a_kill_deletes_no_video_that_was_only_found_in_a_list(uri: str) -> None:
    clip = paid(uri)
    clip.destination.update(lambda found: found and replace(found, created_at=None))
    with pytest.raises(errors.WisdomGateError, match="did not come from the answer"):
        mark_killed(words_of(clip), "video_1")
    assert recorded(uri).killed_at is None


def test_a_lost_create_that_only_the_memory_knows_is_not_sent_again(uri: str, kept: Kept) -> None:
    clip = task(uri, terms(ME, "replace"), kept)
    clip.begin(same)

    def lose(control: Control) -> Video:
        control.before_attempt(costs=True)
        raise errors.LostCreateError("no answer")

    with pytest.raises(errors.LostCreateError):
        clip.create(lose)
    stored = replace(clip.mine, phase="stored", claim_id="theirs", made_by=ANOTHER_RUN, video_id="video_9", size=4)
    clip.destination.update(lambda _: stored)
    Path(uri.removeprefix("file://")).write_bytes(b"clip")
    assert isinstance(task(uri, terms(ME, "replace"), kept).begin(same), Done)
