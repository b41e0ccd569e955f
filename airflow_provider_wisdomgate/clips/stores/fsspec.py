"""Every other filesystem that Airflow's ObjectStoragePath knows. Its promises are weaker, and it says so.

``ObjectStoragePath.open("wb")`` in a ``with`` is never used: it publishes half a file when an exception passes through
it, on local files, S3 and GCS alike.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from typing import IO, Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import ClipFile, Listed, Versioned
from airflow_provider_wisdomgate.clips.stores.uploads import PART_BYTES, SpooledClips

# What filesystems call the moment or the version of a file's content; never the time it was last read.
CHANGES = ("ETag", "etag", "generation", "mtime", "modified", "last_modified", "LastModified", "updated", "created")


class FsspecStore(SpooledClips):
    """One file on any fsspec filesystem, and those beside it."""

    weakness: str | None = (
        "It is read and compared before a write: two tasks that write in the same moment may both succeed."
    )
    no_version = "no version"

    def __init__(self, uri: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        path = ObjectStoragePath(uri)
        self.uri, self._fs, self._path = uri, path.fs, path.path
        scheme, _, rest = uri.partition("://")
        self.place = f"{scheme}://{rest.partition('/')[0]}"

    def read(self, suffix: str) -> Versioned | None:
        try:
            data: bytes = self._fs.cat_file(self._path + suffix)
        except FileNotFoundError:
            return None
        return Versioned(data, version_of(data))

    def age(self, suffix: str) -> float | None:
        """Nothing here tells the filesystem's own time."""
        return None

    def create(self, suffix: str, data: bytes) -> str | None:
        try:
            self._fs.pipe_file(self._path + suffix, data, mode="create")
        except FileExistsError:
            return None
        return version_of(data)

    def replace(self, suffix: str, data: bytes, version: str) -> str | None:
        if not self._is_still(suffix, version):
            return None
        self._fs.pipe_file(self._path + suffix, data)
        return version_of(data)

    def delete(self, suffix: str, version: str) -> bool:
        if not self._is_still(suffix, version):
            return False
        try:
            self._fs.rm_file(self._path + suffix)
        except FileNotFoundError:
            return False
        return True

    def _is_still(self, suffix: str, version: str) -> bool:
        found = self.read(suffix)
        return found is not None and found.version == version

    def clip(self) -> ClipFile | None:
        self._fs.invalidate_cache()
        try:
            info = self._fs.info(self._path)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            raise errors.ConfigurationError(f"destination {self.uri} is a folder.", next_step="Name a file in it.")
        changed = [str(info[name]) for name in CHANGES if info.get(name) is not None]
        return ClipFile(int(info["size"]), (int(info["size"]), *changed))

    def read_range(self, start: int, end: int) -> bytes:
        data: bytes = self._fs.cat_file(self._path, start=start, end=end)
        return data

    def sibling(self, name: str) -> FsspecStore:
        other = copy(self)
        other.uri, other._path = (f"{before.rpartition('/')[0]}/{name}" for before in (self.uri, self._path))
        return other

    def siblings(self, after: str = "") -> Iterator[Listed]:
        folder = self._path.rpartition("/")[0]
        self._fs.invalidate_cache()
        found = self._fs.find(folder, detail=True)  # all of it at once: fsspec has no lazy one
        for path in sorted(found):
            name = path.removeprefix(folder).removeprefix("/")
            if name > after and found[path]["type"] == "file" and not found[path].get("islink"):
                yield Listed(name, int(found[path]["size"] or 0))

    def publish(self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Any]) -> bool:
        # Many filesystems write in place: so under another name, then renamed, or copied where there is no renaming.
        folder, _, name = self._path.rpartition("/")
        partial = f"{folder}/.{name[:120]}.{uuid.uuid4().hex}.part"
        try:
            self._write(file, partial)
            if self.clip() != over:
                self._fs.rm_file(partial)
                return False
            self._fs.mv(partial, self._path)
        except BaseException:
            with suppress(Exception):  # often there is none yet; what counts is the first error
                self._fs.rm_file(partial)
            raise
        return True

    def _write(self, file: IO[bytes], path: str) -> None:
        file.seek(0)
        target = self._fs.open(path, "wb", block_size=PART_BYTES)
        try:
            shutil.copyfileobj(file, target, PART_BYTES)
            target.close()
        except BaseException:
            with suppress(Exception):  # a buffered file would, at its end, write what there is so far
                target.discard()
                target.closed = True
            raise


def version_of(data: bytes) -> str:
    """Name a state of a small file by its bytes, since not every filesystem has a name for it."""
    return hashlib.sha256(data).hexdigest()
