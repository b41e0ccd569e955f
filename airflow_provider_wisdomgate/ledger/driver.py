"""Drives one task at one destination: claims, sends, records, publishes. It loops over rules.py and decides nothing.

Every change of the record is a compare-and-swap of destination.py. A clip is announced in the record before it appears
and recorded after it: a task that comes between, or is killed there, finds which clip may stand beside the record.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.download import DOWNLOAD_RETRIES, MAX_BYTES, PartialClip, fetch
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.ledger.destination import MAX_TURNS, Destination, Found, OvertakenError
from airflow_provider_wisdomgate.ledger.record import Manifest, recorded
from airflow_provider_wisdomgate.ledger.rules import Await, Claim, Done, Follow, MakeRequest, Step, Terms, Wanted
from airflow_provider_wisdomgate.metrics import count

if TYPE_CHECKING:
    from airflow_provider_wisdomgate.gateway.content import Content

# A claim outlives one attempt of the create by this many seconds. A machine that sleeps for longer between the look at
# the clock and the request can outlive its claim; nothing can detect that.
MARGIN = 60.0
# The pauses before a sibling's claim is read again: short at first, when its create is about to be answered.
AWAIT_DELAY, LONGEST_AWAIT_DELAY = 0.5, 5.0
# The life of a half-written claim: as long as the longest claim of this package.
HALF_WRITTEN_SECONDS = 700.0
# The id of a paid video is written again and again for about a minute.
RECORD_DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Every other correction is brief: a task that is being killed has five seconds.
CORRECT_DELAYS = (0.5, 1.0)

MEMORY_KEY = "wisdomgate_video"

# Errors of a wait or a download that end a try, and not the video.
LEAVES_IT_PAID = (
    *(errors.AuthenticationError, errors.PermissionDeniedError, errors.RateLimitedError, errors.GatewayFaultError),
    *(errors.UnexpectedReplyError, errors.UnreachableError, errors.ConnectionBrokenError),
    *(errors.ContentError, errors.StorageError, errors.ConfigurationError, errors.VideoNotReadyError),
    *(errors.BadRequestError, errors.ModelNotFoundError, errors.ContentModeratedError),
)
# The gateway does not know the video, or does not have its content.
GONE = (errors.VideoNotFoundError, errors.ContentMissingError)
# Errors with which the gateway refuses a create for good.
REFUSED = (*rules.REFUSALS, errors.AuthenticationError, errors.PermissionDeniedError)

# The result of a download: a manifest in phase "stored".
StoredVideo = Manifest

OpenContent = Callable[[str, int, str | None], AbstractContextManager["Content"]]

log = logging.getLogger(__name__)


class Memory(Protocol):
    """A few words that outlive a try. Never raises: it is the second place, the manifest is the first."""

    def recall(self) -> Mapping[str, Any]:
        """Return the words, an empty mapping if there are none."""

    def remember(self, words: Mapping[str, Any]) -> None:
        """Keep these words, plain JSON types, in place of earlier ones."""

    def forget(self) -> None:
        """Keep nothing any more."""


class NoMemory:
    """The memory of a task without ``task_state_store``."""

    def recall(self) -> Mapping[str, Any]:
        return {}

    def remember(self, words: Mapping[str, Any]) -> None:
        pass

    def forget(self) -> None:
        pass


class TaskMemory:
    """The memory of a task instance in Airflow 3.3, which survives retries and clears, as XCom does not."""

    def __init__(self, store: Any, key: str = MEMORY_KEY) -> None:
        self._store, self._key = store, key
        self._words: Mapping[str, Any] | None = None  # each reading is a request to Airflow's API

    def recall(self) -> Mapping[str, Any]:
        if self._words is None:
            try:
                words = self._store.get(self._key)
            except Exception as error:
                log.warning("The task's state of an earlier try cannot be read: %r", error)
                return {}
            self._words = words if isinstance(words, Mapping) else {}
        return self._words

    def remember(self, words: Mapping[str, Any]) -> None:
        self._words = None
        try:
            self._store.set(self._key, dict(words))
        except Exception as error:
            log.warning("The task's state could not be kept beside the manifest and the log: %r", error)

    def forget(self) -> None:
        self._words = None
        try:
            self._store.delete(self._key)
        except Exception as error:
            log.warning("The task's state could not be removed: %r", error)


def memory_of(context: Any, key: str = MEMORY_KEY) -> Memory:
    """Return the memory of a task's context; before Airflow 3.3 there is none."""
    store = context.get("task_state_store")
    return NoMemory() if store is None else TaskMemory(store, key)


def place_of_round(places: Sequence[str], terms: Terms, memory: Memory) -> str:
    """Return where this round's record is: at the place that it recorded first, however the storage path changed.

    :param places: where the clip may be: the destination below each storage path that is configured, and the names that
        earlier versions gave it. A new clip gets the first one.
    """
    words = memory.recall()
    first, by = words.get("destination"), words.get("made_by")
    if isinstance(first, str) and isinstance(by, Mapping) and rules.is_same_round(by, terms.made_by):
        return first
    for place in places[1:]:
        found = Destination(place).read()
        if found and rules.is_same_instance(found.made_by, terms.made_by) and found.phase != "failed":
            log.warning("This run's record is at %s, not at %s: continuing there", place, places[0])
            return place
    return places[0]


@contextmanager
def unless_storage_fails(error: errors.WisdomGateError) -> Iterator[None]:
    """Raise what ended a video even if it could not be recorded: a retry after a StorageError might pay again."""
    try:
        yield
    except errors.StorageError as unrecorded:
        log.warning("The end of the video could not be recorded: %s", unrecorded)
        raise error from unrecorded


@dataclass
class ClipTask:
    """One task's work at one destination, until its clip is stored.

    ``mine`` is the record that the task works on, as the task knows it; :meth:`begin` or :meth:`resume` sets it.
    """

    destination: Destination
    terms: Terms
    control: Control = field(default_factory=Control)
    memory: Memory = field(default_factory=NoMemory)
    max_bytes: int = MAX_BYTES
    mine: Manifest = field(init=False)
    _remembered: Mapping[str, Any] = field(default_factory=dict)  # the memory's words when the try began
    _lives_until: float = 0.0
    _watched: tuple[Manifest | None, float] = (None, 0.0)  # the open claim that was seen last, and since when

    # ---- until there is a video

    def begin(
        self,
        make_wanted: Callable[[], Wanted],
        list_videos: Callable[[], Iterable[Video]] | None = None,
        wanted: Wanted | None = None,
    ) -> Claim | Follow | Done:
        """Claim the destination, or find what another try left or is making. Waits for a create in progress.

        :param make_wanted: makes the request; called only if the record does not decide without it.
        :param list_videos: lists the gateway's videos to find the video of a lost create.
        :param wanted: the request if it is there already, as a download's.
        """
        self.destination.remove_partial_files()
        self._recall_id(make_wanted)
        delay, turns = AWAIT_DELAY, 0
        while True:
            found = self.destination.find()
            record = found.manifest if found else None
            try:
                step = self._half_written() if found and record is None else self._next_step(record, wanted)
            except errors.LostCreateError:
                if record and list_videos and self._find_again(record, list_videos):
                    continue
                if found and self.destination.read() != record:
                    continue  # the search took its time: the owner, or another try, has written more since
                raise
            if isinstance(step, MakeRequest) or (isinstance(step, Claim) and wanted is None):
                wanted = self._make(make_wanted, record)
                continue
            if isinstance(step, Follow | Done):
                self.mine = step.found
                if wanted is None:
                    self._log_difference(step.found, make_wanted)
                return step
            if isinstance(step, Claim) and wanted is not None:
                if self._claim(found, record, wanted):
                    return step
                if (turns := turns + 1) == MAX_TURNS:
                    raise _unclaimable(self.destination)
            if isinstance(step, Await) and delay == AWAIT_DELAY:
                log.info(
                    "Another try may be sending the create of %s: waiting for its video's id, %.0f s at most",
                    self.destination.uri,
                    step.seconds,
                )
            # An Await, or another try was quicker: read again.
            self.control.sleep(min(delay, step.seconds) if isinstance(step, Await) else AWAIT_DELAY)
            delay = min(delay * 1.5, LONGEST_AWAIT_DELAY)

    def _next_step(self, found: Manifest | None, wanted: Wanted | None) -> Step:
        is_open = found is not None and found.phase == "creating"
        age = self._age(found) if found is not None and is_open else 0.0
        size = self.destination.clip_size()
        return rules.next_step(found, size, self.terms, wanted, age=age, remembered=self._remembered)

    def _half_written(self) -> Await:
        """Wait while a half-written claim may be alive.

        :raises DamagedManifestError: it is older than a claim can live.
        """
        if (left := HALF_WRITTEN_SECONDS - max(self.destination.file_age(), self._watch(None))) <= 0:
            raise self.destination.damaged()
        return Await(self._new_manifest(Wanted({})), left)

    def _age(self, found: Manifest) -> float:
        """Return for how long an open claim has stood there: by the store, or since this task watches it.

        A clock that was set back makes a claim look young; watching the claim bounds the wait.
        """
        return max(self.destination.age(found), self._watch(found))

    def _watch(self, found: Manifest | None) -> float:
        if found != self._watched[0] or not self._watched[1]:
            self._watched = found, time.monotonic()
        return time.monotonic() - self._watched[1]

    def _make(self, make_wanted: Callable[[], Wanted], found: Manifest | None) -> Wanted:
        try:
            return make_wanted()
        except errors.WisdomGateError as error:
            if found is not None and found.phase == "created" and found.video_id:
                error.advise(rules.paid_advice(found, ends_try=True))
            raise

    def _log_difference(self, found: Manifest, make_wanted: Callable[[], Wanted]) -> None:
        """Log how the request has changed since this round paid for it."""
        try:
            wanted = make_wanted()
        except Exception as error:  # a decorated function's own, too
            log.warning("Continuing with the video of this run; its request cannot be made again: %s", error)
            return
        if not wanted.is_same_as(found):
            log.warning("Continuing with the video of this run; %s", rules.differences(found, wanted))

    def _recall_id(self, make_wanted: Callable[[], Wanted]) -> None:
        """Record an id here that an earlier try could not write here."""
        self._remembered = words = self.memory.recall()
        if not words.get("video_id"):
            return
        found = self.destination.find()
        now = found.manifest if found else None
        if found is None or (now is not None and not now.video_id) or (now is not None and now.phase == "failed"):
            mine = self._new_manifest(self._remembered_request(words, make_wanted))
            self.destination.update(lambda found: rules.recall_id(found, mine, words))

    def _remembered_request(self, words: Mapping[str, Any], make_wanted: Callable[[], Wanted]) -> Wanted:
        """Make the request of a paid video whose record is gone."""
        by = words.get("made_by")
        if isinstance(by, Mapping) and rules.is_same_round(by, self.terms.made_by):
            return self._wanted_again(words.get("fingerprint"), words.get("base_url"), make_wanted)
        return make_wanted()

    def _find_again(self, lost: Manifest, list_videos: Callable[[], Iterable[Video]]) -> bool:
        """Record the video that a lost create has made, if the gateway's list shows which one; whether it did."""
        if (video := rules.found_again(lost, list_videos())) is None:
            return False
        log.info("The lost create at %s made video %s: the gateway lists it", self.destination.uri, video.id)
        words = {"video_id": video.id, "claim_id": lost.claim_id, "fingerprint": lost.fingerprint}
        # Over the very record that was searched for: by now its owner may have recorded when it gave up, or more.
        self.destination.update(lambda now: rules.recall_id(now, lost, words) if now == lost else now)
        return True

    def _claim(self, found: Found | None, over: Manifest | None, wanted: Wanted) -> bool:
        """Write a claim over exactly what was found; False if another try was quicker."""
        self.mine = mine = self._new_manifest(wanted).over(over)
        self._lives_until = time.monotonic() + MARGIN / 2
        if mine.phase == "creating":  # before the claim: a retry below another storage path must find it
            self.control.check()  # a try that was killed must not overwrite the words of the next one
            self.memory.remember(self._words(mine))
        try:
            self.destination.swap(found, mine)
            self.destination.prove_conditions(mine)
        except OvertakenError:
            return False
        except errors.WisdomGateError:
            self._remove_half(over)
            self.release_claim()  # it may have been written all the same
            raise
        return True

    def _remove_half(self, over: Manifest | None) -> None:
        """Remove what a claim that could not be written has left in a store that writes in place.

        Only bytes that name this claim: another task's half-written claim may be alive.
        """
        with suppress(errors.WisdomGateError, OvertakenError):
            read = self.destination.find_any()
            text = read.data.rstrip(b"\0") if read else b""
            is_own = self.mine.claim_id.encode() in text and self.mine.dump().startswith(text)
            if read and is_own and text != self.mine.dump():
                self.destination.swap(Found(None, read.version), over)

    def _new_manifest(self, wanted: Wanted) -> Manifest:
        return Manifest(
            phase="created" if wanted.video_id else "creating",
            claim_id=uuid.uuid4().hex,
            uri=self.destination.uri,
            claimed_at=time.time(),
            video_id=wanted.video_id,
            fingerprint=wanted.fingerprint,
            request=recorded(wanted.request),
            made_by=self.terms.made_by,
            claim_seconds=None if wanted.video_id else wanted.attempt_seconds + MARGIN,
        )

    def _words(self, record: Manifest) -> dict[str, Any]:
        """Return what the task's memory keeps of a record."""
        made_by, uri = dict(self.terms.made_by), self.destination.uri
        words = {"destination": uri, "made_by": made_by, "claim_id": record.claim_id, "fingerprint": record.fingerprint}
        words["base_url"] = record.request.get("base_url")
        return {**words, "video_id": record.video_id} if record.phase == "created" else words

    def create(self, send: Callable[[Control], Video]) -> None:
        """Send the create and record its id, or what became of it.

        :param send: sends the create under the control that it is given.
        """
        control = _ClaimControl(self)
        try:
            video = send(control)
        except errors.LostCreateError as error:
            self._record_loss(error.answer)
            error.advise(rules.advice("lost", self.mine), replace=True)
            raise
        except errors.WisdomGateError as error:
            self._record_refusal(error) if isinstance(error, REFUSED) else self.release_claim()
            raise
        except BaseException:  # a time-out of Airflow's, or a signal
            self._record_loss(None) if control.is_sending else self.release_claim()
            raise
        # The id reaches the log even if only warnings are shown: until the record is written, it is nowhere else.
        level = logging.INFO if log.isEnabledFor(logging.INFO) else logging.WARNING
        seen = printable(video.id), printable(video.status)
        log.log(level, "Video %s is %s; its manifest is %s.json", *seen, self.mine.uri)
        self._record_id(video)

    def keep_claim(self, is_first: bool) -> None:
        """Make sure that the claim lives through another attempt, and records when it was sent.

        The clock is this process's own.
        """
        self.control.check()
        is_fresh = is_first
        while not is_fresh or time.monotonic() >= self._lives_until:  # again if the renewal took long
            self.control.check()
            lives_until = time.monotonic() + MARGIN / 2
            renewed = self.destination.update(lambda found: rules.renew_claim(found, self.mine, time.time()))
            self.mine = renewed or self.mine
            self._lives_until, is_fresh = lives_until, True

    def _record_id(self, video: Video) -> None:
        """Write down what was paid for: here, and in the task's memory."""
        mine = self.mine
        words = {**self._words(mine), "video_id": video.id}
        for delay in (*RECORD_DELAYS, None):
            try:
                self.mine = (
                    self.destination.update(lambda found: rules.record_id(found, mine, video, time.time())) or mine
                )
                self.memory.remember(words)
                return
            except BaseException as error:  # also a time-out of Airflow's, or a signal: the id is nowhere else
                self.memory.remember(words)
                if not isinstance(error, errors.StorageError | errors.DestinationTakenError) or error.video_id:
                    raise
                if delay is None:
                    raise _unrecorded(mine, video, error) from error
                log.warning("Video %s is paid for and could not be recorded yet: %s", video.id, error)
                time.sleep(delay * random.uniform(0.75, 1.25))

    def _record_refusal(self, error: errors.WisdomGateError) -> None:
        self._change(lambda found: rules.record_refusal(found, self.mine, error))

    def _record_loss(self, answer: str | None) -> None:
        # Another try may have written its own words meanwhile.
        self.memory.remember({**self._words(self.mine), "lost": True})
        self._change(lambda found: rules.record_loss(found, self.mine, time.time(), answer))

    def release_claim(self) -> None:
        """Take back a claim that made nothing; the record that it had replaced comes back."""
        self._change(lambda found: rules.release_claim(found, self.mine))

    def _change(self, decide: Callable[[Manifest | None], Manifest | None]) -> None:
        """Change the record while another error is being raised, which matters more than an error of this.

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

    # ---- a deferral, and a kill

    def claim_words(self) -> dict[str, Any]:
        """Return what a trigger carries of this task, in plain JSON types: enough to resume, to check and to delete."""
        mine, upload_args = self.mine, self.destination.upload_args
        return {
            **({"upload_args": upload_args} if upload_args else {}),
            "destination": self.destination.uri,
            "claim_id": mine.claim_id,
            "fingerprint": mine.fingerprint,
            "base_url": mine.request.get("base_url"),
            "created_at": mine.created_at or mine.claimed_at,
            "made_by": dict(self.terms.made_by),
        }

    def resume(self, video_id: str | None, words: Mapping[str, Any], make_wanted: Callable[[], Wanted]) -> None:
        """Take up the record of a deferred task; if it is gone or another video's, one like it.

        :param video_id: of the trigger's event, None if it has none.
        :param words: see :meth:`claim_words`; empty from a trigger of an earlier version.
        """
        try:
            found = self.destination.read()
        except errors.DamagedManifestError as error:
            error.advise(f"Video {video_id} is paid for: WisdomGateDownloadVideoOperator stores it elsewhere.")
            raise
        if found is not None and video_id in (None, found.video_id):
            self.mine = found
            return
        if video_id is None:
            raise errors.WisdomGateError(
                f"The manifest {self.destination.uri}.json is gone, and the trigger's event names no video.",
                next_step="The task's log has the video's id; WisdomGateDownloadVideoOperator stores it.",
            )
        claim = self._new_manifest(self._wanted_again(words.get("fingerprint"), words.get("base_url"), make_wanted))
        claim_id = words.get("claim_id") or claim.claim_id
        fingerprint = words.get("fingerprint") or claim.fingerprint
        claim = replace(claim, claim_id=claim_id, fingerprint=fingerprint, created_at=words.get("created_at"))
        self.mine = replace(claim, phase="created", video_id=video_id, claim_seconds=None)

    def _wanted_again(self, fingerprint: Any, base_url: Any, make_wanted: Callable[[], Wanted]) -> Wanted:
        """Make the request of a record that is gone; only what is certain if it has changed since."""
        unknown = Wanted({} if base_url is None else {"base_url": base_url}, video_id="")
        try:
            wanted = make_wanted()
        except Exception as error:  # for example, the reference image is gone
            log.warning("The request of this video cannot be made again: %s", error)
            return unknown
        return wanted if fingerprint is None or wanted.has_fingerprint(fingerprint) else unknown

    # ---- until the clip is stored

    def finish(
        self,
        wait: Callable[[], Video],
        open_content: OpenContent,
        on_missing: Callable[[errors.WisdomGateError], None],
    ) -> StoredVideo:
        """Wait for the video, fetch and store it, unless a sibling has stored it meanwhile.

        :param wait: returns the finished video, or raises the typed error of its end.
        :param on_missing: called if the content is not there (yet): returns to try again, or raises.
        """
        self.destination.remove_partial_files()  # news that the video failed may meet a clip that a sibling stored
        try:
            video = wait()
            while True:
                asked_at = time.time()  # an answer confirms no expiry that passed after the question
                try:
                    return self.download(video, open_content)
                except (*GONE, errors.ContentModeratedError) as error:
                    if stored := self._stored():
                        return stored
                    self._raise_if_expired(video, error, asked_at)
                    on_missing(error)
        except GONE:
            if stored := self._stored():
                return stored
            raise
        except LEAVES_IT_PAID as error:
            advice = rules.paid_advice(self.mine, ends_try=isinstance(error, AirflowFailException))
            # A bad request is the poll here: its usual advice is to change the request, which would pay again.
            error.advise(advice, replace=isinstance(error, errors.BadRequestError | errors.ModelNotFoundError))
            if isinstance(error, errors.ContentModeratedError):
                error.advise(rules.forget_advice(self.mine), replace=True)
            raise
        except (errors.VideoFailedError, errors.ModerationError, errors.VideoExpiredError) as error:
            with unless_storage_fails(error):
                if isinstance(error, errors.OutputModerationError) and self.may_recreate(error):
                    raise  # recreate() records it
                if stored := self.record_failure(error):
                    return stored
            raise

    def _raise_if_expired(self, video: Video, error: errors.WisdomGateError, asked_at: float) -> None:
        expires_at = video.expires_at or self.mine.expires_at
        is_confirmed = isinstance(error, errors.ContentMissingError) and not error.is_hearsay
        if is_confirmed and rules.is_expired(self.mine, expires_at, asked_at):
            facts = {**error.facts, "expires_at": expires_at}
            raise errors.VideoExpiredError("The clip's time at the gateway is over", **facts) from error

    def may_recreate(self, error: errors.WisdomGateError | None = None) -> bool:
        """Whether the task may pay again for its video: see :func:`rules.may_recreate`."""
        now, clip_size = self.destination.read(), self.destination.clip_size()
        is_own = now is not None and rules.is_about_same(now, self.mine)
        return now is not None and is_own and rules.may_recreate(now, self.terms, clip_size, error)

    def recreate(self, error: errors.WisdomGateError, make_wanted: Callable[[], Wanted]) -> None:
        """Give the video up and claim its place for another create."""
        found = self.destination.find()
        now = rules.require_own(found.manifest if found else None, self.mine)
        wanted = self._make(make_wanted, now)
        is_still = rules.may_recreate(now, self.terms, self.destination.clip_size(), error)
        if not is_still or not self._claim(found, rules.give_up(now, error, self.terms), wanted):
            raise errors.WisdomGateError(
                f"{self.destination.uri}.json changed while its video was given up; nothing was sent.",
                next_step="Run the task again.",
            )

    def record_failure(self, error: errors.WisdomGateError) -> StoredVideo | None:
        """Record that a video failed; return the clip's record if the clip is there all the same."""
        self._settle_announcement()
        now = self.destination.update(lambda found: rules.record_failure(found, self.mine, error))
        if now is None or now.phase != "created" or now.claim_id != self.mine.claim_id:
            self.memory.forget()
        if now is not None and now.phase == "stored" and now.claim_id == self.mine.claim_id:
            error.advise(
                f"Its clip was removed from {now.uri}. To make (and pay) it again: if_exists='replace'.", replace=True
            )
        return self._stored()

    def _settle_announcement(self) -> None:
        """Complete the record of a clip that was announced and has appeared; retract one that surely never will."""
        now = self.destination.read()
        if now is None or not rules.is_about_same(now, self.mine) or now.phase != "created" or not now.sha256:
            return
        digest = now.sha256
        if self.destination.clip_size() == now.size and self.destination.clip_sha256() == digest:
            self.destination.update(lambda found: rules.record_stored(found, self.mine, digest, time.time()))
        elif self.destination.age(now) > rules.PUBLISH_SECONDS:
            self.destination.update(lambda found: rules.retract(found, self.mine))

    def _stored(self) -> StoredVideo | None:
        """Return the record if it is of this very video in phase ``stored``, and the clip is there."""
        return self._if_stored(self.destination.read())

    def _if_stored(self, now: Manifest | None) -> StoredVideo | None:
        if now is None or now.phase != "stored" or not rules.is_about_same(now, self.mine):
            return None
        return now if self.destination.clip_size() == now.size else None

    def download(self, video: Video | None, open_content: OpenContent) -> StoredVideo:
        """Fetch the video and store it, unless a sibling has stored it meanwhile.

        :raises DestinationTakenError: the destination was given to another request.
        """
        self.destination.remove_partial_files()  # of siblings, too: this task may be the last one here
        now = self.destination.read()
        if stored := self._if_stored(now):
            return stored
        rules.require_own(now, self.mine)
        video_id = str(self.mine.video_id)
        with self.destination.partial_file() as file:
            partial = PartialClip(file, self.max_bytes, self.control)
            facts = fetch(
                partial, lambda offset, validator: open_content(video_id, offset, validator), DOWNLOAD_RETRIES
            )
            if video is not None and video.expires_at is not None:
                facts = {**facts, "expires_at": video.expires_at}
            done = self._publish(file, facts)
        if self.mine.fingerprint is not None:
            self.memory.remember({name: self._words(done)[name] for name in ("destination", "made_by")})
        count("downloads")
        count("downloaded_bytes", int(facts["size"]))
        return done

    def _publish(self, file: IO[bytes], facts: Mapping[str, Any]) -> StoredVideo:
        """Let a whole clip appear; again from the start if a sibling came between."""
        for turn in range(MAX_TURNS):
            stored = self._stored()
            # Our clip may have appeared unrecorded beside another task's record: a gateway that encodes anew, and a
            # store whose versions are hashes of the content. So compare the hashes after the first turn.
            if stored and (not turn or self.destination.clip_sha256() == stored.sha256):
                return stored
            if stored := self._publish_once(file, facts):
                return stored
        uri = self.destination.uri
        raise errors.StorageError(
            f"The clip could not be stored at {uri}: something else changed it {MAX_TURNS} times meanwhile."
        )

    def _publish_once(self, file: IO[bytes], facts: Mapping[str, Any]) -> StoredVideo | None:
        """Announce the clip, let it appear, record it; None if a sibling came between."""
        over, digest = self.destination.clip(), facts["sha256"]
        announced = self.destination.update(lambda found: rules.announce(found, self.mine, facts, time.time()))
        if announced is None or not self.destination.publish(file, facts["content_type"], over, announced):
            return None
        done = self.destination.update(lambda found: rules.record_stored(found, announced, digest, time.time()))
        return done if done is not None and done.phase == "stored" and done.sha256 == digest else None


class _ClaimControl(Control):
    """The control of a create: keeps the claim alive, and knows whether an attempt may have been sent."""

    def __init__(self, task: ClipTask) -> None:
        self._task, self._attempts, self.is_sending = task, 0, False

    def check(self) -> None:
        self._task.control.check()

    def sleep(self, seconds: float) -> None:
        """Sleep between two attempts: a task that is killed here has sent nothing, and gives its claim back."""
        self.is_sending = False
        super().sleep(seconds)

    def before_attempt(self, costs: bool) -> None:
        self.check()
        if costs:
            self._attempts += 1
            self._task.keep_claim(is_first=self._attempts == 1)
            self.is_sending = True


def mark_killed(words: Mapping[str, Any], video_id: str) -> None:
    """Record that a person ended a task, before its video is deleted. For the triggerer, in a thread.

    :param words: see :meth:`ClipTask.claim_words`.
    :raises WisdomGateError: the video must not be deleted.
    """
    claim_id, by = str(words.get("claim_id")), words.get("made_by") or {}
    place = Destination(str(words.get("destination")), words.get("upload_args"))
    place.update(lambda found: rules.mark_killed(found, claim_id, video_id, by, time.time()))


def record_deletion(words: Mapping[str, Any], video_id: str, refusal: errors.WisdomGateError | None = None) -> None:
    """Record what became of deleting the video of a killed task.

    :param refusal: the gateway's refusal, after which the video continues; None if it was deleted.
    """
    place = Destination(str(words.get("destination")), words.get("upload_args"))
    place.update(lambda found: rules.record_deletion(found, video_id, refusal))


def _unclaimable(destination: Destination) -> errors.StorageError:
    return errors.StorageError(
        f"{destination.uri}.json could not be claimed: {MAX_TURNS} times it was not what had just been read.",
        next_step="See what stands there (a link that leads nowhere?), and what else writes to it.",
    )


def _unrecorded(mine: Manifest, video: Video, error: errors.WisdomGateError) -> errors.StorageError:
    adopt = rules.command("adopt", mine.uri, f"--video-id {rules.quoted(video.id)}")
    return errors.StorageError(
        f"Video {video.id} was created and is paid for, but {mine.uri}.json could not be written: {error.message}",
        next_step="Repair the storage. Then run the task again: on Airflow 3.3 it continues with this video. On an "
        f"older one record the id first: {adopt}",
        video_id=video.id,
        request_id=video.request_id,
    )
