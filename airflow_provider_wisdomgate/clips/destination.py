"""One destination: where the clip ends, and the manifest beside it. Writes through stores only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.download import DOWNLOAD_RETRIES, MAX_BYTES, PartialClip, fetch
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.clips.stores.base import storage_errors
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy

MANIFEST = ".json"
# Held for two small writes; older than this, whoever held it is dead.
LOCK_LIVES = 60.0


def resolve_destination(destination: Any, storage_path: str | None) -> str:
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


class Destination:
    """One destination: the clip's place and the manifest beside it."""

    def __init__(self, uri: str) -> None:
        try:
            with storage_errors(uri):
                self._store = open_store(uri)
        except errors.ConfigurationError as error:
            raise errors.ConfigurationError(f"destination {error.message}", next_step=error.next_step) from error
        self.uri = self._store.uri

    def remove_partial_files(self) -> None:
        """Remove what killed tries left unfinished."""
        with storage_errors(self.uri):
            self._store.remove_partial_files()

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

    def download(
        self,
        open_content: Callable[[int, str | None], AbstractContextManager[Any]],
        *,
        max_bytes: int = MAX_BYTES,
        check: Callable[[], None] = lambda: None,
        policy: RetryPolicy = DOWNLOAD_RETRIES,
        before_publish: Callable[[], object] = lambda: None,
    ) -> dict[str, Any]:
        """Fetch the whole content and publish it at once.

        :param open_content: opens the content from an offset with a validator (:meth:`gateway.client.Client.content`).
        :param check: called between chunks; raises to stop.
        :param before_publish: called when the clip is whole; raises to leave the destination as it is.
        :returns: size, sha256, content_type, duration, width and height of the clip.
        """
        with storage_errors(self.uri), self._store.partial_file() as file:
            partial = PartialClip(file, max_bytes, check)
            facts = fetch(partial, open_content, policy)
            before_publish()
            self._store.publish(file, facts["content_type"])
        return facts
