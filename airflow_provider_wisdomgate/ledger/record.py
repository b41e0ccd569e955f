"""The manifest: the record beside a clip, which every later try reads. It never contains a key. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.stores.base import MAX_RECORD_BYTES

Phase = Literal["creating", "created", "stored", "failed"]

VERSION = 1

# No size and no time of this package comes near it; larger numbers break arithmetic.
LARGEST = 1e15

# How a manifest begins, how a claim without a video begins, and what is near the end of each.
BEGINNING = b'{\n "phase": '
CREATING = BEGINNING + b'"creating"'
LAST = b'\n "version": '
NAMES_A_VIDEO = b'"video_id": "'
A_VIDEO = re.compile(NAMES_A_VIDEO + rb'((?:[^"\\\x00-\x1f]|\\.){1,300})"')

_MAYBE_NUMBER = (int, float, type(None))

# No record of this package comes near this depth; a deeper one can be read and not be written.
MAX_DEPTH = 64

NESTS = (dict, list, tuple)

# Brackets and commas: JSON has at most so many values, and each costs a reader a hundred bytes.
MAX_VALUES = 200_000
# A claim fills at most this part of both limits. The rest is for what is recorded after the payment.
CLAIM_SHARE = 0.9
# Of a longer text in a request, such as an image in its fields, a record has the beginning, the length and the hash.
LONGEST_TEXT = 65_536
TEXT_BEGINS = 100

# The types of a manifest's values. Anybody can write a file of that name.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("phase", "claim_id", "uri"), (str,)),
    **dict.fromkeys(("video_id", "fingerprint", "sha256", "content_type", "content_host", "answer"), (str, type(None))),
    **dict.fromkeys(("created_at", "expires_at", "stored_at", "duration"), _MAYBE_NUMBER),
    **dict.fromkeys(("claim_seconds", "lost_at", "killed_at"), _MAYBE_NUMBER),
    **dict.fromkeys(("size", "width", "height"), (int, type(None))),
    "claimed_at": (int, float),
    "request": (dict,),
    "made_by": (dict,),
    "request_ids": (list,),
    **dict.fromkeys(("error", "replaced"), (dict, type(None))),
    "version": (int,),
}

# Left out if unset: they describe a claim, a kill or a replacement that is under way, or where an odd clip came from.
ONLY_IF_SET = ("claim_seconds", "lost_at", "killed_at", "answer", "replaced", "content_host")

# The chain of replaced records is bounded. Beyond this depth a lost create is dropped first, then the oldest record.
MAX_REPLACED = 8


@dataclass(frozen=True)
class Manifest:
    """The record beside a clip. Times are epoch seconds, ``duration`` seconds, ``size`` bytes.

    In phase ``created``, ``sha256`` and ``size`` are of the clip that is about to appear.

    :param claim_seconds: in phase ``creating``: the create may be in progress for this long after ``claimed_at``.
    :param lost_at: in phase ``creating``: when the owner gave up on the answer to its create.
    :param answer: in phase ``creating``: what came in place of an answer with an id, redacted, at most 500 characters.
    :param killed_at: in phase ``created``: when a person killed the task, which then asked the gateway to delete it.
    :param content_host: the host that the clip came from, if it is not the gateway's own.
    :param replaced: the record that this one replaced. It comes back if this one fails.
    :param unknown: fields that a later version wrote. Every rewrite keeps them.
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
    content_host: str | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    error: Mapping[str, Any] | None = None
    claim_seconds: float | None = None
    lost_at: float | None = None
    answer: str | None = None
    killed_at: float | None = None
    replaced: Mapping[str, Any] | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION

    @property
    def previous(self) -> Manifest | None:
        """The record that this one replaced, None if there is none that can be read."""
        try:
            return None if self.replaced is None else self.from_dict(self.replaced)
        except (ValueError, TypeError):
            return None

    @property
    def below(self) -> Iterator[Manifest]:
        """The records that this one replaced, the latest first."""
        record = self.previous
        while record is not None:
            yield record
            record = record.previous

    def over(self, found: Manifest | None) -> Manifest:
        """Return this record as a replacement of another.

        :raises ConfigurationError: the request alone is too large to be recorded.
        """
        found_there = () if found is None else (found, *found.below)
        records = [replace(record, replaced=None).as_dict() for record in found_there]
        while len(records) > MAX_REPLACED or (records and not self._above(records)._leaves_room):
            lost = [number for number, record in enumerate(records) if number and record["phase"] == "creating"]
            del records[lost[-1] if lost else -1]
        if not (new := self._above(records))._leaves_room:
            raise errors.ConfigurationError(
                f"The request is too large to be recorded: its record may have {MAX_RECORD_BYTES * CLAIM_SHARE:,.0f} "
                f"bytes and {MAX_VALUES * CLAIM_SHARE:,.0f} values.",
                next_step="Give less in fields and prompt, and files by URL.",
            )
        return new

    def _above(self, records: list[dict[str, Any]]) -> Manifest:
        replaced: dict[str, Any] | None = None
        for record in reversed(records):
            replaced = {**record, "replaced": replaced} if replaced else record
        return replace(self, replaced=replaced)

    @property
    def _leaves_room(self) -> bool:
        return _fits(json.dumps(self.as_dict(), indent=1, ensure_ascii=False).encode(errors="replace"), CLAIM_SHARE)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        # Not asdict(): it copies deeply what the round trip copies again.
        values: dict[str, Any] = json.loads(json.dumps({name: getattr(self, name) for name in (*FIELDS, "unknown")}))
        unknown = values.pop("unknown")
        known = {name: value for name, value in values.items() if value is not None or name not in ONLY_IF_SET}
        version = known.pop("version")  # the last line shows that a file is whole
        return {**known, **{name: unknown[name] for name in unknown if name not in values}, "version": version}

    def dump(self) -> bytes:
        """Return the file's bytes.

        :raises WisdomGateError: the record could not be loaded again.
        """
        try:
            values = self.as_dict()
            self.from_dict(values)
            text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            raise errors.WisdomGateError(f"A record that cannot be read again is not written: {error}") from error
        try:
            data = text.encode() + b"\n"
        except UnicodeEncodeError:  # half a character, which only the escaped form can hold
            data = json.dumps(values, indent=1).encode() + b"\n"
        if not _fits(data):
            raise errors.WisdomGateError(f"A record of {len(data)} bytes is not written: it could not be read again.")
        return data

    @classmethod
    def load(cls, data: bytes, uri: str) -> Manifest:
        """Read what :meth:`dump` wrote.

        :raises DestinationTakenError: it is not a manifest of this package.
        :raises DamagedManifestError: a later version of this package wrote it.
        """
        try:
            if not _fits(data):
                raise ValueError("too large")
            return cls.from_dict(_DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass")))
        except NewerVersionError as error:
            raise errors.DamagedManifestError(
                f"{uri} was written by a later version of this package (record version {error}).",
                next_step=f"Upgrade airflow-provider-wisdomgate to {error.needs}.",
            ) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise errors.DestinationTakenError(
                f"{uri} is no manifest of this package.",
                next_step="Move it away, or give the task another destination.",
            ) from error

    @classmethod
    def from_dict(cls, values: Any) -> Manifest:
        """Return the record that :meth:`as_dict` described.

        :raises ValueError: it is not a record of this package; TypeError likewise.
        """
        if not isinstance(values, Mapping):
            raise TypeError(type(values))
        if _is_deeper(values, MAX_DEPTH):
            raise ValueError("nested too deep")
        if isinstance(version := values.get("version"), int) and version > VERSION and "phase" in values:
            raise NewerVersionError(version, values.get("needs"))
        known = {name: values[name] for name in FIELDS if name in values}
        for name, kinds in KINDS.items():
            if name in known and not isinstance(known[name], kinds):
                raise TypeError(name)
            if isinstance(value := known.get(name), int | float) and not abs(value) < LARGEST:
                raise ValueError(name)  # NaN, too
        unknown = {str(name): value for name, value in values.items() if name not in known}
        manifest = cls(**{**known, "request_ids": tuple(known.get("request_ids", ()))}, unknown=unknown)
        if manifest.version != VERSION or manifest.phase not in get_args(Phase):
            raise ValueError(manifest.version)
        return manifest


FIELDS = tuple(field.name for field in fields(Manifest) if field.name != "unknown")


def _fits(data: bytes, share: float = 1.0) -> bool:
    """Whether a record has no more bytes and values than a reader takes."""
    values = sum(map(data.count, (b",", b"[", b"{")))
    return len(data) <= MAX_RECORD_BYTES * share and values <= MAX_VALUES * share


def recorded(value: Any) -> Any:
    """Return a request as it is recorded: the whole prompt, of other texts no bulk.

    A fingerprint is of the whole request.
    """
    if isinstance(value, Mapping):
        return {name: each if name == "prompt" else recorded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [recorded(each) for each in value]
    if not isinstance(value, str) or len(value) <= LONGEST_TEXT:
        return value
    digest = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
    return f"{value[:TEXT_BEGINS]}... ({len(value)} characters, sha256 {digest})"


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    return depth < 0 or any(_is_deeper(each, depth - 1) for each in inner if isinstance(each, NESTS))


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # a record with NaN equals no record, itself included


_DECODER = json.JSONDecoder(parse_constant=_refuse)


class NewerVersionError(ValueError):
    """A record of a later version. ``needs`` names the package version that reads it."""

    def __init__(self, version: int, needs: Any) -> None:
        super().__init__(version)
        self.needs = f"version {needs}" if isinstance(needs, str) and len(needs) < 20 else "the newest version"


def begins_as_manifest(data: bytes) -> bool:
    """Whether a file begins as a manifest does. If it is not a manifest, it is half-written or damaged."""
    return data.startswith(BEGINNING)


def is_record(data: bytes) -> bool:
    """Whether a file that cannot be read was a record of this package."""
    return is_empty(data) or is_unfinished(data) or begins_as_manifest(data)


def ids_in(data: bytes) -> tuple[str, ...]:
    """Return the video ids that a file names, each once, whether it can be read as a record or not."""
    return tuple(dict.fromkeys(found.decode(errors="replace") for found in A_VIDEO.findall(data)))


def is_empty(data: bytes) -> bool:
    """Whether a file holds nothing: what a kill or a full disk leaves of any file."""
    return not data.strip(b"\0 \t\r\n")


def is_unfinished(data: bytes) -> bool:
    """Whether a file is the beginning of a claim: its writer is writing it, or died.

    Only a store that writes in place shows a file like this. No create is sent before its claim is whole. The beginning
    of a later record does not count: it may name a paid video. Neither does a claim that is whole, nor a claim over a
    record that names a video.
    """
    text = data.strip(b"\0 \r\n")
    return CREATING.startswith(text) or (text.startswith(CREATING) and NAMES_A_VIDEO not in text and LAST not in text)
