"""The simulated gateway, behind the real client: only ``Client._request``, where the socket is, is another."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import requests

from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.gateway.transport import is_connected
from simulation.answers import (
    OTHER_NAMES,
    Response,
    another_name,
    broken,
    broken_tls,
    decoded,
    encoded,
    expired_key,
    no_handshake,
    page_of,
    rate_limited,
    strangers,
    unauthorized,
    wrapped_404,
)
from simulation.contents import Contents
from simulation.listing import answer_list, created_at
from simulation.mp4 import clip_of
from simulation.plan import CONTENTS, CREATES, LISTS, POLLS
from simulation.world import World

SETTINGS = Settings(
    base_url="https://gateway.test/v1",
    api_key="a-key-of-the-simulation",
    storage_path="sim://bucket",
    trust_env=False,  # reading the environment for a proxy took a tenth of the time
)

# Where a connection leads for a while, and where a redirect does.
OTHER_URL, ELSEWHERE = "https://other.test/v1", "https://elsewhere.test/down"

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
# The codes of failed videos, by their fate.
CODES = {
    "moderation": "moderation_blocked",
    "bad input": "invalid_prompt",
    "output filtered": "OutputVideoSensitiveContentDetected",
}
KINDS = {"list": LISTS, "content": CONTENTS, "poll": POLLS}
# What lasts for a while, and other answers that are no word of the gateway about the video.
TIMES_OF = ("replica lags", "key expired", "connection moved")
NO_WORD = (
    *TIMES_OF,
    *("envelope error", "envelope success", "another id", "task not exist", "wrapped 404", "redirected"),
    "a row number",
)
# What hides or shows the video that a create has made.
SHOWN = (
    *("create: another name", "create: breaks after the JSON", "create: an error names it"),
    *("create: TLS breaks after", "create: 409 after", "create: 425 after"),
)
# Strangers' answers to a create: whether it made a video before.
STRANGERS = {f"create: {status} after": (status, True) for status in (403, 408, 451, 499)}
STRANGERS |= {f"create: {status} before": (status, False) for status in (404, 405, 413)}
# What a create that made nothing is answered with, and one that made a video, too: nobody can tell.
MAY_HIDE_A_VIDEO = (
    *("create: 409", "create: 425", "create: HTML 403"),
    *("create: no credit as 200", "create: no credit as 500"),
)
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
    is_over: bool = False  # by a rule of evidence: it may be given up
    content_from: float = 0.0
    missing_at: float = 0.0  # when it was last asked for and not there
    unknown_until: float = 0.0
    deleted_at: float | None = None
    contents: list[bytes] = field(default_factory=list)
    refused_to: set[Any] = field(default_factory=set)  # the rounds that have read that moderation refused it

    def status(self, now: float) -> str:
        if now < self.ready:
            return "in_progress"
        if self.fate in ("failed", "moderation", "bad input", "output filtered"):
            return "failed"
        return "expired" if self.fate == "expires" and now > self.ready + 600 else "completed"

    def has_content(self, now: float) -> bool:
        """Whether a download would bring the clip."""
        is_lost = self.fate == "content withheld"
        is_lost |= self.fate == "loses its content" and now > self.ready + 120
        is_lost |= self.fate == "expires as announced" and now > self.ready + 600
        return self.status(now) == "completed" and not self.is_gone(now) and not is_lost and now >= self.content_from

    def is_gone(self, now: float) -> bool:
        return self.status(now) == "expired" or (self.deleted_at is not None and now > self.deleted_at)


class SimClient(Client):
    """The real client on simulated sockets."""

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        super().__init__(NO_SESSION, settings)
        self._gateway = gateway

    def _request(self, call: Call[Any], url: str, headers: Any, body: bytes | None) -> Any:
        if not url.startswith(SETTINGS.base_url):
            return self._gateway.answer_elsewhere(call, url)
        return self._gateway.answer(call, headers)


class Gateway:
    """All videos, and how each request is answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.videos: dict[str, Video] = {}
        self.by_bytes: dict[bytes, str] = {}
        self.contents = Contents(self)
        self._made = 0
        self.key_expired_until = self.moved_until = 0.0
        for name in ("old_1", "old_2"):
            self.videos[name] = Video(name, world.now - 900, world.now - 800, "completed")

    def end_times(self) -> None:
        """End whatever is wrong for a while."""
        now = self.world.now
        self.key_expired_until, self.moved_until = min(self.key_expired_until, now), min(self.moved_until, now)
        for video in self.videos.values():
            video.unknown_until = 0.0

    @property
    def has_refused_the_key(self) -> bool:
        """Whether the key was expired for a while, or asked of another gateway."""
        return self.key_expired_until + self.moved_until > 0

    def settings(self, process: Any = None) -> Settings:
        """Return what the connection says at this moment."""
        settings = replace(SETTINGS, base_url=OTHER_URL) if self.world.now < self.moved_until else SETTINGS
        path = getattr(process, "storage_path", SETTINGS.storage_path)
        return settings if path == settings.storage_path else replace(settings, storage_path=path)

    def client(self, settings: Settings | None = None) -> Client:
        return SimClient(self, settings or self.settings())

    def add_others(self, name: str, made: float, prompt: str, remix_of: str) -> None:
        """Let another user of the gateway have made a video."""
        self.videos[name] = Video(name, made, made + 60, "completed", None, prompt, remix_of)

    def answer(self, call: Call[Any], headers: Any) -> Response:
        """Answer a request, or raise what requests would."""
        w = self.world
        if call.method == "POST":
            return self._create(call, headers)
        w.latency()
        if w.now < self.key_expired_until:
            return expired_key(w.process.rng)
        if call.method == "DELETE":
            return self.delete(str(call.video_id))
        what = "list" if call.video_id is None else "content" if call.path.endswith("/content") else "poll"
        fault = w.strike("kill before the effect", *KINDS[what])
        if fault == "kill before the effect":
            w.die()
        answer = self._faulty(fault, call, headers) if fault else None
        if answer is None:
            answer = self._right(what, call, headers)
        if call.video_id is not None:
            w.evidence.heard(w.process, str(call.video_id), decoded(answer))
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
        """Answer wrongly; None if it turns out right all the same."""
        what, _, kind = fault.partition(": ")
        process = self.world.process
        if kind == "429":
            return rate_limited(process.rng)
        if kind == "broken":
            raise broken()
        if kind == "401 once":
            return unauthorized() if process.struck[fault] == 1 else None
        if kind in NO_WORD:
            return self._no_word(kind, call)
        if kind.startswith("says"):
            if video := self.videos.get(str(call.video_id)):
                video.told_bad = video.is_over = True
            return Response(200, {"id": call.video_id, "status": kind.removeprefix("says ")})
        if kind == "encoded":
            return encoded(self._right(what, call, headers))
        if kind == "unknown encoding":
            return encoded(self._right(what, call, headers), "br")
        if what == "content" and kind in self.contents.faults:
            return self.contents.faulty(kind, str(call.video_id), headers)
        return page_of(kind)

    def _no_word(self, kind: str, call: Call[Any]) -> Response | None:
        """Answer as what is no word of the gateway about the video; or begin a time in which something is wrong."""
        w, name = self.world, str(call.video_id)
        if kind in TIMES_OF:
            return self._begin_time(kind, self.videos.get(name))
        if kind == "envelope error":
            words: tuple[Any, ...] = ({"status": "error", "message": "maintenance"}, {"status": "fail", "data": None})
            return Response(200, w.process.rng.choice(words))
        if kind == "another id":
            return Response(200, {"id": "vid_999", "object": "video", "status": "failed"})
        if kind == "task not exist":
            said = w.process.rng.choice(({"message": "task not exist"}, {"message": "no", "code": "task_not_exist"}))
            return Response(400, {"error": said})
        if kind == "wrapped 404":
            return wrapped_404()
        if kind == "redirected":
            return Response(302, b"", {"location": f"{ELSEWHERE}?id={name}"})
        answer = self._status(name)
        if answer.status_code == 200 and kind == "envelope success":
            return Response(200, {"status": "success", "data": answer.json()})
        if answer.status_code == 200:
            return Response(200, {**answer.json(), "id": 17, "task_id": name})
        return answer

    def _begin_time(self, kind: str, video: Video | None) -> Response | None:
        w = self.world
        seconds = 10.0 * 60 ** w.process.rng.random()
        if kind == "connection moved":
            self.moved_until = w.now + seconds
            return None
        if kind == "key expired":
            self.key_expired_until = w.now + seconds
            return expired_key(w.process.rng)
        if video is not None and w.now < video.made + 600:
            video.unknown_until = w.now + seconds
        return None

    def answer_elsewhere(self, call: Call[Any], url: str) -> Response:
        """Answer for another gateway, which has other videos of the same ids, or for a page of another host."""
        w, name = self.world, str(call.video_id)
        w.latency()
        state = crc32(f"{w.plan.seed} {name}".encode()) % 5 % 4 if url.startswith(OTHER_URL) else 0
        if call.method == "POST":
            return unauthorized()
        if state == 0:
            answer = Response(200, {"id": name, "object": "video", "status": "failed"})
        elif state == 1:
            answer = Response(404, {"error": {"message": "no such video", "code": "video_not_found"}})
        elif call.path.endswith("/content"):
            data = clip_of(f"other {name}", 0)
            self.by_bytes[data] = f"other {name}"
            return Response(200, data, {"content-type": "video/mp4"})
        else:
            answer = Response(200, {"id": name, "status": ("in_progress", "completed")[state - 2]})
        w.note_change("%s %s: HTTP %s %s", call.method, url, answer.status_code, answer.words())
        return answer

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
        if fault in SHOWN or fault in STRANGERS:
            return self._made_and(str(fault), send, video)
        if fault in UNREADABLE:
            unreadable = {"create: unknown encoding": encoded(answer, "br"), "create: 5xx after": page_of("HTML 502")}
            return unreadable.get(str(fault), Response(200, {"ok": True}))
        w.maybe_zombie("zombie after an answer")
        w.books.answered(w.process, send)
        return encoded(answer) if fault == "create: encoded" else answer

    def _made_and(self, fault: str, send: Any, video: Video) -> Response:
        """Answer a create that has made a video as somebody else does, or in a way that is hard to read."""
        w, rng = self.world, self.world.process.rng
        w.books.shows(w.process, send, fault)
        if fault == "create: TLS breaks after":
            raise broken_tls()
        if fault in STRANGERS:
            return strangers(STRANGERS[fault][0], rng)
        if fault in ("create: 409 after", "create: 425 after"):
            return Response(*REFUSALS[fault.removesuffix(" after")])
        if fault == "create: an error names it":
            return Response(500, {"id": video.id, "error": {"message": "timed out", "type": "server_error"}})
        if fault == "create: another name":
            name = rng.choice(OTHER_NAMES)
            w.note("names the video by %s", name)
            return Response(200, another_name(name, video.id))
        body = json.dumps({"id": video.id, "status": "queued"}).encode()
        return Response(200, body, breaks_at=len(body))

    def _refused(self, fault: str | None, send: Any) -> Response | None:
        """Answer a create that makes nothing; None if it makes a video."""
        w = self.world
        if fault == "create: broken before":
            w.pause(60.0 * w.process.rng.random())
            raise broken()
        if fault == "create: 5xx before":
            return Response(500, {"error": {"message": "oops", "type": "server_error"}})
        if fault == "create: unreachable":
            w.pause(10.0)
            w.books.surely_not(send)
            is_connected.set(False)
            raise requests.exceptions.ConnectTimeout("no connection")
        if fault == "create: no handshake":
            w.books.surely_not(send)
            is_connected.set(False)
            raise no_handshake(w.process.rng)
        if fault in STRANGERS and not STRANGERS[fault][1]:
            w.books.surely_not(send)
            return strangers(STRANGERS[fault][0], w.process.rng)
        answers = {"create: 429": lambda: rate_limited(w.process.rng), "create: 401": unauthorized}
        answers |= {f"create: {kind}": lambda kind=kind: page_of(kind) for kind in ("HTML 404", "HTML 403")}
        answers |= {name: lambda said=said: Response(*said) for name, said in REFUSALS.items()}
        if fault not in answers:
            return None
        if fault not in MAY_HIDE_A_VIDEO:
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
        if fate == "late content":
            video.content_from = video.ready + 10 * 1000 ** rng.random()
        if fate == "deleted":
            video.deleted_at = w.now + 1000 * rng.random()
        self.videos[name] = video
        w.note("GATEWAY makes %s (%s)", name, fate)
        w.books.made(send, video)
        return video

    # what follows it

    def gone(self, video: Video | None) -> Response | None:
        """Answer where a video is not there (any more), or not yet known everywhere."""
        if video is not None and self.world.now < video.unknown_until:
            return Response(404, {"error": {"message": "no such video", "code": "video_not_found"}})
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
            body["error"] = {"message": "it failed", "code": CODES.get(video.fate, "internal")}
            if video.fate in ("moderation", "output filtered"):
                video.refused_to.add(self.world.process.round)
        if status in ("completed", "expired"):
            body |= self.times(video)
        video.told_bad |= status in ("failed", "expired")
        video.is_over |= status in ("failed", "expired")
        return Response(200, body)

    def times(self, video: Video) -> dict[str, Any]:
        right = int(video.ready) + (600 if video.fate.startswith("expires") else 86400)
        says: dict[str, Any] = {"right": right, "zero": 0, "relative": 3600, "past": int(video.made) - 5}
        says |= {"milliseconds": right * 1000, "decades away": 4_000_000_000, "text": "tomorrow", "negative": -right}
        times = "right" if video.fate == "expires as announced" else self.world.plan.times
        return {} if times == "none" else {"expires_at": says[times]}

    def content_of(self, video: Video) -> bytes:
        if self.world.plan.reencodes or not video.contents:
            data = clip_of(video.id, len(video.contents))
            video.contents.append(data)
            self.by_bytes[data] = video.id
        return video.contents[-1]

    def delete(self, video_id: str) -> Response:
        if video := self.videos.get(video_id):
            self.world.evidence.judge_deletion(self.world.process, video)
            video.deleted_at = self.world.now
            video.told_bad = video.is_over = True
        return Response(200, {"deleted": True})
