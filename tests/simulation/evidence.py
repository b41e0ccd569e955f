"""The rules of evidence: what may be believed about a paid video, and what may be done to it. See design section 3.

(j) Rule 4: "unknown" or "no content" ends a try only after 15 minutes since the create, 5 minutes since the first such
    answer in a row and 5 polls, or at the try's deadline. A stored clip ends the wait for its video.
(k) Rule 5: siblings (map indexes of one task) never displace each other; what a round has paid for comes before the
    arguments of its next try.
(l) Rule 6: a video is deleted only by a task that asks for it: one that a person killed, if its own claim paid for the
    video and no stored clip of it was lost; or one that stored the clip.
(m) Rule 8: no task writes over a record that cannot be read, and none creates there.
(o) A round pays at most once more after moderation refused an output, after the video's own object has failed, and if
    its task asks for that; a video whose content is withheld lives (books.py counts).
(n) Rule 7: an error that ends a try beside a paid video says so, and names what costs nothing before what pays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_wisdomgate import exceptions as errors
from simulation.world import Process, Violation, World

if TYPE_CHECKING:
    from simulation.airflow_side import Task
    from simulation.answers import Response
    from simulation.gateway import Video

# What an error's advice calls the ways that cost nothing, and those that pay.
FREE = ("Run the task again", "run the task again", "continues with it", "clips fetch", "costs nothing")
PAYS = ("clips forget", "on_gone", "'replace'", "pay for a new")
ENDS_BY_PATIENCE = (
    *(errors.VideoNotFoundError, errors.VideoExpiredError, errors.ContentMissingError, errors.ContentModeratedError),
)
YOUNG, IN_A_ROW, POLLS = 900.0, 300.0, 5


class Evidence:
    """Checks (j) to (n)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.damaged: set[str] = set()  # places whose record cannot be read
        self._recreated_at: dict[Any, str] = {}  # where rounds paid again for a video that is gone

    # rule 4

    def heard(self, process: Process, video_id: str, answer: Response) -> None:
        """Note what the gateway itself answers about a video."""
        unknown = process.task.unknown
        if _is_there(answer):
            unknown.pop(video_id, None)
        elif _is_unknown(answer):
            first, count = unknown.get(video_id, (self._world.now, 0))
            unknown[video_id] = first, count + 1

    def check_error(self, process: Process, error: errors.WisdomGateError) -> None:
        """Judge what ends a try."""
        if process.spec.kind == "download" or process.task.current is not process:
            return
        is_unmade = isinstance(error, errors.ConfigurationError) and "input_reference" in error.message
        if is_unmade and "is paid for" not in str(error):
            self._check_image(process)
        if isinstance(error, ENDS_BY_PATIENCE):
            self._check_patience(process, error)
        self._check_advice(process, error)

    def _check_advice(self, process: Process, error: errors.WisdomGateError) -> None:
        top, books = self._world.rules.top(process.spec.place), self._world.books
        if top is None or top["phase"] != "created" or books.is_bad(top["video_id"]):
            return
        if top["video_id"] not in process.videos_read and top["claim_id"] not in process.claims:
            return
        # One that Airflow took for dead may write it at this very moment.
        sends = [send for send in books.sends_of(top["claim_id"]) if not send.process.was_zombie]
        is_its_own = any(send.process.round == process.round for send in sends)
        if not is_its_own or isinstance(error, errors.StoppedError | errors.LostCreateError):
            return
        text = str(error)
        free = min((text.find(word) for word in FREE if word in text), default=len(text))
        pays = min((text.find(word) for word in PAYS if word in text), default=len(text))
        is_about_it = not isinstance(error, errors.StorageError)  # the storage may fail before the record is known
        if free > pays or (is_about_it and ("paid" not in text or free == pays)):
            raise Violation(f"(n) {process.name} ends beside {top['video_id']}, which is paid for: {error}")

    def _check_patience(self, process: Process, error: errors.WisdomGateError) -> None:
        w, task = self._world, process.task
        video = w.gateway.videos.get(error.video_id or "")
        top, clip = w.rules.top(process.spec.place), w.disk.files.get(process.spec.place)
        is_stored = top is not None and (top["phase"], top["video_id"]) == ("stored", error.video_id)
        # One that stops after its last look at the record cannot know what is stored meanwhile.
        can_know = is_stored and not process.was_zombie
        if can_know and top is not None and clip is not None and top["size"] == len(clip.data):
            raise Violation(f"(j) {process.name} ends without {error.video_id}, whose clip is stored: {error}")
        if video is None or video.is_over or self._is_late(task):
            return
        if not self.is_patient(task, video):
            raise Violation(f"(j) {process.name} gives {video.id} up {self._age_words(task, video)}: {error}")

    def is_patient(self, task: Task, video: Video) -> bool:
        """Whether a task has heard often enough, for long enough, that a video is unknown or without content."""
        w = self._world
        first, count = task.unknown.get(video.id, (w.now, 0))
        doubt = 2 * w.plan.skew + 60  # hosts' clocks
        created = video.send.sent_at if video.send else video.made  # a slow gateway makes the video minutes later
        return w.now - created >= YOUNG - doubt and w.now - first >= IN_A_ROW - doubt and count >= POLLS

    def _age_words(self, task: Task, video: Video) -> str:
        w = self._world
        first, count = task.unknown.get(video.id, (w.now, 0))
        since = f"{w.now - first:.0f} s and {count} answers after the first that did not know it"
        return f"{w.now - video.made:.0f} s after its create, {since}"

    def check_given_up(self, record: dict[str, Any], by: Process) -> None:
        """Judge that a task gives a video up to pay again: ``on_gone``, once in a round, with patience; or a kill."""
        video = self._world.gateway.videos.get(record.get("video_id") or "")
        is_roll = record["error"]["error"] == "OutputModerationError"
        # Its own object said "failed", and why; or only that, beside content that is withheld.
        is_said = video is not None and (video.refused_to or (video.fate == "content withheld" and video.is_over))
        if video is not None and is_roll and not is_said:
            raise Violation(f"(o) {by.name} gives {video.id} up, and moderation did not refuse it")
        if video is None or video.is_over:
            return
        task = by.task
        is_others = by.spec.if_exists == "replace" and self._round_of(record) != by.round
        is_first = by.spec.on_gone == "create" and not self._knows_that_it_paid_again(by)
        if not (record.get("killed_at") or is_others or is_first):
            raise Violation(f"(j) {by.name} gives {video.id} up, and nobody wants that")
        is_patient = self.is_patient(task, video) or self._is_late(task) or by.was_zombie  # its own try is over
        if not record.get("killed_at") and not is_patient:
            raise Violation(f"(j) {by.name} gives {video.id} up {self._age_words(task, video)}")
        self._recreated_at[by.round] = by.spec.place
        video.is_over = True

    def _knows_that_it_paid_again(self, by: Process) -> bool:
        """Whether the round has paid again, and can know it: only its memory finds a record at another place."""
        place = self._recreated_at.get(by.round)
        return place is not None and (place == by.spec.place or self._world.books.has_memory(by))

    def _round_of(self, record: dict[str, Any]) -> Any:
        owner = self._world.books.owners.get(record["claim_id"])
        return owner and owner[0].round

    def _is_late(self, task: Task) -> bool:
        return bool(self._world.now >= task.try_began + task.spec.timeout - 2 * self._world.plan.skew)

    # rule 5

    def _check_image(self, process: Process) -> None:
        top, books = self._world.rules.top(process.spec.place), self._world.books
        if top is None or top["phase"] != "created" or books.is_bad(top["video_id"]):
            return
        # One that Airflow took for dead may have sent it after this try read the record.
        sends = [send for send in books.sends_of(top["claim_id"]) if not send.process.was_zombie]
        if any(send.process.round == process.round for send in sends):
            raise Violation(f"(k) {process.name} reads its arguments before the record of {top['video_id']}")

    def check_siblings(self, old: dict[str, Any], by: Process, place: str) -> None:
        """Judge that a record was displaced by another's."""
        owner = self._world.books.owners.get(old["claim_id"])
        if owner is None:
            return
        is_sibling = owner[0].task is not by.task and owner[0].task.run_id == by.task.run_id
        is_lost = old["phase"] == "creating" and by.spec.on_lost_create == "create"
        # Their users want it so; a killed task's video is deleted.
        may = is_lost or by.spec.on_gone == "create" or old.get("killed_at") is not None
        may |= by.spec.on_moderated_output == "retry" and self._world.books.is_bad(old.get("video_id"))
        if is_sibling and not may and old["phase"] != "failed":
            raise Violation(f"(k) {by.name} displaces its sibling {owner[0].name}, {old['phase']} at {place}")

    # rule 6

    def judge_deletion(self, process: Process, video: Video) -> None:
        """Judge that a task deletes a video at the gateway."""
        if video.is_gone(self._world.now) or self._may_delete_copy(process, video):
            return
        if not process.is_killed or not process.spec.delete_on_kill:
            raise Violation(f"(l) {process.name} deletes {video.id}, and nobody killed it")
        if video.send is None or video.send.process.task is not process.task:
            raise Violation(f"(l) {process.name} deletes {video.id}, which it did not pay for")
        if video.id in self._world.rules.last_stored and not process.was_zombie:  # stored after its look at the record
            raise Violation(f"(l) {process.name} deletes {video.id}, whose clip was stored")

    def _may_delete_copy(self, process: Process, video: Video) -> bool:
        if process.published == video.id:
            return process.spec.delete_after_download
        place, rules, files = process.spec.place, self._world.rules, self._world.disk.files
        is_taken = place in rules.excused or place in rules.clips_taken
        # Anywhere: the storage path may have moved since.
        tops = {name: rules.top(name) for name in files if f"{name}.json" in files}
        is_there = any(top and (top["phase"], top["video_id"]) == ("stored", video.id) for top in tops.values())
        return process.spec.delete_after_download and (is_there or (is_taken and video.id in rules.last_stored))

    # rule 8

    def damage(self, name: str) -> None:
        """Note that a record cannot be read any more."""
        place = name.removesuffix(".json")
        self.damaged.add(place)
        self._world.rules.excused.add(place)
        books = self._world.books
        books.hurt.update(claim for claim, (_, where, _) in books.owners.items() if where == place)

    def check_damaged(self, place: str, by: Process | None) -> None:
        """Judge that a manifest is written or deleted at a place."""
        if place in self.damaged:
            self.damaged.discard(place)
            if by is not None:
                raise Violation(f"(m) {by.name} writes over the damaged record at {place}")


def _is_there(answer: Response) -> bool:
    """Whether an answer is content, or a video that is being made: one that is completed may lack its content."""
    if answer.status_code not in (200, 206) or answer.headers.get("content-encoding") == "br":  # noise
        return False
    body = answer.json() if answer.body[:1] == b"{" else None
    return body is None or (isinstance(body, dict) and body.get("status") == "in_progress" and "id" in body)


def _is_unknown(answer: Response) -> bool:
    if answer.status_code == 400:
        return b"task not exist" in answer.body or b"task_not_exist" in answer.body
    if answer.status_code == 502:
        return b"status 404" in answer.body
    if answer.status_code == 403:
        return b"content_filtered" in answer.body
    return answer.status_code in (404, 409, 410) and answer.body[:1] == b"{"
