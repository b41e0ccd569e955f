"""Reads the reference image of a create, from wherever clips can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores import open_store
from airflow_provider_wisdomgate.clips.stores.base import storage_errors
from airflow_provider_wisdomgate.gateway.routes import Part, check_text

MAX_REFERENCE_BYTES = 50 * 1024**2

IMAGE_KINDS: dict[str, Callable[[bytes], bool]] = {
    "jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "webp": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
}


def read_reference_image(reference: Any) -> Part:
    """Read a reference image, from wherever clips can be kept.

    :param reference: its path or URI; also a ``Path`` or an ``ObjectStoragePath``.
    :raises ConfigurationError: it is not there, too large, or no JPEG, PNG or WebP.
    """
    given = str(reference) if hasattr(reference, "as_uri") else reference
    uri = check_text("input_reference", given, "Give a path or a URI.")
    try:
        with storage_errors(uri):
            found = open_store(uri).read("")
    except errors.ConfigurationError as error:
        raise errors.ConfigurationError(f"input_reference {error.message}", next_step=error.next_step) from error
    if found is None:
        raise errors.ConfigurationError(f"input_reference {uri!r} does not exist.")
    data = found.data
    if len(data) > MAX_REFERENCE_BYTES:
        raise errors.ConfigurationError(
            f"input_reference {uri!r} has {len(data)} bytes, more than {MAX_REFERENCE_BYTES}."
        )
    for kind, is_kind in IMAGE_KINDS.items():
        if is_kind(data):
            return Part(f"reference.{kind}", data, f"image/{kind}")
    raise errors.ConfigurationError(f"input_reference {uri!r} is no JPEG, PNG or WebP image.")
