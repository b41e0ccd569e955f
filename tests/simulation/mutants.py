"""Puts defects back, to show that the simulator finds them: rows of the list that reading brought, and its own finds.

Each mutant makes one function what it was. Used inside ``patches.simulation()``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate import hooks, killed
from airflow_provider_wisdomgate.clips.stores.base import storage_errors
from airflow_provider_wisdomgate.gateway import content, exchange, replies, retry, transport
from airflow_provider_wisdomgate.ledger import driver, rules
from airflow_provider_wisdomgate.ledger.destination import CLOCK_SKEW, MANIFEST, Destination, Found
from airflow_provider_wisdomgate.ledger.driver import ClipTask
from airflow_provider_wisdomgate.operators import durable
from airflow_provider_wisdomgate.polling import decisions
from simulation import patches

OLD_CLAIM_SECONDS = 420.0


def _failure_is_written_blindly() -> list[Any]:
    """Row 1: what a task learnt of its video is written over whatever stands there by now."""

    def record_failure(found: Any, mine: Any, error: Any) -> Any:
        return replace(mine, phase="failed", error=error.as_dict(), replaced=None)

    return [patch.object(rules, "record_failure", record_failure)]


def _id_is_only_in_memory() -> list[Any]:
    """Row 2: the id is written once, and neither logged nor remembered."""

    def record_id(self: Any, video: Any) -> None:
        mine = self.mine
        self.mine = self.destination.update(lambda found: rules.record_id(found, mine, video, time.time()))

    mute = logging.getLogger("a log that nobody reads")
    mute.disabled = True
    return [patch.object(ClipTask, "_record_id", record_id), patch.object(driver, "log", mute)]


def _claim_lives_for_a_fixed_time() -> list[Any]:
    """Row 4: every claim lives for 420 s by the reader's clock, however long the create takes."""
    real = ClipTask._new_manifest

    def new_manifest(self: Any, wanted: Any) -> Any:
        mine = real(self, wanted)
        return mine if mine.claim_seconds is None else replace(mine, claim_seconds=OLD_CLAIM_SECONDS)

    return [
        patch.object(ClipTask, "_new_manifest", new_manifest),
        patch.object(ClipTask, "keep_claim", lambda self, is_first: self.control.check()),
        patch.object(Destination, "age", lambda self, manifest: max(time.time() - manifest.claimed_at, 0.0)),
    ]


def _failed_replacement_keeps_the_record() -> list[Any]:
    """Row 5: where a replacement's video fails, ``failed`` stands beside the old clip."""
    real = rules.record_failure

    def record_failure(found: Any, mine: Any, error: Any) -> Any:
        return real(None if found is None else replace(found, replaced=None), mine, error)

    return [patch.object(rules, "record_failure", record_failure)]


def _replaced_without_a_compare() -> list[Any]:
    """Row 7: of two that found the same, both win."""

    def change(self: Any, found: Any, data: bytes | None) -> bool:
        now = self._store.read(MANIFEST)
        if now is None:
            return data is None or self._store.create(MANIFEST, data) is not None
        if found is None:
            return False
        if data is None:
            return bool(self._store.delete(MANIFEST, now.version))
        return self._store.replace(MANIFEST, data, now.version) is not None

    return [patch.object(Destination, "_change", change)]


def _run_is_known_by_its_id_only() -> list[Any]:
    """Row 19: a run that was deleted and created again is taken for the same run."""
    names = tuple(name for name in rules.INSTANCE if name != "run_started")
    return [patch.object(rules, "INSTANCE", names)]


def _own_claim_is_not_read_back() -> list[Any]:
    """Row 21: a claim whose write was answered badly is taken for another's."""
    return [patch.object(Destination, "_stands_there", lambda self, data: False)]


def _clock_is_looked_at_once() -> list[Any]:
    """The clock is not looked at again after a claim was renewed, before the create is sent."""

    def keep_claim(self: Any, is_first: bool) -> None:
        self.control.check()
        if not is_first or time.monotonic() >= self._lives_until:
            self._lives_until = time.monotonic() + driver.MARGIN / 2
            self.mine = self.destination.update(lambda found: rules.renew_claim(found, self.mine, time.time()))

    return [patch.object(ClipTask, "keep_claim", keep_claim)]


def _age_may_be_another_files() -> list[Any]:
    """A claim is judged by the age of whatever manifest stands there a moment later."""

    def age(self: Any, manifest: Any) -> float:
        with storage_errors(self.uri):
            found = self._store.age(MANIFEST)
        return float(time.time() - manifest.claimed_at - CLOCK_SKEW if found is None else found)

    return [patch.object(Destination, "age", age)]


def _record_comes_back_from_one_below() -> list[Any]:
    """A failed replacement gives back the record right below it, not one below a lost create."""
    real = rules.record_failure

    def record_failure(found: Any, mine: Any, error: Any) -> Any:
        previous = None if found is None else found.previous
        if previous is not None and previous.phase not in ("stored", "created"):
            found = replace(found, replaced=None)
        return real(found, mine, error)

    return [patch.object(rules, "record_failure", record_failure)]


def _newest_is_found() -> list[Any]:
    """Of several videos that a lost create may have made, the newest is taken."""
    real = rules.found_again

    def found_again(found: Any, listed: Any) -> Any:
        alone = [video for video in listed if real(found, [video])]
        return max(alone, key=lambda video: video.created_at, default=None)

    return [patch.object(rules, "found_again", found_again)]


def _remix_is_found() -> list[Any]:
    """A remix is taken for what a lost create has made."""
    real = rules.found_again

    def found_again(found: Any, listed: Any) -> Any:
        return real(found, [replace(video, remixed_from_video_id=None) for video in listed])

    return [patch.object(rules, "found_again", found_again)]


def _one_page_is_read() -> list[Any]:
    """The first page of a list is taken for all of it."""
    return [patch.object(hooks, "all_videos", lambda send: send(hooks.routes.list_videos()).videos)]


# One for each rule of evidence.


def _any_4xx_refuses() -> list[Any]:
    """Rule 1: a create that ended with any 4xx but 408 surely made nothing, whoever said so."""
    real = retry.is_surely_not_created

    def is_surely_not_created(error: Any) -> bool:
        return real(error) or (400 <= (error.status or 0) < 500 and error.status != 408)

    return [patch.object(module, "is_surely_not_created", is_surely_not_created) for module in (retry, exchange)]


def _handshake_is_a_sending() -> list[Any]:
    """Rule 1: whatever the connection records, an error may have come after the request."""
    return [patch.object(transport, "is_connected", SimpleNamespace(get=lambda: True, set=lambda value: None))]


def _id_is_called_id() -> list[Any]:
    """Rule 2: a video's id is called ``id`` or ``task_id``."""
    real = replies.id_in

    def id_in(body: Any, names: Any = replies.ID_NAMES) -> str | None:
        return real(body, [name for name in names if name in ("id", "task_id")])

    return [patch.object(replies, "id_in", id_in)]


def _answer_is_not_shown() -> list[Any]:
    """Rule 2: the error of a lost create does not show what came."""
    return [patch.object(errors.WisdomGateError, "_evidence", lambda self: "")]


def _any_gateway_is_believed() -> list[Any]:
    """Rule 3: the connection's gateway is not compared with the record's."""
    return [patch.object(module, "check_gateway", lambda *_: None) for module in (durable, patches, hooks)]


def _unknown_ends_a_try_at_once() -> list[Any]:
    """Rule 4: three answers that a video is unknown end a try, however young the video is."""
    return [patch.object(decisions, "is_out_of_patience", lambda wait, now: wait.not_found >= decisions.MAX_NOT_FOUND)]


def _missing_content_is_gone() -> list[Any]:
    """Rule 4: content that is not there, after some patience, is gone for good."""
    return [patch.object(rules, "is_expired", lambda found, expires_at, now: True)]


def _round_is_known_by_retries() -> list[Any]:
    """Rule 5: a round is another one if ``retries`` has changed, as before 0.3."""

    def is_same_round(one: Any, other: Any) -> bool:
        return rules.is_same_instance(one, other) and one.get("round") == other.get("round")

    return [patch.object(rules, "is_same_round", is_same_round)]


def _request_comes_first() -> list[Any]:
    """Rule 5: a request that differs is another one, also within a round."""
    real_step = rules.next_step

    def next_step(found: Any, clip_size: Any, terms: Any, wanted: Any = None, **more: Any) -> Any:
        if wanted is None:
            return rules.MakeRequest()
        return real_step(found, clip_size, replace(terms, made_by={}), wanted, **more)

    return [patch.object(rules, "next_step", next_step)]


def _every_end_is_a_persons() -> list[Any]:
    """Rule 6: whoever ends a task, its video is deleted."""
    return [
        patch.object(killed, "is_ended_by_person", lambda ti: True),
        patch.object(durable, "is_ended_by_person", lambda ti: True),
    ]


def _any_video_is_deleted() -> list[Any]:
    """Rule 6: a kill deletes the video that the task waits for, also another run's."""

    def mark_killed(found: Any, claim_id: str, video_id: str, by: Any, now: float) -> Any:
        return None if found is None else replace(found, killed_at=now)

    return [patch.object(rules, "mark_killed", mark_killed)]


def _paying_comes_first() -> list[Any]:
    """Rule 7: the advice about a paid video names what pays first."""

    def paid_advice(found: Any, *, ends_try: bool = False) -> str:
        return f"To pay for a new video: {rules.command('forget', found.uri)} and run the task again."

    return [patch.object(rules, "paid_advice", paid_advice)]


def _damage_is_absence() -> list[Any]:
    """Rule 8: a record that cannot be read is taken for a claim that nobody finished."""
    real = Destination.find

    def find(self: Any) -> Any:
        try:
            return real(self)
        except errors.DamagedManifestError:
            return Found(None, self.find_any().version)

    return [
        patch.object(Destination, "find", find),
        patch.object(ClipTask, "_half_written", lambda self: rules.Claim()),
    ]


def _refused_outputs_are_not_counted() -> list[Any]:
    """A round creates one more video each time that moderation refuses an output."""
    return [patch.object(rules, "_has_given_up", lambda found, terms, is_moderated: False)]


def _restored_record_counts_nothing() -> list[Any]:
    """A record that comes back after a failed replacement does not name what its round has given up."""
    return [patch.object(rules, "_marked", lambda record, marks: record)]


def _withheld_content_ends_a_video() -> list[Any]:
    """A finished video whose content moderation withholds counts as one that has failed."""
    real = content.missing_content

    def missing_content(video: Any, error: Any, **more: Any) -> Any:
        made = real(video, error, **more)
        is_withheld = isinstance(made, errors.ContentModeratedError)
        return errors.OutputModerationError(made.message, **made.facts) if is_withheld else made

    return [patch.object(content, "missing_content", missing_content)]


MUTANTS: dict[str, Callable[[], list[Any]]] = {
    "1": _failure_is_written_blindly,
    "2": _id_is_only_in_memory,
    "4": _claim_lives_for_a_fixed_time,
    "5": _failed_replacement_keeps_the_record,
    "7": _replaced_without_a_compare,
    "19": _run_is_known_by_its_id_only,
    "21": _own_claim_is_not_read_back,
    # what the simulator itself found
    "clock": _clock_is_looked_at_once,
    "age": _age_may_be_another_files,
    "below": _record_comes_back_from_one_below,
    "newest": _newest_is_found,
    "remix": _remix_is_found,
    "page": _one_page_is_read,
    # the rules of evidence
    "rule 1": _any_4xx_refuses,
    "rule 1 TLS": _handshake_is_a_sending,
    "rule 2": _id_is_called_id,
    "rule 2 shown": _answer_is_not_shown,
    "rule 3": _any_gateway_is_believed,
    "rule 4": _unknown_ends_a_try_at_once,
    "rule 4 content": _missing_content_is_gone,
    "rule 5 retries": _round_is_known_by_retries,
    "rule 5": _request_comes_first,
    "rule 6": _every_end_is_a_persons,
    "rule 6 owner": _any_video_is_deleted,
    "rule 7": _paying_comes_first,
    "rule 8": _damage_is_absence,
    # moderation of the output
    "output count": _refused_outputs_are_not_counted,
    "output restored": _restored_record_counts_nothing,
    "output lives": _withheld_content_ends_a_video,
}


@contextmanager
def mutant(row: str | None) -> Iterator[None]:
    """Put the defect of a row back for a while; None changes nothing."""
    with ExitStack() as stack:
        for change in MUTANTS[row]() if row else []:
            stack.enter_context(change)
        yield
