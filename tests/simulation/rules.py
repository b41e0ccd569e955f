"""What must hold after every step and at the end of a schedule, whatever happened.

(a) No video is paid for that the policy does not allow. A create may make a video for a wanted clip (one request at one
    destination) although an earlier one may have made one, only if
    - the earlier video is over by the rules of evidence: its own object has a terminal status, or announced an expiry
      that content confirms; or a kill or ``on_gone`` gave it up (evidence.py judges that);
    - a person took the earlier one's manifest away;
    - its record was displaced by a task with ``if_exists="replace"`` and does not stand there any more, and this very
      round, if it is the same one, cannot remember it;
    - the task that sends it has ``if_exists="replace"``, and is another task instance, run or clear than the earlier
      one's, or a person removed the clip;
    - a task with ``on_lost_create="create"`` took over its claim while its id was not recorded, and so wrote it off;
    - the task that sends it has ``on_lost_create="create"``, and the earlier one's id was never recorded at the
      destination, nor is it in this very task's memory.
    One round pays once: for two creates of one round this holds whatever their requests and places are, unless a place
    changed that no memory knows (a documented limit).
    An earlier create that surely made nothing (it never arrived, or was refused) does not count. Besides: no create is
    sent without a standing claim of its sender's that lives for as long as the answer may take, and none where the
    store ignores conditions.
(b) The id of a create that was answered, under whatever name and in whatever framing, stands in a manifest, the task's
    memory or its log before anything else is done. An id in an error is shown by the end of the try.
(c) Where a manifest says ``stored`` and a clip stands, size and sha256 are this clip's, and the clip is whole. An
    object store has no request that depends on two objects. So a task that found no clip may put its own there after
    a sibling stored one and a person removed that: then its manifest is right again by the time the task succeeds.
(d) A record of a stored clip disappears only when a ``replace`` has put a new whole clip there (also by way of a task
    that went on with its lost create, as ``on_lost_create="create"`` says), or a person took it. A record that is kept
    under ``replaced`` is there.
    A paid video's record disappears only when the video is over (a), or another clip is stored in its place;
    ``failed`` is said of no other video.
(e) A clip of ours stands beside a manifest that names its video, at the top or under ``replaced``.
(f) Every schedule ends within ``MAX_STEPS`` steps, each try with an error of ``exceptions.py`` or none. A
    LostCreateError is raised only where a create may have been sent. When the faults have stopped and every task is
    cleared once more, each of them succeeds, unless ``endings.py`` finds the reason in the world.
(g) A try that succeeds leaves no partial file at its destination whose writer was dead when the try began.
    An error that ends a task for good for want of a key, a right or a video is raised only where the gateway itself
    said so in its own words: no page of an ingress, and no single 401, does it.
(h) A generate task with ``if_exists="replace"`` returns no clip that was stored before its run, or its clear, began.
(i) A lost create gets a video from the gateway's list only if it is the one that fits by all that the whole list
    tells (model, prompt, no remix, created while the claim lived) and no record at the destination names it. Once the
    faults have stopped, it does get it. Where the only one that fits is another's, nobody can tell; it is counted.

On a store that ignores conditions only (a) and (f) are judged: no create is ever sent there.

Rules (j) to (n) are those of evidence: see evidence.py.

What people do counts as explained: a destination whose manifest they took is not judged by (e) until a clip is stored
there.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from simulation.gateway import OTHER_URL
from simulation.store import File
from simulation.world import Process, Violation, World

# Whoever replaces so often without one clip in between loses the oldest record: manifest.MAX_REPLACED.
MAX_DEPTH = 8
# What a file of somebody's own begins with.
THEIRS = b"theirs"


class Rules:
    """Checks (c), (d), (e), (g) and what a try may end with."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chains: dict[bytes, list[dict[str, Any]]] = {}
        self.excused: set[str] = set()  # places whose manifest a person took
        self.published: set[tuple[str, str]] = set()  # what has stood where; a person may have taken it since
        self.clips_taken: dict[str, float] = {}  # when a person last removed the clip at a place
        # What a process that stopped just before has put into the place of a clip that a person removed meanwhile.
        self.late: set[tuple[str, str]] = set()
        self.unsettled: dict[str, Process] = {}  # place -> who put a clip there after that, and has not yet recorded it
        self.last_stored: dict[str, float] = {}  # video -> when a manifest last came to say so

    def chain(self, data: bytes) -> list[dict[str, Any]]:
        """Return a manifest's record and the ones under it, from the top."""
        if data not in self._chains:
            record, found = _loads(data), []
            while record:
                found.append(record)
                record = record.get("replaced")
            self._chains[data] = found
        return self._chains[data]

    def is_theirs(self, place: str) -> bool:
        """Whether a person put a file of their own where the clip belongs."""
        file = self._world.disk.files.get(place)
        return file is not None and file.data.startswith(THEIRS)

    def top(self, place: str) -> dict[str, Any] | None:
        file = self._world.disk.files.get(f"{place}.json")
        chain = [] if file is None else self.chain(file.data)
        return chain[0] if chain else None

    # after each step

    def changed(self, name: str, old: File | None, new: File | None, by: Process | None) -> None:
        """Check what a change has made of a destination."""
        place = name.removesuffix(".json")
        if not self._world.plan.keeps_conditions:  # nothing is promised there but that no create is sent
            if name != place and by is None and old is not None:
                self._world.books.person_takes_record(place, self.chain(old.data))
            return
        if name != place:
            self._manifest_changed(place, old, new, by)
        elif by is None and new is None:
            self.clips_taken[place] = self._world.now
        elif by is not None and not self._world.plan.is_local:
            looked = by.looked_for_clip.get(place, self._world.now)
            if looked < self.clips_taken.get(place, float("-inf")):
                self.unsettled[place] = by
        self._check_place(place)

    def _manifest_changed(self, place: str, old: File | None, new: File | None, by: Process | None) -> None:
        books = self._world.books
        self._world.evidence.check_damaged(place, by)
        before = [] if old is None else self.chain(old.data)
        after = [] if new is None else self.chain(new.data)
        for record in after:
            books.recorded(place, record["claim_id"], record.get("video_id"))
        if after and after[0]["phase"] == "stored" and not (before and before[0]["phase"] == "stored"):
            self.last_stored[after[0]["video_id"]] = self._world.now
        if by is None:
            books.person_takes_record(place, before)
            self.excused.add(place)
            return
        for record in after:
            if (record.get("error") or {}).get("given_up_by"):
                self._world.evidence.check_given_up(record, by)
        if before and after and after[0]["phase"] == "creating" and after[0]["claim_id"] != before[0]["claim_id"]:
            self._world.evidence.check_siblings(before[0], by, place)
        if before:
            books.displaced(before[0], after[0] if after else None, by)
        self._world.adoptions.changed(place, before, after, by)
        for record in before:
            if record["phase"] == "stored" and not any(_is_kept(record, other) for other in after):
                self._stored_is_gone(place, record, before, after)
            if record["phase"] == "created" and not any(record["video_id"] == other.get("video_id") for other in after):
                self._paid_is_gone(place, record, before, after)
        if after and after[0]["phase"] == "failed" and not books.is_bad(after[0].get("video_id")):
            raise Violation(f"(d) {after[0]['video_id']} at {place} is called failed, and the gateway never said so")

    def _paid_is_gone(self, place: str, record: Any, before: list[Any], after: list[Any]) -> None:
        """Judge that a paid video on its way is forgotten: it came to nothing, or another clip was stored over it."""
        is_over = after and after[0]["phase"] == "stored"
        if is_over or len(before) >= MAX_DEPTH or self._world.books.is_bad(record["video_id"]):
            return
        if self._world.books.is_paid(record["video_id"]):
            raise Violation(f"(d) {record['video_id']} is on its way, and its record at {place} is gone")

    def _stored_is_gone(self, place: str, record: Any, before: list[Any], after: list[Any]) -> None:
        if after and after[0]["phase"] == "stored" and (place, after[0]["sha256"]) in self.published:
            above = before[: before.index(record)]
            if any(self._may_replace(upper["claim_id"]) for upper in above):
                return
        if len(before) >= MAX_DEPTH:
            return
        now = after[0]["phase"] if after else "nothing"
        raise Violation(f"(d) the record of {record['video_id']}, stored at {place}, is gone; {now} stands there")

    def _may_replace(self, claim: str) -> bool:
        owner = self._world.books.owners.get(claim)
        return owner is None or owner[0].spec.if_exists == "replace"

    def _check_place(self, place: str) -> None:
        clip, manifest = self._world.disk.files.get(place), self._world.disk.files.get(f"{place}.json")
        if clip is None or self.is_theirs(place):
            return
        self.published.add((place, _sha256(clip.data)))
        video = self._world.gateway.by_bytes.get(clip.data)
        if video is None:
            raise Violation(f"(c) the clip at {place} is not whole")
        records = [] if manifest is None else self.chain(manifest.data)
        if records and records[0]["phase"] == "stored":
            self._check_stored(place, clip, records[0])
            self.excused.discard(place)
        what, by = (place, _sha256(clip.data)), self._world.process
        if by is not None and by.was_zombie and self.clips_taken.get(place, 0.0) > by.started:
            self.late.add(what)
        is_excused = place in self.excused or what in self.late
        if not is_excused and video not in [_video_of(record) for record in records]:
            beside = records[0]["phase"] if records else "no manifest"
            raise Violation(f"(e) the clip of {video} stands at {place} beside {beside}, which does not name it")

    def _check_stored(self, place: str, clip: File, record: dict[str, Any]) -> None:
        if record["size"] == len(clip.data) and record["sha256"] == _sha256(clip.data):
            self.unsettled.pop(place, None)
        elif place not in self.unsettled:
            raise Violation(f"(c) {place}.json says stored, and the clip there is another")

    # when a try ends

    def try_ended(self, process: Process, error: Exception | None, result: Any = None) -> None:
        if process.is_dead:
            return
        if error is not None:
            self._world.books.logged(process, str(error), is_error=True)
            self._check_error(process, error)
        self._world.books.check_shown(process)
        if process.answered is not None:
            self._world.books.check_answered(process)
        if result is None:
            return
        self._check_result(process, result)
        if self.unsettled.get(process.spec.place) is process:
            del self.unsettled[process.spec.place]
            self._check_place(process.spec.place)
        for name, (by, place) in self._world.disk.partial_files.items():
            if place == process.spec.place and by.over_at < process.born:
                raise Violation(f"(g) {name} is older than {process.name}")

    def _check_error(self, process: Process, error: Exception) -> None:
        if not isinstance(error, errors.WisdomGateError):
            raise Violation(f"(f) {process.name} ends with {type(error).__name__}: {error}") from error
        self._world.evidence.check_error(process, error)
        if isinstance(error, errors.LostCreateError):
            claims = [*process.claims, *process.claims_read]
            is_sent = any(self._world.books.explains_lost_create(claim) for claim in claims)
            if not is_sent and self._world.plan.keeps_conditions:  # else any record may be another's by now
                raise Violation(f"(f) {process.name} speaks of a lost create, and none was sent") from error
        if self._is_of_a_stranger(process, error):
            raise Violation(f"(f) the gateway itself never said what ends {process.name}: {error}") from error

    def _is_of_a_stranger(self, process: Process, error: Exception) -> bool:
        """Whether an error that is final rests on no word of the gateway's own."""
        struck = process.struck
        if isinstance(error, errors.AuthenticationError):
            return not struck["create: 401"] and not self._world.gateway.has_refused_the_key
        if isinstance(error, errors.PermissionDeniedError):
            is_said = struck["create: no credit as 200"] or struck["create: no credit as 500"]
            return not is_said and not self._world.gateway.has_refused_the_key
        gone = errors.VideoNotFoundError | errors.VideoExpiredError
        if process.spec.kind == "download":  # its author names the id: whatever gateway the connection leads to decides
            return False
        is_heard = process.task.unknown or any(video.told_bad for video in self._world.gateway.videos.values())
        return isinstance(error, gone) and not is_heard

    def _check_result(self, process: Process, result: dict[str, Any]) -> None:
        """See that a replace brought something new: (h)."""
        is_replace = process.spec.if_exists == "replace" and process.spec.kind == "generate"
        stored = self.last_stored.get(result["video_id"])
        if is_replace and stored is not None and stored < process.round_began:
            raise Violation(f"(h) {process.name} was to replace {result['video_id']}, and returns it as new")

    # words for the trace

    def words(self, data: bytes) -> str:
        if not self._world.tracing:
            return ""
        texts = []
        for record in self.chain(data):
            text = f"{record['phase']} {record['claim_id'][:4]} {record.get('video_id') or ''}".rstrip()
            texts.append(f"{text} sha {record['sha256'][:4]}" if record.get("sha256") else text)
        return " over ".join(texts)

    def clip_words(self, data: bytes) -> str:
        return f"{self._world.gateway.by_bytes.get(data, 'something')} sha {_sha256(data)[:4]}"


def _video_of(record: dict[str, Any]) -> str | None:
    """Name a record's video; a download while the connection leads elsewhere brings another gateway's."""
    video_id: str | None = record.get("video_id")
    return f"other {video_id}" if record["request"].get("base_url") == OTHER_URL else video_id


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:  # damaged
        return None


def _is_kept(record: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a later record still tells of a stored clip: it is stored, or its clip is about to come back."""
    is_same = record["claim_id"] == other["claim_id"] or record["video_id"] == other.get("video_id")
    if (other.get("error") or {}).get("given_up_by"):  # evidence.py judges it
        return record["video_id"] == other.get("video_id")
    return is_same and (other["phase"] == "stored" or (other["phase"] == "created" and bool(other.get("sha256"))))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
