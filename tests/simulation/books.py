"""What was paid for, and whether the policy allowed it: rules (a) and (b) of ``rules.py``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate.gateway.routes import CREATE_TIMEOUT
from simulation.world import Process, Violation, World

IDS = re.compile(r"vid_\d+")


@dataclass(eq=False)
class Send:
    """One request for a video, as it left a process."""

    process: Process
    claim: str
    place: str
    fingerprint: str
    sent_at: float = 0.0
    prompt: str = ""
    video: Any = None
    is_surely_not: bool = False
    is_answered: bool = False
    is_recorded: bool = False
    person_took_record: bool = False
    person_took_clip: bool = False
    displaced_by: str | None = None
    is_written_off: bool = False
    is_only_shown: bool = False  # an error named its video
    is_mistaken: bool = False  # another's video was taken for the one of its claim
    blockers: tuple[Send, ...] = ()

    @property
    def may_be_paid(self) -> bool:
        return not self.is_surely_not

    def words(self) -> str:
        return f"{self.video.id if self.video else 'a create'} of {self.process.name}"


class Books:
    """All creates of a schedule."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sends: list[Send] = []
        self.known: set[str] = set()  # ids that stand in a log, a manifest or a task's memory, or once did
        self.owners: dict[str, tuple[Process, str, str]] = {}  # claim -> who, where, for which request
        self.orphans: set[str] = set()  # claims whose manifest a person took away
        self.hurt: set[str] = set()  # claims whose record was damaged

    # claims

    def writes(self, process: Process, name: str, data: bytes) -> None:
        """Notice a claim that a process is about to write."""
        top = self._world.rules.chain(data)[0]
        if top["phase"] == "creating" and top["claim_id"] not in self.owners:
            self.owners[top["claim_id"]] = (process, name.removesuffix(".json"), top.get("fingerprint"))
            process.claims.append(top["claim_id"])

    def claim_stands(self, send: Send) -> bool:
        top = self._world.rules.top(send.place)
        return top is not None and top["claim_id"] == send.claim and top["phase"] == "creating"

    def has_idle_claim(self, process: Process) -> bool:
        """Whether a process holds a claim whose creates have all surely made nothing."""
        sends = self.sends_of(process.claims[-1]) if process.claims else []
        return bool(sends) and all(send.is_surely_not for send in sends) and self.claim_stands(sends[0])

    # creates

    def sends_of(self, claim: str) -> list[Send]:
        return [send for send in self.sends if send.claim == claim]

    def sends_create(self, process: Process, key: str | None) -> Send:
        """Note that a create leaves a process."""
        if not self._world.plan.keeps_conditions:
            raise Violation("(a) a create is sent though the store ignores conditions")
        if not process.claims:
            raise Violation("(a) a create is sent without a claim")
        if key != process.claims[-1]:
            raise Violation("(a) a create's Idempotency-Key is not its claim's")
        _, place, fingerprint = self.owners[process.claims[-1]]
        send = Send(process, process.claims[-1], place, fingerprint, self._world.now, process.spec.prompt)
        send.person_took_record = send.claim in self.orphans
        self.sends.append(send)
        return send

    def arrives(self, send: Send) -> None:
        """Judge a create by what was there when it left: its claim stands, and what it would pay twice."""
        if not self.claim_stands(send) and send.claim not in self.orphans | self.hurt:
            raise Violation(f"(a) {send.process.name} sends a create after its claim was taken over")
        self._check_lifetime(send)
        self._check_refused(send)
        if send.claim in self.orphans:
            return  # the one more that a person allows who takes a manifest away
        earlier = (s for s in self.sends if s is not send and self._is_for_the_same(s, send))
        send.blockers = tuple(s for s in earlier if s.may_be_paid and not self._allows(s, send))

    def _is_for_the_same(self, earlier: Send, send: Send) -> bool:
        """Whether two creates are for one wanted clip: one request at one destination, or, by rule 5, one round."""
        if (earlier.place, earlier.fingerprint) == (send.place, send.fingerprint):
            return True
        # Another place is found by what a task remembers only: a documented limit below Airflow 3.3.
        # So is a place that changes while a try goes on that Airflow took for dead.
        is_awake = not (earlier.process.was_zombie or send.process.was_zombie)
        is_findable = earlier.place == send.place or (self.has_memory(send.process) and is_awake)
        return earlier.process.round == send.process.round and is_findable

    def has_memory(self, process: Process) -> bool:
        """Whether a task's tries share what they remember (Airflow 3.3), and no fault has hit that."""
        return process.task.memory is not None and not self._world.counts["memory: error"]

    def _check_refused(self, send: Send) -> None:
        """See that a round sends one more create at most after moderation refused an output, none after an input."""
        mine = [earlier.video for earlier in self.sends if self._is_refused(earlier, send)]
        rolls = send.process.spec.on_moderated_output == "retry"
        if any(video.fate == "moderation" for video in mine) or len(mine) > rolls:
            refused = ", ".join(video.id for video in mine)
            raise Violation(f"(o) {send.process.name} sends one more create after moderation refused {refused}")

    def _is_refused(self, earlier: Send, send: Send) -> bool:
        """Whether a round must know that moderation refused its video: no person and no other task came between."""
        by = send.process
        if earlier.video is None or by.round not in earlier.video.refused_to or by.was_zombie:
            return False
        if earlier.video.fate == "moderation" and earlier.fingerprint != send.fingerprint:
            return False  # a person has corrected the request
        # A failure binds its round to no place.
        is_own = earlier.process.round == by.round and earlier.place == send.place
        is_taken = earlier.person_took_record or earlier.claim in self.orphans | self.hurt
        # Lost to Airflow as the record of the failure brought the replaced one back: a documented limit.
        is_lost = earlier.process.is_dead or earlier.process.was_zombie
        is_taken |= is_lost and by.spec.if_exists == "replace"
        later = self.sends[self.sends.index(earlier) :]
        return is_own and not is_taken and all(s.process.round == by.round for s in later if s.place == send.place)

    def _check_lifetime(self, send: Send) -> None:
        """See that a claim lives on for as long as its create may take, whether or not somebody waits for its end."""
        if self.claim_stands(send):
            file = self._world.disk.files[f"{send.place}.json"]
            lives = self._world.rules.chain(file.data)[0]["claim_seconds"]
            if self._world.now - file.written > lives - CREATE_TIMEOUT:
                raise Violation(f"(a) {send.process.name} sends a create that its claim may not outlive")

    def _allows(self, earlier: Send, send: Send) -> bool:
        """Whether the policy lets ``send`` make a video though ``earlier`` may have made one."""
        video, spec = earlier.video, send.process.spec
        is_displaced = earlier.displaced_by is not None and not self._can_remember(earlier, send)
        is_spent = earlier.person_took_record or is_displaced or earlier.is_written_off
        is_bad = video is not None and self.is_bad(video.id)
        if is_spent or earlier.is_mistaken or is_bad:
            return True
        if spec.if_exists == "replace" and (earlier.process.round != send.process.round or earlier.person_took_clip):
            return True
        return spec.on_lost_create == "create" and self._is_unknown_to(earlier, send)

    def _can_remember(self, earlier: Send, send: Send) -> bool:
        """Whether a round can know what it has paid for, though another task has stored its clip over the record."""
        is_awake = not (earlier.process.was_zombie or send.process.was_zombie)
        is_known = is_awake and earlier.is_recorded and self.has_memory(send.process)
        return earlier.process.round == send.process.round and is_known

    def _is_unknown_to(self, earlier: Send, send: Send) -> bool:
        if earlier.is_recorded:
            return False
        memory = send.process.task.memory
        knows = (
            memory is not None
            and earlier.video is not None
            and any(earlier.video.id in v for v in memory.kept.values())
        )
        return not knows or send.process.struck["memory: error"] > 0

    def surely_not(self, send: Send) -> None:
        send.is_surely_not = True

    def made(self, send: Send, video: Any) -> None:
        """Note that a create has made a video."""
        send.video = video
        for one, other in [(send, s) for s in send.blockers] + [(s, send) for s in self.sends if send in s.blockers]:
            if one.video and other.video:
                raise Violation(f"(a) paid twice: {other.words()}, and then {one.words()}")

    def answered(self, process: Process, send: Send) -> None:
        send.is_answered = True
        process.answered = send

    def shows(self, process: Process, send: Send, fault: str) -> None:
        """Note that a create's answer has its video's id in it, somewhere."""
        if fault in ("create: another name", "create: breaks after the JSON"):
            self.answered(process, send)
        elif fault == "create: an error names it":
            process.shown, send.is_only_shown = send, True

    # ids

    def logged(self, process: Process, line: str, is_error: bool = False) -> None:
        if not process.is_dead:
            self.known.update(IDS.findall(line))
            process.is_hindered |= "could not be corrected" in line or "could not be written" in line
            if not is_error:  # Airflow's own line says it
                self._world.note("log: %s", line)

    def remembered(self, words: Any) -> None:
        self.known.update(IDS.findall(str(words)))

    def recorded(self, place: str, claim: str, video_id: str | None) -> None:
        """Note that an id stands in a manifest: its own, or one that took it for its own."""
        if video_id is not None:
            self.known.add(video_id)
            for send in self.sends:
                is_its_own = send.claim == claim or send.place == place
                if is_its_own and send.video is not None and send.video.id == video_id:
                    send.is_recorded = True

    def is_paid(self, video_id: str) -> bool:
        return any(send.video is not None and send.video.id == video_id for send in self.sends)

    def is_bad(self, video_id: str | None) -> bool:
        """Whether a video may be given up: its own object has ended it, or a person or ``on_gone`` has."""
        video = self._world.gateway.videos.get(video_id or "")
        return video is None or video.is_over

    def check_shown(self, process: Process) -> None:
        """See that an id that stood in an error is shown by the end of a try."""
        if (send := process.shown) is not None and send.video.id not in self.known:
            raise Violation(f"(b) the id of {send.words()} stood in an error, and is shown nowhere")

    def check_answered(self, process: Process) -> None:
        """See that a process that was told an id has written it somewhere."""
        send, process.answered = process.answered, None
        if send.video.id not in self.known:
            raise Violation(f"(b) {send.words()} was answered, and its id is nowhere")

    # what others do to a claim or a record

    def displaced(self, old: dict[str, Any], new: dict[str, Any] | None, by: Process) -> None:
        """Note that a record is another's now, or stands there again."""
        for send in self.sends:
            if new is not None and send.claim == new["claim_id"]:
                send.displaced_by, send.is_written_off = None, False
            elif send.claim == old["claim_id"] and new is not None:
                is_own_round = by.round == send.process.round
                if by.spec.if_exists == "replace" and not is_own_round:
                    send.displaced_by = new["claim_id"]
                if by.spec.on_lost_create == "create" and not send.is_recorded:
                    send.is_written_off = True

    def person_takes_record(self, place: str, chain: list[dict[str, Any]]) -> None:
        self.orphans.update(record["claim_id"] for record in chain)
        for send in self.sends:
            if send.place == place:
                send.person_took_record = True
        self.orphans.update(claim for claim, (_, where, _) in self.owners.items() if where == place)

    def person_takes_clip(self, place: str) -> None:
        for send in self.sends:
            if send.place == place:
                send.person_took_clip = True

    def explains_lost_create(self, claim: str) -> bool:
        """Whether a create of this claim may have been sent, or its owner was hindered from saying that none was."""
        owner = self.owners[claim][0] if claim in self.owners else None
        if owner is None or owner.is_dead or owner.was_zombie or claim in self.orphans:
            return True
        if any(send.may_be_paid and not send.is_answered for send in self.sends_of(claim)):
            return True
        return owner.is_hindered or owner.struck["store: effect comes late"] > 0
