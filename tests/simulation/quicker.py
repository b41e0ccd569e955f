"""Quicker ways to the very bytes that the shipped code makes: manifests were most of a schedule's time.

``test_simulation.py`` holds them to the code that ships.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any
from unittest.mock import patch

from airflow_provider_wisdomgate.clips import destination
from airflow_provider_wisdomgate.clips.manifest import ONLY_WHERE_SET, Manifest

FIELDS = tuple(field.name for field in dataclasses.fields(Manifest))
MOST_KEPT = 10_000

_dumped: dict[str, bytes] = {}
_loaded: dict[bytes, Manifest] = {}


def as_dict(manifest: Manifest) -> dict[str, Any]:
    values = json.loads(json.dumps({name: getattr(manifest, name) for name in FIELDS}))
    return {name: value for name, value in values.items() if value is not None or name not in ONLY_WHERE_SET}


def dump(manifest: Manifest) -> bytes:
    key = json.dumps({name: getattr(manifest, name) for name in FIELDS})
    if key not in _dumped:
        if len(_dumped) > MOST_KEPT:
            _dumped.clear()
        _dumped[key] = (_indented(as_dict(manifest), "\n") + "\n").encode()
    return _dumped[key]


def load(data: bytes, uri: str, real: Callable[[bytes, str], Manifest] = Manifest.load) -> Manifest:
    if data not in _loaded:
        if len(_loaded) > MOST_KEPT:
            _loaded.clear()
        _loaded[data] = real(data, uri)
    return _loaded[data]


def replaced(record: Any, **changes: Any) -> Any:
    if all(getattr(record, name) == value for name, value in changes.items()):
        return record
    return dataclasses.replace(record, **changes)


def _indented(value: Any, line: str) -> str:
    """Write what ``json.dumps(value, indent=1, ensure_ascii=False)`` does; that one is Python, too, and slower."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if type(value) is float:
        return float.__repr__(value)
    if not value or not isinstance(value, Mapping | list):
        return json.dumps(value)
    inner = line + " "
    if isinstance(value, Mapping):
        parts = [f"{encode_basestring(name)}: {_indented(part, inner)}" for name, part in value.items()]
        return "{" + inner + f",{inner}".join(parts) + line + "}"
    return "[" + inner + f",{inner}".join(_indented(part, inner) for part in value) + line + "]"


def changes() -> list[Any]:
    return [
        patch.object(Manifest, "as_dict", as_dict),
        patch.object(Manifest, "dump", dump),
        patch.object(Manifest, "load", load),
        patch.object(destination, "replace", replaced),
    ]
