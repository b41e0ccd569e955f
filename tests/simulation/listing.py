"""The simulated gateway's list of its videos: whole, or in one of the ways in which a list says less than it seems to.

Other users of the same key ask for the same things: their videos stand in it, too.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from simulation.answers import Response
from simulation.plan import Plan

if TYPE_CHECKING:
    from simulation.gateway import Gateway, Video

PAGE = 2
LATE = 300.0
# A list with no more than these tells all there is.
HONEST = frozenset({"pages", "bare list", "remixes", "other prompts"})


def created_at(plan: Plan, video: Video, now: float) -> dict[str, Any]:
    """Return a video's ``created_at`` as the plan's gateway tells it."""
    right = int(video.made)
    says: dict[str, Any] = {"right": right, "text": str(right), "zero": 0, "relative": 5, "milliseconds": right * 1000}
    says |= {"decades away": 4_000_000_000, "negative": -right, "ISO": "2027-01-15T08:00:00Z", "now": int(now)}
    return {} if plan.created == "none" else {"created_at": says[plan.created]}


def answer_list(gateway: Gateway, path: str) -> Response:
    """Answer ``GET /videos``."""
    plan = gateway.world.plan
    if "no route" in plan.listing:
        return Response(404, {"error": {"message": "Invalid URL (GET /v1/videos)", "type": "invalid_request_error"}})
    entries = [] if "empty" in plan.listing else [entry(gateway, video) for video in shown(gateway)]
    if "bare list" in plan.listing:
        return Response(200, entries)
    return Response(200, {"object": "list", **_page(entries, path, "pages" in plan.listing)})


def _page(entries: list[Any], path: str, in_pages: bool) -> dict[str, Any]:
    if not in_pages:
        return {"data": entries}
    after = parse_qs(urlsplit(path).query).get("after", [""])[0]
    ids = [one["id"] for one in entries]
    start = ids.index(after) + 1 if after in ids else 0
    page = entries[start : start + PAGE]
    return {"data": page, "has_more": start + PAGE < len(entries), "last_id": page[-1]["id"] if page else None}


def entry(gateway: Gateway, video: Video) -> dict[str, Any]:
    plan, now = gateway.world.plan, gateway.world.now
    about: dict[str, Any] = {"id": video.id, "status": video.status(now), "model": "sora-2", "prompt": video.prompt}
    if video.remix_of:
        about["remixed_from_video_id"] = video.remix_of
    if "no prompts" in plan.listing:
        del about["prompt"]
    return about | created_at(plan, video, now)


def shown(gateway: Gateway) -> list[Video]:
    """Return the videos that the list shows now, the newest first."""
    plan, now = gateway.world.plan, gateway.world.now
    _others(gateway)
    videos = [video for video in gateway.videos.values() if video.made <= now and not video.is_gone(now)]
    if "late" in plan.listing:
        videos = [video for video in videos if video.made + LATE <= now]
    if "partial" in plan.listing:
        videos = [video for video in videos if random.Random(f"{plan.seed} {video.id}").random() < 0.5]
    return sorted(videos, key=lambda video: (-video.made, video.id))


def _others(gateway: Gateway) -> None:
    """Let others have asked for what our tasks ask for, at about the same time."""
    w = gateway.world
    for number, send in enumerate(w.books.sends):
        for kind in ("twins", "remixes", "other prompts"):
            rng = random.Random(f"{w.plan.seed} {number} {kind}")
            name, made = f"{kind}_{number}", send.sent_at + rng.uniform(-200, 600)
            if kind in w.plan.listing and name not in gateway.videos and made <= w.now and rng.random() < 0.5:
                prompt = send.prompt if kind != "other prompts" else f"{send.prompt}, but another"
                gateway.add_others(name, made, prompt, "vid_0" if kind == "remixes" else "")
