"""The part that object stores share: a clip waits on the local disk until it is whole, then leaves in parallel parts.

Upload arguments (encryption, ACL, storage class, metadata) go with every write, a clip's and a manifest's: a bucket
that demands one refuses both.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from copy import copy
from dataclasses import dataclass
from typing import IO, Any, Self, TypeVar

from airflow_provider_wisdomgate import exceptions as errors

T = TypeVar("T")

MIB = 1024**2
# In memory at once: one part a worker, and the one being read. Four workers fill a fast line.
PART_BYTES = 8 * MIB
WORKERS = 4
# Up to here one request is as quick as parts, and it is one request instead of at least four.
ONE_REQUEST_BYTES = 2 * PART_BYTES
# S3 takes 10,000 parts, Azure 50,000.
MAX_PARTS = 10_000
# An upload writes a mark of its own into the object's metadata. If the answer is lost, the mark shows whose object
# is there; an ETag does not under encryption. No underscore: nginx drops a header with one, and the signature breaks.
MARK = "wisdomgateupload"
# Their name in the extra of a connection: the gateway's, or the storage's own.
UPLOAD_ARGS = "upload_args"
OWN_CONNECTION = f"Arguments for one storage belong into {UPLOAD_ARGS!r} in the extra of the storage's own connection."


@dataclass(frozen=True)
class Kind:
    """The type of an upload argument, in words and as a check."""

    words: str
    fits: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


TEXT = Kind("a text", _is_text)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXTS = Kind("an object of texts", lambda value: isinstance(value, Mapping) and all(map(_is_text, value.values())))


def one_of(*texts: str) -> Kind:
    """Accept these texts alone."""
    return Kind(f"one of {', '.join(texts)}", lambda value: value in texts)


def none_of(*texts: str) -> Kind:
    """Refuse classes of storage that keep things offline: a record must be readable at once."""
    return Kind(f"a text, and not {' or '.join(texts)}", lambda value: _is_text(value) and value not in texts)


def read_upload_args(uri: str, given: Any, own: Any, known: Mapping[str, Kind]) -> dict[str, Any]:
    """Check the arguments that go with every write.

    :param given: those of the gateway's connection; they take the place of ``own``.
    :param own: those of the storage's own connection.
    :param known: the arguments of the store.
    :raises ConfigurationError: naming the argument.
    """
    found = given or own or {}
    if isinstance(found, str):  # from a form, or from a connection that is a URI
        with suppress(ValueError):
            found = json.loads(found)
    scheme = uri.partition("://")[0]
    if not isinstance(found, Mapping):
        example = json.dumps({next(iter(known)): "..."})
        raise errors.ConfigurationError(
            f"{UPLOAD_ARGS} must be a JSON object, not {found!r}.", next_step=f"Write e.g. {example}."
        )
    for name, value in found.items():
        if name not in known:
            advice = f"It takes {', '.join(known)}. {OWN_CONNECTION}"
            raise errors.ConfigurationError(f"{UPLOAD_ARGS}: {scheme}:// takes no {name!r}.", next_step=advice)
        if not known[name].fits(value):
            raise errors.ConfigurationError(f"{UPLOAD_ARGS}: {name} must be {known[name].words}, not {value!r}.")
    return dict(found)


class SpooledClips:
    """Partial files without a name, on the local disk: the kernel frees them even when the worker is killed."""

    def partial_file(self) -> AbstractContextManager[IO[bytes]]:
        return tempfile.TemporaryFile(prefix="wisdomgate-")

    def remove_partial_files(self) -> None:
        """Nothing to do: partial files here have no name."""


class ObjectStore(SpooledClips):
    """The fields of all stores of objects: a URI, a key, and others beside it."""

    uri: str
    key: str

    @property
    def folder(self) -> str:
        """The beginning of the keys of this folder: nothing, or with a slash at its end."""
        return self.key[: self.key.rfind("/") + 1]

    def sibling(self, name: str) -> Self:
        other = copy(self)
        other.key = self.folder + name
        other.uri = self.uri.removesuffix(self.key) + other.key
        return other


def size_of(file: IO[bytes]) -> int:
    """Return the bytes of a file, and leave it at its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def send_parts(file: IO[bytes], size: int, send: Callable[[int, bytes], T]) -> list[T]:
    """Send a file part by part, several at once, and return what each sending gave, in order.

    Whatever is raised, by a sending or into the reading, is raised here once no sending is under way any more: then
    an upload can be aborted for good.

    :param send: takes a part's number, from 1, and its bytes.
    """
    part_bytes = max(PART_BYTES, -(-size // MAX_PARTS))
    sent: list[T] = []
    under_way: deque[Future[T]] = deque()
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="wisdomgate-upload") as pool:
        for number in range(1, -(-size // part_bytes) + 1):
            if len(under_way) == WORKERS:
                sent.append(under_way.popleft().result())
            under_way.append(pool.submit(send, number, file.read(part_bytes)))
        sent += [each.result() for each in under_way]
    return sent
