"""Every other filesystem that Airflow's ObjectStoragePath knows: S3, GCS, Azure and the rest.

``ObjectStoragePath.open("wb")`` in a ``with`` is never used: it publishes half a file when an exception passes through
it, on local files, S3 and GCS alike.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import IO, Any

from airflow_provider_wisdomgate import exceptions as errors

# One part of a multipart upload; three of them are in memory at once. S3 takes 10,000 parts of at least 5 MiB.
BLOCK = 8 * 1024**2

# How the fsspec filesystem behind each scheme takes the content type of an object it writes.
CONTENT_TYPE_OPTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    **dict.fromkeys(("s3", "s3a"), lambda kind: {"ContentType": kind}),
    **dict.fromkeys(("gs", "gcs"), lambda kind: {"content_type": kind}),
    **dict.fromkeys(("abfs", "abfss", "adl"), lambda kind: {"content_settings": {"content_type": kind}}),
}


class ObjectStore:
    """Any fsspec filesystem that Airflow knows, through ObjectStoragePath."""

    def __init__(self, uri: str) -> None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        self.uri = uri
        path = ObjectStoragePath(uri)
        self._fs, self._path, self._protocol = path.fs, path.path, path.protocol

    def size(self) -> int | None:
        self._fs.invalidate_cache()
        try:
            info = self._fs.info(self._path)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            raise errors.ConfigurationError(f"destination {self.uri} is a folder.", next_step="Name a file in it.")
        return int(info["size"])

    def read(self, suffix: str) -> bytes | None:
        try:
            data: bytes = self._fs.cat_file(self._path + suffix)
        except FileNotFoundError:
            return None
        return data

    def read_range(self, start: int, end: int) -> bytes:
        data: bytes = self._fs.cat_file(self._path, start=start, end=end)
        return data

    def create(self, suffix: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(self._path + suffix, data, mode="create")
        except FileExistsError:
            return False
        return True

    def write(self, suffix: str, data: bytes) -> None:
        self._fs.pipe_file(self._path + suffix, data)

    def delete(self, suffix: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path + suffix)

    def remove_partial_files(self) -> None:
        """Nothing to do: partial files here have no name."""

    def partial_file(self) -> AbstractContextManager[IO[bytes]]:
        # Nameless: the kernel frees it even when the worker is killed.
        return tempfile.TemporaryFile(prefix="wisdomgate-")

    def publish(self, file: IO[bytes], content_type: str) -> None:
        file.seek(0)
        options_for = CONTENT_TYPE_OPTIONS.get(self._protocol)
        options = options_for(content_type) if options_for else {}
        target = self._fs.open(self._path, "wb", block_size=BLOCK, **options)
        try:
            shutil.copyfileobj(file, target)
            target.close()
        except BaseException:
            target.closed = True  # or close(), and so the garbage collector, publishes what is there so far
            with suppress(Exception):  # a store that failed a write may fail this too; what counts is the first error
                target.discard()
            raise
