"""What is asked of every store for clips, on real servers. See clips/stores/base.py."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from store_steps import JSON, MIB, at_once, clips, keep, opened, publish, unfinished


@pytest.mark.parametrize("size", [0, 1, 100_000, 40 * MIB])
def test_a_clip_appears_whole_and_with_its_type(any_place: Any, size: int) -> None:
    store, data = opened(any_place), os.urandom(size)
    assert publish(store, data)
    assert any_place.names() == ["a/cat.mp4", "a/cat.mp4.json"]
    assert any_place.read("a/cat.mp4") == data
    assert any_place.content_type_of("a/cat.mp4") in ("video/mp4", None)
    found = store.clip()
    assert found
    assert found.size == size
    assert store.read_range(0, size) == data
    assert store.read_range(10, 20) == data[10:20]


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_a_clip_takes_the_place_of_exactly_the_one_that_was_seen(any_place: Any, size: int) -> None:
    store = opened(any_place)
    any_place.write("a/cat.mp4", b"old")
    seen = store.clip()
    assert publish(store, bytes(size), over=seen)
    assert any_place.read("a/cat.mp4") == bytes(size)


@pytest.mark.parametrize("size", [1000, 20 * MIB])
@pytest.mark.parametrize("happened", ["appeared", "changed", "vanished"])
def test_a_clip_is_not_published_over_what_was_not_seen(
    size: int, happened: str, request: pytest.FixtureRequest, object_place: Any
) -> None:
    store = opened(object_place)
    if happened != "appeared":
        object_place.write("a/cat.mp4", b"old")
    seen = store.clip()
    object_place.delete("a/cat.mp4") if happened == "vanished" else object_place.write("a/cat.mp4", b"new clip")
    assert not publish(store, bytes(size), over=seen)
    assert clips(object_place) == ([] if happened == "vanished" else ["a/cat.mp4"])
    assert happened == "vanished" or object_place.read("a/cat.mp4") == b"new clip"
    assert unfinished(object_place) == []


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_of_four_who_publish_at_once_one_does(atomic_place: Any, size: int) -> None:
    stores = [opened(atomic_place) for _ in range(4)]
    version = keep(stores[0], b"{}")
    if "local" in type(stores[0]).__name__.lower():
        pytest.skip("there the manifest decides whose clip it is")
    won = at_once(4, lambda who: publish(stores[who], bytes([who]) * size, beside=version))
    assert len(won) == 1
    assert atomic_place.read("a/cat.mp4") == bytes(won) * size
    assert unfinished(atomic_place) == []


class Stopped(BaseException):
    """What a killed task raises."""


class FailingFile(io.BytesIO):
    """A partial file that cannot be read to its end."""

    def __init__(self, size: int, readable: int, end: BaseException) -> None:
        super().__init__(os.urandom(size))
        self.readable_bytes, self.end = readable, end

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.readable_bytes:
            raise self.end
        return super().read(size)


@pytest.mark.parametrize("end", [Stopped(), OSError("disk")], ids=["killed", "disk"])
@pytest.mark.parametrize(
    ("size", "readable", "old"),
    [(1000, 0, None), (1000, 0, b"old"), (60 * MIB, 41 * MIB, None), (20 * MIB, 9 * MIB, b"old")],
)
def test_of_an_upload_that_stops_nothing_is_seen_and_nothing_left(
    any_place: Any, end: BaseException, size: int, readable: int, old: bytes | None
) -> None:
    if hasattr(any_place, "folder"):
        pytest.skip("a local partial file is not read again: it is renamed")
    store = opened(any_place)
    if old is not None:
        any_place.write("a/cat.mp4", old)
    file = FailingFile(size, readable, end)
    with pytest.raises(type(end)):
        store.publish(file, "video/mp4", over=store.clip(), beside=(JSON, keep(store, b"{}")))
    gc.collect()  # a file object's end may not publish it either
    assert clips(any_place) == ([] if old is None else ["a/cat.mp4"])
    assert old is None or any_place.read("a/cat.mp4") == old
    assert unfinished(any_place) == []


def test_a_partial_file_that_is_left_is_gone(any_place: Any) -> None:
    store = opened(any_place)

    @contextmanager
    def ending() -> Iterator[None]:
        with pytest.raises(Stopped):
            yield

    with ending(), store.partial_file() as file:
        file.write(b"half")
        raise Stopped
    store.remove_partial_files()
    assert any_place.names() == []


def test_a_range_beyond_the_end_is_cut_at_the_end(any_place: Any) -> None:
    any_place.write("a/cat.mp4", b"0123456789")
    store = opened(any_place)
    assert [store.read_range(8, 20), store.read_range(10, 20), store.read_range(3, 3)] == [b"89", b"", b""]
