"""A gateway whose routes answer with the very bytes that a test gives, one after the other, the last one for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripted import Answer, Gateway, http, in_turn, scripted
from support import whole

VIDEO_ID = "video_1"
NOT_FOUND = http(404, b'{"error": {"message": "Video not found", "code": "video_not_found"}}')


def says(http_status: int = 200, /, **words: Any) -> bytes:
    """Answer with a JSON object."""
    return http(http_status, json.dumps(words).encode(), {"Content-Type": "application/json"})


def video(status: str = "completed", video_id: str = VIDEO_ID, **facts: Any) -> bytes:
    """Answer with a video's own object."""
    return says(**{"object": "video", "id": video_id, "status": status, **facts})


CLIP = http(200, whole(), {"Content-Type": "video/mp4"})


@contextmanager
def odd_gateway(
    connect: Callable[..., Any],
    *,
    create: tuple[bytes | Answer, ...] = (video("queued"),),
    poll: tuple[bytes | Answer, ...] = (video(),),
    content: tuple[bytes | Answer, ...] = (CLIP,),
    delete: tuple[bytes | Answer, ...] = (says(deleted=True),),
) -> Iterator[Gateway]:
    """Serve such a gateway, to which the default connection leads."""
    routes = {"POST": in_turn(*create), "DELETE": in_turn(*delete), "GET": in_turn(*poll), "content": in_turn(*content)}
    with scripted(lambda it: routes["content" if it.path.endswith("/content") else it.method](it)) as gateway:
        connect(host=gateway.url)
        yield gateway


def sent(gateway: Gateway, method: str = "POST") -> int:
    """Return how many requests of this method arrived; each POST is paid for."""
    return sum(request.method == method for request in gateway.requests)
