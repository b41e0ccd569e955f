"""The few things asked of a store of files, for local folders and for object stores. The only module that writes.

Whatever appears under a name appears there at once and whole. ``ObjectStoragePath.open("wb")`` in a ``with`` is
never used: it publishes half a file when an exception passes through it, on local files, S3 and GCS alike.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol
from urllib.parse import quote, unquote, urlsplit

from airflow_provider_wisdomgate import exceptions as errors

# One part of an upload; three of them are in memory at once. S3 takes 10,000 parts of at least 5 MiB.
BLOCK = 8 * 1024**2
# What a file URI shows as it is; all else, above all % and #, must come back from it as it went in.
PLAIN = "/:+@=,~"
WRITE_BEHIND = 32 * 1024**2
# How the fsspec filesystem behind each scheme takes the content type of an object it writes.
CONTENT_TYPE_OPTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    **dict.fromkeys(("s3", "s3a"), lambda kind: {"ContentType": kind}),
    **dict.fromkeys(("gs", "gcs"), lambda kind: {"content_type": kind}),
    **dict.fromkeys(("abfs", "abfss", "adl"), lambda kind: {"content_settings": {"content_type": kind}}),
}
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "adl": "azure"}


class Store(Protocol):
    """The few things asked of a store. Names are the clip's own with a suffix; a missing file reads None."""

    uri: str

    def size(self) -> int | None: ...
    def read(self, suffix: str) -> bytes | None: ...
    def read_range(self, start: int, end: int) -> bytes: ...
    def create(self, suffix: str, data: bytes) -> bool: ...
    def write(self, suffix: str, data: bytes) -> None: ...
    def delete(self, suffix: str) -> None: ...
    def sweep(self) -> None: ...
    def part(self) -> AbstractContextManager[IO[bytes]]: ...
    def publish(self, part: IO[bytes], content_type: str) -> None: ...


class LocalStore:
    """Files. Everything appears by rename, so a reader never sees half of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.uri = f"file://{quote(str(path), safe=PLAIN)}"
        self._part_prefix = f".{path.name[:120]}."  # a file name ends at 255 bytes

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def size(self) -> int | None:
        if self._path.is_dir():
            raise errors.ConfigurationError(f"destination {self._path} is a folder.", next_step="Name a file in it.")
        return self._path.stat().st_size if self._path.exists() else None

    def read(self, suffix: str) -> bytes | None:
        try:
            return self._beside(suffix).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_range(self, start: int, end: int) -> bytes:
        with open(self._path, "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def create(self, suffix: str, data: bytes) -> bool:
        with self._named_part(data) as part:
            try:
                os.link(part, self._beside(suffix))  # exclusive, and whole from the first moment
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                    raise
                return self._create_without_links(suffix, data)
            _sync(self._path.parent)
            return True

    def _create_without_links(self, suffix: str, data: bytes) -> bool:
        try:
            with open(self._beside(suffix), "xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def write(self, suffix: str, data: bytes) -> None:
        with self._named_part(data) as part:
            os.replace(part, self._beside(suffix))
            _sync(self._path.parent)

    def delete(self, suffix: str) -> None:
        self._beside(suffix).unlink(missing_ok=True)

    @contextmanager
    def _named_part(self, data: bytes) -> Iterator[Path]:
        with self.part() as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            yield Path(file.name)

    @contextmanager
    def part(self) -> Iterator[IO[bytes]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked_part() as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)

    def _locked_part(self) -> BinaryIO:
        while True:
            path = self._path.with_name(f"{self._part_prefix}{uuid.uuid4().hex}.part")
            file = io.BufferedWriter(_WrittenBehind(path, "x"))
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return file
            file.close()  # a sweep took it between its making and its locking

    def sweep(self) -> None:
        """Remove the parts of killed tries. A part whose lock is held is being written by a live one."""
        if not self._path.parent.is_dir():
            return
        prefix, suffix = self._part_prefix, ".part"
        for path in self._path.parent.iterdir():
            if path.name.startswith(prefix) and path.name.endswith(suffix) and len(path.name) == len(prefix) + 37:
                _remove_unless_locked(path)

    def publish(self, part: IO[bytes], content_type: str) -> None:
        part.flush()
        os.fsync(part.fileno())
        os.replace(part.name, self._path)
        _sync(self._path.parent)


class _WrittenBehind(io.FileIO):
    """A file whose bytes go to the disk as they come, and then leave the page cache.

    Of 1 GiB that leaves nothing to the fsync at the end (0.4 s), and writing into pages that are used again takes
    the kernel half the time.
    """

    _behind = 0

    def write(self, data: Any) -> int:
        written = super().write(data)
        self._behind += written
        if self._behind >= WRITE_BEHIND and hasattr(os, "posix_fadvise"):  # macOS has none
            os.posix_fadvise(self.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self._behind = 0
        return written


def _remove_unless_locked(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (FileNotFoundError, BlockingIOError):
        pass


def _sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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

    def sweep(self) -> None:
        """Nothing to do: parts here have no name."""

    def part(self) -> AbstractContextManager[IO[bytes]]:
        # Nameless: the kernel frees it even when the worker is killed.
        return tempfile.TemporaryFile(prefix="wisdomgate-")

    def publish(self, part: IO[bytes], content_type: str) -> None:
        part.seek(0)
        options_for = CONTENT_TYPE_OPTIONS.get(self._protocol)
        options = options_for(content_type) if options_for else {}
        target = self._fs.open(self._path, "wb", block_size=BLOCK, **options)
        try:
            shutil.copyfileobj(part, target)
            target.close()
        except BaseException:
            target.closed = True  # or close(), and so the garbage collector, publishes what is there so far
            with suppress(Exception):  # a store that failed a write may fail this too; what counts is the first error
                target.discard()
            raise


def open_store(uri: str) -> Store:
    """Open the store that a URI or an absolute path names.

    :raises ConfigurationError: there is none for its scheme.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme in ("", "file", "local"):
        path = unquote(uri.partition("://")[2]) if scheme else uri
        if not path.startswith("/"):
            raise errors.ConfigurationError(
                f"{uri!r} is no absolute path.", next_step="Use file:///folder/name or /folder/name."
            )
        return LocalStore(Path(path))
    try:
        return ObjectStore(uri)
    except (ValueError, ImportError) as error:
        extra = EXTRAS.get(scheme)
        raise errors.ConfigurationError(
            f"{uri!r}: Airflow has no filesystem for {scheme}:// ({error})",
            next_step=f"pip install 'airflow-provider-wisdomgate[{extra}]'"
            if extra
            else "Install the provider package that brings it, or use a path, s3://, gs:// or abfs://.",
        ) from error


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Name a store's own errors; whether a retry may help, only a retry tells."""
    try:
        yield
    except errors.WisdomGateError:
        raise
    except Exception as error:  # botocore, gcsfs and adlfs share no base class
        raise errors.StorageError(
            f"The storage at {uri} refused: {type(error).__name__}: {error}",
            next_step="Check that the path exists, its connection, and the rights to read and write there.",
        ) from error
