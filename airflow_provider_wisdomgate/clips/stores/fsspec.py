"""Every other filesystem that Airflow's ObjectStoragePath knows. Its promises are weaker, and a warning names them.

Many filesystems write in place, and a kill leaves half a file. So every file is written under another name and then
moved. Two cases are left. A filesystem that has an exclusive create of its own creates a manifest itself, perhaps in
place. A filesystem that refuses to rename over a file gets a manifest rewritten in place; a kill in that moment leaves
the whole record in the ``.part`` file beside it. A killed try's ``.part`` files stay.

``ObjectStoragePath.open("wb")`` in a ``with`` is never used: it publishes half a file when an exception passes through
it, on local files, S3 and GCS alike.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from functools import partial
from typing import IO, Any

from fsspec import AbstractFileSystem
from fsspec.asyn import sync

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import (
    MAX_RECORD_BYTES,
    ClipFile,
    Listed,
    NotAFileError,
    Versioned,
    bytes_to_read,
    versioned,
)
from airflow_provider_wisdomgate.clips.stores.uploads import OWN_CONNECTION, PART_BYTES, UPLOAD_ARGS, SpooledClips

# Filesystems' names for the moment or the version of a file's content; never the time it was last read.
CHANGES = ("ETag", "etag", "generation", "mtime", "modified", "last_modified", "LastModified", "updated", "created")

# fsspec's names of files that are not regular, and ours. Links are followed.
NO_FILES = {"directory": "folder", "other": "pipe, device or socket"}


class FsspecStore(SpooledClips):
    """One file on any fsspec filesystem, and those beside it."""

    weakness: str | None = (
        "It is read and compared before a write: two tasks that write in the same moment may both succeed."
    )
    no_version = "no version"

    def __init__(self, uri: str, upload_args: Any = None) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        scheme, _, rest = uri.partition("://")
        if upload_args:
            raise errors.ConfigurationError(
                f"{UPLOAD_ARGS}: {scheme}:// takes none, only s3://, gs:// and abfs:// do.", next_step=OWN_CONNECTION
            )
        path = ObjectStoragePath(uri)
        self.uri, self._fs, self._path = uri, path.fs, path.path
        self.place = f"{scheme}://{rest.partition('/')[0]}"

    @property
    def may_show_half(self) -> bool:
        return has_exclusive_create(self._fs) or rename_of(self._fs) is None

    def read(self, suffix: str, limit: int = MAX_RECORD_BYTES) -> Versioned | None:
        self._fs.invalidate_cache()  # a remembered size would cut what another process wrote since
        path = self._path + suffix
        try:
            found = self._fs.info(path)
            if found["type"] in NO_FILES:
                raise NotAFileError(f"{path} is no file but a {NO_FILES[found['type']]}")
            size = found.get("size")
            # Some servers refuse any range of a file without bytes.
            data = b"" if size == 0 else self._fs.cat_file(path, start=0, end=bytes_to_read(size, limit))
        except FileNotFoundError:
            return None
        return versioned(data, size, limit, version_of(data) + (f"+{size}" if size and size > limit else ""))

    def age(self, suffix: str) -> float | None:
        """Nothing here shows the filesystem's own time."""
        return None

    def create(self, suffix: str, data: bytes) -> str | None:
        path = self._path + suffix
        try:
            if has_exclusive_create(self._fs):
                self._fs.pipe_file(path, data, mode="create")
                return version_of(data)
            is_done = self._put(path, lambda at: self._fs.pipe_file(at, data), lambda: self.read(suffix) is None)
        except FileExistsError:  # some renames replace nothing
            return None
        return version_of(data) if is_done else None

    def replace(self, suffix: str, data: bytes, version: str) -> str | None:
        path = self._path + suffix

        def move(written: str) -> None:
            try:
                self._move(written, path)
            except Exception:
                if not self._is_still(suffix, version):
                    raise
                self._fs.pipe_file(path, data)  # the written file holds the record meanwhile
                self._fs.rm_file(written)

        is_done = self._put(
            path, lambda at: self._fs.pipe_file(at, data), lambda: self._is_still(suffix, version), move
        )
        return version_of(data) if is_done else None

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
        return self._put(self._path, lambda at: self._write(file, at), lambda: self.clip() == over)

    def _put(
        self,
        path: str,
        write: Callable[[str], Any],
        is_unchanged: Callable[[], bool],
        move: Callable[[str], None] | None = None,
    ) -> bool:
        """Write a file under another name and move it to its path, if nothing changed there; whether it did."""
        folder, _, name = path.rpartition("/")
        written = f"{folder}/.{name[:120]}.{uuid.uuid4().hex}.part"
        try:
            write(written)
            if not is_unchanged():
                self._fs.rm_file(written)
                return False
            move(written) if move else self._move(written, path)
        except BaseException:
            with suppress(Exception):  # often there is none yet; what counts is the first error
                self._fs.rm_file(written)
            raise
        return True

    def _move(self, written: str, path: str) -> None:
        rename = rename_of(self._fs)
        if rename is None:
            self._fs.copy([written], [path])  # of a name that is in no list, fsspec takes [ and * for a pattern
            self._fs.rm_file(written)
            return
        rename(written, path)
        self._fs.invalidate_cache()
        if self._fs.exists(written):  # WebHDFS answers False, which fsspec drops
            raise FileExistsError(f"{written} could not be renamed to {path}")

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


def has_exclusive_create(fs: Any) -> bool:
    """Whether a filesystem has a create mode of its own. fsspec's only looks first, and then writes in place."""
    own = getattr(type(fs), "_pipe_file", type(fs).pipe_file)
    return own.__module__ not in ("fsspec.spec", "fsspec.asyn") and "mode" in inspect.signature(own).parameters


def rename_of(fs: Any) -> Callable[[str, str], Any] | None:
    """Return how a filesystem renames, None if it can only copy."""
    if getattr(fs.mv, "__func__", None) is not AbstractFileSystem.mv:
        own: Callable[[str, str], Any] = fs.mv
        return own
    return partial(sync, fs.loop, fs._mv) if hasattr(fs, "_mv") else None  # that of SFTP, which fsspec overlooks
