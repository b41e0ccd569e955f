"""Filesystems that write in place, or rename as they like: a manifest is whole at every moment.

The far side is fsspec's own local filesystem, less or more able than it is.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from store_steps import JSON, opened, publish
from support import LocalPlace

from airflow_provider_wisdomgate.clips.stores.fsspec import FsspecStore

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

OLD, NEW = b"old" * 1000, b"new" * 1000


class Disk(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Writes in place and renames."""

    cachable = False


class Copying(Disk):
    """Renames nothing: fsspec copies instead."""

    mv = AbstractFileSystem.mv


class Exclusive(Disk):
    """Has a create mode of its own, which writes in place."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        with open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)


class RenamesOverNothing(Disk):
    """Refuses to rename over a file, as SMB and many FTP servers do."""

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if Path(path2).exists():
            raise FileExistsError(path2)
        super().mv(path1, path2)


class RenamesSilently(RenamesOverNothing):
    """Does not even raise then, as WebHDFS."""

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if not Path(path2).exists():
            super().mv(path1, path2)


class Dying(Disk):
    """Its process is killed once half of a file is written."""

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        file = super()._open(path, mode, **kwargs)
        if mode == "wb":
            file.f = Half(file.f)
        return file


class Half:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class DiskPlace(LocalPlace):
    def __init__(self, folder: Path, fs: Any) -> None:
        super().__init__(folder)
        self.conn_id = f"disk_{uuid.uuid4().hex}"  # Airflow keeps a filesystem for each
        attach("memory", self.conn_id, fs=fs)

    def uri(self, name: str) -> str:
        return f"memory://{self.conn_id}@{str(self.folder)[1:]}/{name}"


Place = Callable[[Any], DiskPlace]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "a").mkdir()
    return lambda fs: DiskPlace(tmp_path, fs)


def killed(act: Callable[[], Any]) -> bool:
    """Do something in a process of its own; whether it was killed over it."""
    if (child := os.fork()) == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_kill_while_a_manifest_is_replaced_leaves_the_old_one(place: Place) -> None:
    disk = place(Disk())
    version = opened(disk).create(JSON, OLD)
    dying = opened(place(Dying()))
    assert killed(lambda: dying.replace(JSON, NEW, version))
    assert disk.read("a/cat.mp4.json") == OLD


def test_a_kill_while_a_manifest_is_created_leaves_none(place: Place) -> None:
    dying = opened(place(Dying()))
    assert killed(lambda: dying.create(JSON, NEW))
    assert opened(place(Disk())).read(JSON) is None


EVERY = [Disk, Copying, Exclusive, RenamesOverNothing, RenamesSilently]


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", ["a/cat.mp4", "a/[c]a*t.mp4"])
def test_a_manifest_changes_by_its_version_however_files_are_renamed(kind: Any, name: str, place: Place) -> None:
    disk = place(kind())
    store = opened(disk, name)
    version = store.create(JSON, OLD)
    assert store.create(JSON, NEW) is None
    assert store.replace(JSON, NEW, store.no_version) is None
    assert disk.read(f"{name}.json") == OLD
    second = store.replace(JSON, NEW, version)
    assert store.replace(JSON, OLD, version) is None
    found = store.read(JSON)
    assert (found and found.data, found and found.version) == (NEW, second)
    assert disk.names() == [f"{name}.json"]


def test_a_manifest_that_appears_meanwhile_is_not_renamed_over(place: Place) -> None:
    disk = place(RenamesOverNothing())
    store = opened(disk)
    store.read = lambda suffix: None  # type: ignore[method-assign]  # it appeared after the last look
    assert opened(disk).create(JSON, OLD) is not None
    assert store.create(JSON, NEW) is None
    assert (disk.read("a/cat.mp4.json"), disk.names()) == (OLD, ["a/cat.mp4.json"])


@pytest.mark.parametrize("name", ["a/cat.mp4", "a/[c]a*t.mp4"])
def test_a_clip_with_any_name_is_published_by_copying_too(name: str, place: Place) -> None:
    disk = place(Copying())
    assert publish(opened(disk, name), NEW)
    assert (disk.read(name), disk.names()) == (NEW, [name, f"{name}.json"])


def test_a_clip_that_is_silently_not_renamed_is_an_error(place: Place) -> None:
    disk = place(RenamesSilently())
    disk.write("a/cat.mp4", OLD)
    store = opened(disk)
    with pytest.raises(FileExistsError):
        publish(store, NEW, over=store.clip())
    assert (disk.read("a/cat.mp4"), disk.names()) == (OLD, ["a/cat.mp4", "a/cat.mp4.json"])


@pytest.mark.parametrize(
    ("kind", "may_show_half"),
    [(Disk, False), (Copying, True), (Exclusive, True), (RenamesOverNothing, False)],
)
def test_half_a_file_is_seen_only_if_it_is_created_in_place(kind: Any, may_show_half: bool, place: Place) -> None:
    store = opened(place(kind()))
    assert (type(store), store.may_show_half) == (FsspecStore, may_show_half)
