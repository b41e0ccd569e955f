"""Formats the values of a manifest. Pure; a manifest is a file, so any value may be odd. States: ledger/rules.py."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import amount_of

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
REFRESH_SECONDS = 10
LONGEST_REASON = 200
UNREADABLE = "The API server cannot read the storage; its log has the reason."
REFERENCE = (
    "The task's XCom is an address that does not end in .mp4, .mov or .webm. Either the task's destination has no such "
    "ending: this page serves no other files. Or a custom XCom backend left a reference: this page opens none, and no "
    "clip is at the task's destination below storage_path or served_paths. Clear the task in that case: this "
    "package's operators now write the place past the backend, and a clip that is stored is not paid for again "
    "(if_exists='skip'). A task of your own calls airflow_provider_wisdomgate.links.tell_destination."
)


def sentence(text: str) -> str:
    """Return the words of a table as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


def reason_of(manifest: Manifest, longest: int | None = None) -> str | None:
    """Return a record's error, or the answer that a lost create got, in one line; None if it has neither.

    :param longest: cut after so many characters.
    """
    answer = f"The answer was: {manifest.answer}" if manifest.answer else ""
    line = " ".join(str((manifest.error or {}).get("message") or answer).split())
    return (line if longest is None or len(line) <= longest else f"{line[:longest]}…") or None


def requested(manifest: Manifest, name: str) -> Any:
    """Return a value of a request, from its own fields or the model's."""
    request = manifest.request if isinstance(manifest.request, Mapping) else {}
    fields = request.get("fields")
    return request.get(name) or (fields.get(name) if isinstance(fields, Mapping) else None)


def bytes_of(size: Any) -> str | None:
    """Write a number of bytes: ``1.23 MB (1,234,567 bytes)``."""
    if not isinstance(size, int):
        return None
    return f"{size:,} bytes" if abs(size) < 1000 else f"{amount_of(size)} ({size:,} bytes)"


def seconds_of(duration: Any) -> str | None:
    """Write a clip's length; a request has it as a string."""
    if isinstance(duration, str) and duration.isdecimal():
        return f"{duration} s"
    return f"{duration:.4g} s" if isinstance(duration, int | float) else None


def moment(epoch: Any) -> datetime | None:
    """Return the time of epoch seconds, None for what is no time."""
    if not isinstance(epoch, int | float) or not math.isfinite(epoch) or not 0 < epoch < 1e11:
        return None
    return datetime.fromtimestamp(epoch, UTC)


def distance(epoch: float, now: float) -> str:
    """Write how far away a time is: ``in 23 hours``, ``2 days ago``."""
    away = abs(epoch - now)
    length, unit = next((each for each in UNITS if away >= each[0]), UNITS[-1])
    count = int(away // length)
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {words}" if epoch > now else f"{words} ago"
