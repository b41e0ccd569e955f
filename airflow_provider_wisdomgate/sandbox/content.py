"""Delivers a clip over HTTP, soundly or in one of the ways it goes wrong. Never decides whether a video is ready."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from airflow_provider_wisdomgate.sandbox.connections import (
    REQUEST_ID,
    REQUEST_ID_HEADER,
    SERVER,
    transport_of,
    until_gone,
)
from airflow_provider_wisdomgate.sandbox.render import Clip, jpeg, padded, render, spritesheet, thumbnail
from airflow_provider_wisdomgate.sandbox.replies import HTML, error_body
from airflow_provider_wisdomgate.sandbox.videos import Video

BUFFERED_AT_MOST = 1024 * 1024


@dataclass(frozen=True)
class DeliveryFault:
    """How a delivery departs from a sound one."""

    share: float = 1.0  # of the body that is sent
    announces: str = "all"  # Content-Length: of "all" that was due, of what is "sent", or "nothing"
    ending: str = "end"  # "end" cleanly, "drop" the connection, "stall" until the client leaves
    framed: bool = True  # False: no length and no chunks, only the close marks the end
    ranges: bool = True
    content_type: str | None = None
    heeds_if_range: bool = True
    etag: str | None = None
    total: str = "{}"  # of a Content-Range; {} is the size


DELIVERY_FAULTS = {
    "cut": DeliveryFault(0.5, ending="drop"),
    "cut-chunked": DeliveryFault(0.5, announces="nothing"),
    "cut-close": DeliveryFault(0.5, announces="nothing", ending="drop", framed=False),
    "chunked": DeliveryFault(announces="nothing"),
    "stall": DeliveryFault(0.5, ending="stall"),
    "truncated": DeliveryFault(0.5, announces="sent", ranges=False),
    "no-range": DeliveryFault(ranges=False),
    "other-etag": DeliveryFault(heeds_if_range=False, etag='"another"'),
    "star-total": DeliveryFault(announces="nothing", total="*"),
    "wrong-total": DeliveryFault(total="1{}"),
    "octet-stream": DeliveryFault(content_type="application/octet-stream"),
}
_JSON = json.dumps(error_body("server_error", "internal_error", "The upstream had an error.")).encode()


def _instead(head: bytes) -> Clip:
    return Clip(head, is_video=False)


# fault -> what is delivered instead of the MP4
SUBSTITUTES: dict[str, Callable[[Video], Clip]] = {
    "empty": lambda video: _instead(b""),
    "json-as-mp4": lambda video: _instead(_JSON),
    "html-as-mp4": lambda video: _instead(HTML.format(title="502 Bad Gateway").encode()),
    "text-as-mp4": lambda video: _instead(b"upstream connect error or disconnect/reset before headers\n"),
    "jpeg": lambda video: _instead(jpeg(drawn_text(video), video.create_request.size)),
    "webm": lambda video: render(drawn_text(video), video.create_request.size, video.create_request.seconds, "webm"),
    "mov": lambda video: render(drawn_text(video), video.create_request.size, video.create_request.seconds, "mov"),
}


# variant -> what is delivered instead of the video
STILLS = {"thumbnail": thumbnail, "spritesheet": spritesheet}


def drawn_text(video: Video) -> str:
    return video.create_request.directives.text or video.create_request.prompt


def clip_of(video: Video, fault: str | None = None, variant: str = "video") -> Clip:
    """Render what is to be delivered. Slow: call it off the event loop."""
    if variant in STILLS:
        return STILLS[variant](drawn_text(video), video.create_request.size)
    if fault in SUBSTITUTES:
        return SUBSTITUTES[fault](video)
    return padded(
        render(drawn_text(video), video.create_request.size, video.create_request.seconds),
        video.create_request.directives.bytes,
    )


def asked_span(headers: Headers, clip: Clip, *, heeds_if_range: bool = True) -> tuple[int, int] | None:
    """Read Range and If-Range: (start, stop), or None for the whole. `start >= stop` cannot be satisfied."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", headers.get("range", "").replace(" ", ""))
    is_other = heeds_if_range and headers.get("if-range", clip.etag) != clip.etag
    if match is None or match[1] + match[2] == "" or is_other:
        return None
    if match[1] == "":
        return max(0, clip.size - int(match[2])), clip.size
    start, stop = int(match[1]), min(clip.size, int(match[2]) + 1 if match[2] else clip.size)
    # RFC 9110: a last position before the first makes the header invalid, and an invalid Range is ignored.
    return None if match[2] and int(match[2]) < start else (start, stop)


class Delivery:
    """One answer of the content route, as an ASGI application."""

    def __init__(self, clip: Clip, delivery_fault: DeliveryFault, on_whole: Callable[[], None]) -> None:
        self.clip, self.delivery_fault, self.on_whole = clip, delivery_fault, on_whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        how = self.delivery_fault
        asked = asked_span(Headers(scope=scope), self.clip, heeds_if_range=how.heeds_if_range)
        span = asked if how.ranges else None
        start, stop = span or (0, self.clip.size)
        if span and start >= stop:
            await _send_head(send, 416, {"Content-Range": f"bytes */{self.clip.size}", "Content-Length": "0"})
            await send({"type": "http.response.body", "body": b""})
            return
        end = start + int((stop - start) * self.delivery_fault.share)
        headers = self._headers(start, stop, end, partial=span is not None)
        if not self.delivery_fault.framed and scope["method"] != "HEAD":
            await self._send_unframed(scope, headers, start, end)
        else:
            await _send_head(send, 206 if span else 200, headers)
            if scope["method"] != "HEAD":
                await self._send_body(scope, send, start, end)
        if self.delivery_fault.ending == "end" or scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        if self.delivery_fault.ending == "drop":
            transport_of(scope).close()
        await until_gone(receive)

    def _headers(self, start: int, stop: int, end: int, *, partial: bool) -> dict[str, str]:
        headers = {"Content-Type": self.delivery_fault.content_type or self.clip.content_type}
        if self.delivery_fault.ranges:
            headers |= {"Accept-Ranges": "bytes", "ETag": self.delivery_fault.etag or self.clip.etag}
        if partial:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/" + self.delivery_fault.total.format(self.clip.size)
        lengths = {"all": stop - start, "sent": end - start}
        if self.delivery_fault.announces in lengths:
            headers["Content-Length"] = str(lengths[self.delivery_fault.announces])
        return headers

    async def _send_body(self, scope: Scope, send: Send, start: int, end: int) -> None:
        sound = self.delivery_fault.share == 1 and self.clip.is_video
        for chunk in self.clip.chunks(start, end):
            if transport_of(scope).is_closing():
                return
            start += len(chunk)
            # Counted before the last chunk leaves: a client that has it all may ask for the counts at once.
            if sound and start == self.clip.size:
                self.on_whole()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _send_unframed(self, scope: Scope, headers: dict[str, str], start: int, end: int) -> None:
        """Write past uvicorn: h11 would turn a reply without a length into chunks."""
        status = "206 Partial Content" if "Content-Range" in headers else "200 OK"
        headers |= {"Connection": "close", "Server": SERVER, REQUEST_ID_HEADER: scope[REQUEST_ID]}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        transport = transport_of(scope)
        transport.write("\r\n".join(lines).encode("ascii"))
        for chunk in self.clip.chunks(start, end):
            while transport.get_write_buffer_size() > BUFFERED_AT_MOST and not transport.is_closing():
                await asyncio.sleep(0.005)
            transport.write(chunk)


async def _send_head(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
