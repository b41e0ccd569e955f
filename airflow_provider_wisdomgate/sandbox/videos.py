"""The videos that were made and what was asked, counted. Thread-safe; never touches a socket, a file or a picture."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wisdomgate.sandbox.create_request import CreateRequest

REMEMBERED_REQUESTS = 10_000
# One place to name them, so that counts() has a zero for what never happened.
COUNTS = (
    "creates",
    "create_requests",
    "polls",
    "downloads",
    "downloaded_whole",
    "heads",
    "lists",
    "deletes",
    "remixes",
    "remix_requests",
    "balance",
    "models",
    "storage_downloads",
    "unauthorized",
    "refused_429",
    "refused_down",
    "burst_replies",
    "max_in_flight",
)
MESSAGES = {"moderation_blocked": "Your request was blocked by our moderation system."}


@dataclass(frozen=True)
class Video:
    """One paid video. Everything it reports about itself is a function of its age."""

    create_request: CreateRequest
    id: str
    render: float
    expires_after: float
    remixed_from: str | None = None
    has_task_id: bool = False
    created_at: float = field(default_factory=time.time)
    born: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        return time.monotonic() - self.born

    def phase(self, age: float) -> str:
        """Name the phase, queued for the first fifth: queued, processing, completed or failed."""
        if age < self.render / 5:
            return "queued"
        if self.create_request.directives.never or age < self.render:
            return "processing"
        return "failed" if self.create_request.directives.fail else "completed"

    def content_state(self, age: float) -> str:
        """Return what the content route finds: failed, unready, expired or ready."""
        phase = self.phase(age)
        if phase == "failed":
            return "failed"
        if phase != "completed" or age < self.render + self.create_request.directives.late:
            return "unready"
        return "expired" if age >= self.render + self.expires_after else "ready"

    def as_object(self, age: float | None = None) -> dict[str, Any]:
        """Build the video object as documented."""
        age = self.age if age is None else age
        phase, directives, done = self.phase(age), self.create_request.directives, self.created_at + self.render
        words = {"processing": directives.status or "processing", "completed": directives.done or "completed"}
        share = min(99, int(100 * age / self.render)) if self.render else 99
        return {
            "id": self.id,
            **({"task_id": self.id} if self.has_task_id else {}),
            "object": "video",
            "model": self.create_request.model,
            "status": words.get(phase, phase),
            "progress": {"queued": 0, "processing": share}.get(phase, 100),
            "created_at": int(self.created_at),
            "completed_at": int(done) if phase == "completed" else None,
            "expires_at": int(done + self.expires_after) if phase == "completed" else None,
            "seconds": str(self.create_request.seconds),
            "size": self.create_request.fields.get("size") or "{}x{}".format(*self.create_request.size),
            "prompt": self.create_request.prompt,
            "error": self._error() if phase == "failed" else None,
            "remixed_from_video_id": self.remixed_from,
        }

    def _error(self) -> dict[str, str]:
        code = self.create_request.directives.fail or ""
        return {"code": code, "message": MESSAGES.get(code, f"The video could not be made ({code}).")}


class Store:
    """All that a sandbox remembers until it is reset."""

    def __init__(self, render_seconds: float, expires_after: float, new_id: Callable[[str], str]) -> None:
        self._render_seconds, self._expires_after, self._new_id = render_seconds, expires_after, new_id
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._in_flight: set[str] = set()
            self._videos: dict[str, Video] = {}
            self._counts: Counter[str] = Counter()
            self._polls: Counter[str] = Counter()
            self._tried: Counter[tuple[str, str]] = Counter()
            self._spent_seconds = 0
            self._requests: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_REQUESTS)

    def make(
        self, create_request: CreateRequest, *, counted_as: str, remixed_from: str | None = None, task_id: bool = False
    ) -> Video:
        """Make a video: from here on it is paid for."""
        directives, name = create_request.directives, uuid.uuid4().hex
        video = Video(
            create_request,
            f"video_{name[:9]}/{name[9:]}+==" if directives.odd_id else self._new_id(name),
            self._render_seconds if directives.render is None else directives.render,
            self._expires_after if directives.expires is None else directives.expires,
            remixed_from,
            task_id,
        )
        with self._lock:
            self._videos[video.id] = video
            self._counts[counted_as] += 1
            self._spent_seconds += create_request.seconds
        return video

    def next_fault(self, route: str, key: str, create_request: CreateRequest) -> str | None:
        """Count one request of a route against the directives: the name of the fault to answer with, or None."""
        faults = create_request.directives.replies.get(route, ())
        with self._lock:
            tried = self._tried[route, key]
            self._tried[route, key] += 1
        for repeated in faults:
            if repeated.times is None or tried < repeated.times:
                return repeated.fault
            tried -= repeated.times
        return None

    def get(self, video_id: str) -> Video | None:
        with self._lock:
            return self._videos.get(video_id)

    def all(self) -> list[Video]:
        """List the videos in the order of their creation."""
        with self._lock:
            return list(self._videos.values())

    def delete(self, video_id: str) -> bool:
        with self._lock:
            return self._videos.pop(video_id, None) is not None

    def count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def polled(self, video_id: str) -> None:
        with self._lock:
            self._polls[video_id] += 1

    def polls_of(self, video_id: str) -> int:
        with self._lock:
            return self._polls[video_id]

    def counts(self) -> dict[str, int]:
        with self._lock:
            counts = {name: self._counts[name] for name in COUNTS}
        return {**counts, "looks": counts["polls"]}  # its earlier name

    def spent_seconds(self) -> int:
        with self._lock:
            return self._spent_seconds

    def record(self, request: dict[str, Any]) -> None:
        with self._lock:
            self._requests.append(request)

    def requests(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._requests)

    def enter(self, request_id: str) -> None:
        with self._lock:
            self._in_flight.add(request_id)
            self._counts["max_in_flight"] = max(self._counts["max_in_flight"], len(self._in_flight))

    def leave(self, request_id: str) -> None:
        with self._lock:
            self._in_flight.discard(request_id)
