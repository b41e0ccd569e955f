"""Decides whether clips may be served from a URI. Opens nothing, and trusts none of its arguments.

An XCom proves nothing: anybody who may write XComs can forge one, and the reader here is the API server with its own
disk and credentials.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

# The suffix decides the content type; content sniffing is off.
KINDS = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
LOCAL = ("file", "local")
LONGEST = 4096


@dataclass(frozen=True)
class ClipLocation:
    """A file or folder of a store. ``netloc`` has the connection id in it, so that a URI cannot choose another."""

    scheme: str
    netloc: str
    parts: tuple[str, ...]

    @property
    def uri(self) -> str:
        path = "/" + "/".join(self.parts)
        return path if self.scheme == "file" else f"{self.scheme}://{self.netloc}{path}"

    @property
    def kind(self) -> str | None:
        """The media type, None for what is never served."""
        return KINDS.get(os.path.splitext(self.parts[-1])[1].lower()) if self.parts else None

    def is_below(self, other: ClipLocation) -> bool:
        if (self.scheme, self.netloc) != (other.scheme, other.netloc):
            return False
        depth = len(other.parts)
        if not depth and self.scheme == "file":
            return False  # "/" is nobody's folder of clips
        return len(self.parts) > depth and self.parts[:depth] == other.parts


def location_of(uri: Any) -> ClipLocation | None:
    """Read a URI or an absolute path, as :func:`stores.open_store` does; None for what has no business here.

    Local paths are resolved, so that a symlink counts as what it leads to.
    """
    if not isinstance(uri, str) or not uri.isprintable() or len(uri) > LONGEST or "\\" in uri:
        return None
    scheme, is_uri, rest = uri.partition("://")
    scheme, netloc, path = (scheme.lower(), *_split(rest)) if is_uri else ("file", "", uri)
    if not path.startswith("/"):
        return None
    if any(part in ("", ".", "..") for part in unquote(path).strip("/").split("/") if path != "/"):
        return None
    if scheme not in LOCAL:
        return ClipLocation(scheme, netloc, _parts(path)) if scheme and netloc else None
    if netloc:
        return None
    return ClipLocation("file", "", _parts(os.path.realpath(unquote(path) if is_uri else path)))


def served_location(uri: Any, prefixes: Iterable[str]) -> ClipLocation | None:
    """Return the location of a clip's URI if it is one that may be served."""
    location = location_of(uri)
    if location is None or location.kind is None or uri.endswith("/"):
        return None
    folders = (location_of(prefix) for prefix in prefixes)
    return location if any(folder is not None and location.is_below(folder) for folder in folders) else None


def prefixes_of(storage_path: str | None, served_paths: str | None) -> tuple[str, ...]:
    """Return what the two options allow; neither set allows nothing."""
    listed = [storage_path or "", *(served_paths or "").split(",")]
    return tuple(prefix.strip() for prefix in listed if prefix.strip())


def _split(rest: str) -> tuple[str, str]:
    netloc, _, path = rest.partition("/")
    return netloc, f"/{path}"


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)
