"""How tasks end: counts every ending, and judges the ones of the last round, when nothing goes wrong any more (f)."""

from __future__ import annotations

from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.triggers import BACKSTOP
from simulation.airflow_side import Task
from simulation.gateway import SETTINGS, Video
from simulation.world import Violation, World

LONGEST_BACKSTOP = BACKSTOP.total_seconds()
# A paid video that is not given up, and cannot be fetched (now).
NOT_THERE = (errors.VideoNotFoundError, errors.VideoNotReadyError, errors.WaitTimeoutError)


class Endings:
    """Clears every task once more after the faults, one after another, and asks why each did not succeed."""

    def __init__(self, world: World) -> None:
        self._world = world

    def last_round(self) -> None:
        world = self._world
        for task in world.airflow.wanted:
            world.counts[f"ends: {name_of(task.ending)}"] += 1
        world.faults_on = False
        world.disk.full_until = world.disk.denied_until = 0.0
        world.gateway.end_times()
        world.now += world.plan.rest
        for task in world.airflow.wanted:
            world.note("the faults are over: %s is cleared once more", task.name)
            world.airflow.clear(task, 1.0)
            world.run()
            world.counts[f"last round: {name_of(task.ending)}"] += 1
            if task.ending != "success" and not self._is_explained(task, task.ending):
                raise Violation(f"(f) without any fault {task.name} ends with {name_of(task.ending)}: {task.ending}")

    def _is_explained(self, task: Task, error: Any) -> bool:
        world, place = self._world, task.spec.place
        if task.spec.kind == "download" and task.spec.video_id not in world.gateway.videos:
            return True
        top = world.rules.top(place)
        if place in world.evidence.damaged:
            return True
        broken = errors.StorageError | errors.DestinationTakenError | errors.LostCreateError
        if not world.plan.keeps_conditions and isinstance(error, broken):
            return True
        if isinstance(error, errors.DestinationTakenError):
            return self._is_taken(task, top)
        if isinstance(error, errors.LostCreateError):
            if task.spec.on_lost_create == "find" and top is not None and world.adoptions.must_be_found(place):
                return False
            return top is not None and world.books.explains_lost_create(top["claim_id"])
        if isinstance(error, errors.ModerationError):
            return True
        if world.plan.skew > LONGEST_BACKSTOP / 2 and str(error) == "TaskDeferralTimeout":
            return True  # the triggerer's clock is so late that Airflow ends the deferral first
        if isinstance(error, errors.WaitTimeoutError) and task.spec.timeout < 600:
            return True
        if isinstance(error, NOT_THERE):
            video = world.gateway.videos.get(error.video_id or "")
            return video is None or not video.has_content(self._last_asked(task, video))
        if isinstance(error, errors.VideoFailedError | errors.VideoExpiredError):
            video = world.gateway.videos.get(error.video_id or "")
            return video is None or video.is_over
        return False

    def _last_asked(self, task: Task, video: Video) -> float:
        """Return when the task last learnt that there is no content: late content may come just after that."""
        return video.missing_at if video.missing_at > task.round_began else task.ended_at

    def _is_taken(self, task: Task, top: Any) -> bool:
        """Whether something else is there, or a clip whose manifest a person took."""
        world, place = self._world, task.spec.place
        if task.spec.if_exists == "fail" or place in world.rules.excused or world.rules.is_theirs(place):
            return True
        if top is None:
            return False
        is_other = top["request"].get("base_url") != SETTINGS.base_url
        if task.spec.kind == "download":  # its author names the id: it may have been fetched from another gateway
            return is_other or top.get("video_id") != task.spec.video_id
        if task.spec.map_index >= 0 and task.spec.if_exists == "replace":
            return True  # siblings never replace each other
        return is_other or top["fingerprint"] is None or top["request"].get("prompt") != task.spec.prompt


def name_of(ending: Any) -> str:
    if ending is None:
        return "nothing (given up)"
    return ending if isinstance(ending, str) else type(ending).__name__
