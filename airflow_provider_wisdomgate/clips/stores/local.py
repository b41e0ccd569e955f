"""Local files, NFS included. Everything appears by rename or link: a reader never sees half of it.

A change holds the kernel's lock on the manifest that it changes, which dies with its holder. So a clip can be published
under the same lock: local files keep ``beside``, object stores keep ``over``.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import quote

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import (
    MAX_RECORD_BYTES,
    ClipFile,
    Listed,
    NotAFileError,
    Version,
    Versioned,
    bytes_to_read,
    read_up_to,
    versioned,
)

# The characters that a file URI shows as they are; all else, above all % and #, must come back from it as it went in.
PLAIN = "/:+@=,~"

WRITE_BEHIND = 32 * 1024**2

NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
NO_LINKS = NOT_SUPPORTED | {errno.EPERM, errno.EMLINK}
# EBADF: an exclusive lock of a file that NFS let us open for reading only.
NO_LOCKS = NOT_SUPPORTED | {errno.ENOLCK, errno.EBADF}
# If nothing can be locked, a partial file that nobody has written to for so long is a dead try's.
ABANDONED_AFTER = 86400.0
NO_LOCKS_HERE = "its file system has no locks: two changes at the same moment may both count"

KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}


class LocalStore:
    """Files of one folder."""

    place = "file://"
    no_version = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.uri = f"file://{quote(str(path), safe=PLAIN, errors='surrogateescape')}"
        self.weakness: str | None = None
        # A file name ends at 255 bytes, and a letter may have four of them.
        self._partial_prefix = f".{os.fsencode(path.name)[:120].decode(errors='ignore')}."

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def read(self, suffix: str, limit: int = MAX_RECORD_BYTES) -> Versioned | None:
        try:
            file = _open(self._beside(suffix))
        except (FileNotFoundError, NotADirectoryError):
            return None
        with file:
            return _read(file, limit)

    def age(self, suffix: str) -> float | None:
        try:
            written = self._beside(suffix).stat().st_mtime
        except FileNotFoundError:
            return 0.0
        with self.partial_file() as now:  # the clock of a file server need not be ours
            os.utime(now.fileno())
            return max(os.fstat(now.fileno()).st_mtime - written, 0.0)

    def create(self, suffix: str, data: bytes) -> Version | None:
        target = self._beside(suffix)
        with self._written_file(data) as written:
            try:
                os.link(written, target)  # exclusive, and whole from the first moment
            except FileExistsError:
                # NFS repeats a request whose reply was lost, and then meets what it has done itself.
                return _version_of(data) if _is_same_file(written, target) else None
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                return self._create_without_links(target, data)
            _sync(self._path.parent)
        return _version_of(data)

    def _create_without_links(self, target: Path, data: bytes) -> Version | None:
        """Create in place, so that a kill leaves half a file; a reader waits for the lock of a live writer."""
        try:
            with open(target, "xb") as file:
                self._lock(file)
                if not _is_file_of(file, target):
                    return None  # who came between its making and its locking took it for a dead try's
                try:
                    file.write(data)
                    file.flush()
                    _sync_file(file)
                except BaseException:  # a full disk: half a claim would stop every later try
                    target.unlink(missing_ok=True)
                    raise
        except FileExistsError:
            return None
        _sync(target.parent)
        return _version_of(data)

    @property
    def may_show_half(self) -> bool:
        """Whether this file system has no hard links, by trying to make one. True if nothing can be written here."""
        try:
            with self.partial_file() as file:
                other = Path(f"{file.name}.link")
                os.link(file.name, other)
                other.unlink()
        except OSError:
            return True
        return False

    def replace(self, suffix: str, data: bytes, version: Version) -> Version | None:
        with self._written_file(data) as written, self._locked(suffix, version) as is_unchanged:
            if not is_unchanged:
                return None
            os.replace(written, self._beside(suffix))
            _sync(self._path.parent)
        return _version_of(data)

    def delete(self, suffix: str, version: Version) -> bool:
        with self._locked(suffix, version) as is_unchanged:
            if is_unchanged:
                self._beside(suffix).unlink(missing_ok=True)
                _sync(self._path.parent)
            return is_unchanged

    @contextmanager
    def _locked(self, suffix: str, version: Version) -> Iterator[bool]:
        """Hold the lock of a file and yield whether it is this version."""
        path = self._beside(suffix)
        while True:
            try:
                file = _open_for_locking(path)
            except (FileNotFoundError, NotADirectoryError):
                yield False
                return
            with file:
                self._lock(file)
                if _is_file_of(file, path):  # else it was replaced while we waited for the lock
                    yield _read(file, MAX_RECORD_BYTES).version == version
                    return

    def _lock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self.weakness = NO_LOCKS_HERE

    def clip(self) -> ClipFile | None:
        if self._path.is_dir():
            raise errors.ConfigurationError(f"destination {self._path} is a folder.", next_step="Name a file in it.")
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return ClipFile(found.st_size, (found.st_ino, found.st_mtime_ns, found.st_size))

    def read_range(self, start: int, end: int) -> bytes:
        with _open(self._path) as file:
            file.seek(start)
            return file.read(max(end - start, 0))

    def sibling(self, name: str) -> LocalStore:
        return LocalStore(self._path.parent / name)

    def siblings(self, after: str = "") -> Iterator[Listed]:
        return _files_below(str(self._path.parent), after)

    @contextmanager
    def _written_file(self, data: bytes) -> Iterator[Path]:
        with self.partial_file() as file:
            file.write(data)
            file.flush()
            _sync_file(file)
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
            try:
                self._lock(file)
            except BaseException:
                file.close()
                path.unlink(missing_ok=True)
                raise
            if os.fstat(file.fileno()).st_nlink:
                return file
            file.close()  # another try removed it between its making and its locking

    def remove_partial_files(self) -> None:
        prefix, suffix = self._partial_prefix, ".part"
        with suppress(OSError):
            for path in self._path.parent.iterdir():
                if path.name.startswith(prefix) and path.name.endswith(suffix) and len(path.name) == len(prefix) + 37:
                    with suppress(OSError):  # another user's, or in use: whoever may will remove it
                        _remove_if_dead(path)

    def publish(
        self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Version]
    ) -> bool:
        file.flush()
        _sync_file(file)
        with self._locked(*beside) as is_unchanged:
            if is_unchanged:
                os.replace(file.name, self._path)
                _sync(self._path.parent)
            return is_unchanged


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


def _version_of(data: bytes, size: int | None = None) -> Version:
    return hashlib.sha256(data).hexdigest() + (f"+{size}" if size is not None and size > MAX_RECORD_BYTES else "")


def _read(file: BinaryIO, limit: int) -> Versioned:
    size = os.fstat(file.fileno()).st_size
    data = read_up_to(file.read, bytes_to_read(size, limit))
    return versioned(data, size, limit, _version_of(data, size))


def _open(path: Path, mode: int = os.O_RDONLY) -> BinaryIO:
    """Open a regular file, without waiting for anybody.

    Its name is looked at first, because opening a pipe or a device can disturb others. But only what was opened counts:
    the name may lead elsewhere by then.

    :raises NotAFileError: it is something else.
    """
    _require_file(path, path.stat())
    handle = os.open(path, mode | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _require_file(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return open(handle, "rb" if mode == os.O_RDONLY else "r+b")


def _require_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "device")
        raise NotAFileError(f"{path} is no file but a {kind}")


def _open_for_locking(path: Path) -> BinaryIO:
    try:
        return _open(path, os.O_RDWR)  # NFS locks exclusively only what is open for writing
    except PermissionError:  # written by another user: a local file can be locked all the same
        return _open(path)


def _files_below(folder: str, after: str) -> Iterator[Listed]:
    """Walk a folder in the order in which object stores list keys: there a folder's name ends in a slash.

    Only regular files are listed, and no symbolic link is followed.
    """
    waiting = [""]  # names below the folder, the next one at the end; not recursive: paths can be 2,000 folders deep
    while waiting:
        name = waiting.pop()
        path = os.path.join(folder, name)
        with suppress(*([FileNotFoundError] if name else [])):  # somebody removed it
            if name and not name.endswith("/"):
                yield Listed(name, os.lstat(path).st_size)
                continue
            with os.scandir(path) as entries:  # closed before its folders are opened: depth costs no handles
                found = [
                    name + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
                ]
            found = [each for each in found if each > after or (each.endswith("/") and after.startswith(each))]
            waiting += sorted(found, reverse=True)


def _is_same_file(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _is_file_of(file: IO[bytes], path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _remove_if_dead(path: Path) -> None:
    """Remove a partial file unless a live try holds its lock."""
    with open(path, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS or time.time() - path.stat().st_mtime < ABANDONED_AFTER:
                return
        path.unlink()


def _sync_file(file: IO[bytes]) -> None:
    with _where_supported():
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with _where_supported():
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _where_supported() -> Iterator[None]:
    """Let a file system have no fsync."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
