"""Reads single values of JSON that came from outside. Never raises, whatever they are."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_wisdomgate.foreign import without_queries

SCHEMES = ("http://", "https://")
LONGEST_URL = 8192
URL_CHARACTERS = "!#$%&'()*+,-./:;=?@[]_~"

# json.loads would make one for every call that gives it an option.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def loads(data: bytes | str) -> Any:
    """Return data as JSON, None if it is none."""
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode(json.detect_encoding(data)))
    except (ValueError, RecursionError):
        return None


def decoded(data: bytes) -> str:
    """Return data as text, in the encoding that JSON would have; bytes that are no text are replaced."""
    return data.decode(json.detect_encoding(data), errors="replace")


def first_document(data: bytes) -> Any:
    """Return the first JSON object or list in data, whatever stands around it; None if there is none, or in a page."""
    text = decoded(data).lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        return None
    for start in sorted(at for at in (text.find("{"), text.find("[")) if at >= 0):
        try:
            return _DECODER.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
    return None


def text_of(value: Any) -> str | None:
    """Return a text or a number as text, None for all else and for nothing."""
    if type(value) is str and value.isascii():
        return value or None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return writable(str(value)) or None


def writable(text: str) -> str:
    """Replace what no file and no log can hold: JSON may have half a character."""
    return text.encode(errors="replace").decode()


def shortened(value: Any) -> str:
    """Return a value as text of at most 500 characters, without the queries of URLs."""
    try:
        text = writable(value) if isinstance(value, str) else "" if value is None else json.dumps(value)
    except RecursionError:  # Python 3.14 reads dicts that are nested twice as deep as those that it writes
        return "(nested too deep to be shown)"
    return without_queries(text if len(text) <= 500 else f"{text[:500]}...")


def url_of(value: Any) -> str | None:
    """Return an http(s) URL with a host, quoted, at most 8 KiB; None for all else."""
    if not isinstance(value, str) or len(value) > LONGEST_URL or not value.strip().lower().startswith(SCHEMES):
        return None
    try:
        url = quote(writable(value).strip(), safe=URL_CHARACTERS)
        return url if urlsplit(url).hostname else None
    except ValueError:
        return None


def number_of(value: Any) -> float | None:
    """Return a finite number, also one that came as text; None for all else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def percent_of(value: Any) -> float | None:
    """Return a progress in percent. A number between 0 and 1 is a fraction, unless it has a percent sign; 1 is 1%."""
    if isinstance(value, str) and value.endswith("%"):
        return number_of(value.rstrip("%"))
    number = number_of(value)
    return 100 * number if number is not None and 0 < number < 1 else number


def moment_of(value: Any) -> float | None:
    """Return a plausible time in epoch seconds (2017 to 2099); None for zero, a duration, milliseconds and all else."""
    number = number_of(value)
    return number if number is not None and 1.5e9 < number < 4.1e9 else None
