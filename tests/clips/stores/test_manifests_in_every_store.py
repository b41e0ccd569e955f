"""What is asked of every store for manifests, on real servers. See clips/stores/base.py."""

from __future__ import annotations

from typing import Any

from store_steps import JSON, at_once, keep, opened

from airflow_provider_wisdomgate.clips.stores.base import Versioned


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
