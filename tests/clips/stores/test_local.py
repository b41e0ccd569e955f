"""Local files on file systems that lack something. What the operating system would do is simulated where it says so."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.local import ABANDONED_AFTER, LocalStore
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.record import Manifest

JSON = ".json"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cat.mp4")


def names(store: LocalStore) -> list[str]:
    return sorted(path.name for path in Path(store.uri.removeprefix("file://")).parent.iterdir())


def refuse(number: int) -> Callable[..., Any]:
    def refused(*arguments: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refused


def abandon(store: LocalStore) -> Path:
    """Leave a partial file as a killed process does: its lock goes with it."""
    kept = store.partial_file()
    path = Path(kept.__enter__().name)
    copy = path.with_name(path.name[:-37] + "0" * 32 + ".part")
    os.link(path, copy)
    kept.__exit__(None, None, None)
    return copy


# ---------------------------------------------------------------------------------------- no hard links [sim]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_a_file_is_still_created_once(
    number: int, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse(number))
    assert store.create(JSON, b"one") is not None
    assert store.create(JSON, b"two") is None
    found = store.read(JSON)
    assert (found and found.data, names(store)) == (b"one", ["cat.mp4.json"])


def test_a_manifest_that_could_not_be_written_whole_is_not_left(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    real = os.fsync

    def full(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".json"):
            raise OSError(errno.ENOSPC, "disk full")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        store.create(JSON, b"half")
    assert names(store) == []


def test_half_a_file_may_be_seen_only_without_hard_links(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.may_show_half is False
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    assert store.may_show_half is True
    assert names(store) == []


@pytest.mark.parametrize("begun", [b"", b'{\n "pha', bytes(100)])
def test_a_manifest_that_a_killed_try_began_to_write_is_damaged(
    tmp_path: Path, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat.mp4.json").write_bytes(begun)
    target = Destination(str(tmp_path / "cat.mp4"))
    with pytest.raises(errors.DamagedManifestError):
        target.find()
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))  # here a claim is written in place: it may be alive
    found = target.find()
    assert (found and found.manifest, target.read()) == (None, None)


def test_who_meets_a_manifest_that_is_being_written_waits_for_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without links is there, empty, before it is written: only its lock tells that somebody is at it."""
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    is_there, go_on, real = threading.Event(), threading.Event(), os.fsync

    def slow(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".json"):
            is_there.set()
            go_on.wait(10)
        real(handle)

    monkeypatch.setattr(os, "fsync", slow)
    writer = threading.Thread(target=store.create, args=(JSON, b"theirs"))
    writer.start()
    is_there.wait(10)
    results: list[Any] = []
    taker = threading.Thread(target=lambda: results.append(store.replace(JSON, b"ours", version_of(b""))))
    taker.start()
    go_on.set()
    writer.join()
    taker.join()
    found = store.read(JSON)
    assert (results, found and found.data) == ([None], b"theirs")


def version_of(data: bytes) -> str:
    """A local file's version is the hash of its bytes."""
    return hashlib.sha256(data).hexdigest()


# ------------------------------------------------------------------------------------- a network's answers [sim]


def test_a_link_whose_reply_was_lost_is_ours(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS sends the request again, and its own file is there already."""
    real = os.link

    def twice(source: Any, target: Any) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "link", twice)
    assert store.create(JSON, b"ours") is not None
    assert store.create(JSON, b"theirs") is None
    assert names(store) == ["cat.mp4.json"]


def test_a_change_whose_answer_was_lost_counts_once_it_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Destination(str(tmp_path / "cat.mp4"))
    real = os.replace

    def lost(source: Any, to: Any) -> None:
        real(source, to)
        raise OSError(errno.EIO, "no answer")

    first, second = (Manifest("creating", name, target.uri, 1.0) for name in ("first", "second"))
    target.swap(None, first)
    monkeypatch.setattr(os, "replace", lost)
    target.swap(target.find(), second)
    assert target.read() == second


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_fsync_is_used_all_the_same(
    number: int, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(number))
    version = store.create(JSON, b"one")
    assert version is not None
    assert store.replace(JSON, b"two", version) is not None


def test_a_disk_that_cannot_be_written_is_an_error(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        store.create(JSON, b"one")
    assert names(store) == []


# --------------------------------------------------------------------------------------------------- no locks [sim]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_locks_works_and_says_that_it_is_weaker(
    number: int, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    version = store.create(JSON, b"one")
    assert store.replace(JSON, b"two", version) is not None
    assert store.replace(JSON, b"three", version) is None
    assert store.weakness is not None
    with store.partial_file() as file:
        file.write(b"clip")
        assert store.publish(file, "video/mp4", over=None, beside=(JSON, version_of(b"two")))
    assert names(store) == ["cat.mp4", "cat.mp4.json"]


def test_without_locks_only_an_old_partial_file_is_removed(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    left = abandon(store)
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    store.remove_partial_files()
    assert left.exists()
    os.utime(left, (0, left.stat().st_mtime - ABANDONED_AFTER - 1))
    store.remove_partial_files()
    assert not left.exists()


# ------------------------------------------------------------------------------------- cleaning up stops nobody


def test_a_partial_file_is_opened_for_writing_before_it_is_locked(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS refuses an exclusive lock of what is open for reading only [sim]."""
    left, real = abandon(store), fcntl.flock

    def as_nfs(file: Any, kind: int) -> None:
        if kind & fcntl.LOCK_EX and not file.writable():
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(file, kind)

    monkeypatch.setattr(fcntl, "flock", as_nfs)
    store.remove_partial_files()
    assert not left.exists()


@pytest.mark.parametrize("what", ["open", "unlink", "iterdir"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EBADF, errno.ESTALE, errno.EBUSY])
def test_a_partial_file_that_cannot_be_removed_stops_no_try(
    what: str, number: int, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, in a sticky folder, on a server that has forgotten it."""
    left = abandon(store)
    if what == "open":
        monkeypatch.setattr("builtins.open", refuse(number))
    else:
        monkeypatch.setattr(Path, what, refuse(number))
    store.remove_partial_files()
    monkeypatch.undo()
    assert left.exists()


def test_the_partial_file_of_a_live_try_is_left_alone(store: LocalStore) -> None:
    with store.partial_file() as file:
        LocalStore(Path(store.uri.removeprefix("file://"))).remove_partial_files()
        assert Path(file.name).exists()


# ------------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("letter", ["a", "ä", "猫", "🐈"])
def test_a_name_may_be_as_long_as_the_file_system_takes(letter: str, tmp_path: Path) -> None:
    longest = letter * ((255 - len(".mp4.json")) // len(letter.encode())) + ".mp4"
    store = LocalStore(tmp_path / longest)
    version = store.create(JSON, b"{}")
    with store.partial_file() as file:
        file.write(b"clip")
        assert store.publish(file, "video/mp4", over=None, beside=(JSON, version))
    assert sorted(path.name for path in tmp_path.iterdir()) == [longest, f"{longest}.json"]


# ------------------------------------------------------------------------------------------------- age


def test_an_age_is_told_by_the_files_own_clock(store: LocalStore, tmp_path: Path) -> None:
    assert store.age(JSON) == 0.0
    store.create(JSON, b"{}")
    written = (tmp_path / "cat.mp4.json").stat().st_mtime
    os.utime(tmp_path / "cat.mp4.json", (0, written - 500))
    age = store.age(JSON)
    assert age is not None
    assert 500 <= age < 560
    os.utime(tmp_path / "cat.mp4.json", (0, written + 500))  # written by a clock that is ahead
    assert store.age(JSON) == 0.0
