"""Puts a clip and its manifest where they belong, whole or not at all. Writes through stores.py only.

A clip's bytes go to a part first: a hidden file beside a local destination, a nameless temporary file before an
object store. Only when they are all there, hashed and walked, does anything appear under the final name.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.ledger import Manifest
from airflow_provider_wisdomgate.clips.mp4 import BoxWalk
from airflow_provider_wisdomgate.clips.stores import open_store, storage_errors
from airflow_provider_wisdomgate.gateway.replies import CONTENT_TYPES
from airflow_provider_wisdomgate.gateway.retry import Patience, ask_again
from airflow_provider_wisdomgate.gateway.routes import Part

MANIFEST = ".json"
# Held for two small writes; older than this, whoever held it is dead.
LOCK_LIVES = 60.0
FETCH_PATIENCE = Patience(tries=6, base=1.0, cap=60.0)
MAX_OPENS = 30
MAX_BYTES = 20 * 1024**3
MAX_REFERENCE = 50 * 1024**2
IMAGE_KINDS: dict[str, Callable[[bytes], bool]] = {
    "jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "webp": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
}


def resolve(destination: Any, storage_path: str | None) -> str:
    """Complete a destination: absolute ones stay, others go below the storage path.

    :raises ConfigurationError: it names no file, or there is no storage path to complete it with.
    """
    name = destination
    if not isinstance(name, str) or not name.strip() or name.endswith("/"):
        raise errors.ConfigurationError(
            f"destination must name a file, not {name!r}.",
            next_step="Give e.g. 'clips/cat.mp4' or 's3://bucket/cat.mp4'.",
        )
    if "://" in name or name.startswith("/"):
        return name
    if ".." in name.split("/"):
        raise errors.ConfigurationError(f"destination {name!r} leads out of the storage path.")
    if not storage_path:
        raise errors.ConfigurationError(
            f"destination {name!r} is relative, and no storage path is set.",
            next_step="Set the connection's 'Storage path', or the option [wisdomgate] storage_path "
            "(AIRFLOW__WISDOMGATE__STORAGE_PATH), or give an absolute destination.",
        )
    return f"{storage_path.rstrip('/')}/{name}"


class Target:
    """One destination: the clip's place and the manifest beside it."""

    def __init__(self, uri: str) -> None:
        try:
            with storage_errors(uri):
                self._store = open_store(uri)
        except errors.ConfigurationError as error:
            raise errors.ConfigurationError(f"destination {error.message}", next_step=error.next_step) from error
        self.uri = self._store.uri

    def sweep(self) -> None:
        """Remove what killed tries left unfinished."""
        with storage_errors(self.uri):
            self._store.sweep()

    def read(self) -> Manifest | None:
        """Read the manifest, None where there is none."""
        with storage_errors(self.uri):
            data = self._store.read(MANIFEST)
        return None if data is None else Manifest.load(data, self.uri + MANIFEST)

    def clip_size(self) -> int | None:
        """Return the bytes of what stands at the destination, None where nothing does."""
        with storage_errors(self.uri):
            return self._store.size()

    def read_range(self, start: int, end: int) -> bytes:
        """Return the clip's bytes from ``start`` to before ``end``. Leaves nothing open."""
        with storage_errors(self.uri):
            return self._store.read_range(start, end)

    def write(self, manifest: Manifest) -> Manifest:
        """Write the manifest over the one there."""
        with storage_errors(self.uri):
            self._store.write(MANIFEST, manifest.dump())
        return manifest

    def claim(self, manifest: Manifest, takes: Manifest | None) -> bool:
        """Write the manifest if nobody else has: where none is, or in place of exactly ``takes``.

        Of any number of tries at once, one gets True. This is also the proof that the storage can be written.
        """
        with storage_errors(self.uri):
            if takes is None:
                return self._store.create(MANIFEST, manifest.dump())
            with self._lock() as held:
                now_there = self.read() if held else None
                if now_there is None or now_there.claim_id != takes.claim_id or now_there.phase != takes.phase:
                    return False
                self._store.write(MANIFEST, manifest.dump())
                return True

    def release(self, claim: Manifest, previous: Manifest | None) -> None:
        """Take a claim back that nothing came of, and put back what it had replaced."""
        with storage_errors(self.uri):
            if previous is not None:
                self._store.write(MANIFEST, previous.dump())
            else:
                self._store.delete(MANIFEST)

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        name = f"{MANIFEST}.lock"
        stamp = repr(time.time()).encode()
        held = self._store.create(name, stamp)
        if not held and time.time() - float(self._store.read(name) or time.time()) > LOCK_LIVES:
            self._store.delete(name)
            held = self._store.create(name, stamp)
        try:
            yield held
        finally:
            if held:
                self._store.delete(name)

    def land(
        self,
        open_content: Callable[[int, str | None], AbstractContextManager[Any]],
        *,
        max_bytes: int = MAX_BYTES,
        check: Callable[[], None] = lambda: None,
        patience: Patience = FETCH_PATIENCE,
        before_publish: Callable[[], object] = lambda: None,
    ) -> dict[str, Any]:
        """Fetch the whole content and publish it at once.

        :param open_content: opens the content from an offset with a validator (:meth:`client.Client.content`).
        :param check: called between chunks; raises to stop.
        :param before_publish: called when the clip is whole; raises to leave the destination as it is.
        :returns: size, sha256, content_type, duration, width and height of the clip.
        """
        with storage_errors(self.uri), self._store.part() as file:
            incoming = Incoming(file, max_bytes, check)
            facts = _fetch(incoming, open_content, patience)
            before_publish()
            self._store.publish(file, facts["content_type"])
        return facts


@dataclass
class Incoming:
    """The part of a clip that has arrived so far."""

    file: IO[bytes]
    max_bytes: int
    check: Callable[[], None]
    validator: str | None = None
    total: int | None = None

    def __post_init__(self) -> None:
        self.start_over()

    @property
    def size(self) -> int:
        return self._walk.size

    def start_over(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self._hash, self._walk = hashlib.sha256(), BoxWalk()

    def take(self, content: Any) -> None:
        """Append what one answer brings, from its own offset."""
        if content.offset != self.size or (content.offset and content.total not in (None, self.total)):
            self.start_over()
        if content.offset != self.size:
            raise errors.ContentError("The gateway went on with another file than it began with.")
        self.validator, self.total = content.validator, content.total
        for chunk in content.chunks():
            self.check()
            self._walk.feed(chunk)
            if self.size > self.max_bytes:
                raise errors.StorageError(
                    f"The content is larger than max_bytes ({self.max_bytes} bytes).", next_step="Raise max_bytes."
                )
            self._hash.update(chunk)
            self.file.write(chunk)

    def finish(self) -> dict[str, Any]:
        """Say what arrived.

        :raises ContentError: it is not whole.
        """
        clip = self._walk.finish()
        if self.total not in (None, self.size):
            raise errors.ContentError(f"The content has {self.size} bytes where {self.total} were announced.")
        return {
            "size": self.size,
            "sha256": self._hash.hexdigest(),
            "content_type": CONTENT_TYPES[clip.container],
            "duration": clip.duration,
            "width": clip.width,
            "height": clip.height,
        }


def _fetch(
    incoming: Incoming, open_content: Callable[[int, str | None], AbstractContextManager[Any]], patience: Patience
) -> dict[str, Any]:
    """Open the content until all of it is here, going on where it broke. Getting further forgives earlier failures."""
    failures = furthest = 0
    for _ in range(MAX_OPENS):
        had = incoming.size
        try:
            with open_content(had, incoming.validator) as content:
                incoming.take(content)
            return incoming.finish()
        except errors.WisdomGateError as error:
            failures = 1 if incoming.size > furthest else failures + 1
            furthest = max(furthest, incoming.size)
            if incoming.size == incoming.total or (incoming.size == had and isinstance(error, errors.ContentError)):
                incoming.start_over()  # going on brings nothing: what is here may be what is wrong
            last = error
            delay = ask_again(error, repeatable=True, attempt=failures, patience=patience, jitter=random.random())
        if delay is None:
            break
        interruptible_sleep(delay, incoming.check)
    raise last


def interruptible_sleep(seconds: float, check: Callable[[], None]) -> None:
    """Sleep, asking ``check`` five times a second whether to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.2))


def read_reference(uri: str) -> Part:
    """Read a reference image, from a local path or anything ObjectStoragePath reads.

    :raises ConfigurationError: it is not there, too large, or no JPEG, PNG or WebP.
    """
    try:
        with storage_errors(uri):
            data = open_store(uri).read("")
    except errors.ConfigurationError as error:
        raise errors.ConfigurationError(f"input_reference {error.message}", next_step=error.next_step) from error
    if data is None:
        raise errors.ConfigurationError(f"input_reference {uri!r} does not exist.")
    if len(data) > MAX_REFERENCE:
        raise errors.ConfigurationError(f"input_reference {uri!r} has {len(data)} bytes, more than {MAX_REFERENCE}.")
    for kind, is_kind in IMAGE_KINDS.items():
        if is_kind(data):
            return Part(f"reference.{kind}", data, f"image/{kind}")
    raise errors.ConfigurationError(f"input_reference {uri!r} is no JPEG, PNG or WebP image.")
