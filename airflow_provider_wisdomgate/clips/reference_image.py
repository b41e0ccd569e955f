"""Reads the references of a create: images from wherever clips can be kept. Opens no URL: the gateway does that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.clips.stores.base import NotAFileError, storage_errors
from airflow_provider_wisdomgate.gateway.routes import (
    Part,
    Reference,
    as_text,
    check_plain,
    check_text,
    is_url,
)

# Of all references of one create together.
MAX_REFERENCE_BYTES = 50 * 1024**2
REMEDY = "Give an image's path or URI, an https URL, a data: URL, an object, or a list of these."
# A URL that two readers could read differently, and a data: URL without data, are no references.
URL = re.compile(r"https?://[^\s/?#\\\x00-\x1f\x7f][^\s\\\x00-\x1f\x7f]*", re.IGNORECASE)
DATA_URL = re.compile(r"data:[^,\s]*,\S", re.IGNORECASE)

IMAGE_KINDS: dict[str, Callable[[bytes], bool]] = {
    "jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "webp": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
}


def read_references(given: Any) -> Reference | list[Reference]:
    """Return what is sent for ``input_reference``: an image in storage as a file, all else as it is given.

    :param given: a path or URI; also a ``Path`` or an ``ObjectStoragePath``; an http(s) URL, a ``data:`` URL, a dict;
        or a list of several of these.
    :raises ConfigurationError: it is none of these, not there, no JPEG, PNG or WebP, or too large together.
    """
    if not isinstance(given, list | tuple):
        return _read(given, MAX_REFERENCE_BYTES)[0]
    if not given:
        raise errors.ConfigurationError("input_reference is an empty list.", next_step=REMEDY)
    found: list[Reference] = []
    left = MAX_REFERENCE_BYTES
    for each in given:
        reference, size = _read(each, left)
        found.append(reference)
        left -= size
    return found


def _read(given: Any, at_most: int) -> tuple[Reference, int]:
    """Return one reference and its size."""
    if isinstance(given, Mapping) and given:
        text = check_plain("input_reference", given)
        return given, _checked_size("the object", len(text), at_most)
    given = str(given) if hasattr(given, "as_uri") else as_text(given)
    if not isinstance(given, str):  # not quoted: there may be a signed URL in it
        raise errors.ConfigurationError(f"input_reference must not be {type(given).__name__}.", next_step=REMEDY)
    text = check_text("input_reference", given, REMEDY)
    if not is_url(text.strip()) and not text.strip().lower().startswith("data:"):
        part = read_reference_image(text, at_most)
        return part, len(part.content)
    text = text.strip()
    kind = "the URL" if is_url(text) else "the data: URL"
    if not (URL.fullmatch(text) if is_url(text) else DATA_URL.match(text)):
        raise errors.ConfigurationError(f"input_reference: {kind} is not one.", next_step=REMEDY)
    return text, _checked_size(kind, len(text), at_most)


def read_reference_image(uri: str, at_most: int = MAX_REFERENCE_BYTES) -> Part:
    """Read a reference image, from wherever clips can be kept.

    :param at_most: refuse a larger one, in bytes.
    :raises ConfigurationError: it is not there, too large, or no JPEG, PNG or WebP.
    """
    try:
        with storage_errors(uri):
            found = open_store(uri).read("", at_most)
    except errors.StorageError as error:
        if isinstance(error.__cause__, NotAFileError):
            raise errors.ConfigurationError(f"input_reference {error.__cause__}.") from error
        raise
    except errors.ConfigurationError as error:
        raise errors.ConfigurationError(f"input_reference {error.message}", next_step=error.next_step) from error
    if found is None:
        raise errors.ConfigurationError(f"input_reference {uri!r} does not exist.")
    data = found.data
    _checked_size(repr(uri), len(data) if found.is_whole else found.size, at_most)
    for kind, is_kind in IMAGE_KINDS.items():
        if is_kind(data):
            return Part(f"reference.{kind}", data, f"image/{kind}")
    raise errors.ConfigurationError(f"input_reference {uri!r} is no JPEG, PNG or WebP image.")


def _checked_size(what: str, size: int, at_most: int) -> int:
    if size > at_most:
        beside = "" if at_most == MAX_REFERENCE_BYTES else f" beside the others (in all at most {MAX_REFERENCE_BYTES})"
        raise errors.ConfigurationError(f"input_reference: {what} has {size} bytes, more than {at_most}{beside}.")
    return size
