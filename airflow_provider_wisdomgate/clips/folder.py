"""Finds the manifests of a folder and all below it, a few at a time. Changes nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import CLOCK_SKEW, DAMAGED, MANIFEST, Destination, inside
from airflow_provider_wisdomgate.clips.manifest import BEGINNING, Manifest, begins_as_manifest
from airflow_provider_wisdomgate.clips.states import state_of

T = TypeVar("T")
R = TypeVar("R")

# Manifests are read so many at a time: most of it is waiting for the store. A client of S3 keeps ten connections.
READERS = 8
# A manifest with eight records below it and long prompts has some hundred kilobytes. What is larger is somebody else's
# file, or the request has images in it: its first bytes tell.
MAX_MANIFEST_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Kept:
    """A manifest that was found: where, what it says, and the bytes of the clip beside it (None: no clip).

    :param name: the clip's name below the folder; listings go on after it.
    :param destination: the clip's; through the client that listed it.
    :param manifest: None where it could not be read, and ``problem`` says why.
    """

    name: str
    destination: Destination
    manifest: Manifest | None
    clip_size: int | None = None
    state: str = ""
    problem: errors.WisdomGateError | None = None


@dataclass(frozen=True)
class Place:
    """A file beside which, by its name, a manifest may stand."""

    name: str
    destination: Destination
    clip_size: int | None


def find_kept(folder: str, after: str = "", readers: int = READERS) -> Iterator[Kept]:
    """Yield the manifests of a folder and of those below it, in the order of their names.

    What is no manifest of ours is passed over.

    :param folder: URI or absolute path.
    :param after: the name of the clip that an earlier listing ended with.
    :raises StorageError: the folder cannot be listed.
    """
    places = list_places(folder, after)
    yield from (kept for kept in in_order(_read, places, readers) if kept is not None)


def list_places(folder: str, after: str = "") -> Iterator[Place]:
    """Yield where manifests of a folder seem to stand: by name, and of large files by how they begin."""
    anyone = Destination(inside(folder, "clip"))  # stands for the folder: what is listed are its siblings
    open_clips: list[tuple[str, int]] = []
    for file in anyone.siblings(after + MANIFEST if after else ""):
        # Between "x" and "x.json" a listing has only names that begin with "x".
        while open_clips and not file.name.startswith(open_clips[-1][0]):
            open_clips.pop()
        is_small = file.size <= MAX_MANIFEST_BYTES
        if file.name.endswith(MANIFEST) and (is_small or _begins_as_manifest(anyone.sibling(file.name))):
            name = file.name.removesuffix(MANIFEST)
            if name and not name.endswith("/"):
                yield Place(name, anyone.sibling(name), dict(open_clips).get(name))
        open_clips.append((file.name, file.size))


def _begins_as_manifest(file: Destination) -> bool:
    try:
        return begins_as_manifest(file.read_range(0, len(BEGINNING)))
    except errors.StorageError:
        return True  # whoever reads all of it tells why


def _read(place: Place) -> Kept | None:
    """Read the manifest of a place, None where it is none of ours or gone by now."""
    try:
        manifest = place.destination.read()
        if manifest is None:
            return None
        return Kept(place.name, place.destination, manifest, *state_at(place.destination, manifest, place.clip_size))
    except errors.WisdomGateError as error:
        if isinstance(error, errors.DestinationTakenError) and error.next_step != DAMAGED:
            return None
        return Kept(place.name, place.destination, None, problem=error)


def state_at(destination: Destination, manifest: Manifest, clip_size: int | None = None) -> tuple[int | None, str]:
    """Return the bytes of the clip (None: there is none, or it does not matter) and the state's word.

    :param clip_size: where a listing has told it.
    """
    if manifest.phase == "stored" and clip_size is None:
        clip_size = destination.clip_size()
    is_open = manifest.phase == "creating" and not manifest.video_id
    return clip_size, state_of(manifest, age_at(destination, manifest) if is_open else 0.0, clip_size)


def age_at(destination: Destination, manifest: Manifest) -> float:
    """Return for how many seconds a manifest has stood there at least, also where nothing can be written."""
    try:
        return destination.age(manifest)
    except errors.StorageError:  # a local store asks for the time by writing a file
        return max(time.time() - manifest.claimed_at - CLOCK_SKEW, 0.0)


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Do the work of several items at once, and yield the results in the items' order. Holds few of them."""
    under_way: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="wisdomgate-clips")
    try:
        for item in items:
            if len(under_way) >= 2 * workers:
                yield under_way.popleft().result()
            under_way.append(pool.submit(work, item))
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
