"""Names the file of a clip whose task names none. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
# Of a part with a hash. Airflow's ids have up to 250 letters, and a file name ends at 255 bytes.
LONGEST = 200


def default_name(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return where a task instance's clip goes, relative to the storage path.

    Never ``ds``, which manual and asset-triggered runs lack; never ``try_number``, so that a retry finds what the
    first try made.

    :param map_index: None or below 0 if the task is not mapped.
    """
    return _name(dag_id, run_id, task_id, map_index, _safe)


def old_default_name(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return what :func:`default_name` returned before version 0.3: ids in other scripts shared a name."""
    return _name(dag_id, run_id, task_id, map_index, _ascii)


def _name(dag_id: str, run_id: str, task_id: str, map_index: int | None, safe: Callable[[str], str]) -> str:
    name = task_id if map_index is None or map_index < 0 else f"{task_id}-{map_index}"
    return "/".join(safe(part) for part in (dag_id, run_id, name)) + ".mp4"


def _safe(part: str) -> str:
    safe = _ascii(part)
    if part.isascii():
        return safe
    return f"{safe[:LONGEST]}-{hashlib.sha256(part.encode(errors='surrogatepass')).hexdigest()[:8]}"


def _ascii(part: str) -> str:
    safe = UNSAFE.sub("_", part)
    return safe if safe.strip(".") else "_" * len(safe)
