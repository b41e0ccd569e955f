"""Puts defects back, to show that the simulator finds them: rows of the list that reading brought, and its own finds.

Each mutant makes one function what it was. Used inside ``patches.simulation()``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from airflow_provider_wisdomgate import hooks
from airflow_provider_wisdomgate.clips import claim, ledger, transitions
from airflow_provider_wisdomgate.clips.claim import ClipClaim
from airflow_provider_wisdomgate.clips.destination import CLOCK_SKEW, MANIFEST, Destination
from airflow_provider_wisdomgate.clips.stores.base import storage_errors
from airflow_provider_wisdomgate.operators import download, durable, generate

OLD_CLAIM_SECONDS = 420.0


def _failure_is_written_blindly() -> list[Any]:
    """Row 1: what a task learnt of its video is written over whatever stands there by now."""

    def failed(found: Any, mine: Any, error: Any) -> Any:
        return replace(mine, phase="failed", error=error.as_dict(), replaced=None)

    return [patch.object(transitions, "failed", failed)]


def _id_is_only_in_memory() -> list[Any]:
    """Row 2: the id is written once, and neither logged nor remembered."""

    def record_id(self: Any, mine: Any, video: Any) -> Any:
        return self.destination.update(lambda found: transitions.created(found, mine, video, time.time()))

    mute = logging.getLogger("a log that nobody reads")
    mute.disabled = True
    return [patch.object(ClipClaim, "_record_id", record_id), patch.object(claim, "log", mute)]


def _claim_lives_for_a_fixed_time() -> list[Any]:
    """Row 4: every claim lives for 420 s by the reader's clock, however long the create takes."""
    real = ClipClaim._new_manifest

    def new_manifest(self: Any, attempt_seconds: float) -> Any:
        mine = real(self, attempt_seconds)
        return mine if mine.claim_seconds is None else replace(mine, claim_seconds=OLD_CLAIM_SECONDS)

    return [
        patch.object(ClipClaim, "_new_manifest", new_manifest),
        patch.object(ClipClaim, "keep_claim", lambda self, mine: self.check()),
        patch.object(Destination, "age", lambda self, manifest: max(time.time() - manifest.claimed_at, 0.0)),
    ]


def _failed_replacement_keeps_the_record() -> list[Any]:
    """Row 5: where a replacement's video fails, ``failed`` stands beside the old clip."""
    real = transitions.failed

    def failed(found: Any, mine: Any, error: Any) -> Any:
        return real(None if found is None else replace(found, replaced=None), mine, error)

    return [patch.object(transitions, "failed", failed)]


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

    def without(real: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        return lambda context, retries: {k: v for k, v in real(context, retries).items() if k != "run_started"}

    return [patch.object(module, "made_by", without(module.made_by)) for module in (durable, download)]


def _own_claim_is_not_read_back() -> list[Any]:
    """Row 21: a claim whose write was answered badly is taken for another's."""
    return [patch.object(Destination, "_stands_there", lambda self, data: False)]


def _clock_is_looked_at_once() -> list[Any]:
    """The clock is not looked at again after a claim was renewed, before the create is sent."""

    def keep_claim(self: Any, mine: Any) -> None:
        self.check()
        if time.monotonic() >= self._lives_until:
            self._lives_until = time.monotonic() + claim.MARGIN / 2
            self.destination.update(lambda found: transitions.renewed(found, mine, time.time()))

    return [patch.object(ClipClaim, "keep_claim", keep_claim)]


def _age_may_be_another_files() -> list[Any]:
    """A claim is judged by the age of whatever manifest stands there a moment later."""

    def age(self: Any, manifest: Any) -> float:
        with storage_errors(self.uri):
            found = self._store.age(MANIFEST)
        return float(time.time() - manifest.claimed_at - CLOCK_SKEW if found is None else found)

    return [patch.object(Destination, "age", age)]


def _record_comes_back_from_one_below() -> list[Any]:
    """A failed replacement gives back the record right below it, not one below a lost create."""
    real = transitions.failed

    def failed(found: Any, mine: Any, error: Any) -> Any:
        previous = None if found is None else found.previous
        if previous is not None and previous.phase not in ("stored", "created"):
            found = replace(found, replaced=None)
        return real(found, mine, error)

    return [patch.object(transitions, "failed", failed)]


def _newest_is_found() -> list[Any]:
    """Of several videos that a lost create may have made, the newest is taken."""
    real = ledger.found_again

    def found_again(found: Any, wanted: Any, listed: Any, prompt: str) -> Any:
        alone = [video for video in listed if real(found, wanted, [video], prompt)]
        return max(alone, key=lambda video: video.created_at, default=None)

    return [patch.object(generate, "found_again", found_again)]


def _remix_is_found() -> list[Any]:
    """A remix is taken for what a lost create has made."""
    real = ledger.found_again

    def found_again(found: Any, wanted: Any, listed: Any, prompt: str) -> Any:
        return real(found, wanted, [replace(video, remixed_from_video_id=None) for video in listed], prompt)

    return [patch.object(generate, "found_again", found_again)]


def _one_page_is_read() -> list[Any]:
    """The first page of a list is taken for all of it."""
    return [patch.object(hooks, "all_videos", lambda send: send(hooks.routes.list_videos()).videos)]


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
}


@contextmanager
def mutant(row: str | None) -> Iterator[None]:
    """Put the defect of a row back for a while; None changes nothing."""
    with ExitStack() as stack:
        for change in MUTANTS[row]() if row else []:
            stack.enter_context(change)
        yield
