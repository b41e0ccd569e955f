"""The commands that a person is told, ready to copy. Pure."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime


def command(verb: str, uri: str, *more: str) -> str:
    """Return the command that does something about one clip: ``show``, ``adopt``, ``forget`` or ``fetch``."""
    return " ".join(["wisdomgate clips", verb, shlex.quote(uri), *more])


def utc(epoch: float) -> str:
    """Write epoch seconds as people read them on a usage page."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC" if 0 <= epoch < 1e11 else f"{epoch:g}"


def lost_create_advice(uri: str, begun: float) -> str:
    """Return what a person does about a lost create at a destination.

    :param begun: epoch seconds.
    """
    return (
        f"See on the gateway's usage page whether a video was made at about {utc(begun)}. "
        f"If one was made: {command('adopt', uri, '--video-id <id>')} and run the task again, which fetches it. "
        f"If none was made, or you accept to pay again: {command('forget', uri)} and run the task again."
    )
