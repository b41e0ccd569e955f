"""The simulated gateway, behind the real client: only ``Client._request``, where the socket is, is another."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import requests
import urllib3

from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.settings import Settings
from simulation.mp4 import clip_of
from simulation.patches import world
from simulation.plan import CONTENTS, CREATES, POLLS
from simulation.world import World

SETTINGS = Settings(base_url="https://gateway.test/v1", api_key="a-key-of-the-simulation", storage_path="sim://bucket")

NO_SESSION = requests.Session()  # nothing is ever sent on it


class Response:
    """An answer as requests hands it over."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None, breaks_at: int | None = None):
        self.status_code, self.headers, self.raw = status, headers or {}, self
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._at, self._breaks_at = 0, breaks_at

    def read(self, size: int) -> bytes:
        if self._breaks_at is not None and self._at >= self._breaks_at:
            raise urllib3.exceptions.ProtocolError("broken off")
        end = min(self._at + size, self._breaks_at or len(self._body))
        data, self._at = self._body[self._at : end], end
        return data

    def words(self) -> str:
        """Say in short what it is, for the trace."""
        try:
            return str(json.loads(self._body).get("status") or self._body.decode())
        except ValueError:
            return self._body.decode()

    def shutdown(self) -> None:
        self._breaks_at = 0

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


@dataclass
class Video:
    """A video at the gateway."""

    id: str
    made: float
    ready: float
    fate: str
    send: Any = None
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
        self._world = world
        self.videos: dict[str, Video] = {}
        self.by_bytes: dict[bytes, str] = {}
        for name in ("old_1", "old_2"):
            self.videos[name] = Video(name, world.now - 900, world.now - 800, "completed")

    def client(self) -> Client:
        return SimClient(self)

    def answer(self, call: Call[Any], headers: Any) -> Response:
        """Answer a request, or raise what requests would."""
        w = self._world
        if call.method == "POST":
            return self._create(call)
        w.latency()
        if call.method == "DELETE":
            return self.delete(str(call.video_id))
        content = call.path.endswith("/content")
        kinds = CONTENTS if content else POLLS
        fault = w.strike("kill before the effect", *kinds)
        if fault == "kill before the effect":
            w.die()
        if fault:
            answer = self._faulty(fault, str(call.video_id), headers)
        else:
            answer = self._content(str(call.video_id), headers) if content else self._status(str(call.video_id))
        w.note_change(
            "%s %s: HTTP %s %s", call.method, call.path, answer.status_code, "" if content else answer.words()
        )
        w.maybe_zombie("zombie after an answer")
        return answer

    # a create

    def _create(self, call: Call[Any]) -> Response:
        w = self._world
        send = w.books.sends_create(w.process)
        w.note("POST /videos is sent")
        w.latency()
        fault = w.strike("kill before the effect", *CREATES, "kill after the effect")
        if fault == "kill before the effect":
            w.die()
        w.books.arrives(send)
        if fault in ("create: unreachable", "create: broken before", "create: 5xx before", "create: 429",
                     "create: nobody to send it to", "create: moderation"):  # fmt: skip
            return self._refused(fault, send)
        if fault == "create: slow answer":
            self._slow(send)
        video = self._make(send)
        if fault == "kill after the effect":
            w.die()
        if fault == "create: answer lost":
            raise requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("reset by peer"))
        if fault == "create: 5xx after":
            return Response(502, b"<html>bad gateway</html>")
        w.maybe_zombie("zombie after an answer")
        w.books.answered(w.process, send)
        return Response(200, {"id": video.id, "status": "queued", "created_at": int(video.made)})

    def _refused(self, fault: str, send: Any) -> Response:
        w = self._world
        if fault == "create: unreachable":
            w.pause(10.0)
            w.books.surely_not(send)
            raise requests.exceptions.ConnectTimeout("no connection")
        if fault == "create: broken before":
            w.pause(60.0 * w.process.rng.random())
            raise requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("reset by peer"))
        if fault == "create: 5xx before":
            return Response(500, {"error": {"message": "oops", "type": "server_error"}})
        w.books.surely_not(send)
        if fault == "create: 429":
            wait = w.process.rng.choice((None, "0", "3", "59", "60", "60", "60", "61", "86400"))
            return Response(429, {"error": {"message": "slow down"}}, {"retry-after": wait} if wait else {})
        if fault == "create: moderation":
            return Response(400, {"error": {"message": "no", "code": "moderation_blocked"}})
        return Response(503, {"error": {"message": "no channel", "code": "get_channel_failed"}})

    def _slow(self, send: Any) -> None:
        """Make the video some time before or after the client has given up."""
        w = self._world
        w.later(600.0 * w.process.rng.random(), lambda: self._make(send))
        w.pause(300.0)
        raise requests.exceptions.ReadTimeout("no answer within 300 s")

    def _make(self, send: Any) -> Video:
        w = self._world
        rng = random.Random(f"{w.plan.seed} {send.process.name} video {len(send.process.claims)}")
        fates = list(w.plan.fates.items())
        fate = next((fate for fate, chance in fates if rng.random() < chance), "completed")
        name = f"vid_{len(self.videos) - 1}"
        video = Video(name, w.now, w.now + 5 + 400 * rng.random() ** 2, fate, send)
        if fate == "deleted":
            video.deleted_at = w.now + 1000 * rng.random()
        self.videos[name] = video
        w.note("GATEWAY makes %s (%s)", name, fate)
        w.books.made(send, video)
        return video

    # what follows it

    def _gone(self, video: Video | None) -> Response | None:
        if video is None or (video.deleted_at is not None and self._world.now > video.deleted_at):
            if video:
                video.told_bad = True
            return Response(404, {"error": {"message": "no such video", "code": "video_not_found"}})
        return None

    def _status(self, video_id: str) -> Response:
        video, now = self.videos.get(video_id), self._world.now
        if gone := self._gone(video):
            return gone
        status = video.status(now)
        body: dict[str, Any] = {"id": video.id, "status": status, "created_at": int(video.made)}
        if status == "failed":
            code = {"moderation": "moderation_blocked", "bad input": "invalid_prompt"}.get(video.fate, "internal")
            body["error"] = {"message": "it failed", "code": code}
        if status in ("completed", "expired"):
            body |= self._times(video)
        video.told_bad |= status in ("failed", "expired")
        return Response(200, body)

    def _times(self, video: Video) -> dict[str, Any]:
        right = int(video.ready) + (600 if video.fate == "expires" else 86400)
        says = {"right": right, "zero": 0, "relative": 3600, "past": int(video.made) - 5, "milliseconds": right * 1000}
        times = self._world.plan.times
        return {} if times == "none" else {"expires_at": says[times]}

    def _content(self, video_id: str, headers: Any) -> Response:
        video, now = self.videos.get(video_id), self._world.now
        if gone := self._gone(video):
            return gone
        if video.fate == "loses its content" and now > video.ready + 120:
            video.told_bad = True
            return Response(404, {"error": {"message": "no content", "type": "invalid_request_error"}})
        if video.status(now) != "completed":
            return Response(400, {"error": {"message": "not completed"}})
        data = self.content_of(video)
        start = int(headers["Range"].partition("=")[2].rstrip("-")) if "Range" in headers else 0
        about = {"content-type": "video/mp4", "etag": f'"{crc32(data)}"', "content-length": str(len(data))}
        if start and headers.get("If-Range") == about["etag"]:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Response(206, data[start:], {**about, "content-range": span})
        return Response(200, data, about)

    def content_of(self, video: Video) -> bytes:
        if self._world.plan.reencodes or not video.contents:
            data = clip_of(video.id, len(video.contents))
            video.contents.append(data)
            self.by_bytes[data] = video.id
        return video.contents[-1]

    def _faulty(self, fault: str, video_id: str, headers: Any) -> Response:
        kind, video = fault.partition(": ")[2], self.videos.get(video_id)
        if kind == "5xx":
            return Response(503, b"upstream connect error")
        if kind == "429":
            return Response(429, b"", {"retry-after": self._world.process.rng.choice(("1", "60", "86400"))})
        if kind == "plain 404":
            return Response(404, b"default backend - 404", {"content-type": "text/plain"})
        if kind == "broken":
            raise requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("reset by peer"))
        if kind.startswith("says"):
            if video:
                video.told_bad = True
            return Response(200, {"id": video_id, "status": kind.removeprefix("says ")})
        answer = self._content(video_id, headers)
        if answer.status_code in (200, 206) and kind == "breaks off":
            answer._breaks_at = len(answer._body) // 2
        if answer.status_code in (200, 206) and kind == "cut short":
            answer._body = answer._body[:-20]
            answer.headers.pop("content-length", None)
        return answer

    def delete(self, video_id: str) -> Response:
        if video := self.videos.get(video_id):
            video.deleted_at = self._world.now
            video.told_bad = True
        return Response(200, {"deleted": True})


__all__ = ["SETTINGS", "Gateway", "SimClient", "Video", "world"]
