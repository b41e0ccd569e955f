"""Finds the state of each clip of a run, and adds them up. Pure; the states and their words are those of rules.py."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import STATES, WITHOUT_RECORD, Action, State
from airflow_provider_wisdomgate.plugin.clip_finder import FoundClip
from airflow_provider_wisdomgate.plugin.run_api import Instance

ALL_STATES = {**STATES, **WITHOUT_RECORD}
MEMBERS = {group: {name for name, state in ALL_STATES.items() if state.group == group} for group in rules.GROUPS}
# Filters that are no group.
WANTED, CREATES = "wanted", "creates"


@dataclass(frozen=True)
class RunClip:
    """A task instance and the record at its destination.

    :param state: one of ``ALL_STATES``.
    :param is_unreadable: the storage did not answer.
    :param is_reference: its XCom is a reference of a custom XCom backend.
    """

    instance: Instance
    found: FoundClip | None
    state: str
    is_unreadable: bool = False
    is_reference: bool = False

    @property
    def about(self) -> State:
        return ALL_STATES[self.state]

    @property
    def kind(self) -> str:
        """Its CSS classes."""
        return " ".join(dict.fromkeys((self.state, self.about.group)))

    @property
    def manifest(self) -> Manifest | None:
        return self.found.manifest if self.found else None

    @property
    def is_playable(self) -> bool:
        return self.found is not None and self.found.is_playable

    @property
    def is_shown(self) -> bool:
        """Whether it counts: a task instance that was removed does only if a person must act."""
        return self.instance.state != "removed" or self.about.acts == "person"

    @property
    def actions(self) -> tuple[Action, ...]:
        return self.found.actions(self.state) if self.found else ()

    @property
    def creates(self) -> int:
        """How many creates of this run the manifest records; a create that is in progress or lost counts, too."""
        return sum(1 for _ in _creates(self.manifest, self.instance.ref.run_id)) if self.manifest else 0


@dataclass(frozen=True)
class Sums:
    """The sums of a run's clips.

    :param counts: clips by state.
    :param seconds: of video stored, by the manifests.
    :param size: bytes of them.
    """

    counts: Mapping[str, int]
    creates: int
    seconds: float
    size: int
    unreadable: int

    def of(self, group: str) -> int:
        """Return how many clips a filter shows."""
        if group == WANTED:
            return sum(count for state, count in self.counts.items() if rules.is_wanted(state))
        return sum(self.counts.get(state, 0) for state in MEMBERS.get(group, {group}))


def clip_of(instance: Instance, found: FoundClip | None, *, is_unreadable: bool = False) -> RunClip:
    """Find the state of a clip."""
    if found is not None:
        return RunClip(instance, found, found.state(rules.is_waited_for(instance.state)))
    return RunClip(instance, None, rules.state_without_record("" if is_unreadable else instance.state), is_unreadable)


def states_of(group: str) -> list[State]:
    """Return the states that a group counts."""
    return [state for state in ALL_STATES.values() if state.group == group]


def sums_of(clips: Sequence[RunClip]) -> Sums:
    """Add up."""
    stored = [each.manifest for each in clips if each.is_playable and each.manifest]
    return Sums(
        Counter(each.state for each in clips),
        sum(each.creates for each in clips),
        sum(_number(manifest.duration) for manifest in stored),
        int(sum(_number(manifest.size) for manifest in stored)),
        sum(each.is_unreadable for each in clips),
    )


def chosen(clips: Iterable[RunClip], choice: str) -> list[RunClip]:
    """Return the clips of a filter: a group, a state, ``wanted``, or ``creates``; anything else is all."""
    if choice == CREATES:
        return [each for each in clips if each.creates]
    if choice == WANTED:
        return [each for each in clips if rules.is_wanted(each.state)]
    states = MEMBERS.get(choice) or ({choice} if choice in ALL_STATES else ALL_STATES)
    return [each for each in clips if each.state in states]


def _creates(manifest: Manifest, run_id: str) -> Iterator[Mapping[str, Any]]:
    """Yield the records of creates: a download of somebody else's video has no fingerprint of a request."""
    record: Any = {"fingerprint": manifest.fingerprint, "made_by": manifest.made_by, "replaced": manifest.replaced}
    while isinstance(record, Mapping):
        made_by = record.get("made_by")
        if record.get("fingerprint") and isinstance(made_by, Mapping) and made_by.get("run_id") == run_id:
            yield record
        record = record.get("replaced")


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and 0 <= value < math.inf else 0
