"""What is asked of every store for keys, buckets and folders, on real servers. See clips/stores/base.py."""

from __future__ import annotations

from typing import Any

import pytest
from store_steps import JSON, opened, publish

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import open_store

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
