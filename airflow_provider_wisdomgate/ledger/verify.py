"""Reads stored clips again and compares them with their manifests. Changes nothing, holds a chunk of each clip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.mp4 import BoxWalk
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.folder import Kept, find_kept, in_order
from airflow_provider_wisdomgate.ledger.record import Manifest

# So many clips are read at a time, a chunk of each is in memory.
READERS = 4
CHUNK = 4 * 1024**2
# A clip may be replaced while it is read: then its manifest is another one, and it is read again.
TURNS = 3


@dataclass(frozen=True)
class Verified:
    """The findings about one manifest.

    :param size: bytes that were read; 0 if the manifest records no clip.
    :param problem: what differs, None if nothing does.
    """

    kept: Kept
    size: int = 0
    problem: str | None = None


def verify_folder(folder: str, after: str = "") -> Iterator[Verified]:
    """Verify what is stored in a folder and below, in the order of names; see :func:`folder.find_kept`."""
    yield from in_order(verify, find_kept(folder, after, READERS), READERS)


def verify(kept: Kept) -> Verified:
    """Hash and walk one clip, if its manifest records one. Never raises for what it finds."""
    if kept.problem or kept.manifest is None:
        return Verified(kept, 0, str(kept.problem))
    manifest: Manifest | None = kept.manifest
    try:
        size, problem = 0, None
        for _ in range(TURNS):
            if manifest is None or manifest.phase != "stored":
                return Verified(kept)
            size, problem = _compare(kept.destination, manifest)
            if problem is None or (now := kept.destination.read()) == manifest:
                break
            manifest = now
        return Verified(kept, size, problem)
    except errors.WisdomGateError as error:
        return Verified(kept, 0, str(error))


def _compare(destination: Destination, manifest: Manifest) -> tuple[int, str | None]:
    """Read a clip; return its bytes, and what differs."""
    size = destination.clip_size()
    if size is None:
        return 0, "the clip is gone"
    if size != manifest.size:
        return 0, f"the clip has {size} bytes, its manifest says {manifest.size}"
    digest, walk, broken = hashlib.sha256(), BoxWalk(), None
    read = 0
    while chunk := destination.read_range(read, min(read + CHUNK, size)):
        digest.update(chunk)
        read += len(chunk)
        if broken is None:
            broken = _walk(walk, chunk)
    if read != size:
        return read, f"the clip ends after {read} of {size} bytes"
    if digest.hexdigest() != manifest.sha256:
        return read, f"the clip's sha256 is {digest.hexdigest()}, its manifest says {manifest.sha256}"
    return read, broken or _finish(walk)


def _walk(walk: BoxWalk, chunk: bytes) -> str | None:
    try:
        walk.feed(chunk)
    except errors.ContentError as error:
        return error.message
    return None


def _finish(walk: BoxWalk) -> str | None:
    try:
        walk.finish(is_all=True)  # the manifest has their number
    except errors.ContentError as error:
        return error.message
    return None
