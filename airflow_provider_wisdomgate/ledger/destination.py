"""One destination: where the clip ends, and the manifest beside it. Changes a manifest by compare-and-swap only."""

from __future__ import annotations

import hashlib
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import wraps
from typing import IO, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import STORES, open_store
from airflow_provider_wisdomgate.clips.stores.base import (
    MAX_RECORD_BYTES,
    ClipFile,
    Listed,
    NotAFileError,
    Version,
    Versioned,
    storage_error,
    storage_errors,
    unsafe_storage_is_allowed,
)
from airflow_provider_wisdomgate.clips.stores.local import PLAIN
from airflow_provider_wisdomgate.gateway.routes import as_text
from airflow_provider_wisdomgate.ledger.record import Manifest, is_record, is_unfinished
from airflow_provider_wisdomgate.ledger.rules import damage_actions

MANIFEST = ".json"
# After this many lost compare-and-swaps, assume a foreign writer and stop.
MAX_TURNS = 50
# Without a store's own clock, a file's age depends on two machines' clocks, which may differ by this many seconds.
CLOCK_SKEW = 600.0

# A manifest that cannot be read is read again after these pauses: another file system may show a write in progress.
SPOILED_DELAYS = (0.2, 0.8)
READ_SIZE = 8 * 1024**2

# The player serves a clip by its ending; not every browser plays Matroska.
PLAYED = (".mp4", ".mov", ".webm")
# A name without "://" that begins like a URI is a mistake: one of these before a colon, or any scheme before ":/".
# Other names may contain colons, as run ids do.
LOCAL_SCHEMES = ("file", "local")
SCHEMES = (*LOCAL_SCHEMES, *STORES)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
HOME_PATH = re.compile(r"~[^/]*/")

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

# The buckets and file systems of which this process knows that they keep conditions.
_proven: set[str] = set()


def resolve_destination(destination: Any, storage_path: str | None) -> str:
    """Complete a destination: absolute ones stay, others go below the storage path.

    :raises ConfigurationError: it names no file, or there is no storage path to complete it with.
    """
    name = as_text(destination)
    if not isinstance(name, str) or not name.strip() or name.endswith("/"):
        raise errors.ConfigurationError(
            f"destination must name a file, not {name!r}.",
            next_step="Give e.g. 'clips/cat.mp4' or 's3://bucket/cat.mp4'.",
        )
    if name.lower().endswith(MANIFEST) or "\0" in name:
        raise errors.ConfigurationError(
            f"destination {name!r} is no name for a clip: {MANIFEST} ends manifests, and no name has a \\0.",
            next_step=f"Name the clip, without {MANIFEST}.",
        )
    if "://" in name or name.startswith("/"):
        return name
    _check_relative(name)
    if ".." in name.split("/"):
        raise errors.ConfigurationError(
            f"destination {name!r} leads out of the storage path.", next_step="Write it without '..'."
        )
    if not storage_path:
        raise errors.ConfigurationError(
            f"destination {name!r} is relative, and no storage path is set.",
            next_step="Set the connection's 'Storage path', or the option [wisdomgate] storage_path "
            "(AIRFLOW__WISDOMGATE__STORAGE_PATH), or give an absolute destination.",
        )
    if "://" not in storage_path and not storage_path.startswith("/"):
        raise errors.ConfigurationError(
            f"The storage path {storage_path!r} must be absolute; ~ is not expanded.",
            next_step="Write the whole path, or a URI, into the connection or the option [wisdomgate] storage_path.",
        )
    return inside(storage_path, name)


def destination_warning(uri: str) -> str | None:
    """Return what to log about a destination before it costs: no page shows its clip. None if there is nothing."""
    if uri.lower().endswith(PLAYED):
        return None
    return (
        f"The destination {uri} does not end in {', '.join(PLAYED)}: its clip is stored, and Airflow's pages do not "
        "show it."
    )


def _check_relative(name: str) -> None:
    """Refuse a name that is meant to be absolute: its clip would be paid for, and land in a folder ``s3:`` or ``~``."""
    scheme, colon, rest = name.partition(":")
    if name.lstrip().startswith("/"):
        why, remedy = "begins with a blank", f"Write {name.lstrip()!r}."
    elif WINDOWS_PATH.match(name):
        why, remedy = "is a Windows path", "Write the path as the workers see it, e.g. '/data/cat.mp4', or a URI."
    elif HOME_PATH.match(name):
        why, remedy = "begins with ~, which is not expanded", "Write the whole path."
    elif colon and (scheme.lower() in SCHEMES or (rest.startswith("/") and SCHEME.fullmatch(scheme))):
        root = "/" if scheme.lower() in LOCAL_SCHEMES else ""
        why, remedy = "is no URI: '://' is missing", f"Write '{scheme}://{root}{rest.lstrip('/')}'."
    else:
        return
    raise errors.ConfigurationError(f"destination {name!r} {why}.", next_step=remedy)


def inside(folder: str, name: str) -> str:
    """Return the URI or path of a file in a folder."""
    if folder.startswith(("file://", "local://")):
        # An argument is a name; in a file URI a % begins an escape.
        name = quote(name, safe=PLAIN, errors="surrogateescape")
    return f"{folder.rstrip('/')}/{name}"


@dataclass(frozen=True)
class Found:
    """A manifest as it was read, and the version that a change of it is conditional on.

    ``manifest`` is None if a file stands that somebody began to write and did not finish.
    """

    manifest: Manifest | None
    version: Version


class OvertakenError(Exception):
    """The manifest is no longer what was decided on. Never leaves this package: read again and decide again."""


def _typed_errors(method: Callable[Concatenate[Destination, P], T]) -> Callable[Concatenate[Destination, P], T]:
    """Turn a store's own errors into a StorageError."""

    @wraps(method)
    def typed(self: Destination, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except (errors.WisdomGateError, OvertakenError):
            raise
        except Exception as error:
            raise storage_error(self.uri, error) from error

    return typed


class Destination:
    """One destination: the clip's place and the manifest beside it."""

    def __init__(self, uri: str, upload_args: Any = None) -> None:
        self.upload_args = upload_args
        try:
            with storage_errors(uri):
                self._store = open_store(uri, upload_args)
        except errors.ConfigurationError as error:
            raise errors.ConfigurationError(f"destination {error.message}", next_step=error.next_step) from error
        self.uri = self._store.uri

    def sibling(self, name: str) -> Destination:
        """Return another destination of this one's folder, or below it, through the same client."""
        other = copy(self)
        other._store = self._store.sibling(name)
        other.uri = other._store.uri
        return other

    def siblings(self, after: str = "") -> Iterator[Listed]:
        """List all files of this destination's folder and of those below it, lazily; see :meth:`Store.siblings`."""
        with storage_errors(self.uri):
            yield from self._store.siblings(after)

    @_typed_errors
    def find(self) -> Found | None:
        """Read the manifest and its version, None if there is no file.

        :raises DestinationTakenError: it is not a manifest of this package.
        :raises DamagedManifestError: it is one that cannot be read.
        """
        for delay in (*SPOILED_DELAYS, None):
            read = self.find_any()
            if read is None:
                return None
            if not read.is_whole and is_record(read.data):
                raise self.damaged(f" (it has {read.size} bytes, a record has {MAX_RECORD_BYTES} at most)")
            try:
                manifest = Manifest.load(read.data, self.uri + MANIFEST)
                if manifest.uri != self.uri:  # somebody renamed the folder: the place is where it was found
                    manifest = replace(manifest, uri=self.uri)
                return Found(manifest, read.version)
            except errors.DamagedManifestError:  # of a later version
                raise
            except errors.DestinationTakenError:
                if self._store.may_show_half and is_unfinished(read.data):
                    return Found(None, read.version)
                if not is_record(read.data):
                    raise
                if delay is None:
                    raise self.damaged() from None
            time.sleep(delay)  # somebody may be writing it
        raise AssertionError  # the last delay is None

    def damaged(self, why: str = "") -> errors.DamagedManifestError:
        """Return the error of a manifest that cannot be read."""
        return errors.DamagedManifestError(
            f"{self.uri}{MANIFEST} is damaged: it is a record of this package that cannot be read{why}, and may name a "
            "paid video",
            next_step=" ".join(str(action) for action in damage_actions(self.uri)),
        )

    @_typed_errors
    def find_any(self) -> Versioned | None:
        """Read the manifest's file as it is, readable or not, of a large one the beginning. None if there is no file.

        :raises DestinationTakenError: it is a pipe, a device, a socket or a folder.
        """
        try:
            return self._store.read(MANIFEST)
        except NotAFileError as error:
            raise errors.DestinationTakenError(
                f"{self.uri}{MANIFEST}, the place of this clip's record: {error}",
                next_step="Move it away, or give the task another destination.",
            ) from error

    def read(self) -> Manifest | None:
        """Read the manifest, None if there is none."""
        found = self.find()
        return found.manifest if found else None

    @_typed_errors
    def file_age(self) -> float:
        """Return for how many seconds the manifest's file has stood there, by the store's clock; 0.0 without one."""
        return self._store.age(MANIFEST) or 0.0

    @_typed_errors
    def age(self, manifest: Manifest) -> float:
        """Return for how many seconds a manifest has stood there at least, by the store's own clock if it has one.

        0.0 where it stands there no longer.
        """
        age = self._store.age(MANIFEST)
        if self.read() != manifest:
            return 0.0  # that was another file's age
        if age is None:
            age = time.time() - max(manifest.claimed_at, manifest.stored_at or 0.0) - CLOCK_SKEW
        return max(age, 0.0)

    @_typed_errors
    def swap(self, found: Found | None, new: Manifest | None) -> None:
        """Write ``new`` (None: delete) over exactly what was found (None: nothing). Nothing else changes a manifest.

        :raises OvertakenError: what was found is there no longer.
        :raises StorageError: it may or may not have been written.
        """
        data = None if new is None else new.dump()
        try:
            is_done = self._change(found, data)
        except Exception:
            if not self._stands_there(data):
                raise
            is_done = True  # only the answer was lost
        # A client that lost an answer and sent the request again has met its own effect.
        is_done = is_done or (data is not None and self._stands_there(data))
        if not is_done:
            raise OvertakenError

    def _change(self, found: Found | None, data: bytes | None) -> bool:
        if found is None:
            return data is None or self._store.create(MANIFEST, data) is not None
        if data is None:
            return self._store.delete(MANIFEST, found.version)
        return self._store.replace(MANIFEST, data, found.version) is not None

    def _stands_there(self, data: bytes | None) -> bool:
        read = self.find_any()
        return (None if read is None else read.data) == data

    def update(self, decide: Callable[[Manifest | None], Manifest | None]) -> Manifest | None:
        """Change the manifest to what ``decide`` makes of the one that stands there, and return what stands there then.

        If another task changes it first, read again and decide again.
        """
        for _ in range(MAX_TURNS):
            found = self.find()
            if found is not None and found.manifest is None:
                raise self.damaged()
            now = found.manifest if found else None
            new = decide(now)
            if new is not None:
                new = replace(new, uri=self.uri)
            if new == now:
                return new
            try:
                self.swap(found, new)
            except OvertakenError:
                time.sleep(random.uniform(0.0, 0.1))
                continue
            return new
        raise errors.StorageError(
            f"{self.uri}{MANIFEST} could not be changed: something else changed it {MAX_TURNS} times meanwhile.",
            next_step="Find out what writes to it besides this package.",
        )

    @_typed_errors
    def prove_conditions(self, mine: Manifest) -> None:
        """Find out once for each bucket or file system whether it keeps conditions, with a claim that was just written.

        :raises StorageError: it does not, so that of two tasks at once both would pay.
        """
        place = self._store.place
        if place in _proven:
            return
        data = mine.dump()
        is_kept = self._store.create(MANIFEST, data) is None
        is_kept = is_kept and self._store.replace(MANIFEST, data, self._store.no_version) is None
        if not is_kept and not unsafe_storage_is_allowed():
            raise errors.StorageError(
                f"The storage at {self.uri} ignores conditions: it replaced a file, although it was told not to. Two "
                "tasks for the same clip could both pay",
                next_step="Use another storage, or set [wisdomgate] allow_unsafe_storage = True and make sure that no "
                "two tasks ever write to one destination at the same time.",
            )
        if not is_kept or self._store.weakness:
            why = self._store.weakness or "it ignores conditions, and allow_unsafe_storage is set"
            log.warning("Two tasks at once for one destination may both pay at %s: %s", place, why)
        _proven.add(place)

    @_typed_errors
    def clip(self) -> ClipFile | None:
        """Look at what stands at the destination itself, None if nothing does."""
        return self._store.clip()

    def clip_size(self) -> int | None:
        """Return the bytes of what stands at the destination, None if nothing does."""
        clip = self.clip()
        return None if clip is None else clip.size

    def clip_sha256(self) -> str | None:
        """Read all of what stands at the destination and hash it; None if nothing does."""
        if (size := self.clip_size()) is None:
            return None
        digest = hashlib.sha256()
        for start in range(0, size, READ_SIZE):
            digest.update(self.read_range(start, min(start + READ_SIZE, size)))
        return digest.hexdigest()

    @_typed_errors
    def read_range(self, start: int, end: int) -> bytes:
        """Return the clip's bytes from ``start`` to before ``end``. Leaves nothing open."""
        return self._store.read_range(start, end)

    def remove_partial_files(self) -> None:
        """Remove what killed tries left unfinished."""
        self._store.remove_partial_files()

    @contextmanager
    def partial_file(self) -> Iterator[IO[bytes]]:
        """Open an invisible file for a clip on its way; gone when it is left, unless it was published."""
        with storage_errors(self.uri), self._store.partial_file() as file:
            yield file

    @_typed_errors
    def publish(self, file: IO[bytes], content_type: str, over: ClipFile | None, announced: Manifest) -> bool:
        """Let a whole clip appear in the place of ``over``, if the manifest still announces it; whether it did."""
        found = self.find()
        if found is None or found.manifest is None or found.manifest.dump() != announced.dump():
            return False
        return self._store.publish(file, content_type, over=over, beside=(MANIFEST, found.version))
