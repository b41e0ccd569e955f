"""What people do: to files, to tasks, to requests."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from simulation.airflow_side import Task
from simulation.plan import Deed
from simulation.rules import THEIRS
from simulation.world import World


class People:
    """Does the deeds of a plan at their time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rng = random.Random(world.plan.seed)

    def begin(self) -> None:
        for number, deed in enumerate(self._world.plan.deeds):
            if ("deed", number) not in self._world.plan.dropped:
                self._world.later(deed.at, lambda deed=deed: self.do(deed))

    def do(self, deed: Deed) -> None:
        world = self._world
        task = world.airflow.tasks[deed.task]
        if task not in world.airflow.wanted:
            return
        world.counts[f"person: {deed.kind}"] += 1
        world.note("A PERSON does: %s (%s)", deed.kind, task.name)
        acts: dict[str, Any] = {
            "delete the manifest": self._delete_manifest,
            "delete the clip": self._delete_clip,
            "clear": lambda task: world.airflow.clear(task, 1.0),
            # one of several siblings cannot be deleted alone
            "recreate the run": lambda task: (
                world.airflow.recreate if task.spec.map_index < 0 else world.airflow.clear
            )(task, 1.0),
            "correct the prompt": self._correct_prompt,
            "replace": self._replace,
            "rename the folder": self._rename,
            "put a file of their own there": self._put_theirs,
            "kill": world.airflow.mark_failed,
            "damage the manifest": self._damage_manifest,
        }
        acts[deed.kind](task)

    def _delete_manifest(self, task: Task) -> None:
        name = f"{task.spec.place}.json"
        if name in self._world.disk.files:
            self._world.disk.remove(name, None)

    def _damage_manifest(self, task: Task) -> None:
        name = f"{task.spec.place}.json"
        if name in self._world.disk.files:
            self._world.disk.damage(name, self._world.disk.files[name].data)

    def _delete_clip(self, task: Task) -> None:
        if task.spec.place in self._world.disk.files:
            self._world.books.person_takes_clip(task.spec.place)
            self._world.disk.remove(task.spec.place, None)

    def _put_theirs(self, task: Task) -> None:
        self._world.books.person_takes_clip(task.spec.place)
        self._world.disk.put(task.spec.place, THEIRS + b"." * 50, None)

    def _correct_prompt(self, task: Task) -> None:
        task.spec = replace(task.spec, prompt="a corrected cat")
        self._world.airflow.clear(task, 1.0)

    def _replace(self, task: Task) -> None:
        task.spec = replace(task.spec, if_exists="replace")
        self._world.airflow.clear(task, 1.0)

    def _rename(self, task: Task) -> None:
        """Move a clip and its manifest, and clear the task with the new destination."""
        disk, old = self._world.disk, task.spec.place
        new = old.replace("clips", "archive")
        moved = {suffix: disk.files[old + suffix] for suffix in ("", ".json") if old + suffix in disk.files}
        if new == old or not moved or {new, f"{new}.json"} & disk.files.keys():
            return
        for suffix in (".json", ""):
            if suffix in moved:
                disk.remove(old + suffix, None)
        self._world.rules.excused.add(new)
        for suffix, file in moved.items():
            disk.put(new + suffix, file.data, None)
        task.spec = replace(task.spec, place=new)
        self._world.airflow.clear(task, 1.0)
