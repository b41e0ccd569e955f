"""The simulated gateway, behind the real client: only ``Client._request``, where the socket is, is another."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.gateway.transport import is_connected
from simulation.answers import Response, broken, encoded, page_of, rate_limited, unauthorized
from simulation.contents import Contents
from simulation.listing import answer_list, created_at
from simulation.mp4 import clip_of
from simulation.plan import CONTENTS, CREATES, LISTS, POLLS
from simulation.world import World

SETTINGS = Settings(base_url="https://gateway.test/v1", api_key="a-key-of-the-simulation", storage_path="sim://bucket")

NO_SESSION = requests.Session()  # nothing is ever sent on it

# What makes no video: (status, body) in the gateway's own words, or how it fails to come about.
REFUSALS: dict[str, tuple[int, Any]] = {
    "create: moderation": (400, {"error": {"message": "no", "code": "moderation_blocked"}}),
    "create: nobody to send it to": (503, {"error": {"message": "no channel", "code": "get_channel_failed"}}),
    "create: 409": (409, {"error": {"message": "in conflict", "type": "conflict"}}),
    "create: 425": (425, {"error": {"message": "too early", "type": "too_early"}}),
    "create: no credit as 200": (200, {"code": "insufficient_user_quota", "message": "no credit left"}),
    "create: no credit as 500": (500, {"error": {"message": "no credit", "code": "insufficient_quota"}}),
}
# Of these nobody can know: they may as well be the answer to a create that was carried out.
UNSURE = {"create: 409", "create: 425", "create: no credit as 200", "create: no credit as 500", "create: HTML 403"}
# What answers a create that has made a video, and does not tell its id.
UNREADABLE = ("create: 5xx after", "create: unknown encoding", "create: no id in it")


@dataclass
class Video:
    """A video at the gateway."""

    id: str
    made: float
    ready: float
    fate: str
    send: Any = None
    prompt: str = "something old"
    remix_of: str = ""
    told_bad: bool = False
    deleted_at: float | None = None
    contents: list[bytes] = field(default_factory=list)

    def status(self, now: float) -> str:
        if now < self.ready:
            return "in_progress"
        if self.fate in ("failed", "moderation", "bad input"):
            return "failed"
        return "expired" if self.fate == "expires" and now > self.ready + 600 else "completed"

    def is_gone(self, now: float) -> bool:
        return self.status(now) == "expired" or (self.deleted_at is not None and now > self.deleted_at)


class SimClient(Client):
    """The real client on simulated sockets."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(NO_SESSION, SETTINGS)
        self._gateway = gateway

    def _request(self, call: Call[Any], url: str, headers: Any, body: bytes | None) -> Any:
        return self._gateway.answer(call, headers)


class Gateway:
    """All videos, and how each request is answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.videos: dict[str, Video] = {}
        self.by_bytes: dict[bytes, str] = {}
        self.contents = Contents(self)
        self._made = 0
        for name in ("old_1", "old_2"):
            self.videos[name] = Video(name, world.now - 900, world.now - 800, "completed")

    def client(self) -> Client:
        return SimClient(self)

    def add_others(self, name: str, made: float, prompt: str, remix_of: str) -> None:
        """Let another user of the gateway have made a video."""
        self.videos[name] = Video(name, made, made + 60, "completed", None, prompt, remix_of)

    def answer(self, call: Call[Any], headers: Any) -> Response:
        """Answer a request, or raise what requests would."""
        w = self.world
        if call.method == "POST":
            return self._create(call, headers)
        w.latency()
        if call.method == "DELETE":
            return self.delete(str(call.video_id))
        what = "list" if call.video_id is None else "content" if call.path.endswith("/content") else "poll"
        fault = w.strike("kill before the effect", *{"list": LISTS, "content": CONTENTS, "poll": POLLS}[what])
        if fault == "kill before the effect":
            w.die()
        answer = self._faulty(fault, call, headers) if fault else None
        if answer is None:
            answer = self._right(what, call, headers)
        if w.tracing:
            words = "" if what == "content" else answer.words()
            w.note_change("%s %s: HTTP %s %s", call.method, call.path, answer.status_code, words)
        w.maybe_zombie("zombie after an answer")
        return answer

    def _right(self, what: str, call: Call[Any], headers: Any) -> Response:
        if what == "list":
            answer = answer_list(self, call.path)
            if answer.status_code == 200:
                self.world.adoptions.saw(self.world.process, answer.json(), "after=" not in call.path)
            return answer
        if what == "content":
            return self.contents.answer(str(call.video_id), headers)
        return self._status(str(call.video_id))

    def _faulty(self, fault: str, call: Call[Any], headers: Any) -> Response | None:
        """Answer wrongly; None where it turns out right all the same."""
        what, _, kind = fault.partition(": ")
        process = self.world.process
        if kind == "429":
            return rate_limited(process.rng)
        if kind == "broken":
            raise broken()
        if kind == "401 once":
            return unauthorized() if process.struck[fault] == 1 else None
        if kind.startswith("says"):
            if video := self.videos.get(str(call.video_id)):
                video.told_bad = True
            return Response(200, {"id": call.video_id, "status": kind.removeprefix("says ")})
        if kind == "encoded":
            return encoded(self._right(what, call, headers))
        if kind == "unknown encoding":
            return encoded(self._right(what, call, headers), "br")
        if what == "content" and kind in self.contents.faults:
            return self.contents.faulty(kind, str(call.video_id), headers)
        return page_of(kind)

    # a create

    def _create(self, call: Call[Any], headers: Any) -> Response:
        w = self.world
        send = w.books.sends_create(w.process, headers.get("Idempotency-Key"))
        w.note("POST /videos is sent")
        w.latency()
        fault = w.strike("kill before the effect", *CREATES, "kill after the effect")
        if fault == "kill before the effect":
            w.die()
        w.books.arrives(send)
        if refusal := self._refused(fault, send):
            return refusal
        if fault == "create: slow answer":
            self._slow(send)
        video = self._make(send)
        if fault == "kill after the effect":
            w.die()
        if fault == "create: answer lost":
            raise broken()
        answer = Response(200, {"id": video.id, "status": "queued", **created_at(w.plan, video, w.now)})
        if fault in UNREADABLE:
            unreadable = {"create: unknown encoding": encoded(answer, "br"), "create: 5xx after": page_of("HTML 502")}
            return unreadable.get(str(fault), Response(200, {"ok": True}))
        w.maybe_zombie("zombie after an answer")
        w.books.answered(w.process, send)
        return encoded(answer) if fault == "create: encoded" else answer

    def _refused(self, fault: str | None, send: Any) -> Response | None:
        """Answer a create that makes nothing; None where it makes a video."""
        w = self.world
        if fault == "create: broken before":
            w.pause(60.0 * w.process.rng.random())
            raise broken()
        if fault == "create: 5xx before":
            return Response(500, {"error": {"message": "oops", "type": "server_error"}})
        if fault == "create: unreachable":
            w.pause(10.0)
            w.books.surely_not(send)
            is_connected.set(False)  # as a connection does that cannot connect
            raise requests.exceptions.ConnectTimeout("no connection")
        answers = {"create: 429": lambda: rate_limited(w.process.rng), "create: 401": unauthorized}
        answers |= {f"create: {kind}": lambda kind=kind: page_of(kind) for kind in ("HTML 404", "HTML 403")}
        answers |= {name: lambda said=said: Response(*said) for name, said in REFUSALS.items()}
        if fault not in answers:
            return None
        if fault not in UNSURE:
            w.books.surely_not(send)
        return answers[fault]()

    def _slow(self, send: Any) -> None:
        """Make the video some time before or after the client has given up."""
        w = self.world
        w.later(600.0 * w.process.rng.random(), lambda: self._make(send))
        w.pause(300.0)
        raise requests.exceptions.ReadTimeout("no answer within 300 s")

    def _make(self, send: Any) -> Video:
        w = self.world
        rng = random.Random(f"{w.plan.seed} {send.process.name} video {len(send.process.claims)}")
        fates = list(w.plan.fates.items())
        fate = next((fate for fate, chance in fates if rng.random() < chance), "completed")
        self._made += 1
        name = f"vid_{self._made}"
        video = Video(name, w.now, w.now + 5 + 400 * rng.random() ** 2, fate, send, send.prompt)
        if fate == "deleted":
            video.deleted_at = w.now + 1000 * rng.random()
        self.videos[name] = video
        w.note("GATEWAY makes %s (%s)", name, fate)
        w.books.made(send, video)
        return video

    # what follows it

    def gone(self, video: Video | None) -> Response | None:
        """Answer where a video is not there (any more)."""
        if video is None or (video.deleted_at is not None and self.world.now > video.deleted_at):
            if video:
                video.told_bad = True
            return Response(404, {"error": {"message": "no such video", "code": "video_not_found"}})
        return None

    def _status(self, video_id: str) -> Response:
        video, now = self.videos.get(video_id), self.world.now
        if gone := self.gone(video):
            return gone
        status = video.status(now)
        body: dict[str, Any] = {"id": video.id, "status": status, **created_at(self.world.plan, video, now)}
        if status == "failed":
            code = {"moderation": "moderation_blocked", "bad input": "invalid_prompt"}.get(video.fate, "internal")
            body["error"] = {"message": "it failed", "code": code}
        if status in ("completed", "expired"):
            body |= self._times(video)
        video.told_bad |= status in ("failed", "expired")
        return Response(200, body)

    def _times(self, video: Video) -> dict[str, Any]:
        right = int(video.ready) + (600 if video.fate == "expires" else 86400)
        says: dict[str, Any] = {"right": right, "zero": 0, "relative": 3600, "past": int(video.made) - 5}
        says |= {"milliseconds": right * 1000, "decades away": 4_000_000_000, "text": "tomorrow", "negative": -right}
        times = self.world.plan.times
        return {} if times == "none" else {"expires_at": says[times]}

    def content_of(self, video: Video) -> bytes:
        if self.world.plan.reencodes or not video.contents:
            data = clip_of(video.id, len(video.contents))
            video.contents.append(data)
            self.by_bytes[data] = video.id
        return video.contents[-1]

    def delete(self, video_id: str) -> Response:
        if video := self.videos.get(video_id):
            video.deleted_at = self.world.now
            video.told_bad = True
        return Response(200, {"deleted": True})
