"""A video that was paid for, until its clip is stored or it came to nothing. Decides nothing and opens no socket.

The clip is announced in the manifest before it appears and recorded after it: whoever comes between, or is killed
there, leaves a manifest that says which clip may stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips import transitions
from airflow_provider_wisdomgate.clips.destination import MAX_TURNS, Destination
from airflow_provider_wisdomgate.clips.download import DOWNLOAD_RETRIES, MAX_BYTES, PartialClip, fetch, never_stop
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.memory import Memory, NoMemory
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.metrics import count

if TYPE_CHECKING:
    from airflow_provider_wisdomgate.gateway.content import Content

# Errors of a wait or a download that end a try, and not the video.
LEAVES_IT_PAID = (
    *(errors.AuthenticationError, errors.PermissionDeniedError, errors.RateLimitedError, errors.GatewayFaultError),
    *(errors.UnexpectedReplyError, errors.UnreachableError, errors.ConnectionBrokenError),
    *(errors.ContentError, errors.StorageError, errors.ConfigurationError, errors.VideoNotReadyError),
)
GOES_ON = "The video is paid for and recorded: a retry or a clear of the task goes on with it and sends no create."

# What a download returns: a manifest in phase "stored".
StoredVideo = Manifest

OpenContent = Callable[[str, int, str | None], AbstractContextManager["Content"]]


@dataclass
class PaidVideo:
    """The video of a manifest in phase ``created`` (or ``stored``, where somebody removed the clip).

    :param mine: the manifest as this task knows it.
    :param check: called wherever time passes; raises to stop.
    """

    destination: Destination
    mine: Manifest
    max_bytes: int = MAX_BYTES
    check: Callable[[], None] = never_stop
    memory: Memory = field(default_factory=NoMemory)

    def finish(self, wait: Callable[[], Video], open_content: OpenContent) -> StoredVideo:
        """Wait for the video of the manifest, fetch and store it, unless a sibling has done so meanwhile.

        :param wait: returns the finished video, or raises the typed error of its end.
        """
        self.destination.remove_partial_files()  # news that the video failed may meet a clip that a sibling stored
        try:
            return self.download(wait(), open_content)
        except (errors.VideoFailedError, errors.ModerationError, errors.VideoExpiredError) as error:
            if stored := self.record_failure(error):
                return stored
            raise
        except LEAVES_IT_PAID as error:
            error.next_step = f"{error.next_step or ''} {GOES_ON}".lstrip()
            raise

    def record_failure(self, error: errors.WisdomGateError) -> StoredVideo | None:
        """Record that a video came to nothing; return the clip's manifest where it is there all the same."""
        self._settle_announcement()
        now = self.destination.update(lambda found: transitions.failed(found, self.mine, error))
        if now is None or now.phase != "created":
            self.memory.forget()
        if now is not None and now.phase == "stored" and now.claim_id == self.mine.claim_id:
            error.next_step = f"Its clip was removed from {now.uri}. To make (and pay) it again: if_exists='replace'."
        return self._stored()

    def _settle_announcement(self) -> None:
        """Complete the record of a clip that was announced and has appeared; forget one that surely never will."""
        now = self.destination.read()
        if now is None or not transitions.is_about_same(now, self.mine) or now.phase != "created" or not now.sha256:
            return
        digest = now.sha256
        if self.destination.clip_sha256() == digest:
            self.destination.update(lambda found: transitions.appeared(found, self.mine, digest, time.time()))
        elif self.destination.age(now) > transitions.PUBLISH_SECONDS:
            self.destination.update(lambda found: transitions.unannounced(found, self.mine))

    def _stored(self) -> StoredVideo | None:
        """Return the manifest if it says that this very video is stored, and the clip is there."""
        now = self.destination.read()
        if now is None or now.phase != "stored" or not transitions.is_about_same(now, self.mine):
            return None
        return now if self.destination.clip_size() == now.size else None

    def download(self, video: Video | None, open_content: OpenContent) -> StoredVideo:
        """Fetch the video of a manifest and store it, unless a sibling has done so meanwhile.

        :raises DestinationTakenError: the destination was given to another request.
        """
        self.destination.remove_partial_files()  # of siblings, too: who finds the clip stored may be the last to come
        if stored := self._stored():
            return stored
        transitions.own(self.destination.read(), self.mine)
        video_id = str(self.mine.video_id)
        with self.destination.partial_file() as file:
            partial = PartialClip(file, self.max_bytes, self.check)
            with _missing_content_is_gone():
                facts = fetch(
                    partial, lambda offset, validator: open_content(video_id, offset, validator), DOWNLOAD_RETRIES
                )
            if video is not None and video.expires_at is not None:
                facts = {**facts, "expires_at": video.expires_at}
            done = self._publish(file, facts)
        self.memory.forget()
        count("downloads")
        count("downloaded_bytes", int(facts["size"]))
        return done

    def _publish(self, file: IO[bytes], facts: Mapping[str, Any]) -> StoredVideo:
        """Let a whole clip appear; again from the start where a sibling came between."""
        for turn in range(MAX_TURNS):
            stored = self._stored()
            # Where one of our own clips appeared and was not recorded, another one's record may stand beside it: a
            # gateway that encodes anew, and a store whose versions are hashes of what is in them.
            if stored and (not turn or self.destination.clip_sha256() == stored.sha256):
                return stored
            if stored := self._publish_once(file, facts):
                return stored
        uri = self.destination.uri
        raise errors.StorageError(
            f"The clip could not be stored at {uri}: something else changed it {MAX_TURNS} times meanwhile."
        )

    def _publish_once(self, file: IO[bytes], facts: Mapping[str, Any]) -> StoredVideo | None:
        """Announce the clip, let it appear, record it; None where a sibling came between."""
        over, digest = self.destination.clip(), facts["sha256"]
        announced = self.destination.update(lambda found: transitions.announced(found, self.mine, facts, time.time()))
        if announced is None or not self.destination.publish(file, facts["content_type"], over, announced):
            return None
        done = self.destination.update(lambda found: transitions.appeared(found, announced, digest, time.time()))
        return done if done is not None and done.phase == "stored" and done.sha256 == digest else None


@contextmanager
def _missing_content_is_gone() -> Iterator[None]:
    """After the retries of a download, content that a finished video does not have is lost."""
    try:
        yield
    except errors.ContentMissingError as error:
        message = "The video is finished, but its clip is gone at the gateway"
        raise errors.VideoExpiredError(message, **error.facts) from error
