"""Says what became of a run's clips, and adds them up. Pure; the words for a manifest are those of clips/states.py."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.states import MEANINGS, state_of
from airflow_provider_wisdomgate.plugin.clip_finder import FoundClip
from airflow_provider_wisdomgate.plugin.labels import UNFINISHED_STATES
from airflow_provider_wisdomgate.plugin.run_api import Instance

# For task instances without a manifest.
WITHOUT_MANIFEST = {
    "waiting": "the task has not asked for a video yet",
    "blocked": "a task before it failed, so nothing was asked for",
    "skipped": "the task was skipped: no video is wanted",
    "unknown": "no manifest of this DAG was found where this page may look",
}
ALL_STATES = {**MEANINGS, **WITHOUT_MANIFEST}
# What each number counts, in the order of the page. Together these are all that is wanted.
GROUPS: dict[str, frozenset[str]] = {
    "stored": frozenset({"stored"}),
    "making": frozenset({"creating", "created"}),
    "waiting": frozenset({"waiting"}),
    "failed": frozenset({"failed", "missing", "blocked"}),
    "needs-you": frozenset({"lost", "refused"}),
    "unknown": frozenset({"unknown"}),
}
# Filters that are no group.
WANTED, CREATES = "wanted", "creates"


@dataclass(frozen=True)
class RunClip:
    """A task instance and what stands at its destination.

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
    def creates(self) -> int:
        """How many creates of this run the manifest tells of; one that is under way or lost counts, too."""
        return 0 if self.found is None else sum(1 for _ in _creates(self.found.manifest, self.instance.ref.run_id))


@dataclass(frozen=True)
class Sums:
    """What a run's clips come to.

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
            return sum(self.counts.values()) - self.counts.get("skipped", 0)
        return sum(self.counts.get(state, 0) for state in GROUPS.get(group, {group}))


def clip_of(instance: Instance, found: FoundClip | None, age: float, *, is_unreadable: bool = False) -> RunClip:
    """Say what became of a clip.

    :param age: seconds since its manifest was written; counts while a create is under way.
    """
    if found is not None:
        return RunClip(instance, found, state_of(found.manifest, age, found.size))
    return RunClip(instance, None, "unknown" if is_unreadable else _without_manifest(instance.state), is_unreadable)


def sums_of(clips: Sequence[RunClip]) -> Sums:
    """Add up."""
    stored = [each.found.manifest for each in clips if each.state == "stored" and each.found]
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
        return [each for each in clips if each.state != "skipped"]
    states = GROUPS.get(choice) or ({choice} if choice in ALL_STATES else ALL_STATES)
    return [each for each in clips if each.state in states]


def _without_manifest(state: str | None) -> str:
    if state in UNFINISHED_STATES or state in (None, "none"):
        return "waiting"
    return {"upstream_failed": "blocked", "skipped": "skipped", "failed": "failed"}.get(str(state), "unknown")


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
