"""The right to create at a destination: claims it, sends the create, records the id. Opens no socket.

What a try does is decided in ledger.py, how a manifest changes in transitions.py; every change is a compare-and-swap
of destination.py. What follows once there is a video, paid_video.py does.
"""

from __future__ import annotations

import logging
import random
import shlex
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips import transitions
from airflow_provider_wisdomgate.clips.advice import command, lost_create_advice
from airflow_provider_wisdomgate.clips.destination import MAX_TURNS, Destination, Found, OvertakenError
from airflow_provider_wisdomgate.clips.download import interruptible_sleep, never_stop
from airflow_provider_wisdomgate.clips.ledger import (
    Await,
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
from airflow_provider_wisdomgate.clips.memory import Memory, NoMemory
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway.video import Video

# A claim lives so much longer than one attempt of the create can take. Whoever is stopped for longer than that between
# a look at the clock and the request (a machine that sleeps) is the one case that no ledger can see.
MARGIN = 60.0
# How often a sibling's claim is read again: often at first, when its create is about to be answered.
AWAIT_DELAY, LONGEST_AWAIT_DELAY = 0.5, 5.0
# The id of a video that was paid for is written again and again for about a minute.
RECORD_DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# What else is to be corrected gets a moment: a task that is being killed has five seconds.
CORRECT_DELAYS = (0.5, 1.0)

log = logging.getLogger(__name__)


@dataclass
class ClipClaim:
    """What one task does at its destination until there is a video.

    :param check: called wherever time passes; raises to stop.
    :param look_up: finds the video of a lost create at the gateway, None where it cannot tell.
    """

    destination: Destination
    wanted: Wanted
    if_exists: IfExists = "skip"
    on_lost_create: OnLostCreate = "fail"
    check: Callable[[], None] = never_stop
    memory: Memory = field(default_factory=NoMemory)
    look_up: Callable[[Manifest], Video | None] = lambda found: None
    _lives_until: float = 0.0
    _watched: tuple[Manifest | None, float] = (None, 0.0)  # the open claim that was seen last, and since when

    def next_step(self, found: Manifest | None) -> Step:
        """Say what this try does, from what stands at the destination."""
        is_open = found is not None and found.phase == "creating"
        return next_step(
            found,
            self.destination.clip_size(),
            self.wanted,
            if_exists=self.if_exists,
            on_lost_create=self.on_lost_create,
            age=self._age(found) if found is not None and is_open else 0.0,
        )

    def _age(self, found: Manifest) -> float:
        """Return for how long an open claim has stood there: by the store, or since this task watches it.

        A clock that was set back makes a claim look young for as long as it was wrong.
        """
        if found != self._watched[0]:
            self._watched = found, time.monotonic()
        return max(self.destination.age(found), time.monotonic() - self._watched[1])

    def begin(self, attempt_seconds: float = 0.0) -> tuple[Claim | Follow | Done, Manifest]:
        """Claim the destination, or find what another try left or is making. Waits for a create under way.

        :param attempt_seconds: how long one attempt of the create may take.
        :returns: the step, and the manifest that now stands there: for a ``Claim`` this task's own.
        """
        self.destination.remove_partial_files()
        self._recall_id()
        delay, turns = AWAIT_DELAY, 0
        while True:
            found = self.destination.find()
            try:
                step = self.next_step(found.manifest if found else None)
            except errors.LostCreateError:
                if self.on_lost_create == "find" and found and found.manifest and self._find_again(found.manifest):
                    continue
                if found and self.destination.read() != found.manifest:
                    continue  # looking took its time: its owner, or another try, has written more since
                raise
            if isinstance(step, Follow | Done):
                return step, step.found
            if isinstance(step, Claim):
                if mine := self._claim(found, attempt_seconds):
                    return step, mine
                if (turns := turns + 1) == MAX_TURNS:
                    raise _unclaimable(self.destination)
            if isinstance(step, Await) and delay == AWAIT_DELAY:
                log.info(
                    "Another try may be sending the create of %s at this moment: waiting for its video's id, "
                    "%.0f s at most",
                    self.destination.uri,
                    step.seconds,
                )
            # An Await, or another try was quicker: read again.
            interruptible_sleep(min(delay, step.seconds) if isinstance(step, Await) else AWAIT_DELAY, self.check)
            delay = min(delay * 1.5, LONGEST_AWAIT_DELAY)

    def _recall_id(self) -> None:
        """Record an id here that an earlier try could not write here."""
        now = self.destination.read()
        if self.wanted.video_id or (now is not None and (now.phase != "creating" or now.video_id)):
            return
        if remembered := self.memory.recall():
            mine = self._new_manifest(0.0)
            self.destination.update(lambda found: transitions.adopted(found, mine, remembered))

    def _find_again(self, lost: Manifest) -> bool:
        """Record the video that a lost create has made, if the gateway's list tells which one; whether it did."""
        if (video := self.look_up(lost)) is None:
            return False
        log.info("The lost create at %s made video %s: the gateway lists it", self.destination.uri, video.id)
        words = {"video_id": video.id, "claim_id": lost.claim_id, "fingerprint": lost.fingerprint}
        # Over the very record that was searched for: by now its owner may have said when it gave up, or more.
        self.destination.update(lambda now: transitions.adopted(now, lost, words) if now == lost else now)
        return True

    def _claim(self, found: Found | None, attempt_seconds: float) -> Manifest | None:
        """Write a claim over exactly what was found; None where another try was quicker."""
        mine = self._new_manifest(attempt_seconds).over(found.manifest if found else None)
        self._lives_until = time.monotonic() + MARGIN / 2
        try:
            self.destination.swap(found, mine)
            self.destination.prove_conditions(mine)
        except OvertakenError:
            return None
        except errors.WisdomGateError:
            self.give_back(mine)  # it may have been written all the same
            raise
        return mine

    def _new_manifest(self, attempt_seconds: float) -> Manifest:
        return Manifest(
            phase="created" if self.wanted.video_id else "creating",
            claim_id=uuid.uuid4().hex,
            uri=self.destination.uri,
            claimed_at=time.time(),
            video_id=self.wanted.video_id,
            fingerprint=self.wanted.fingerprint,
            request=self.wanted.request,
            made_by=self.wanted.made_by,
            claim_seconds=None if self.wanted.video_id else attempt_seconds + MARGIN,
        )

    def create(self, mine: Manifest, send: Callable[[Control], Video]) -> Manifest:
        """Send the create and record its id. A create that surely made nothing gives the claim back.

        :param send: sends the create under the control that it is given.
        """
        try:
            video = send(_ClaimControl(self, mine))
        except errors.LostCreateError as error:
            self._change(lambda found: transitions.ended(found, mine, time.time()))
            error.next_step = lost_create_advice(self.destination.uri, mine.claimed_at)
            raise
        except errors.WisdomGateError:
            self.give_back(mine)
            raise
        log.info("Video %s is %s; its manifest is %s.json", video.id, video.status, mine.uri)
        return self._record_id(mine, video)

    def keep_claim(self, mine: Manifest) -> None:
        """Make sure that the claim lives through another attempt. The clock is this process's own."""
        self.check()
        while time.monotonic() >= self._lives_until:  # looked at again after each renewal, which may have taken long
            self.check()
            lives_until = time.monotonic() + MARGIN / 2
            self.destination.update(lambda found: transitions.renewed(found, mine, time.time()))
            self._lives_until = lives_until

    def _record_id(self, mine: Manifest, video: Video) -> Manifest:
        """Write down what was paid for: here, and in the task's memory."""
        words = {"video_id": video.id, "claim_id": mine.claim_id, "fingerprint": mine.fingerprint}
        for delay in (*RECORD_DELAYS, None):
            try:
                recorded = self.destination.update(lambda found: transitions.created(found, mine, video, time.time()))
                self.memory.remember(words)
                return recorded or mine
            except errors.StorageError as error:
                self.memory.remember(words)
                if delay is None:
                    raise _unrecorded(mine, video, error) from error
                log.warning("Video %s is paid for and could not be recorded yet: %s", video.id, error)
                time.sleep(delay * random.uniform(0.75, 1.25))
        raise AssertionError  # the last delay is None

    def give_back(self, mine: Manifest) -> None:
        """Take a claim back that nothing came of; what it had replaced stands there again."""
        self._change(lambda found: transitions.returned(found, mine))

    def _change(self, decide: Callable[[Manifest | None], Manifest | None]) -> None:
        """Change the manifest while another error is on its way, which counts more than one of this.

        Tried again: a claim that is left behind makes the next try wait, and then call its create lost.
        """
        for delay in (*CORRECT_DELAYS, None):
            try:
                self.destination.update(decide)
                return
            except errors.WisdomGateError as error:
                if delay is None:
                    log.warning("The manifest %s.json could not be corrected: %s", self.destination.uri, error)
                else:
                    time.sleep(delay)


class _ClaimControl(Control):
    """Keeps a claim alive through a create's attempts."""

    def __init__(self, claim: ClipClaim, mine: Manifest) -> None:
        self.check, self._claim, self._mine = claim.check, claim, mine  # type: ignore[method-assign]

    def before_attempt(self) -> None:
        self._claim.keep_claim(self._mine)


def _unclaimable(destination: Destination) -> errors.StorageError:
    return errors.StorageError(
        f"{destination.uri}.json could not be claimed: {MAX_TURNS} times it was not what had just been read.",
        next_step="See what stands there (a link that leads nowhere?), and what else writes to it.",
    )


def _unrecorded(mine: Manifest, video: Video, error: errors.StorageError) -> errors.StorageError:
    return errors.StorageError(
        f"Video {video.id} was created and is paid for, but {mine.uri}.json could not be written: {error.message}",
        next_step="Repair the storage. Then run the task again: on Airflow 3.3 it goes on with this video. On an older "
        f"one record the id first: {command('adopt', mine.uri, f'--video-id {shlex.quote(video.id)}')}",
        video_id=video.id,
        request_id=video.request_id,
    )


def resume(destination: Destination, video_id: str | None, wanted: Callable[[], Wanted]) -> Manifest:
    """Return the manifest that a deferred task goes on with; one of its own where its video's is not there any more.

    :param video_id: the trigger's word, None where it has none.
    :param wanted: what the task wants; asked only where the manifest is gone or of another video.
    """
    found = destination.read()
    if found is not None and video_id in (None, found.video_id):
        return found
    if video_id is None:
        raise errors.WisdomGateError(
            f"The manifest {destination.uri}.json is gone, and the trigger's event names no video.",
            next_step="The task's log has the video's id; WisdomGateDownloadVideoOperator stores it.",
        )
    what = wanted()
    return Manifest(
        phase="created",
        claim_id=uuid.uuid4().hex,
        uri=destination.uri,
        claimed_at=time.time(),
        video_id=video_id,
        fingerprint=what.fingerprint,
        request=what.request,
        made_by=what.made_by,
    )
