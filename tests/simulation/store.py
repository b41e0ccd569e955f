"""The simulated store: like local files, or like an object store, as the plan says. Keeps to stores/base.py."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from airflow_provider_wisdomgate.clips.stores.base import ClipFile, Versioned
from simulation.patches import world
from simulation.plan import STORE_READS, STORE_WRITES
from simulation.world import Process, World


@dataclass(frozen=True)
class File:
    """One state of a file."""

    data: bytes
    version: Any
    written: float


class Disk:
    """All files, and the partial files with who holds their locks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.files: dict[str, File] = {}
        self.partial_files: dict[str, tuple[Process, str]] = {}
        self._generation = 0
        self.full_until = self.denied_until = 0.0

    def put(self, name: str, data: bytes, by: Any) -> File:
        """Let a file stand there."""
        self._generation += 1
        version = hashlib.sha256(data).hexdigest() if self._is_named_by_its_bytes(name) else self._generation
        old, self.files[name] = self.files.get(name), File(data, version, self._world.now)
        self._world.rules.changed(name, old, self.files[name], by)
        return self.files[name]

    def _is_named_by_its_bytes(self, name: str) -> bool:
        """Whether a version is a hash, as S3's ETags are: what comes back as it was has its old version again."""
        plan = self._world.plan
        if name.endswith(".json"):
            return plan.is_local or plan.version_kind == "hash"
        return not plan.is_local and plan.version_kind == "hash" and not plan.reencodes

    def damage(self, name: str, data: bytes) -> None:
        """Let a writer in place have died, or a disk have lost what stood there."""
        rng = random.Random(f"{self._world.plan.seed} {self._generation}")
        spoiled = rng.choice((b"", data[:10], bytes(len(data))))
        self._generation += 1
        self.files[name] = File(spoiled, f"damaged {self._generation}", self._world.now)
        self._world.note("%s is damaged: %r", name, spoiled[:12])
        self._world.evidence.damage(name)

    def remove(self, name: str, by: Any) -> None:
        """Let a file be gone."""
        old = self.files.pop(name)
        self._world.rules.changed(name, old, None, by)

    def version(self, name: str) -> Any:
        file = self.files.get(name)
        return None if file is None else file.version


class SimStore:
    """One destination."""

    no_version = "never"
    weakness = None

    @property
    def may_show_half(self) -> bool:
        return self._world.plan.shows_half

    def __init__(self, uri: str, upload_args: Any = None) -> None:
        self._world = world()
        self._disk: Disk = self._world.disk
        self._name = uri.partition("://bucket/")[2]
        self.uri = uri
        # Every try is a process of its own, and finds out for itself what its bucket keeps.
        self.place = f"sim://{self._world.process.name}"

    # how a call goes: time passes, a fault strikes or not, it takes effect

    def _read(self, what: str, effect: Callable[[], Any]) -> Any:
        w = self._world
        w.latency()
        if w.strike(*STORE_READS):
            raise OSError("500 from the store")
        if w.now < self._disk.denied_until:
            raise PermissionError("no permission")
        found = effect()
        w.maybe_zombie("zombie after an answer")
        return found

    def _write(self, what: str, effect: Callable[[], Any]) -> Any:
        w = self._world
        w.latency()
        kinds = STORE_WRITES if w.plan.keeps_conditions else STORE_WRITES[:1]
        fault = w.strike("kill before the effect", *kinds, "kill after the effect")
        if fault == "kill before the effect":
            w.die()
        self._refuse(fault)
        if fault == "store: effect comes late":
            self._comes_late(what, effect)
        done = effect()
        w.note("%s %s: %s", what, self._name, "done" if done else "refused")
        if fault == "kill after the effect":
            w.die()
        if fault == "store: answer lost":
            raise ConnectionError("the store's answer is lost")
        w.maybe_zombie("zombie after an answer")
        return (False if done is True else None) if fault == "store: meets its own effect" else done

    def _refuse(self, fault: str | None) -> None:
        w, disk = self._world, self._disk
        if fault == "store: error":
            raise OSError("500 from the store")
        if fault == "store: disk full":
            disk.full_until = w.now + 10.0 * 100 ** w.process.rng.random()
        if fault == "store: no permission":
            disk.denied_until = w.now + 10.0 * 100 ** w.process.rng.random()
        if w.now < disk.denied_until:
            raise PermissionError("no permission")
        if w.now < disk.full_until:
            raise OSError(28, "no space left")

    def _comes_late(self, what: str, effect: Callable[[], Any]) -> None:
        w, by = self._world, self._world.process

        def act() -> None:
            w.process = by
            w.note("late: %s %s: %s", what, self._name, "done" if effect() else "refused")

        w.later(120.0 * w.process.rng.random() ** 3, act)
        raise TimeoutError("no answer from the store")

    # the protocol

    def read(self, suffix: str) -> Versioned | None:
        def effect() -> Versioned | None:
            file = self._disk.files.get(self._name + suffix)
            if file is None:
                return None
            for record in self._world.rules.chain(file.data)[:1]:
                self._world.process.claims_read.add(record["claim_id"])
                self._world.process.videos_read.add(record.get("video_id"))
            return Versioned(file.data, file.version)

        return self._read("read", effect)

    def age(self, suffix: str) -> float | None:
        def effect() -> float | None:
            file = self._disk.files.get(self._name + suffix)
            if file is None:
                return 0.0
            has_clock = self._world.plan.has_clock or self._world.plan.is_local
            return self._world.now - file.written if has_clock else None

        return self._read("age", effect)

    def create(self, suffix: str, data: bytes) -> Any:
        return self._put("create", self._name + suffix, data, None)

    def replace(self, suffix: str, data: bytes, version: Any) -> Any:
        return self._put("replace", self._name + suffix, data, version)

    def _put(self, what: str, name: str, data: bytes, version: Any) -> Any:
        by = self._world.process
        self._world.books.writes(by, name, data)
        if self._world.strike("store: truncated"):
            self._disk.damage(name, data)
            self._world.die()

        def effect() -> Any:
            if self._world.plan.keeps_conditions and self._disk.version(name) != version:
                return None
            return self._disk.put(name, data, by).version

        return self._write(f"{what} ({self._world.rules.words(data)})", effect)

    def delete(self, suffix: str, version: Any) -> bool:
        by, name = self._world.process, self._name + suffix

        def effect() -> bool:
            if name not in self._disk.files or self._disk.version(name) != version:
                return False
            self._disk.remove(name, by)
            return True

        return self._write("delete manifest", effect)

    def clip(self) -> ClipFile | None:
        by = self._world.process

        def effect() -> ClipFile | None:
            by.looked_for_clip[self._name] = self._world.now
            file = self._disk.files.get(self._name)
            return None if file is None else ClipFile(len(file.data), file.version)

        return self._read("look at the clip", effect)

    def read_range(self, start: int, end: int) -> bytes:
        return self._read("read the clip", lambda: self._disk.files[self._name].data[start:end])

    @contextmanager
    def partial_file(self) -> Iterator[IO[bytes]]:
        by, files = self._world.process, self._disk.partial_files
        name = f"{self._name}.{len(files)}.{by.name}.part"
        if self._world.plan.is_local:
            files[name] = (by, self._name)
        try:
            yield io.BytesIO()
        finally:
            if not by.is_dead:
                files.pop(name, None)

    def remove_partial_files(self) -> None:
        files = self._disk.partial_files
        for name, (by, place) in list(files.items()):
            if place == self._name and (by.is_dead or by.is_over):
                del files[name]

    def publish(self, file: IO[bytes], content_type: str, *, over: ClipFile | None, beside: tuple[str, Any]) -> bool:
        by, disk, data = self._world.process, self._disk, file.getvalue()  # type: ignore[attr-defined]

        def effect() -> bool:
            if self._world.plan.is_local:
                is_unchanged = disk.version(self._name + beside[0]) == beside[1]
            else:
                is_unchanged = disk.version(self._name) == (None if over is None else over.version)
            if is_unchanged:
                by.published = self._world.gateway.by_bytes.get(data)
                disk.put(self._name, data, by)
            return is_unchanged

        return self._write(f"publish {self._world.rules.clip_words(data)}", effect)
