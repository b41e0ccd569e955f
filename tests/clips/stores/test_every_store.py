"""What is asked of a store, of every store, on real servers. See clips/stores/base.py."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.clips.stores.base import ClipFile, Store, Versioned

MIB = 1024**2
JSON = ".json"
ODD_KEYS = [
    "with space.mp4",
    "a#b.mp4",
    "a?b.mp4",
    "a?versionId=x.mp4",
    "100%.mp4",
    "a%20b.mp4",
    "K\u00e4tzchen \u732b.mp4",
    "a+b&c=d;e@f:g.mp4",
    "a//b.mp4",
]


def opened(place: Any, name: str = "a/cat.mp4") -> Store:
    return open_store(place.uri(name))


def keep(store: Store, data: bytes) -> Any:
    """Make sure that a manifest is there, and return its version."""
    version = store.create(JSON, data)
    assert version is not None
    return version


def publish(store: Store, data: bytes, *, over: ClipFile | None = None, beside: Any = None) -> bool:
    manifest = store.read(JSON)
    version = beside or (manifest.version if manifest else keep(store, b"{}"))
    with store.partial_file() as file:
        file.write(data)
        return store.publish(file, "video/mp4", over=over, beside=(JSON, version))


def clips(place: Any) -> list[str]:
    return [name for name in place.names() if not name.endswith(".json")]


# Manifests


def test_where_nothing_is_none_is_read(any_place: Any) -> None:
    store = opened(any_place)
    assert (store.read(JSON), store.read(""), store.clip()) == (None, None, None)


def test_a_manifest_is_created_where_none_is_and_read_with_the_version_it_got(any_place: Any) -> None:
    version = keep(opened(any_place), b"one")
    assert opened(any_place).read(JSON) == Versioned(b"one", version)
    assert any_place.read("a/cat.mp4.json") == b"one"
    assert any_place.names() == ["a/cat.mp4.json"]


def test_a_manifest_is_created_once(any_place: Any) -> None:
    version = keep(opened(any_place), b"one")
    assert opened(any_place).create(JSON, b"two") is None
    assert opened(any_place).create(JSON, b"one") is None
    assert opened(any_place).read(JSON) == Versioned(b"one", version)


def test_a_manifest_is_replaced_by_who_has_its_version(any_place: Any) -> None:
    store = opened(any_place)
    first = keep(store, b"one")
    second = store.replace(JSON, b"two", first)
    assert second not in (None, first)
    assert store.replace(JSON, b"three", first) is None
    assert store.replace(JSON, b"three", store.no_version) is None
    assert store.read(JSON) == Versioned(b"two", second)


def test_what_somebody_else_wrote_is_not_replaced_or_deleted(any_place: Any) -> None:
    store = opened(any_place)
    version = keep(store, b"one")
    any_place.write("a/cat.mp4.json", b"by hand")
    assert store.replace(JSON, b"two", version) is None
    assert not store.delete(JSON, version)
    assert any_place.read("a/cat.mp4.json") == b"by hand"


def test_a_manifest_that_somebody_removed_is_not_replaced(any_place: Any) -> None:
    store = opened(any_place)
    version = keep(store, b"one")
    any_place.delete("a/cat.mp4.json")
    assert store.replace(JSON, b"two", version) is None
    assert not store.delete(JSON, version)
    assert any_place.names() == []


def test_a_manifest_is_deleted_by_who_has_its_version(any_place: Any) -> None:
    store = opened(any_place)
    old = keep(store, b"one")
    version = store.replace(JSON, b"two", old)
    assert not store.delete(JSON, old)
    assert not store.delete(JSON, store.no_version)
    assert store.delete(JSON, version)
    assert not store.delete(JSON, version)
    assert (any_place.names(), store.read(JSON)) == ([], None)


def test_the_same_bytes_written_again_are_replaced_too(any_place: Any) -> None:
    store = opened(any_place)
    version = store.replace(JSON, b"one", keep(store, b"one"))
    assert store.read(JSON) == Versioned(b"one", version)


def test_the_age_is_that_of_the_last_write(any_place: Any) -> None:
    store = opened(any_place)
    assert store.age(JSON) in (0.0, None)
    keep(store, b"one")
    age = store.age(JSON)
    assert age is None or 0.0 <= age < 60


def at_once(number: int, act: Callable[[int], Any]) -> list[int]:
    """Let several do something in the same moment; those who got something."""
    barrier = Barrier(number)

    def one(who: int) -> Any:
        barrier.wait()
        return act(who)

    with ThreadPoolExecutor(number) as pool:
        return [who for who, got in enumerate(pool.map(one, range(number))) if got]


def test_of_eight_who_create_at_once_one_does(atomic_place: Any) -> None:
    for turn in range(5):
        stores = [opened(atomic_place, f"{turn}.mp4") for _ in range(8)]
        won = at_once(8, lambda who, stores=stores: stores[who].create(JSON, b"%d" % who))  # type: ignore[misc]
        found = stores[0].read(JSON)
        assert found
        assert [int(found.data)] == won


def test_of_eight_who_replace_the_same_version_at_once_one_does(atomic_place: Any) -> None:
    for turn in range(5):
        stores = [opened(atomic_place, f"{turn}.mp4") for _ in range(8)]
        old = keep(stores[0], b"old")
        won = at_once(8, lambda who, stores=stores, old=old: stores[who].replace(JSON, b"%d" % who, old))  # type: ignore[misc]
        found = stores[0].read(JSON)
        assert found
        assert [int(found.data)] == won


# Clips


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


@pytest.fixture(params=["s3", "memory", "gcs", "azure"])
def object_place(request: pytest.FixtureRequest) -> Any:
    """What holds a clip to ``over``; local files hold it to the manifest."""
    return request.getfixturevalue(request.param)


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


def unfinished(place: Any) -> list[Any]:
    """List what an upload left behind."""
    if not hasattr(place, "client"):
        return []
    found: list[Any] = place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
    return found


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


def test_a_folder_is_no_destination(any_place: Any) -> None:
    any_place.write("a/b/cat.mp4", b"x")
    with pytest.raises(errors.ConfigurationError, match="is a folder"):
        opened(any_place, "a/b").clip()


@pytest.mark.parametrize("name", ODD_KEYS)
def test_every_letter_of_a_key_is_its_own(name: str, object_place: Any) -> None:
    if type(object_place).__name__ == "MemoryPlace":
        pytest.skip("ObjectStoragePath reads a URI its own way")
    store = opened(object_place, name)
    assert publish(store, b"clip")
    version = store.read(JSON).version  # type: ignore[union-attr]
    assert store.replace(JSON, b"two", version)
    assert object_place.names() == [name, f"{name}.json"]
    assert (object_place.read(name), object_place.read(f"{name}.json")) == (b"clip", b"two")
    assert store.read("") is not None
    assert store.read_range(0, 4) == b"clip"


def test_a_bucket_that_is_not_there_is_an_error_and_not_made(any_place: Any) -> None:
    if type(any_place).__name__ in ("LocalPlace", "MemoryPlace"):
        pytest.skip("folders are made")
    uri = any_place.uri("a/cat.mp4")
    elsewhere = uri.replace(f"@{uri.split('@')[1].split('/')[0]}/", "@nowhere-at-all/")
    for _ in range(2):
        with pytest.raises(Exception, match=r"(?i)bucket does not exist|ContainerNotFound|404"):
            open_store(elsewhere).create(JSON, b"{}")


# Folders


def test_a_folder_is_listed_lazily_in_the_order_of_names_and_after_any_of_them(any_place: Any) -> None:
    names = ["a.mp4", "a.mp4.json", "a/b.mp4", "a/c/d.mp4", "a0.mp4", "z.mp4"]
    for number, name in enumerate(names):
        any_place.write(f"in/{name}", b"x" * (number + 1))  # the emulator of GCS drops an upload of nothing
    any_place.write("in.mp4", b"beside it")
    any_place.write("out/a.mp4", b"elsewhere")
    store = opened(any_place, "in/any.mp4")
    listed = [(file.name, file.size) for file in store.siblings()]
    assert listed == [(name, number + 1) for number, name in enumerate(names)]
    for number, name in enumerate(names):
        assert [file.name for file in store.siblings(name)] == names[number + 1 :]
    assert next(iter(store.siblings())).name == "a.mp4"


def test_a_sibling_is_the_file_that_was_listed(any_place: Any) -> None:
    for name in ("in/a.mp4", "in/b/c.mp4"):
        any_place.write(name, name.encode())
    store = opened(any_place, "in/any.mp4")
    for file in store.siblings():
        found = store.sibling(file.name).read("")
        assert (found and found.data, store.sibling(file.name).uri) == (
            f"in/{file.name}".encode(),
            opened(any_place, f"in/{file.name}").uri,
        )
