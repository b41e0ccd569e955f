"""Local files, NFS included. Everything appears by rename or link: a reader never sees half of it."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import quote

from airflow_provider_wisdomgate import exceptions as errors

# What a file URI shows as it is; all else, above all % and #, must come back from it as it went in.
PLAIN = "/:+@=,~"

WRITE_BEHIND = 32 * 1024**2


class LocalStore:
    """Files. Everything appears by rename, so a reader never sees half of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.uri = f"file://{quote(str(path), safe=PLAIN)}"
        self._partial_prefix = f".{path.name[:120]}."  # a file name ends at 255 bytes

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
        with self._written_file(data) as written:
            try:
                os.link(written, self._beside(suffix))  # exclusive, and whole from the first moment
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
        with self._written_file(data) as written:
            os.replace(written, self._beside(suffix))
            _sync(self._path.parent)

    def delete(self, suffix: str) -> None:
        self._beside(suffix).unlink(missing_ok=True)

    @contextmanager
    def _written_file(self, data: bytes) -> Iterator[Path]:
        with self.partial_file() as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            yield Path(file.name)

    @contextmanager
    def partial_file(self) -> Iterator[IO[bytes]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked_file() as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)

    def _locked_file(self) -> BinaryIO:
        while True:
            path = self._path.with_name(f"{self._partial_prefix}{uuid.uuid4().hex}.part")
            file = io.BufferedWriter(_WrittenBehind(path, "x"))
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return file
            file.close()  # another try removed it between its making and its locking

    def remove_partial_files(self) -> None:
        """Remove the partial files of killed tries. One whose lock is held is being written by a live try."""
        if not self._path.parent.is_dir():
            return
        prefix, suffix = self._partial_prefix, ".part"
        for path in self._path.parent.iterdir():
            if path.name.startswith(prefix) and path.name.endswith(suffix) and len(path.name) == len(prefix) + 37:
                _remove_unless_locked(path)

    def publish(self, file: IO[bytes], content_type: str) -> None:
        file.flush()
        os.fsync(file.fileno())
        os.replace(file.name, self._path)
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
