"""``clips verify``: reads what is stored again. Changes nothing, and can be stopped and gone on with."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_wisdomgate.cli.output import bytes_of, is_terminal, progress, put, say, show_rows
from airflow_provider_wisdomgate.cli.places import folder_of
from airflow_provider_wisdomgate.cli.run import DIFFERS
from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.ledger.folder import list_places
from airflow_provider_wisdomgate.ledger.rules import quoted
from airflow_provider_wisdomgate.ledger.verify import Verified, verify_folder

COLUMNS = ("uri", "video_id", "problem")
# If nobody watches, a log gets a line so often: a killed run can be gone on with from there.
TELL_EVERY = 30.0


@dataclass
class Progress:
    """The results so far."""

    folder: str
    after: str
    clips: int = 0
    size: int = 0
    others: int = 0
    problems: int = 0

    def count(self, one: Verified) -> None:
        self.after = one.kept.name
        self.clips += one.size > 0 or one.problem is not None
        self.others += one.size == 0 and one.problem is None
        self.size += one.size
        self.problems += one.problem is not None

    def __str__(self) -> str:
        others = f"; {self.others} manifests of clips that are not stored" if self.others else ""
        return f"{self.clips} clips verified ({bytes_of(self.size)}), {self.problems} differ{others}"

    @property
    def goes_on(self) -> str:
        return f"wisdomgate clips verify {quoted(self.folder)} --after {quoted(self.after)}"


def verify_clips(arguments: Namespace) -> int:
    """Verify a folder; 1 if anything differs."""
    so_far = Progress(folder_of(arguments.folder, arguments.conn_id), arguments.after)
    try:
        problems = _problems(so_far)
        if arguments.output == "lines":
            for row in problems:
                put(printable(f"{row['uri']}: {row['problem']}"))
        else:
            show_rows(problems, COLUMNS, arguments.output)
    except BaseException:
        if so_far.after:
            say(f"Stopped: {so_far}. To go on: {so_far.goes_on}")
        raise
    say(f"{so_far}.")
    return DIFFERS if so_far.problems else 0


def _problems(so_far: Progress) -> Iterator[dict[str, Any]]:
    # Counted first, if somebody watches: names are listed a thousand at a time, clips are read one by one.
    total = sum(1 for _ in list_places(so_far.folder, so_far.after)) if is_terminal() else None
    told = time.monotonic()
    with progress("", total) as bar:
        for one in verify_folder(so_far.folder, so_far.after):
            so_far.count(one)
            bar.update(bar.task_ids[0], advance=1, description=printable(one.kept.name[-60:]))
            if one.problem is not None:
                manifest = one.kept.manifest
                video_id = manifest.video_id if manifest else None
                yield {"uri": one.kept.destination.uri, "video_id": video_id, "problem": one.problem}
            if time.monotonic() - told > TELL_EVERY and not is_terminal():
                told = time.monotonic()
                say(f"{so_far}. If this is stopped, to go on: {so_far.goes_on}")
