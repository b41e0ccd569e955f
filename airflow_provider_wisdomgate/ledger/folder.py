"""Finds the manifests of a folder and all below it, a few at a time. Changes nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.destination import CLOCK_SKEW, MANIFEST, Destination, Found, inside
from airflow_provider_wisdomgate.ledger.driver import HALF_WRITTEN_SECONDS
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import owns, state_of

T = TypeVar("T")
R = TypeVar("R")

# Manifests are read so many at a time: most of it is waiting for the store. A client of S3 keeps ten connections.
READERS = 8
# A half-written manifest that stays the same for so many seconds has no writer any more.
HALF_WRITTEN_WATCH = 5.0


@dataclass(frozen=True)
class Kept:
    """A manifest that was found: its place, its content, and the bytes of the clip beside it (None: no clip).

    :param name: the clip's name below the folder; listings go on after it.
    :param destination: the clip's; through the client that listed it.
    :param manifest: None if it could not be read; ``problem`` is the reason.
    :param found: the version of the manifest, which a change of it is conditional on.
    """

    name: str
    destination: Destination
    manifest: Manifest | None
    clip_size: int | None = None
    state: str = ""
    problem: errors.WisdomGateError | None = None
    found: Found | None = None

    def is_in(self, states: Collection[str]) -> bool:
        """Whether the clip is in one of these states. No listing knows whether a task waits for a paid video."""
        return self.state in states or (self.state == "created" and "unfetched" in states)


@dataclass(frozen=True)
class Place:
    """A file beside which, by its name, a manifest may stand."""

    name: str
    destination: Destination
    clip_size: int | None


def find_kept(folder: str, after: str = "", readers: int = READERS, upload_args: Any = None) -> Iterator[Kept]:
    """Yield the manifests of a folder and of those below it, in the order of their names.

    What is no manifest of ours is passed over.

    :param folder: URI or absolute path.
    :param after: the name of the clip that an earlier listing ended with.
    :param upload_args: for changes of what is found, see :func:`stores.open_store`.
    :raises StorageError: the folder cannot be listed.
    """
    places = list_places(folder, after, upload_args)
    yield from (kept for kept in in_order(_read, places, readers) if kept is not None)


def list_places(folder: str, after: str = "", upload_args: Any = None) -> Iterator[Place]:
    """Yield where manifests of a folder seem to stand, by name."""
    anyone = Destination(inside(folder, "clip"), upload_args)  # stands for the folder: its siblings are listed
    open_clips: list[tuple[str, int]] = []
    for file in anyone.siblings(after + MANIFEST if after else ""):
        # Between "x" and "x.json" a listing has only names that begin with "x".
        while open_clips and not file.name.startswith(open_clips[-1][0]):
            open_clips.pop()
        if file.name.endswith(MANIFEST):
            name = file.name.removesuffix(MANIFEST)
            if name and not name.endswith("/"):
                yield Place(name, anyone.sibling(name), dict(open_clips).get(name))
        open_clips.append((file.name, file.size))


def _read(place: Place) -> Kept | None:
    """Read the manifest of a place; None if it is none of ours, gone by now, or about to be written."""
    try:
        return read_kept(place.destination, place.name, place.clip_size)
    except errors.DestinationTakenError:
        return None
    except errors.WisdomGateError as error:
        return Kept(place.name, place.destination, None, problem=error)


def read_kept(destination: Destination, name: str = "", clip_size: int | None = None) -> Kept | None:
    """Read what is kept of one clip, readable or damaged; None if there is no manifest.

    :param clip_size: from a listing.
    :raises DestinationTakenError: the manifest is none of this package.
    """
    try:
        found = destination.find()
        if found is None:
            return None
        if found.manifest is None:  # half-written: damage, unless somebody is writing it
            return _damaged(destination, name, destination.damaged()) if is_abandoned(destination) else None
    except errors.DamagedManifestError as error:
        return _damaged(destination, name, error)
    size, state = state_at(destination, found.manifest, clip_size)
    return Kept(name, destination, found.manifest, size, state, found=found)


def _damaged(destination: Destination, name: str, error: errors.WisdomGateError) -> Kept:
    return Kept(name, destination, None, state="damaged", problem=error)


def is_abandoned(destination: Destination) -> bool:
    """Whether nobody is writing a half-written manifest: it is old by the store's clock, or stays as it is.

    No create is sent before its claim is whole.
    """
    if destination.file_age() > HALF_WRITTEN_SECONDS:
        return True
    before = destination.find_any()
    time.sleep(HALF_WRITTEN_WATCH)
    return destination.find_any() == before


def find_owners(
    folders: Iterable[str], video_ids: Collection[str], seconds: float
) -> tuple[list[Kept], errors.WisdomGateError | None]:
    """Find the records that have one of these videos, see :func:`rules.owns`.

    :param seconds: stop after this time: manifests are read one by one, of S3 some hundred in a second.
    :returns: the records, and an error if not all records could be read.
    """
    owners: list[Kept] = []
    end = time.monotonic() + seconds
    for folder in folders:
        try:
            for kept in find_kept(folder):
                if kept.manifest and any(owns(kept.manifest, video_id, None) for video_id in video_ids):
                    owners.append(kept)
                if time.monotonic() > end:
                    return owners, errors.StorageError(f"not all records below {folder} were read in {seconds:.0f} s")
        except errors.StorageError as error:
            return owners, error
    return owners, None


def state_at(destination: Destination, manifest: Manifest, clip_size: int | None = None) -> tuple[int | None, str]:
    """Return the bytes of the clip (None: there is none, or it does not matter) and the state's word.

    :param clip_size: if a listing has shown it.
    """
    if manifest.phase == "stored" and clip_size is None:
        clip_size = destination.clip_size()
    is_open = manifest.phase == "creating" and not manifest.video_id
    return clip_size, state_of(manifest, age_at(destination, manifest) if is_open else 0.0, clip_size)


def age_at(destination: Destination, manifest: Manifest) -> float:
    """Return for how many seconds a manifest has stood there at least, also if nothing can be written."""
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
