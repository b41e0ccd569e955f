"""Which video a lost create is taken to have made: rule (i) of ``rules.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_wisdomgate.ledger.rules import LISTED_TIME_MARGIN, OLD_CLAIM_SECONDS
from simulation.listing import HONEST, created_at, shown
from simulation.world import Process, Violation, World

if TYPE_CHECKING:
    from simulation.gateway import Video


class Adoptions:
    """What each process saw in the gateway's list, and what it made of it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def saw(self, process: Process, body: Any, is_first: bool) -> None:
        """Note a page that a process was shown."""
        entries = body["data"] if isinstance(body, dict) else body
        process.listed = [*([] if is_first else process.listed or []), *entries]
        process.listed_all = isinstance(body, list) or not body.get("has_more")

    def changed(self, place: str, before: list[Any], after: list[Any], by: Process) -> None:
        """Judge that a lost create has got a video, if that is what happened."""
        if not before or not after or before[0]["claim_id"] != after[0]["claim_id"]:
            return
        is_new = before[0]["phase"] == "creating" and after[0]["phase"] == "created"
        sends = self._world.books.sends_of(after[0]["claim_id"])
        if is_new and by.listed is None and any(s.is_only_shown and s.process is by for s in sends):
            raise Violation(f"(b) {by.name} records {after[0]['video_id']}, which only an error named")
        if is_new and after[0]["claim_id"] not in by.claims:
            if by.listed is not None:
                self._judge(place, before, after[0], by)
            elif not self._is_its_own(after[0]):
                raise Violation(f"(i) {by.name} gives {after[0]['video_id']} to a claim that did not make it")

    def _judge(self, place: str, before: list[Any], record: Any, by: Process) -> None:
        lost, known = before[0], {below.get("video_id") for below in before}
        fitting = {one["id"] for one in by.listed if self._fits(one, lost)} - known
        if fitting != {record["video_id"]} or not by.listed_all:
            seen = f"{sorted(fitting)} of {'all' if by.listed_all else 'some'} that are there"
            raise Violation(f"(i) {by.name} takes {record['video_id']} for the lost create at {place}; {seen} fit")
        self._count(place, record)

    def _count(self, place: str, record: Any) -> None:
        """Count what was right, and what is another's and could not be told from ours by anybody."""
        w = self._world
        video = w.gateway.videos[record["video_id"]]
        if video.send is not None and video.send.claim == record["claim_id"]:
            w.counts["found: its own"] += 1
            return
        is_same_clips = self._is_its_own(record)
        w.counts[f"found: {'of an earlier create for this clip' if is_same_clips else 'a twin'}"] += 1
        if any(
            other.get("video_id") == record["video_id"]
            for name, file in w.disk.files.items()
            if name.endswith(".json") and name != f"{place}.json"
            for other in w.rules.chain(file.data)
        ):
            w.counts["found: (of these, another manifest names)"] += 1
        for send in w.books.sends_of(record["claim_id"]):
            send.is_mistaken = True

    def _is_its_own(self, record: Any) -> bool:
        """Whether a video was made by this claim's create, or an earlier one for the very same clip."""
        video = self._world.gateway.videos.get(record["video_id"])
        owner = self._world.books.owners.get(record["claim_id"])
        if video is None or video.send is None or owner is None:
            return False
        return (video.send.place, video.send.fingerprint) == owner[1:] or video.send.claim == record["claim_id"]

    def _fits(self, entry: Any, lost: Any) -> bool:
        """Whether an entry may be what a lost create made, by all that a list tells."""
        over = lost["claimed_at"] + (lost.get("claim_seconds") or OLD_CLAIM_SECONDS)
        last = lost.get("lost_at", over) + LISTED_TIME_MARGIN
        try:
            made = float(entry["created_at"])
        except (KeyError, ValueError):
            return False
        is_then = lost["claimed_at"] - LISTED_TIME_MARGIN <= made <= last
        is_same = (entry["model"], entry.get("prompt")) == ("sora-2", lost["request"].get("prompt"))
        return is_then and is_same and not entry.get("remixed_from_video_id")

    def must_be_found(self, place: str) -> bool:
        """Whether the list, as it is now, tells beyond doubt which video the lost create at a place has made."""
        w, file = self._world, self._world.disk.files[f"{place}.json"]
        if not w.plan.listing <= HONEST:
            return False
        chain = w.rules.chain(file.data)
        known = {record.get("video_id") for record in chain}
        fitting = [video for video in shown(w.gateway) if self._fits(self._entry(video), chain[0])]
        return [video.id not in known and self._is_its_own(chain[0] | {"video_id": video.id}) for video in fitting] == [
            True
        ]

    def _entry(self, video: Video) -> Any:
        about = {"model": "sora-2", "prompt": video.prompt, "remixed_from_video_id": video.remix_of}
        return about | created_at(self._world.plan, video, self._world.now)
