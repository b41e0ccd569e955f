"""Remembers what the shipped code made of the same bytes and the same record. It makes nothing by itself.

A record is immutable, and a manifest is read many times for each time that it is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow_provider_wisdomgate.ledger import destination, record
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


def dumps(values: Any, indent: int | None = None, **options: Any) -> str:
    """Write the same values in one line: only Python's own encoder, ten times as slow, indents."""
    return json.dumps(values, **options)


def replaced(manifest: Any, **changes: Any) -> Any:
    """Return the record itself if nothing changes: its bytes are known then."""
    if all(getattr(manifest, name) == value for name, value in changes.items()):
        return manifest
    return replace(manifest, **changes)


def changes() -> list[Any]:
    return [
        patch.object(record, "json", SimpleNamespace(**{**vars(json), "dumps": dumps})),
        patch.object(Manifest, "dump", dump),
        patch.object(Manifest, "load", load),
        patch.object(destination, "replace", replaced),
    ]
