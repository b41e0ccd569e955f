"""The commands that a person is told, ready to copy. Pure."""

from __future__ import annotations

import shlex


def command(verb: str, uri: str, *more: str) -> str:
    """Return the command that does something about one clip: ``show``, ``adopt``, ``forget`` or ``fetch``."""
    return " ".join(["wisdomgate clips", verb, shlex.quote(uri), *more])


def lost_create_advice(uri: str) -> str:
    """Return what a person does about a lost create at a destination."""
    return (
        "Look at the gateway's usage page whether a video was made at that time. "
        f"It was: {command('adopt', uri, '--video-id <id>')} and run the task again, which fetches it. "
        f"It was not, or it may be paid again: {command('forget', uri)} and run the task again."
    )
