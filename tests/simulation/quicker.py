"""Remembers what the shipped code made of the same bytes and the same record. It makes nothing by itself.

A record is immutable, and a manifest is read many times for each time that it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from airflow_provider_wisdomgate.ledger import destination
from airflow_provider_wisdomgate.ledger.record import Manifest

MOST_KEPT = 10_000

_loaded: dict[bytes, Manifest] = {}


def load(data: bytes, uri: str, real: Callable[[bytes, str], Manifest] = Manifest.load) -> Manifest:
    if data not in _loaded:
        if len(_loaded) > MOST_KEPT:
            _loaded.clear()
        _loaded[data] = real(data, uri)
    return _loaded[data]


def dump(manifest: Manifest, real: Callable[[Manifest], bytes] = Manifest.dump) -> bytes:
    if "_dumped" not in manifest.__dict__:
        manifest.__dict__["_dumped"] = real(manifest)
    return manifest.__dict__["_dumped"]


def replaced(record: Any, **changes: Any) -> Any:
    """Return the record itself if nothing changes: its bytes are known then."""
    if all(getattr(record, name) == value for name, value in changes.items()):
        return record
    return replace(record, **changes)


def changes() -> list[Any]:
    return [
        patch.object(Manifest, "dump", dump),
        patch.object(Manifest, "load", load),
        patch.object(destination, "replace", replaced),
    ]
