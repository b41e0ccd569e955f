"""Reads the Range header. Pure. One range at a time; what is not understood is ignored, as RFC 9110 allows."""

from __future__ import annotations

import re

ONE_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class OutOfRangeError(ValueError):
    """Nothing of the file lies in the range: HTTP 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, end) with ``end`` exclusive, None for the whole file.

    :raises OutOfRangeError: the range lies behind the end.
    """
    found = ONE_RANGE.fullmatch(header or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        if not int(last):
            raise OutOfRangeError
        return max(size - int(last), 0), size
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise OutOfRangeError
    return start, end
