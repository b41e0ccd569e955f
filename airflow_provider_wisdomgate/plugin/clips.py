"""Finds the clip that an XCom points to, if its own manifest says it is that DAG's. Never writes.

Blocking: called in threads. Nothing stays open between two reads, so a viewer who leaves leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import MANIFEST, Destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.plugin.places import Place, allowed

CHUNK = 1024**2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A record that names the DAG, and how many bytes stand where it says (None: nothing, or not looked)."""

    place: Place
    target: Destination
    manifest: Manifest
    size: int | None

    @property
    def is_playable(self) -> bool:
        return self.manifest.phase == "stored" and bool(self.size) and self.size == self.manifest.size

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``end``."""
        for position in range(start, end, CHUNK):
            yield self.target.read_range(position, min(position + CHUNK, end))


def find(uri: Any, dag_id: str, prefixes: Iterable[str]) -> Found | None:
    """Return what a viewer of the DAG may see at a URI, None for everything else.

    :raises StorageError: the storage cannot be read from here.
    """
    place = allowed(uri, prefixes)
    if place is None or _record_leads_away(place):
        return None
    try:
        target = Destination(place.uri)
        manifest = target.read()
        if manifest is None or not _is_of(manifest, dag_id):
            return None
        size = target.clip_size() if manifest.phase == "stored" else None
    except (errors.DestinationTakenError, errors.ConfigurationError) as error:
        log.warning("Not shown: %s", error)
        return None
    return Found(place, target, manifest, size)


def _is_of(manifest: Manifest, dag_id: str) -> bool:
    return isinstance(manifest.made_by, Mapping) and manifest.made_by.get("dag_id") == dag_id


def _record_leads_away(place: Place) -> bool:
    """Tell whether a local record is a symlink; the clip's own path is resolved already."""
    record = place.uri + MANIFEST
    return place.scheme == "file" and os.path.realpath(record) != record
