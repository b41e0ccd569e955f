"""The interface of a store of files, and its errors by our name.

A manifest only ever changes by compare-and-swap: created where none is, or replaced or deleted if it still is the
version that was read. A clip appears at once and whole, or not at all. No lock outlives its holder.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import IO, Any, Protocol

from airflow_provider_wisdomgate import exceptions as errors

# A store's name for one state of a file: an ETag, a generation, a hash. Only ever compared, and by the store itself.
Version = Any

# The limit of every record, for its writer and its readers: anybody can put a file of any size beside a clip. A record
# has some kilobytes, with eight records below it and long prompts some hundred. Versions before 0.3 also recorded the
# images of a request in full.
MAX_RECORD_BYTES = 16 * 1024**2
# Of a larger file only the beginning is read. It shows whether the file was a record, and names its video.
HEAD_BYTES = 64 * 1024
# Python sets aside what a read asks for, also for a small file.
READ_BYTES = 256 * 1024


class NotAFileError(OSError):
    """A name leads to something that is no regular file. It is never read: a pipe blocks, and a device has no end."""


@dataclass(frozen=True)
class Versioned:
    """A small file as it was read: its bytes, and the version that a change of it is conditional on.

    :param more: the bytes that follow ``data`` in a file that is larger than the limit. ``data`` is its beginning then.
    """

    data: bytes
    version: Version
    more: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.more

    @property
    def size(self) -> int:
        return len(self.data) + self.more


def bytes_to_read(size: int | None, limit: int) -> int:
    """Return how many bytes to ask for: one beyond the limit, since a file may grow, or the head of a larger file.

    :param size: the bytes that the store announces; None if it announces nothing.
    """
    return HEAD_BYTES if size is not None and size > limit else limit + 1


def versioned(data: bytes, size: int | None, limit: int, version: Version) -> Versioned:
    """Return a file as it was read with the bound of :func:`bytes_to_read`; of one above the limit, only its head."""
    if max(size := size or 0, len(data)) <= limit:
        return Versioned(data, version)
    return Versioned(data[:HEAD_BYTES], version, max(size, len(data)) - HEAD_BYTES)


def read_up_to(read: Callable[[int], bytes], most: int) -> bytes:
    """Read until the end or until ``most`` bytes. A client checks a body's length only if its end is read, too."""
    parts = []
    while most and (part := read(min(most, READ_BYTES))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


@dataclass(frozen=True)
class Listed:
    """A file of a folder: its name below the folder (``/`` between folders), and its bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class ClipFile:
    """The file at the destination itself: its bytes, and the version that publishing over it is conditional on."""

    size: int
    version: Version


class Store(Protocol):
    """One destination in a store. File names are the clip's own with a suffix ("" is the clip itself).

    Every change may take effect although it raises (the answer is lost): who changes, reads back.
    """

    # The clip's URI as we write it, and what holds it (a bucket, a filesystem): what is found out once for all clips.
    uri: str
    place: str
    # A version that no file has ever had.
    no_version: Version
    # None, or why a change by two at the same moment may go wrong here: not all of this can be promised everywhere.
    weakness: str | None

    @property
    def may_show_half(self) -> bool:
        """Whether a reader can see a file half-written by :meth:`create`. :meth:`replace` is not meant."""

    def read(self, suffix: str, limit: int = MAX_RECORD_BYTES) -> Versioned | None:
        """Read a small file, of a larger one only the beginning; None if there is no file.

        :raises NotAFileError: it is a folder, a pipe, a device or a socket.
        """

    def age(self, suffix: str) -> float | None:
        """Return the seconds since a file was last written, both moments by the store's own clock.

        0.0 if there is no such file, None if the store has no clock.
        """

    def create(self, suffix: str, data: bytes) -> Version | None:
        """Write a file where none is; its version, or None if one is."""

    def replace(self, suffix: str, data: bytes, version: Version) -> Version | None:
        """Write a file in place of exactly this version; the new version, or None if it is not that one any more."""

    def delete(self, suffix: str, version: Version) -> bool:
        """Delete a file if it is exactly this version; whether it was."""

    def clip(self) -> ClipFile | None:
        """Look at the clip; None if there is none.

        :raises ConfigurationError: a folder stands there.
        """

    def read_range(self, start: int, end: int) -> bytes:
        """Return the clip's bytes from ``start`` to before ``end``. Leaves nothing open."""

    def sibling(self, name: str) -> Store:
        """Open another file of the folder that this destination is in, or below it, through the same client."""

    def siblings(self, after: str = "") -> Iterator[Listed]:
        """List all files of the folder that this destination is in, and of the folders below it, lazily.

        In the order of their names, if the store lists in that order. Symbolic links are not followed.

        :param after: leave out names up to this one.
        """

    def partial_file(self) -> AbstractContextManager[IO[bytes]]:
        """Open an invisible file for a clip on its way; gone when it is left, unless it was published."""

    def remove_partial_files(self) -> None:
        """Remove what killed tries left unfinished. Never raises: cleaning up stops nobody."""

    def publish(
        self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Version]
    ) -> bool:
        """Make a partial file the clip, at once; False, with nothing changed, if another was quicker.

        :param over: the clip it takes the place of, None if there was none. Object stores hold to this.
        :param beside: suffix and version of the manifest that allows it. Local files hold to this.
        """


@dataclass(frozen=True)
class Address:
    """Where an object store keeps a clip: the connection that leads there, a bucket (Azure: container), and the key."""

    scheme: str
    conn_id: str | None
    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> Address:
        """Split ``scheme://conn_id@bucket/key``. Every letter of a key is its own: no query, no fragment, no escapes.

        :raises ConfigurationError: it names no bucket or no file.
        """
        scheme, _, rest = uri.partition("://")
        authority, _, key = rest.partition("/")
        conn_id, _, bucket = authority.rpartition("@")
        if not bucket or not key:
            raise errors.ConfigurationError(
                f"{uri!r} names no file in a bucket.", next_step=f"Write {scheme}://conn_id@bucket/folder/clip.mp4."
            )
        return cls(scheme, conn_id or None, bucket, key)

    @property
    def place(self) -> str:
        return f"{self.scheme}://{self.conn_id}@{self.bucket}" if self.conn_id else f"{self.scheme}://{self.bucket}"


# Clients by connection, for stores that are opened together; None: each store has a client of its own.
_shared: ContextVar[dict[Hashable, Any] | None] = ContextVar("wisdomgate_clients", default=None)
_making = threading.Lock()


@contextmanager
def shared_clients() -> Iterator[None]:
    """Let the stores that are opened in here use one client a connection: making one costs S3 0.1 s of a processor.

    Holds for threads that run in a copy of this context. Ends with it, so that a changed connection counts at once.
    """
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def client_of(conn_id: Hashable, make: Callable[[], Any]) -> Any:
    """Return the client of a connection: a shared one if clients are shared, else a new one."""
    if (shared := _shared.get()) is None:
        return make()
    with _making:
        if conn_id not in shared:
            shared[conn_id] = make()
        return shared[conn_id]


def unsafe_storage_is_allowed() -> bool:
    """Whether a store may be used that does not hold to conditions: ``[wisdomgate] allow_unsafe_storage``."""
    from airflow.providers.common.compat.sdk import conf

    allowed: bool = conf.getboolean("wisdomgate", "allow_unsafe_storage", fallback=False)
    return allowed


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turn a store's own errors into a StorageError."""
    try:
        yield
    except errors.WisdomGateError:
        raise
    except Exception as error:  # botocore, google-cloud-storage and Azure's client share no base class
        raise storage_error(uri, error) from error


def storage_error(uri: str, error: Exception) -> errors.StorageError:
    """Return the StorageError of a store's own error; only a retry shows whether a retry helps."""
    advice = "Check that the path exists, its connection, and the rights to read and write there."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "A disk is full: that of the storage, or the worker's temporary folder (TMPDIR)."
    return errors.StorageError(f"The storage at {uri} refused: {type(error).__name__}: {error}", next_step=advice)
