"""Reads a list that comes in pages to its end. Opens no socket."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.replies import Page
from airflow_provider_wisdomgate.gateway.video import Video

# OpenAI's pages have 20 videos each by default.
MAX_PAGES = 500


def all_videos(send: Callable[[routes.Call[Page]], Page]) -> list[Video]:
    """Return the videos of all pages.

    :raises UnexpectedReplyError: the list does not end: a part of it would look like all.
    """
    videos: dict[str, Video] = {}  # by their ids: while pages are read, some may move to the next one
    after = None
    for _ in range(MAX_PAGES):
        page = send(routes.list_videos(after))
        videos |= {video.id: video for video in page.videos}
        if page.after is None:
            return list(videos.values())
        if page.after == after:
            break
        after = page.after
    raise errors.UnexpectedReplyError(f"The gateway's list of videos does not end within {MAX_PAGES} pages.")
