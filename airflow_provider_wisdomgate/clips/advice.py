"""Words for people: commands ready to copy, times, amounts. Pure."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime


def command(verb: str, uri: str, *more: str) -> str:
    """Return the command that does something about one clip: ``show``, ``adopt``, ``forget`` or ``fetch``."""
    return " ".join(["wisdomgate clips", verb, shlex.quote(uri), *more])


def utc(epoch: float) -> str:
    """Write epoch seconds as people read them on a usage page."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC" if 0 <= epoch < 1e11 else f"{epoch:g}"


def amount_of(size: int, unit: str = "bytes") -> str:
    """Write a number of bytes shortly: ``1.23 MB``.

    :param unit: the word for bytes.
    """
    amount = float(min(size, 10**30))  # a manifest may say anything
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:  # else three digits make it 1e+03
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if amount < 999.5 else f"{amount:,.0f} {unit}"


def lost_create_advice(uri: str, begun: float) -> str:
    """Return what a person does about a lost create at a destination.

    :param begun: epoch seconds.
    """
    return (
        f"See on the gateway's usage page whether a video was made at about {utc(begun)}. "
        f"If one was made: {command('adopt', uri, '--video-id <id>')} and run the task again, which fetches it. "
        f"If none was made, or you accept to pay again: {command('forget', uri)} and run the task again."
    )
