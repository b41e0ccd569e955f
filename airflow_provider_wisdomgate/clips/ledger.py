"""What a try finds at its destination, and what it does then. Pure: no storage, no clock, no Airflow.

The manifest beside the clip is the ledger. It is written before the paid call and tells every later try, clear,
backfill or person what happened; the phases are ``creating`` -> ``created`` -> ``stored``, or ``failed``.
A create that may have happened is never repeated unless somebody says so. How a manifest changes while a task goes on
with it, transitions.py says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.advice import command, lost_create_advice, utc
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.gateway.video import Video

IfExists = Literal["skip", "replace", "fail"]

OnLostCreate = Literal["fail", "find", "create"]

# The gateway's clock and ours may be so far apart.
LISTED_TIME_MARGIN = 60.0
# What an error says of whose clip something is, and how many characters of a differing value.
OWNER = ("dag_id", "run_id", "task_id", "map_index")
LONGEST_TOLD = 120
PROMPT = {"prompt", "prompt_sha256"}

# How long the claims of version 0.1.0 were taken to be alive: they do not say it themselves.
OLD_CLAIM_SECONDS = 420.0
# No claim of ours says that it lives nearly so long: whatever somebody writes into a manifest, a wait for it ends.
LONGEST_CLAIM_SECONDS = 86400.0


@dataclass(frozen=True)
class Wanted:
    """What a task wants at its destination: a new video for a request, or an existing video's content.

    :param request: everything that shapes the result; its hash is the fingerprint. Prompts stay out of it
        as text when ``record_prompt`` is off, their hash stays.
    :param made_by: which task instance asks: dag_id, run_id, task_id, map_index and round (see operators).
    """

    request: Mapping[str, Any]
    fingerprint: str | None = None
    video_id: str | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def is_same_as(self, found: Manifest) -> bool:
        if self.video_id is not None:  # two gateways may both have a video "1"
            same_gateway = found.request.get("base_url") == self.request.get("base_url")
            return found.video_id == self.video_id and same_gateway
        return found.fingerprint == self.fingerprint


@dataclass(frozen=True)
class Claim:
    """Nobody has it: claim it, in place of ``takes`` where that was found."""

    takes: Manifest | None = None


@dataclass(frozen=True)
class Follow:
    """The video exists: wait for it if need be, then download it. No create."""

    found: Manifest
    video_id: str


@dataclass(frozen=True)
class Done:
    """The clip is there. No call at all."""

    found: Manifest


@dataclass(frozen=True)
class Await:
    """Somebody may be creating it at this moment: read the manifest again; ``seconds`` later it is over."""

    found: Manifest
    seconds: float


Step = Claim | Follow | Done | Await


def fingerprint(request: Mapping[str, Any]) -> str:
    """Hash everything that shapes the result."""
    canonical = json.dumps(request, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def next_step(
    found: Manifest | None,
    clip_size: int | None,
    wanted: Wanted,
    *,
    if_exists: IfExists,
    on_lost_create: OnLostCreate,
    age: float,
) -> Step:
    """Decide what a try does.

    :param found: the manifest at the destination, None where there is none.
    :param clip_size: bytes of what stands at the destination itself, None where nothing does.
    :param age: seconds since the manifest was written; counts in phase ``creating`` only.
    :raises DestinationTakenError: something else is there.
    :raises LostCreateError: a create may have happened and its id is not known.
    """
    if found is None:
        if clip_size is not None and if_exists != "replace":
            raise _not_ours()
        return Claim()
    if not wanted.is_same_as(found):
        return _other_request(found, clip_size, wanted, if_exists, age)
    if found.phase == "stored":
        return _stored(found, clip_size, wanted, if_exists)
    if found.phase == "failed":
        return _failed(found, clip_size, if_exists)
    if found.video_id:
        return Follow(found, found.video_id)
    return _creating(found, on_lost_create, age)


def claim_left(found: Manifest, age: float) -> float:
    """Return for how many seconds more a manifest's owner may be sending its create; 0.0 where it is over."""
    if found.phase != "creating":
        return 0.0
    lives = OLD_CLAIM_SECONDS if found.claim_seconds is None else found.claim_seconds
    return max(min(lives, LONGEST_CLAIM_SECONDS) - age, 0.0)


def _other_request(found: Manifest, clip_size: int | None, wanted: Wanted, if_exists: IfExists, age: float) -> Step:
    if found.phase == "failed" and clip_size is None:
        return Claim(found)  # nothing came of it; a corrected prompt goes to the same place
    if claim_left(found, age):
        raise _taken(f"another request is being created there right now ({_differences(found, wanted)})", found)
    if if_exists == "replace":
        return Claim(found)
    if found.phase == "creating" and not found.video_id:
        error = _taken(
            f"no clip is there, but another request's create{_owner(found)}, begun at {utc(found.claimed_at)}, "
            f"was lost ({_differences(found, wanted)})",
            found,
        )
        error.next_step = f"{lost_create_advice(found.uri, found.claimed_at)} Or give the task another destination."
        raise error
    raise _taken(f"another request's clip belongs there{_owner(found)} ({_differences(found, wanted)})", found)


def _stored(found: Manifest, clip_size: int | None, wanted: Wanted, if_exists: IfExists) -> Step:
    is_there = clip_size is not None and clip_size == found.size
    if is_there and found.made_by and found.made_by == wanted.made_by:
        return Done(found)  # an earlier try of this very run stored it and died before it could say so
    if if_exists == "replace":
        return Claim(found)
    if clip_size is None and found.video_id:
        return Follow(found, found.video_id)  # somebody removed the clip; it was paid for, so fetch it again
    if not is_there:
        raise _taken(f"the clip there has {clip_size} bytes, its manifest says {found.size}", found)
    if if_exists == "fail":
        raise _taken("the same clip is there already, and if_exists='fail'", found)
    return Done(found)


def refusal(found: Manifest) -> errors.WisdomGateError | None:
    """Return why a request is never sent again, None where a manifest says nothing of the kind."""
    if found.phase != "failed":
        return None
    error = errors.from_dict(dict(found.error or {}))
    is_for_good = isinstance(error, errors.ModerationError | errors.BadRequestError | errors.VideoFailedForGoodError)
    return error if is_for_good else None


def _failed(found: Manifest, clip_size: int | None, if_exists: IfExists) -> Step:
    if error := refusal(found):
        raise type(error)(
            f"This very request was refused before, so it is not sent again: {error.message}",
            next_step=f"Change the request. To send the same one once more: {command('forget', found.uri)}",
            **error.facts,
        )
    if clip_size is not None and if_exists != "replace":
        raise _not_ours()
    return Claim(found)


def _creating(found: Manifest, on_lost_create: OnLostCreate, age: float) -> Step:
    if left := claim_left(found, age):
        return Await(found, left)  # also where it was an earlier try of this task: it need not be dead
    if on_lost_create == "create":
        return Claim(found)
    raise lost_create(found)


def found_again(found: Manifest, wanted: Wanted, listed: Iterable[Video], prompt: str) -> Video | None:
    """Return the one video of a gateway's list that a lost create must have made; None where that is not sure.

    It has the same model, prompt, length and size, is no remix, was created while the create was under way, and is the
    only such one. A request with more to it than these cannot be told from another one in a list.
    """
    options = lost_options(found)
    if options is None:
        return None
    first, last = create_window(found)
    known = {found.video_id, *(record.video_id for record in found.below)}
    fitting = [
        video
        for video in listed
        if (video.model, video.prompt) == (wanted.request.get("model"), prompt)
        and video.remixed_from_video_id is None
        and video.created_at is not None
        and first <= video.created_at <= last
        and video.id not in known
        and all(getattr(video, name) in (None, options[name]) for name in options)
    ]
    return fitting[0] if len(fitting) == 1 else None


def create_window(found: Manifest) -> tuple[float, float]:
    """Return between which times (epoch seconds) a claim's create can have made a video, by a gateway's clock."""
    over = found.claimed_at + (found.claim_seconds or OLD_CLAIM_SECONDS) if found.lost_at is None else found.lost_at
    return found.claimed_at - LISTED_TIME_MARGIN, over + LISTED_TIME_MARGIN


def lost_options(found: Manifest) -> Mapping[str, str] | None:
    """Return the length and size that a create asked for, None where it asked for more than a list shows."""
    fields = found.request.get("fields")
    options = dict(fields) if isinstance(fields, Mapping) else {}
    if "input_reference_sha256" in found.request or set(options) - {"seconds", "size"}:
        return None
    return {name: str(value) for name, value in options.items()}


def lost_create(found: Manifest) -> errors.LostCreateError:
    """Say what is known of a create whose answer nobody wrote down."""
    return errors.LostCreateError(
        f"A create for {found.uri} was begun at {utc(found.claimed_at)} and its answer was never recorded"
        f"{_owner(found)}: the video may exist and be paid for.",
        next_step=lost_create_advice(found.uri, found.claimed_at),
    )


def _owner(found: Manifest) -> str:
    who = ", ".join(f"{key} {value}" for key, value in found.made_by.items() if key in OWNER)
    return f" ({who})" if who else ""


def _not_ours() -> errors.DestinationTakenError:
    return _taken("a file without a manifest of its own stands there, so this package did not put it there")


def _taken(why: str, found: Manifest | None = None) -> errors.DestinationTakenError:
    place = f"The destination {found.uri}" if found else "The destination"
    return errors.DestinationTakenError(
        f"{place} is taken: {why}",
        next_step="Give the task another destination, or if_exists='replace'.",
        video_id=found.video_id if found else None,
    )


def _differences(found: Manifest, wanted: Wanted) -> str:
    if wanted.video_id is not None:
        here, there = (record.request.get("base_url") for record in (wanted, found))
        return f"video {found.video_id} of {there} there, video {wanted.video_id} of {here} wanted"
    old, new = _flat(found.request), _flat(wanted.request)
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    told = [f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} wanted" for key in sorted(changed - PROMPT)]
    if changed & PROMPT:  # its words may be nobody's business here
        told.append(f"the prompt is another one; the one there: {command('show', found.uri)}")
    return "; ".join(told) or "the requests' fingerprints differ"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}..."


def _flat(request: Mapping[str, Any]) -> dict[str, Any]:
    options = request.get("fields")
    return {**request, **(options if isinstance(options, Mapping) else {}), "fields": None}
