"""The few things that are asked of a store of files, and its errors by our name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Protocol

from airflow_provider_wisdomgate import exceptions as errors


class Store(Protocol):
    """The few things asked of a store. Names are the clip's own with a suffix; a missing file reads None."""

    uri: str

    def size(self) -> int | None: ...
    def read(self, suffix: str) -> bytes | None: ...
    def read_range(self, start: int, end: int) -> bytes: ...
    def create(self, suffix: str, data: bytes) -> bool: ...
    def write(self, suffix: str, data: bytes) -> None: ...
    def delete(self, suffix: str) -> None: ...
    def remove_partial_files(self) -> None: ...
    def partial_file(self) -> AbstractContextManager[IO[bytes]]: ...
    def publish(self, file: IO[bytes], content_type: str) -> None: ...


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
