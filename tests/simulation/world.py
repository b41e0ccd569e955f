"""The scheduler: one thread, simulated time, and a seeded choice of who goes on and which fault strikes.

Every process has a random stream of its own. So a strike that is taken away changes what follows from it, and nothing
else.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zlib import crc32

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from simulation.plan import Plan

BEGINNING = 1_800_000_000.0
# claim.py states it: nobody is stopped for longer between a look at the clock and a request.
LONGEST_STOP = 25.0
MAX_STEPS = 20_000


class Killed(BaseException):
    """The process is dead: it does nothing any more."""


class Violation(BaseException):
    """Something happened that the rules forbid."""


class Process:
    """A process on some host: a try of a task, or the triggerer's wait for it."""

    def __init__(self, world: World, name: str, task: Any) -> None:
        self.world, self.name, self.task = world, name, task
        number = crc32(name.encode())
        self.rng = random.Random(world.plan.seed << 34 | number << 1)
        self.code_rng = random.Random(world.plan.seed << 34 | number << 1 | 1)
        self.skew = world.plan.skew * (2 * self.rng.random() - 1)
        self.started = world.now
        self.is_dead = self.is_over = self.was_zombie = self.is_hindered = False
        self.strikes = 0
        self.struck: Counter[str] = Counter()
        self.wake = 0
        self.operator: Any = None
        self.claims: list[str] = []
        self.listed: list[Any] | None = None
        self.listed_all = True
        self.sleeps_lightly = False
        self.answered: Any = None
        self.shown: Any = None
        self.trigger: Any = None
        self.shadow_of: Any = None
        self.has_image = True
        self.is_killed = False
        self.published: str | None = None
        self.spec = getattr(task, "spec", None)
        self.last_line = ""
        self.claims_read: set[str] = set()
        self.videos_read: set[str | None] = set()
        self.looked_for_clip: dict[str, float] = {}
        self.over_at = float("inf")


class World:
    """One schedule as it runs."""

    def __init__(self, plan: Plan, tracing: bool = False) -> None:
        self.plan, self.tracing = plan, tracing
        self.now = BEGINNING
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.faults_on = True
        self.process: Process | None = None
        self._heap: list[tuple[float, int, Any, Any]] = []
        self._sequence = 0
        self._names: Counter[str] = Counter()
        self._possible: dict[tuple[str, ...], list[tuple[str, float]]] = {}  # by the kinds that a place asks for
        self.hub = getcurrent()
        # set by schedule.py
        self.disk = self.gateway = self.books = self.rules = self.endings = self.airflow = self.people = None  # type: Any
        self.adoptions = self.evidence = None  # type: Any
        self.struck_keys: list[Any] = []
        self.on_death: Callable[[Process, bool], None] = lambda process, is_zombie: None

    # who goes on

    def spawn(self, name: str, task: Any, run: Callable[[], None], delay: float) -> Process:
        """Start a process after a while."""
        self._names[name] += 1
        process = Process(self, name if self._names[name] == 1 else f"{name} ({self._names[name]})", task)
        process.greenlet = greenlet(lambda: self._live(process, run), self.hub)
        process.started = self.now + delay
        self._push(delay, process, process.wake)
        return process

    def later(self, delay: float, act: Callable[[], None]) -> None:
        """Let something happen that no process does."""
        self._push(delay, act, None)

    def _push(self, delay: float, who: Any, wake: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + delay, self._sequence, who, wake))

    def _live(self, process: Process, run: Callable[[], None]) -> None:
        try:
            if not process.is_dead:
                run()
        except Killed:
            pass
        finally:
            process.is_over = True
            process.over_at = min(process.over_at, self.now)

    def run(self) -> None:
        """Let everything happen until nothing is left to happen."""
        heap = self._heap
        while heap:
            self.now, _, who, wake = heapq.heappop(heap)
            if wake is None:
                self.process = None
                who()
            elif not who.is_over and who.wake == wake:
                self.process = who
                who.greenlet.switch()

    def stop(self) -> None:
        """End what still runs, so that nothing of this schedule goes on."""
        for _, _, who, wake in self._heap:
            if wake is not None and who.greenlet:  # begun, and not over
                who.is_dead = True
                self.process = who
                who.greenlet.throw(Killed)
        self._heap.clear()

    # time and chance, for the process that runs

    def pause(self, seconds: float) -> None:
        """Let so much time pass for this process, and others go on meanwhile."""
        process = self.process
        assert process is not None
        if process.is_dead:
            raise Killed
        if process.answered is not None:
            self.books.check_answered(process)
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Violation(f"(f) no end after {MAX_STEPS} steps")
        if not self._heap or self._heap[0][0] > self.now + seconds:
            self.now += seconds
            return
        process.wake += 1
        self._push(seconds, process, process.wake)
        self.hub.switch()
        self.process = process
        if process.is_dead:
            raise Killed

    def rouse(self, process: Process) -> None:
        """Let a process look around now, if it sleeps so that it can be told to stop."""
        if process.sleeps_lightly and not process.is_over:
            process.wake += 1
            self._push(0.0, process, process.wake)

    def latency(self) -> None:
        """Let a request travel: mostly short, now and then long."""
        chance = self.process.rng.random()
        self.pause(
            min(self.plan.pace * (0.1 + 10 * chance**6) + (20.0 * chance if chance > 0.995 else 0), LONGEST_STOP)
        )

    def strike(self, *kinds: str) -> str | None:
        """Choose whether one of these faults strikes this process now, and which."""
        possible = self._possible.get(kinds)
        if possible is None:
            rates = self.plan.rates
            possible = self._possible[kinds] = [(kind, rates[kind]) for kind in kinds if kind in rates]
        if not possible:
            return None
        process = self.process
        chance = process.rng.random()
        for kind, rate in possible:
            chance -= rate
            if chance < 0:
                return self._struck(process, kind)
        return None

    def _struck(self, process: Process, kind: str) -> str | None:
        if not self.faults_on or self.now > BEGINNING + self.plan.faults_end:
            return None
        if process.strikes >= self.plan.strikes_per_process:
            return None
        key = (process.name, process.strikes)
        process.strikes += 1
        if key in self.plan.dropped:
            return None
        process.struck[kind] += 1
        self.counts[kind] += 1
        self.struck_keys.append(key)
        self.note("FAULT: %s", kind)
        return kind

    def die(self) -> None:
        """End this process without a word."""
        process = self.process
        process.is_dead, process.over_at = True, self.now
        self.note("is killed")
        self.on_death(process, False)
        raise Killed

    def maybe_zombie(self, kind: str) -> None:
        """Stop this process for so long that Airflow takes it for dead; it goes on all the same."""
        if self.strike(kind):
            process = self.process
            seconds = 30.0 * 100 ** process.rng.random()
            self.note("stops for %.0f s", seconds)
            process.was_zombie = True
            self.on_death(process, True)
            self.pause(seconds)

    def note(self, text: str, *words: Any) -> None:
        """Write a line of the trace."""
        if self.tracing:
            name = self.process.name if self.process else "the world"
            self.trace.append(f"{self.now - BEGINNING:9.2f}  {name:<24} {text % words if words else text}")

    def note_change(self, text: str, *words: Any) -> None:
        """Write a line of the trace unless it is this process's last one of its kind again."""
        if self.tracing and self.process.last_line != (line := text % words):
            self.process.last_line = line
            self.note("%s", line)
