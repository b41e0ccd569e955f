"""The manifest: the record beside a clip, which every later try reads. No key ever. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from airflow_provider_wisdomgate import exceptions as errors

Phase = Literal["creating", "created", "stored", "failed"]

VERSION = 1

# No size and no time of ours comes near it; what is larger breaks arithmetic.
LARGEST = 1e15

# How a manifest begins, how one of a create without an answer does, and what is near the end of each.
BEGINNING = b'{\n "phase": '
CREATING = BEGINNING + b'"creating"'
LAST = b'\n "version": '
NAMES_A_VIDEO = b'"video_id": "'

_MAYBE_NUMBER = (int, float, type(None))

# What a manifest's values may be; anybody can write a file of that name.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("phase", "claim_id", "uri"), (str,)),
    **dict.fromkeys(("video_id", "fingerprint", "sha256", "content_type"), (str, type(None))),
    **dict.fromkeys(("created_at", "expires_at", "stored_at", "duration", "claim_seconds", "lost_at"), _MAYBE_NUMBER),
    **dict.fromkeys(("size", "width", "height"), (int, type(None))),
    "claimed_at": (int, float),
    "request": (dict,),
    "made_by": (dict,),
    "request_ids": (list,),
    **dict.fromkeys(("error", "replaced"), (dict, type(None))),
    "version": (int,),
}

# Left out where they say nothing: they are for a claim or a replacement that is under way.
ONLY_WHERE_SET = ("claim_seconds", "lost_at", "replaced")

# A record of a record of a record: whoever replaces so often without one clip in between loses a create that was lost,
# and only where there is none the oldest record.
MAX_REPLACED = 8


@dataclass(frozen=True)
class Manifest:
    """The record beside a clip. Times are epoch seconds, ``duration`` seconds, ``size`` bytes.

    In phase ``created``, ``sha256`` and ``size`` are of the clip that is about to appear.

    :param claim_seconds: in phase ``creating``: for so long after it was written the create may be under way.
    :param lost_at: in phase ``creating``: when its owner gave up on the answer of its create.
    :param replaced: the record that this one took the place of, which comes back if nothing comes of this one.
    """

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
    claim_seconds: float | None = None
    lost_at: float | None = None
    replaced: Mapping[str, Any] | None = None
    version: int = VERSION

    @property
    def previous(self) -> Manifest | None:
        """The record that this one took the place of, None where there is none that can be read."""
        try:
            return None if self.replaced is None else self.from_dict(self.replaced)
        except (ValueError, TypeError):
            return None

    @property
    def below(self) -> Iterator[Manifest]:
        """The records that this one took the place of, the latest first."""
        record = self.previous
        while record is not None:
            yield record
            record = record.previous

    def over(self, found: Manifest | None) -> Manifest:
        """Return this record as it takes the place of another."""
        found_there = () if found is None else (found, *found.below)
        records = [replace(record, replaced=None).as_dict() for record in found_there]
        while len(records) > MAX_REPLACED:
            lost = [number for number, record in enumerate(records) if number and record["phase"] == "creating"]
            del records[lost[-1] if lost else -1]
        replaced: dict[str, Any] | None = None
        for record in reversed(records):
            replaced = {**record, "replaced": replaced} if replaced else record
        return replace(self, replaced=replaced)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in values.items() if value is not None or name not in ONLY_WHERE_SET}

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
            return cls.from_dict(json.loads(data))
        except (ValueError, TypeError, RecursionError) as error:
            raise errors.DestinationTakenError(
                f"{uri} is no manifest of this package.",
                next_step="Move it away, or give the task another destination.",
            ) from error

    @classmethod
    def from_dict(cls, values: Any) -> Manifest:
        """Make the record again that :meth:`as_dict` described.

        :raises ValueError: it is none of ours; TypeError likewise.
        """
        if not isinstance(values, Mapping):
            raise TypeError(type(values))
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        for name, kinds in KINDS.items():
            if name in known and not isinstance(known[name], kinds):
                raise TypeError(name)
            if isinstance(value := known.get(name), int | float) and not abs(value) < LARGEST:
                raise ValueError(name)  # NaN, too
        manifest = cls(**{**known, "request_ids": tuple(known.get("request_ids", ()))})
        if manifest.version != VERSION or manifest.phase not in get_args(Phase):
            raise ValueError(manifest.version)
        return manifest


def begins_as_manifest(data: bytes) -> bool:
    """Whether a file begins as a manifest does. If it is none all the same, it is half-written, or damaged."""
    return data.startswith(BEGINNING)


def is_unfinished(data: bytes) -> bool:
    """Whether a file is the beginning of a claim that somebody is writing, or died over.

    A store that cannot let a file appear whole shows it so for a moment; no create is sent before it is written. A
    later record is none, however little of it is there: it may name a paid video. Neither is a claim with its end, nor
    one over a record that names a video.
    """
    text = data.strip(b"\0 \r\n")
    is_new = text.startswith(CREATING) and NAMES_A_VIDEO not in text
    is_claim = is_new or b'\n "fingerprint": null' in text  # the second is a download's
    return CREATING.startswith(text) or (text.startswith(BEGINNING) and is_claim and LAST not in text)
