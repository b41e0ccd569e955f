"""Drives the ledger: claims a destination, records each step, downloads. Decides nothing and opens no socket."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.download import MAX_BYTES, interruptible_sleep
from airflow_provider_wisdomgate.clips.ledger import (
    Claim,
    Done,
    Follow,
    IfExists,
    OnLostCreate,
    Step,
    Wanted,
    next_step,
)
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.gateway.retry import is_surely_not_created
from airflow_provider_wisdomgate.gateway.video import Video

if TYPE_CHECKING:
    from airflow_provider_wisdomgate.gateway.content import Content

# What a download returns: a manifest in phase "stored".
StoredVideo = Manifest

# Our own word on an error: the video is finished, and its content answers 404.
CONTENT_MISSING = "content_missing"

OpenContent = Callable[[str, int, str | None], AbstractContextManager["Content"]]


def never_stop() -> None:
    """Stand in for a check that never stops anything."""


@dataclass
class ClipLifecycle:
    """What one task does at its destination, from the claim to the stored clip.

    :param check: called wherever time passes; raises to stop.
    """

    destination: Destination
    wanted: Wanted
    if_exists: IfExists = "skip"
    on_lost_create: OnLostCreate = "fail"
    max_bytes: int = MAX_BYTES
    check: Callable[[], None] = never_stop

    def next_step(self) -> Step:
        """Say what this try does, from what stands at the destination."""
        return next_step(
            self.destination.read(),
            self.destination.clip_size(),
            self.wanted,
            if_exists=self.if_exists,
            on_lost_create=self.on_lost_create,
            now=time.time(),
        )

    def begin(self) -> tuple[Claim | Follow | Done, Manifest]:
        """Claim the destination, or find what another try left or is making. Waits for a create under way.

        :returns: the step, and the manifest that now stands there: for a ``Claim`` this task's own.
        """
        self.destination.remove_partial_files()
        while True:
            step = self.next_step()
            if isinstance(step, Follow | Done):
                return step, step.found
            if isinstance(step, Claim):
                mine = self._manifest()
                if self.destination.claim(mine, step.takes):
                    return step, mine
            interruptible_sleep(0.5, self.check)  # an Await, or another try was quicker: read again

    def _manifest(self) -> Manifest:
        return Manifest(
            phase="created" if self.wanted.video_id else "creating",
            claim_id=uuid.uuid4().hex,
            uri=self.destination.uri,
            claimed_at=time.time(),
            video_id=self.wanted.video_id,
            fingerprint=self.wanted.fingerprint,
            request=self.wanted.request,
            made_by=self.wanted.made_by,
        )

    def create(self, mine: Manifest, takes: Manifest | None, send: Callable[[], Video]) -> tuple[Manifest, Video]:
        """Send the create and record its id. A create that surely made nothing gives the claim back."""
        try:
            video = send()
        except errors.WisdomGateError as error:
            if not isinstance(error, errors.LostCreateError) and is_surely_not_created(error):
                self.destination.release(mine, takes)
            raise
        request_ids = (video.request_id,) if video.request_id else ()
        created = replace(
            mine,
            phase="created",
            video_id=video.id,
            created_at=time.time(),
            request_ids=request_ids,
            expires_at=video.expires_at,
        )
        return self.destination.write(created), video

    def record_failure(self, manifest: Manifest, error: errors.WisdomGateError) -> None:
        """Record that the video came to nothing."""
        self.destination.write(replace(manifest, phase="failed", error=error.as_dict()))

    def download(self, manifest: Manifest, video: Video | None, open_content: OpenContent) -> StoredVideo:
        """Fetch the video of a manifest and store it, unless a sibling has done so meanwhile."""
        now_there = self._own_manifest(manifest)
        if now_there.phase == "stored" and self.destination.clip_size() == now_there.size:
            return now_there
        self.destination.remove_partial_files()
        video_id = str(manifest.video_id)
        with _missing_content_is_gone():
            facts = self.destination.download(
                lambda offset, validator: open_content(video_id, offset, validator),
                max_bytes=self.max_bytes,
                check=self.check,
                before_publish=lambda: self._own_manifest(manifest),
            )
        done = replace(now_there, phase="stored", stored_at=time.time(), error=None, **facts)
        if video is not None and video.expires_at is not None:
            done = replace(done, expires_at=video.expires_at)
        return self.destination.write(done)

    def _own_manifest(self, manifest: Manifest) -> Manifest:
        """Return the manifest as it stands, which must be of the same claim."""
        now_there = self.destination.read()
        if now_there is None or now_there.claim_id != manifest.claim_id:
            raise errors.DestinationTakenError(
                f"{self.destination.uri} was given to another request while video {manifest.video_id} was made",
                video_id=manifest.video_id,
                next_step="The video is finished at the gateway: WisdomGateDownloadVideoOperator stores it elsewhere.",
            )
        return now_there

    @contextmanager
    def recording_failures(self, manifest: Manifest) -> Iterator[None]:
        """Record an error that ends the video for good; leave every other to a retry."""
        try:
            yield
        except (errors.VideoFailedError, errors.ModerationError, errors.VideoExpiredError) as error:
            self.record_failure(manifest, error)
            raise


@contextmanager
def _missing_content_is_gone() -> Iterator[None]:
    """After the retries of a download, content that a finished video does not have is lost."""
    try:
        yield
    except errors.VideoNotReadyError as error:
        if error.code != CONTENT_MISSING:
            raise
        facts = {name: value for name, value in error.facts.items() if name != "code"}
        raise errors.VideoExpiredError("The video is finished, and its clip is gone", **facts) from error


def download_existing(lifecycle: ClipLifecycle, open_content: OpenContent) -> StoredVideo:
    """Store a video that exists already: skip, claim or go on, then download it."""
    step, manifest = lifecycle.begin()
    if isinstance(step, Done):
        return step.found
    try:
        return lifecycle.download(manifest, None, open_content)
    except errors.WisdomGateError:
        if isinstance(step, Claim):
            lifecycle.destination.release(manifest, step.takes)  # nothing was paid, so nothing need be remembered
        raise
