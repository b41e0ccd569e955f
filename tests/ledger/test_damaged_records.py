"""Damage is not absence: no part of a record is taken for a free place, whatever byte it was cut at."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledger_cases import ANOTHER_RUN, CREATED, CREATING, LUCKLESS, ME, REQUEST, STORED, found, terms

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.ledger import destination, driver
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.driver import HALF_WRITTEN_SECONDS, ClipTask
from airflow_provider_wisdomgate.ledger.record import CREATING as BEGINNING_OF_A_CLAIM
from airflow_provider_wisdomgate.ledger.record import Manifest, begins_as_manifest, is_empty, is_unfinished
from airflow_provider_wisdomgate.ledger.rules import Wanted

RECORDS = {
    "created": CREATED,
    "announced": replace(CREATED, size=5, sha256="ab", stored_at=1.0),
    "stored": STORED,
    "failed": LUCKLESS,
    "failed without an id": found("failed", error={"error": "BadRequestError", "message": "no"}),
    "of a download": replace(STORED, fingerprint=None),
    "of a download on its way": replace(CREATED, fingerprint=None),
    "over a record": replace(CREATED, claim_id="next").over(STORED),
    "killed": replace(CREATED, killed_at=5.0),
}
CLAIMS = {"new": CREATING, "lost": replace(CREATING, claim_seconds=0.0, lost_at=5.0, answer='"video_id": "x"')}
# The longest common beginning of `"creating"` and `"created"`: so far, nobody can know what it was.
UNDECIDED = len(b'{\n "phase": "creat')


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_no_beginning_of_a_later_record_is_an_unfinished_claim(record: Manifest) -> None:
    data = record.dump()
    assert [length for length in range(UNDECIDED + 1, len(data) + 1) if is_unfinished(data[:length])] == []


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_every_beginning_of_a_claim_is_unfinished_until_it_may_name_a_video(claim: Manifest) -> None:
    data = claim.dump()
    end = data.index(b'\n "version": ') + 5
    if b'"video_id": "' in data:
        end = data.index(b'"video_id": "')
    assert [length for length in range(end) if not is_unfinished(data[:length])] == []
    assert [is_unfinished(data[:length]) for length in (len(data) - 3, len(data))] == [False, False]


def test_a_claim_over_a_paid_video_is_not_unfinished_once_it_names_it() -> None:
    data = replace(CREATING, claim_id="next").over(CREATED).dump()
    end = data.index(b'"video_1"') + 1
    assert [is_unfinished(data[:length]) for length in (40, end, end + 20)] == [True, False, False]


TYPO = b',\n "version": ,\n}'  # saved by an editor that takes away the last line's end


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"somebody's notes",
        b'{"phase": "stored"}',
        b"<html>",
        CREATING.dump().replace(b',\n "version": 1\n}\n', TYPO),
    ],
)
def test_what_is_no_beginning_of_a_claim_is_not_taken_for_one(data: bytes) -> None:
    assert not is_unfinished(data)


def test_a_file_system_that_lost_power_shows_zeros() -> None:
    assert (is_empty(bytes(4096)), is_unfinished(bytes(4096))) == (True, True)
    assert is_unfinished(CREATING.dump()[:50] + bytes(100))
    assert not is_unfinished(CREATED.dump()[:50] + bytes(100))


# ---- a task that meets such a file


class Watching(Control):
    """Ends a wait at its first pause."""

    def sleep(self, seconds: float) -> None:
        raise TimeoutError(seconds)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Destination:
    monkeypatch.setattr(destination, "SPOILED_DELAYS", ())
    return Destination(str(tmp_path / "cat.mp4"))


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links: a claim is written in place, so that others can see half of it."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refuse)


def begun(place: Destination, by: dict[str, Any] = ANOTHER_RUN) -> str:
    """Return how a try at this place begins, as a word; whatever it is, it changes no file."""
    path = Path(place.uri.removeprefix("file://") + ".json")
    before = path.read_bytes()
    try:
        word = type(ClipTask(place, terms(by, "replace", "create"), Watching()).begin(lambda: Wanted(REQUEST))).__name__
    except (errors.WisdomGateError, TimeoutError) as error:
        word = type(error).__name__
    assert path.read_bytes() == before
    return word


def write(place: Destination, data: bytes, age: float = 0.0) -> None:
    path = Path(place.uri.removeprefix("file://") + ".json")
    path.write_bytes(data)
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))


@pytest.mark.parametrize("record", [*RECORDS.values(), *CLAIMS.values()], ids=[*RECORDS, *CLAIMS])
def test_a_record_that_was_cut_anywhere_stops_the_task(place: Destination, record: Manifest) -> None:
    data = record.dump()
    seen = set()
    for length in range(0, len(data) - 2, 7):
        write(place, data[:length], age=1e6)
        seen.add(begun(place))
    assert seen == {"DamagedManifestError"}


@pytest.mark.parametrize("record", [*RECORDS.values(), *CLAIMS.values()], ids=[*RECORDS, *CLAIMS])
def test_a_cut_record_stops_the_task_on_a_file_system_that_shows_half_a_claim(
    place: Destination, record: Manifest, in_place: None
) -> None:
    """A young one may be a claim that another task is writing: the task waits. It never takes the place."""
    data, seen = record.dump(), {}
    for length in range(0, len(data) - 2, 37):
        for age in (0.0, HALF_WRITTEN_SECONDS - 30, HALF_WRITTEN_SECONDS + 1):
            write(place, data[:length], age)
            seen.setdefault((is_unfinished(data[:length]), age > HALF_WRITTEN_SECONDS), set()).add(begun(place))
    assert seen.pop((True, False)) == {"TimeoutError"}  # it waited
    assert set().union(*seen.values()) == {"DamagedManifestError"}


@pytest.mark.parametrize("data", [b"", bytes(10), b" \n", CREATED.dump()[:10]], ids=["empty", "zeros", "blank", "10"])
def test_an_empty_record_is_damage_and_names_forget(place: Destination, data: bytes) -> None:
    write(place, data)
    with pytest.raises(errors.DamagedManifestError, match="may name a paid video") as caught:
        place.read()
    assert f"wisdomgate clips forget {place.uri}" in str(caught.value)


def test_a_foreign_file_is_not_called_damaged(place: Destination) -> None:
    write(place, b'{"subtitles": []}')
    assert begun(place) == "DestinationTakenError"


def test_a_record_of_a_later_version_stops_the_task(place: Destination) -> None:
    write(place, json.dumps(CREATED.as_dict() | {"version": 2, "needs": "0.9"}).encode())
    with pytest.raises(errors.DamagedManifestError, match=r"Upgrade airflow-provider-wisdomgate to version 0\.9"):
        ClipTask(place, terms()).begin(lambda: Wanted(REQUEST))


def test_no_change_is_made_over_a_damaged_record(place: Destination, in_place: None) -> None:
    for data in (CREATING.dump()[:60], CREATED.dump()[:60], b""):
        write(place, data)
        with pytest.raises(errors.DamagedManifestError):
            place.update(lambda found: CREATING)


def test_a_half_written_claim_that_is_completed_meanwhile_is_waited_for(
    place: Destination, in_place: None, tmp_path: Path
) -> None:
    """The other task's claim is whole at the second look, and its video is there at the third."""
    turns = iter([CREATING.dump(), CREATED.dump()])

    class Working(Control):
        def sleep(self, seconds: float) -> None:
            write(place, next(turns))

    write(place, CREATING.dump()[:60])
    clip = ClipTask(place, terms(ANOTHER_RUN), Working())
    clip.begin(lambda: Wanted(REQUEST))
    assert clip.mine.video_id == CREATED.video_id


def test_a_claim_that_could_not_be_written_whole_leaves_no_half(
    place: Destination, in_place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync: Callable[[int], None] = os.fsync

    def full(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".json"):
            raise OSError(errno.ENOSPC, "disk full")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(driver, "CORRECT_DELAYS", ())
    with pytest.raises(errors.StorageError, match="disk full"):
        ClipTask(place, terms(ME)).begin(lambda: Wanted(REQUEST))
    assert place.find() is None


def test_begins_as_manifest_covers_every_record() -> None:
    for record in (*RECORDS.values(), *CLAIMS.values()):
        assert begins_as_manifest(record.dump())
    assert CREATING.dump()[: len(BEGINNING_OF_A_CLAIM)] == BEGINNING_OF_A_CLAIM
