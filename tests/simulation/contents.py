"""What the simulated gateway answers to a download: the clip, a part of it, or one of the ways to get that wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from airflow_provider_wisdomgate.ledger.rules import EXPIRY_MARGIN
from simulation.answers import Response, encoded, wrapped_404
from simulation.mp4 import clip_of

if TYPE_CHECKING:
    from simulation.gateway import Gateway, Video


class Contents:
    """Answers ``GET /videos/{id}/content``."""

    # What strikes where a part is asked for; where all is, it breaks off, so that a part is asked for next.
    wrong_parts = ("another range", "another total", "another file", "a part that is encoded", "no validator")
    faults = ("breaks off", "cut short", *wrong_parts)

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def answer(self, video_id: str, headers: Any) -> Response:
        gateway = self._gateway
        video, now = gateway.videos.get(video_id), gateway.world.now
        if gone := gateway.gone(video):
            return gone
        if video.fate == "loses its content" and now > video.ready + 120:
            self._confirm_expiry(video)
            video.told_bad = True
            return Response(404, {"error": {"message": "no content", "type": "invalid_request_error"}})
        if video.fate == "content withheld" and video.status(now) == "completed":
            self._confirm_expiry(video)
            return Response(403, {"error": {"message": "withheld", "code": "content_filtered"}})
        if missing := self._missing(video):
            return missing
        if video.status(now) != "completed":
            return Response(400, {"error": {"message": "not completed"}})
        data = gateway.content_of(video)
        about = {"content-type": "video/mp4", "etag": f'"{crc32(data)}"', "content-length": str(len(data))}
        start = int(headers["Range"].partition("=")[2].rstrip("-")) if "Range" in headers else 0
        if start and headers.get("If-Range") == about["etag"]:
            return _part(data, start, about)
        return Response(200, data, about)

    def _missing(self, video: Video) -> Response | None:
        """Answer for content that is not there yet, or whose announced time is over."""
        now = self._gateway.world.now
        if video.status(now) == "completed" and now < video.content_from:
            self._confirm_expiry(video)
            video.missing_at = now
            rng = self._gateway.world.process.rng
            missing = {"error": {"message": "content not found", "code": "not_found"}}
            return rng.choice((lambda: Response(404, missing), lambda: Response(409, missing), wrapped_404))()
        if video.fate == "expires as announced" and now > video.ready + 600:
            self._confirm_expiry(video)
            video.told_bad = True
            return Response(404, {"error": {"message": "no content", "code": "not_found"}})
        return None

    def _confirm_expiry(self, video: Video) -> None:
        """Let content that is not there confirm an expiry that the video's own object announces, sense or nonsense."""
        w = self._gateway.world
        says = self._gateway.times(video).get("expires_at")
        # Hosts' clocks may be off.
        if isinstance(says, int) and 1.5e9 < says < w.now - EXPIRY_MARGIN + 2 * w.plan.skew:
            video.is_over = True

    def faulty(self, kind: str, video_id: str, headers: Any) -> Response:
        answer = self.answer(video_id, headers)
        if answer.status_code == 206 and kind in self.wrong_parts:
            self._gateway.world.counts[f"content: {kind} sent"] += 1
            return self._wrong_part(kind, answer)
        if answer.status_code in (200, 206) and kind == "cut short":
            answer.body = answer.body[:-20]
            answer.headers.pop("content-length", None)
        elif answer.status_code in (200, 206):
            answer.breaks_at = max(len(answer.body) // 2, 1)
        return answer

    def _wrong_part(self, kind: str, answer: Response) -> Response:
        total = int(answer.headers["content-range"].partition("/")[2])
        start = total - len(answer.body)
        if kind == "another range":
            return Response(206, answer.body, answer.headers | {"content-range": f"bytes 0-{total - 1}/{total}"})
        if kind == "another total":
            return Response(206, answer.body, answer.headers | {"content-range": f"bytes {start}-{total}/{total + 9}"})
        if kind == "no validator":
            return Response(206, answer.body, {k: v for k, v in answer.headers.items() if k != "etag"})
        if kind == "a part that is encoded":
            return encoded(answer)
        other = clip_of("another video", 0)
        return _part(other, start, answer.headers | {"etag": f'W/"{crc32(other)}"'})


def _part(data: bytes, start: int, about: dict[str, str]) -> Response:
    span = f"bytes {start}-{len(data) - 1}/{len(data)}"
    return Response(206, data[start:], {**about, "content-range": span})
