"""Lists the files of a local folder and all below it, lazily. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from airflow_provider_wisdomgate.clips.stores.base import Listed


def files_below(folder: str, prefix: str, after: str) -> Iterator[Listed]:
    """Walk a folder in the order in which object stores list keys: there a folder's name ends in a slash."""
    with os.scandir(folder) as entries:  # closed before its folders are opened: depth costs no handles
        found = sorted(
            (prefix + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else ""), entry.path)
            for entry in entries
            if not entry.is_symlink()
        )
    for name, path in found:
        with suppress(FileNotFoundError):  # somebody removed it
            if name.endswith("/") and (name > after or after.startswith(name)):
                yield from files_below(path, name, after)
            elif not name.endswith("/") and name > after:
                yield Listed(name, os.lstat(path).st_size)
