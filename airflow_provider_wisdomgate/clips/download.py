"""Downloads content into a partial file until all of it is there. Publishes nothing: whole first, then published.

The bytes go to a hidden file beside a local destination, to a nameless temporary file before an object store; they are
hashed and walked as they pass.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.mp4 import CONTENT_TYPES, BoxWalk
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy, retry_delay

log = logging.getLogger(__name__)

# A clip that is paid for is worth a long wait; execution_timeout bounds it.
DOWNLOAD_RETRIES = RetryPolicy(attempts=6, base=1.0, cap=60.0, longest_wait=900.0)
MAX_OPENS = 30
MAX_BYTES = 20 * 1024**3


@dataclass
class PartialClip:
    """The partial file of a clip: what has arrived so far, hashed and walked."""

    file: IO[bytes]
    max_bytes: int
    control: Control
    validator: str | None = None
    total: int | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        self.start_over()

    @property
    def size(self) -> int:
        return self._walk.size

    def start_over(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.validator, self.total = None, None
        self._hash, self._walk = hashlib.sha256(), BoxWalk()

    def receive(self, content: Any) -> None:
        """Append what one answer brings, if it is of the very same clip as what is here; else start over with it.

        :raises ContentError: it begins in the middle of another one.
        """
        is_same = content.validator is not None and content.validator == self.validator
        contradicts = None not in (content.total, self.total) and content.total != self.total
        if content.offset and (not is_same or contradicts or content.offset != self.size):
            self.start_over()
            raise errors.ContentError("The gateway went on with another file than it began with.")
        if not content.offset:
            announced = self.total if is_same else None
            self.start_over()
            self.total = announced  # what was once announced of this very file still holds
        self.validator, self.host = content.validator, content.host
        self.total = self.total if content.total is None else content.total
        for chunk in content.chunks():
            self.control.check()
            self._walk.feed(chunk)
            if self.size > self.max_bytes:
                raise errors.StorageError(
                    f"The content is larger than max_bytes ({self.max_bytes} bytes).", next_step="Raise max_bytes."
                )
            self._hash.update(chunk)
            self.file.write(chunk)

    def finish(self) -> dict[str, Any]:
        """Return what arrived.

        :raises ContentError: it is not whole.
        """
        clip = self._walk.finish(is_all=self.size == self.total)
        if self.total not in (None, self.size):
            raise errors.ContentError(f"The content has {self.size} bytes where {self.total} were announced.")
        if clip.surplus:
            log.warning("The clip is whole; after it come %s bytes that do not play.", clip.surplus)
        return {
            "size": self.size,
            "sha256": self._hash.hexdigest(),
            "content_type": CONTENT_TYPES[clip.container],
            "duration": clip.duration,
            "width": clip.width,
            "height": clip.height,
            "content_host": self.host,
        }


def fetch(
    partial: PartialClip, open_content: Callable[[int, str | None], AbstractContextManager[Any]], policy: RetryPolicy
) -> dict[str, Any]:
    """Open the content until all of it is here, going on where it broke. Getting further forgives earlier failures."""
    failures = furthest = 0
    for _ in range(MAX_OPENS):
        had = partial.size
        try:
            # Without a strong validator nothing shows whether the rest is of the same file.
            with open_content(had if partial.validator else 0, partial.validator) as content:
                partial.receive(content)
            return partial.finish()
        except errors.ContentMissingError:
            raise  # how long to wait for it, the caller decides
        except errors.WisdomGateError as error:
            failures = 1 if partial.size > furthest else failures + 1
            furthest = max(furthest, partial.size)
            if partial.size == partial.total or (partial.size == had and isinstance(error, errors.ContentError)):
                partial.start_over()  # going on brings nothing: what is here may be what is wrong
            last = error
            delay = retry_delay(error, idempotent=True, attempt=failures, policy=policy, jitter=random.random())
        if delay is None:
            break
        partial.control.sleep(delay)
    raise last
