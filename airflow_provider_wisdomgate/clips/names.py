"""Names the file of a clip whose task names none. Pure."""

from __future__ import annotations

import hashlib
import re

UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
# Of a part with a hash. Airflow's ids have up to 250 letters, and a file name ends at 255 bytes.
LONGEST = 200


def default_name(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """Return where a task instance's clip goes, relative to the storage path.

    Never ``ds``, which manual and asset-triggered runs lack; never ``try_number``, so that a retry finds what the
    first try made.

    :param map_index: None or below 0 where the task is not mapped.
    """
    name = task_id if map_index is None or map_index < 0 else f"{task_id}-{map_index}"
    return "/".join(_safe(part) for part in (dag_id, run_id, name)) + ".mp4"


def _safe(part: str) -> str:
    safe = UNSAFE.sub("_", part)
    if not part.isascii():  # else the names of 猫 and 犬 would be the same one
        return f"{safe[:LONGEST]}-{hashlib.sha256(part.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return safe if safe.strip(".") else "_" * len(safe)
