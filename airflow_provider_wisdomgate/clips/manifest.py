"""The manifest: the record beside a clip, which every later try reads. No key ever. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from airflow_provider_wisdomgate import exceptions as errors

Phase = Literal["creating", "created", "stored", "failed"]

VERSION = 1

_MAYBE_NUMBER = (int, float, type(None))

# What a manifest's values may be; anybody can write a file of that name.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("phase", "claim_id", "uri"), (str,)),
    **dict.fromkeys(("video_id", "fingerprint", "sha256", "content_type"), (str, type(None))),
    **dict.fromkeys(("created_at", "expires_at", "stored_at", "duration"), _MAYBE_NUMBER),
    **dict.fromkeys(("size", "width", "height"), (int, type(None))),
    "claimed_at": (int, float),
    "request": (dict,),
    "made_by": (dict,),
    "request_ids": (list,),
    "error": (dict, type(None)),
    "version": (int,),
}


@dataclass(frozen=True)
class Manifest:
    """The record beside a clip. Times are epoch seconds, ``duration`` seconds, ``size`` bytes."""

    phase: Phase
    claim_id: str
    uri: str
    claimed_at: float
    video_id: str | None = None
    fingerprint: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)
    request_ids: tuple[str, ...] = ()
    created_at: float | None = None
    expires_at: float | None = None
    stored_at: float | None = None
    size: int | None = None
    sha256: str | None = None
    content_type: str | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    error: Mapping[str, Any] | None = None
    version: int = VERSION

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    def dump(self) -> bytes:
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
        try:
            return text.encode() + b"\n"
        except UnicodeEncodeError:  # half a character, which only the escaped form can hold
            return json.dumps(self.as_dict(), indent=1).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes, uri: str) -> Manifest:
        """Read what :meth:`dump` wrote.

        :raises DestinationTakenError: it is no manifest of ours.
        """
        try:
            values = json.loads(data)
            known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
            for name, kinds in KINDS.items():
                if name in known and not isinstance(known[name], kinds):
                    raise TypeError(name)
            manifest = cls(**{**known, "request_ids": tuple(known.get("request_ids", ()))})
            if manifest.version != VERSION or manifest.phase not in ("creating", "created", "stored", "failed"):
                raise ValueError(manifest.version)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise errors.DestinationTakenError(
                f"{uri} is no manifest of this package.",
                next_step="Move it away, or give the task another destination.",
            ) from error
        return manifest
