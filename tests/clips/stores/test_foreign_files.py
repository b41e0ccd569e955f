"""Anybody can put anything beside a clip. Whatever it is, reading it ends, and is bounded in time and memory."""

from __future__ import annotations

import os
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from store_steps import JSON, opened

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.reference_image import MAX_REFERENCE_BYTES, read_reference_image
from airflow_provider_wisdomgate.clips.stores import local as local_store
from airflow_provider_wisdomgate.clips.stores.base import HEAD_BYTES, MAX_RECORD_BYTES, NotAFileError, Versioned
from airflow_provider_wisdomgate.clips.stores.local import LocalStore
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.folder import find_kept
from airflow_provider_wisdomgate.plugin.clip_finder import find_clip

SPARSE = 600 * 1024**2


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, SPARSE)


def pipe_behind_a_link(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def listening(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(path.parent)  # the address of a socket has at most 108 letters
    server.bind(path.name)
    os.chdir(here)
    server.close()


ODD: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "link to a pipe": pipe_behind_a_link,
    "link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "link to a device that blocks": lambda path: path.symlink_to("/dev/tty"),
    "socket": listening,
    "folder": Path.mkdir,
}


@pytest.fixture(params=ODD, ids=[name.replace(" ", "-") for name in ODD])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A clip's path, beside which something that is no regular file has the manifest's name."""
    ODD[request.param](tmp_path / "cat.mp4.json")
    return tmp_path / "cat.mp4"


@pytest.fixture(autouse=True)
def bounded_memory(request: pytest.FixtureRequest) -> Iterator[None]:
    if "any_place" in request.fixturenames:
        yield  # some of their servers are in this process
        return
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024**2


def test_no_manifest_is_read_from_what_is_no_regular_file(odd: Path) -> None:
    target = Destination(str(odd))
    for read in (target.find, target.find_any, lambda: target.update(lambda found: found)):
        with pytest.raises(errors.DestinationTakenError, match=r"cat\.mp4\.json is no file but a"):
            read()


def test_what_is_no_regular_file_is_neither_replaced_nor_deleted(odd: Path) -> None:
    store, manifest = LocalStore(odd), odd.with_name("cat.mp4.json")
    before = manifest.lstat()
    for act in (lambda: store.replace(JSON, b"{}", "any"), lambda: store.delete(JSON, "any")):
        with pytest.raises(OSError):  # a folder's own error, or ours
            act()
    assert store.create(JSON, b"{}") is None
    assert os.path.samestat(manifest.lstat(), before)


def test_a_listing_and_a_page_pass_over_what_is_no_regular_file(odd: Path) -> None:
    assert [kept.name for kept in find_kept(str(odd.parent))] == []
    assert find_clip(str(odd), "any", [str(odd.parent)]) is None


@pytest.mark.parametrize("kind", ODD)
def test_no_range_is_read_from_what_is_no_regular_file(kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / "cat.mp4")
    with pytest.raises(NotAFileError):
        LocalStore(tmp_path / "cat.mp4").read_range(0, 10)


@pytest.mark.parametrize("kind", ODD)
def test_no_reference_image_is_read_from_what_is_no_regular_file(kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / "image.png")
    with pytest.raises(errors.ConfigurationError, match=r"^input_reference .*image\.png is no file but a"):
        read_reference_image(str(tmp_path / "image.png"))


def test_a_record_of_600_megabytes_is_damage_and_is_forgotten(tmp_path: Path) -> None:
    sparse(tmp_path / "cat.mp4.json")
    target = Destination(str(tmp_path / "cat.mp4"))
    with pytest.raises(errors.DamagedManifestError, match="forget"):
        target.find()
    read = target.find_any()
    assert read is not None
    assert (len(read.data), read.size) == (HEAD_BYTES, SPARSE)
    [kept] = find_kept(str(tmp_path))
    assert (kept.name, kept.state) == ("cat.mp4", "damaged")
    assert LocalStore(tmp_path / "cat.mp4").delete(JSON, read.version)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_of_600_megabytes_is_no_record(tmp_path: Path) -> None:
    sparse(tmp_path / "cat.mp4.json")
    with open(tmp_path / "cat.mp4.json", "r+b") as file:
        file.write(b'{"another": "format"')
    with pytest.raises(errors.DestinationTakenError, match="no manifest of this package"):
        Destination(str(tmp_path / "cat.mp4")).find()
    assert list(find_kept(str(tmp_path))) == []


def test_an_image_of_600_megabytes_is_refused_unread(tmp_path: Path) -> None:
    sparse(tmp_path / "image.png")
    with pytest.raises(errors.ConfigurationError, match=f"has {SPARSE} bytes, more than {MAX_REFERENCE_BYTES}"):
        read_reference_image(str(tmp_path / "image.png"))


def test_a_file_that_grows_while_it_is_read_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cat.mp4.json"
    path.write_bytes(b"{")
    real = os.fstat

    def grow(handle: int) -> os.stat_result:
        found = real(handle)
        os.truncate(path, SPARSE)
        return found

    monkeypatch.setattr(os, "fstat", grow)
    read = LocalStore(tmp_path / "cat.mp4").read(JSON)
    monkeypatch.undo()
    assert read is not None
    assert (read.is_whole, len(read.data)) == (False, HEAD_BYTES)


def test_a_file_that_becomes_a_pipe_after_it_was_seen_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the opened file itself is counts: a look at its name before would be of another file."""
    path, real = tmp_path / "cat.mp4.json", os.open
    path.write_bytes(b"{}")

    def swap(name: Any, flags: int, *more: Any, **options: Any) -> int:
        if Path(name) == path:
            path.unlink()
            os.mkfifo(path)
        return real(name, flags, *more, **options)

    monkeypatch.setattr(local_store.os, "open", swap)
    with pytest.raises(NotAFileError):
        LocalStore(tmp_path / "cat.mp4").read(JSON)


def test_a_folder_nested_as_deep_as_paths_reach_is_listed(tmp_path: Path) -> None:
    here, depth = os.getcwd(), (4000 - len(str(tmp_path))) // 2
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("a")
            os.chdir("a")
        Path("x.mp4").write_bytes(b"deep")
        assert [file.name for file in LocalStore(tmp_path / "any").siblings()] == ["a/" * depth + "x.mp4"]
        Path("x.mp4").unlink()
        for _ in range(depth):  # pytest's own cleaning up is recursive
            os.chdir("..")
            os.rmdir("a")
    finally:
        os.chdir(here)


def test_a_loop_of_links_does_not_lengthen_a_listing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4").write_bytes(b"clip")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self.mp4.json").symlink_to("self.mp4.json")
    assert [file.name for file in LocalStore(tmp_path / "any").siblings()] == ["a/x.mp4"]
    with pytest.raises(errors.StorageError, match="symbolic links"):
        Destination(str(tmp_path / "self.mp4")).find()


def test_a_pipe_that_somebody_writes_to_stays_unread(tmp_path: Path) -> None:
    path = tmp_path / "cat.mp4.json"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"{}"), daemon=True)
    writer.start()
    with pytest.raises(errors.DestinationTakenError):
        Destination(str(tmp_path / "cat.mp4")).find()
    with open(path, "rb") as file:  # so that the writer ends
        assert file.read() == b"{}"
    writer.join()


def test_every_store_reads_the_head_of_what_is_too_large(any_place: Any) -> None:
    data = b"0123456789" * (MAX_RECORD_BYTES // 10 + 1)
    any_place.write("a/cat.mp4.json", data)
    store = opened(any_place)
    read = store.read(JSON)
    assert read is not None
    assert (read.data, read.size, read.is_whole) == (data[:HEAD_BYTES], len(data), False)
    assert store.read(JSON, limit=len(data)) == Versioned(data, store.read(JSON, limit=len(data)).version)  # type: ignore[union-attr]
    assert store.replace(JSON, b"{}", store.no_version) is None
    assert store.delete(JSON, read.version)
    assert any_place.names() == []


def test_every_store_reads_a_record_as_large_as_one_may_be(any_place: Any) -> None:
    data = bytes(MAX_RECORD_BYTES)
    any_place.write("a/cat.mp4.json", data)
    read = opened(any_place).read(JSON)
    assert read is not None
    assert (read.data, read.is_whole) == (data, True)
