"""Finds the clip that an XCom points to, if its own manifest names that DAG. Never writes.

Blocking: called in threads. Nothing stays open between two reads, so a viewer who leaves leaves nothing behind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.destination import MANIFEST, Destination
from airflow_provider_wisdomgate.ledger.folder import age_at
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Action, damage_actions, next_actions, state_of
from airflow_provider_wisdomgate.plugin.served_paths import ClipLocation, served_location

CHUNK = 1024**2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundClip:
    """A manifest that names the DAG, or one that cannot be read, and the bytes of the clip beside it.

    :param manifest: None if it cannot be read; ``problem`` is the reason.
    :param size: None: there is no clip, or its size was not read.
    :param age: seconds since the manifest was written; read while a create is in progress.
    """

    location: ClipLocation
    destination: Destination
    manifest: Manifest | None
    size: int | None = None
    age: float = 0.0
    problem: errors.DamagedManifestError | None = None

    @property
    def is_playable(self) -> bool:
        found = self.manifest
        return found is not None and found.phase == "stored" and bool(self.size) and self.size == found.size

    def state(self, is_waited_for: bool | None) -> str:
        """Return one of ``rules.STATES``."""
        return state_of(self.manifest, self.age, self.size, is_waited_for=is_waited_for)

    def actions(self, state: str) -> tuple[Action, ...]:
        """Return what a person can do about it."""
        if self.manifest is None:
            return damage_actions(self.destination.uri, self.problem)
        return next_actions(state, self.manifest, self.age)

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``end``."""
        for position in range(start, end, CHUNK):
            yield self.destination.read_range(position, min(position + CHUNK, end))


def find_clip(
    uri: Any, dag_id: str, prefixes: Iterable[str], listed: Mapping[str, int] | None = None
) -> FoundClip | None:
    """Return what a viewer of the DAG may see at a URI, None for everything else.

    :param listed: the sizes of clips by URI, from a listing a moment ago.
    :raises StorageError: the storage cannot be read from here.
    """
    location = served_location(uri, prefixes)
    if location is None or _is_manifest_a_symlink(location):
        return None
    try:
        destination = Destination(location.uri)
        try:
            manifest = destination.read()
        except errors.DamagedManifestError as problem:  # it names no DAG, and nothing of it is shown
            return FoundClip(location, destination, None, problem=problem)
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
    """Whether a local manifest is a symlink; the clip's own path is resolved already."""
    path = location.uri + MANIFEST
    return location.scheme == "file" and os.path.realpath(path) != path
