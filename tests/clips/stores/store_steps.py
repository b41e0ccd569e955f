"""What a test does to a store, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.clips.stores.base import ClipFile, Store

MIB = 1024**2
JSON = ".json"


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


def at_once(number: int, act: Callable[[int], Any]) -> list[int]:
    """Let several do something in the same moment; those who got something."""
    barrier = Barrier(number)

    def one(who: int) -> Any:
        barrier.wait()
        return act(who)

    with ThreadPoolExecutor(number) as pool:
        return [who for who, got in enumerate(pool.map(one, range(number))) if got]


def unfinished(place: Any) -> list[Any]:
    """List what an upload left behind."""
    if not hasattr(place, "client"):
        return []
    found: list[Any] = place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
    return found
