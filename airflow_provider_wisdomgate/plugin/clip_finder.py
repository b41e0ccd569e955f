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
from airflow_provider_wisdomgate.clips.folder import age_at
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.plugin.served_paths import ClipLocation, served_location

CHUNK = 1024**2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundClip:
    """A manifest that names the DAG, and how many bytes stand where it says (None: nothing, or not read).

    :param age: seconds since the manifest was written; told while a create is under way.
    """

    location: ClipLocation
    destination: Destination
    manifest: Manifest
    size: int | None
    age: float = 0.0

    @property
    def is_playable(self) -> bool:
        return self.manifest.phase == "stored" and bool(self.size) and self.size == self.manifest.size

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``end``."""
        for position in range(start, end, CHUNK):
            yield self.destination.read_range(position, min(position + CHUNK, end))


def find_clip(
    uri: Any, dag_id: str, prefixes: Iterable[str], listed: Mapping[str, int] | None = None
) -> FoundClip | None:
    """Return what a viewer of the DAG may see at a URI, None for everything else.

    :param listed: the sizes of clips by URI, as a listing has told them a moment ago.
    :raises StorageError: the storage cannot be read from here.
    """
    location = served_location(uri, prefixes)
    if location is None or _is_manifest_a_symlink(location):
        return None
    try:
        destination = Destination(location.uri)
        manifest = destination.read()
        if manifest is None or not _is_of(manifest, dag_id):
            return None
        size = (listed or {}).get(location.uri) if manifest.phase == "stored" else None
        if manifest.phase == "stored" and (size is None or size != manifest.size):
            size = destination.clip_size()
        is_asked = manifest.phase == "creating" and not manifest.video_id
        age = age_at(destination, manifest) if is_asked else 0.0
    except (errors.DestinationTakenError, errors.ConfigurationError) as error:
        log.warning("Not shown: %s", error)
        return None
    return FoundClip(location, destination, manifest, size, age)


def _is_of(manifest: Manifest, dag_id: str) -> bool:
    return isinstance(manifest.made_by, Mapping) and manifest.made_by.get("dag_id") == dag_id


def _is_manifest_a_symlink(location: ClipLocation) -> bool:
    """Tell whether a local manifest is a symlink; the clip's own path is resolved already."""
    path = location.uri + MANIFEST
    return location.scheme == "file" and os.path.realpath(path) != path
