"""The life of a clip: each state, its meaning, who must act, and every transition. Pure: no storage, clock, Airflow.

The record beside the clip (record.py) is written before the paid call. Each line below is one function of this module::

                    claim                record_id               announce               record_stored
      (no record) ─────────▶ creating ─────────────▶ created ───────────────▶ announced ─────────────▶ stored
           ▲                  │  │  │                 ▲  │  ▲                  │                         │
           │  release_claim   │  │  │ record_loss     │  │  │    retract       │    announce             │
           └──────────────────┘  │  ▼                 │  │  └──────────────────┘◀────────────────────────┘
                                 │ lost ── adopt ─────┘  │ record_failure, give_up        (the clip was removed)
                  record_refusal │  │                    ▼
                                 │  │ forget           failed ── claim ──▶ creating
                                 ▼  ▼
                          refused, (no record)

A ``creating`` record is *lost* if its claim expired without an id; *announced* is ``created`` with the hash of the
clip that is about to appear; *refused* is ``failed`` with an error that the same request meets again. A record that
replaces another one keeps it under ``replaced``: if the new one fails, the old one comes back.

Only these end a paid video:
  1. its own object has a terminal status (``record_failure``);
  2. its own object announced an expiry that passed ten minutes ago, and the content route confirms it (``is_expired``);
  3. a person decides: ``forget``, a kill with ``delete_on_kill``, or ``on_gone="create"`` (``may_recreate``).
After the first, if moderation refused the video that was made, ``on_moderated_output="retry"`` creates one more in a
round; the input of a request is never sent again by itself.
Every other answer ends at most the try: the record stays, and the next run continues without paying.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.settings import without_default_port
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger.record import Manifest, NewerVersionError, ids_in, is_record, recorded

IfExists = Literal["skip", "replace", "fail"]
OnLostCreate = Literal["fail", "find", "create"]
OnGone = Literal["fail", "create"]
OnModeratedOutput = Literal["fail", "retry"]
Acts = Literal["nobody", "task", "person"]

# The gateway's clock and this machine's may differ by this many seconds.
LISTED_TIME_MARGIN = 60.0
# An announced expiry counts only this long after it passed.
EXPIRY_MARGIN = 600.0
# The life of a claim of version 0.1.0, which does not record it.
OLD_CLAIM_SECONDS = 420.0
# Upper bound for a claim's life, whatever the record contains: every wait for a claim ends.
LONGEST_CLAIM_SECONDS = 86400.0
# A task that announced a clip may need this long to publish it. Only then does a replaced record come back.
PUBLISH_SECONDS = 86400.0

OWNER = ("dag_id", "run_id", "task_id", "map_index")
LONGEST_SHOWN = 120
PROMPT = {"prompt", "prompt_sha256"}
LOOK_AGAIN = "Look at it again."
GIVEN_UP = "Given up by a person (wisdomgate clips forget)"
DELETED = "Deleted, because a person ended its task (delete_on_kill)"


# ---- states


@dataclass(frozen=True)
class Action:
    """Something that a person can do. Free actions come first.

    :param text: a sentence, or the condition before a command.
    :param command: ready to copy, "" if there is none. ``VIDEO_ID`` stands for an id. In the table of states: its verb.
    :param pays: whether it leads to a new paid create.
    """

    text: str
    command: str = ""
    pays: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.command}".rstrip()


@dataclass(frozen=True)
class State:
    """A row of the table of states.

    :param acts: who must act next. ``task``: the next try or run continues by itself.
    :param group: the number on the run's page that counts it, one of ``GROUPS``.
    :param label: the words on a page.
    :param means: one sentence for people.
    :param actions: what a person can do, see :func:`next_actions`. ``{uri}``, ``{begun}`` and ``{left}`` are filled in.
    """

    acts: Acts
    group: str
    label: str
    means: str
    actions: tuple[Action, ...] = ()


FETCH = Action("Or fetch the clip now:", "fetch")
GIVE_UP = Action("To give the video up and pay for a new one:", "forget", pays=True)

# In the order in which people look for them.
STATES: dict[str, State] = {
    "lost": State(
        *("person", "needs-you", "needs attention: lost create"),
        "the answer to a create was lost: the video may exist and be paid for",
        (
            Action("Look on the gateway's usage page for a video made at about {begun}."),
            Action("If there is one, record its id and run the task again, which fetches it:", "adopt"),
            Action("If there is none, or you accept paying again, run the task after:", "forget", pays=True),
        ),
    ),
    "refused": State(
        *("person", "needs-you", "needs attention: refused"),
        "the gateway refused this request (moderation or bad input): a retry does not send it again",
        (
            Action("Change the request, then run the task again.", pays=True),
            Action("To send the same request again, run the task after:", "forget", pays=True),
        ),
    ),
    "damaged": State(
        *("person", "needs-you", "needs attention: damaged record"),
        "the record cannot be read: it may name a paid video",
        (
            Action("See whether {uri}.json names a video_id: that video is paid for."),
            Action("If it does, WisdomGateDownloadVideoOperator stores it at another destination, for nothing."),
            Action("To remove the record, after which the next run pays for a new video:", "forget", pays=True),
        ),
    ),
    "unfetched": State(
        *("person", "needs-you", "needs attention: paid, not fetched"),
        "the video is paid for, and no task waits for it: clear the task, or fetch the clip",
        (Action("Run the task again: it continues with this video and sends no create."), FETCH, GIVE_UP),
    ),
    "failed": State(
        *("task", "failed", "failed"),
        "no video was made; the next run of the task asks for a new one",
        (Action("Run the task again: it asks for a new video, and pays for it.", pays=True),),
    ),
    "missing": State(
        *("task", "failed", "clip is gone"),
        "the clip was stored, and is gone or has another size",
        (Action("Move away what stands there, and run the task again: it fetches the clip for nothing."), FETCH),
    ),
    "creating": State(
        *("task", "making", "being requested"),
        "a create is in progress",
        (Action("Wait: its claim ends in {left} s at the latest."),),
    ),
    "created": State(
        *("task", "making", "in progress"),
        "the video is paid for; it is being made or waits to be fetched",
        (Action("A task continues with it."), FETCH, GIVE_UP),
    ),
    "stored": State("nobody", "stored", "stored", "the clip is stored"),
}
# Of task instances without a record.
WITHOUT_RECORD: dict[str, State] = {
    "waiting": State("task", "waiting", "not started", "the task has not requested a video yet"),
    "blocked": State("nobody", "failed", "blocked", "an upstream task failed, so no video was requested"),
    "skipped": State("nobody", "skipped", "skipped", "the task was skipped: no video is wanted"),
    "unrecorded": State(
        "task", "failed", "failed", "the task failed before a request was recorded; its log has the reason"
    ),
    "unknown": State(
        "nobody", "unknown", "not found", "no record of this DAG was found in the folders that this page may read"
    ),
}
NEEDS_PERSON = frozenset(name for name, state in STATES.items() if state.acts == "person")
# The groups of both tables, in the order of the run's page, and their words. Together they count every task instance.
GROUPS = {
    "stored": "stored",
    "making": "in progress",
    "waiting": "not started",
    "failed": "failed",
    "needs-you": "need attention",
    "unknown": "not found",
    "skipped": "skipped",
}
# States of a task instance that may still change the record.
UNFINISHED = frozenset(
    ["scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule", "awaiting_input"]
)


def is_waited_for(task_state: str | None) -> bool | None:
    """Return whether a task in this state waits for its video; None if Airflow has not decided, or it is not known."""
    return task_state in UNFINISHED if task_state and task_state != "none" else None


def state_without_record(task_state: str | None) -> str:
    """Return one of ``WITHOUT_RECORD``.

    :param task_state: None: not scheduled yet; an empty text: not known.
    """
    if task_state in UNFINISHED or task_state in (None, "none"):
        return "waiting"
    return {"upstream_failed": "blocked", "skipped": "skipped", "failed": "unrecorded"}.get(str(task_state), "unknown")


def is_wanted(state: str) -> bool:
    """Whether the run wants a video from a task instance in this state."""
    return state != "skipped"


def state_of(found: Manifest | None, age: float, clip_size: int | None, *, is_waited_for: bool | None = None) -> str:
    """Return one of ``STATES``.

    :param found: None if the record cannot be read.
    :param age: seconds since the record was written; used in phase ``creating`` only.
    :param clip_size: bytes of the file at the destination, None if there is none; used in phase ``stored`` only.
    :param is_waited_for: whether a task waits for the video; None if the caller cannot know.
    """
    if found is None:
        return "damaged"
    if found.phase == "stored":
        return "stored" if clip_size is not None and clip_size == found.size else "missing"
    if found.phase == "failed":
        return "refused" if refusal(found) else "failed"
    if found.video_id:
        return "unfetched" if is_waited_for is False else "created"
    return "creating" if claim_left(found, age) else "lost"


def claim_left(found: Manifest, age: float) -> float:
    """Return for how many more seconds a claim's owner may be sending its create; 0.0 if the claim is over."""
    if found.phase != "creating":
        return 0.0
    lives = OLD_CLAIM_SECONDS if found.claim_seconds is None else found.claim_seconds
    return max(min(lives, LONGEST_CLAIM_SECONDS) - age, 0.0)


def refusal(found: Manifest) -> errors.WisdomGateError | None:
    """Return the error that the same request meets again, None if the record has no such error."""
    if found.phase != "failed":
        return None
    error = errors.from_dict(dict(found.error or {}))
    return error if isinstance(error, REFUSALS) else None


REFUSALS = (
    errors.ModerationError,
    errors.BadRequestError,
    errors.ModelNotFoundError,
    errors.VideoFailedForGoodError,
)


# ---- what a person can do


def next_actions(state: str, found: Manifest, age: float = 0.0) -> tuple[Action, ...]:
    """Return what a person can do about a clip in this state, the free actions first."""
    return _filled(state, found.uri, begun=utc(found.claimed_at), left=f"{claim_left(found, age):.0f}")


def damage_actions(uri: str, problem: BaseException | None = None) -> tuple[Action, ...]:
    """Return what a person can do about a record that cannot be read.

    :param problem: the error of reading it: a record of a later version of this package is not damaged.
    """
    if problem is not None and isinstance(newer := problem.__cause__, NewerVersionError):
        return (Action(f"Upgrade airflow-provider-wisdomgate to {newer.needs}."),)
    return _filled("damaged", uri)


def _filled(state: str, uri: str, **facts: str) -> tuple[Action, ...]:
    more = {"adopt": ("--video-id VIDEO_ID",)}
    return tuple(
        replace(
            action,
            text=action.text.format(uri=uri, **facts),
            command=command(action.command, uri, *more.get(action.command, ())) if action.command else "",
        )
        for action in STATES[state].actions
    )


def advice(state: str, found: Manifest) -> str:
    """Return the next actions as one text, for an error."""
    return " ".join(str(action) for action in next_actions(state, found))


def paid_advice(found: Manifest, *, ends_try: bool = False) -> str:
    """Return the advice of an error about a paid video: that it is recorded, what costs nothing, and last what pays.

    :param ends_try: a retry does not continue by itself: a person runs the task again.
    """
    again = "Run the task again" if ends_try else "A retry or a clear of the task continues with it"
    return (
        f"Video {found.video_id} is paid for and recorded at {found.uri}.json. {again}; that sends no create and costs "
        f"nothing. To fetch it now: {command('fetch', found.uri)}"
    )


def gone_advice(found: Manifest) -> str:
    """Return the advice about a paid video that its gateway does not know, or whose content it does not have."""
    return f'{forget_advice(found)} Or set on_gone="create".'


def forget_advice(found: Manifest) -> str:
    """Return the advice about a paid video whose content does not come: what costs nothing first."""
    forget = f"{command('forget', found.uri)} and run the task again."
    return f"{paid_advice(found, ends_try=True)} To give it up and pay for a new video: {forget}"


def command(verb: str, uri: str, *more: str) -> str:
    """Return the command that acts on one clip: ``show``, ``adopt``, ``forget`` or ``fetch``."""
    return " ".join(["wisdomgate clips", verb, quoted(uri), *more])


def quoted(text: str) -> str:
    """Quote a text for a shell, so that it can be shown on one line and copied."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(char) for char in text) + "'"


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    # A file's name may have bytes that are no text; half a character can only come from a damaged record.
    way = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return char if char.isprintable() else "".join(f"\\x{byte:02x}" for byte in char.encode(errors=way))


def utc(epoch: float) -> str:
    """Format epoch seconds as a usage page does."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC" if 0 <= epoch < 1e11 else f"{epoch:g}"


def amount_of(size: int, unit: str = "bytes") -> str:
    """Format a number of bytes: ``1.23 MB``.

    :param unit: the word for bytes.
    """
    amount = float(min(size, 10**30))  # a manifest may contain any number
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:  # else three digits make it 1e+03
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if amount < 999.5 else f"{amount:,.0f} {unit}"


# ---- what a task asks for


@dataclass(frozen=True)
class Terms:
    """A task's options for its destination, whatever its request is.

    :param made_by: the task instance: dag_id, run_id, task_id, map_index, run_started, max_tries and round.
    """

    made_by: Mapping[str, Any] = field(default_factory=dict)
    if_exists: IfExists = "skip"
    on_lost_create: OnLostCreate = "fail"
    on_gone: OnGone = "fail"
    on_moderated_output: OnModeratedOutput = "fail"


@dataclass(frozen=True)
class Wanted:
    """A new video for a request, or an existing video's content.

    :param request: all that shapes the result. It has the prompt's hash, and the prompt too if it may be recorded.
    :param video_id: the existing video, None for a new one.
    :param attempt_seconds: how long one attempt of the create can take.
    """

    request: Mapping[str, Any]
    video_id: str | None = None
    attempt_seconds: float = 0.0

    @cached_property
    def fingerprint(self) -> str | None:
        return None if self.video_id is not None else fingerprint(self.request)

    def has_fingerprint(self, known: Any) -> bool:
        """Whether this version or an earlier one recorded this fingerprint for the request."""
        return known in (self.fingerprint, old_fingerprint(self.request))

    def is_same_as(self, found: Manifest) -> bool:
        if self.video_id is not None:  # two gateways may both have a video "1"
            same_gateway = found.request.get("base_url") == self.request.get("base_url")
            return found.video_id == self.video_id and same_gateway
        return self.fingerprint in (found.fingerprint, fingerprint(found.request))


def fingerprint(request: Mapping[str, Any]) -> str:
    """Hash the meaning of a request: without None, with numbers as text, and ``duration`` as ``seconds``."""
    meaning = {name: value for name, value in request.items() if name != "prompt"}
    if isinstance(base_url := meaning.get("base_url"), str):
        meaning["base_url"] = without_default_port(base_url)
    if isinstance(fields := meaning.get("fields"), Mapping) and "seconds" not in fields and "duration" in fields:
        meaning["fields"] = {"seconds" if name == "duration" else name: value for name, value in fields.items()}
    return _hash(_meaning(meaning))


def old_fingerprint(request: Mapping[str, Any]) -> str:
    """Return the fingerprint that versions before 0.3 recorded for a request."""
    return _hash({name: value for name, value in request.items() if name != "prompt"})


def _hash(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _meaning(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _meaning(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_meaning(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, bool | None) else str(value)


INSTANCE = ("dag_id", "run_id", "task_id", "map_index", "run_started")


def is_same_instance(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of one task instance of one run, in any round."""
    return bool(one.get("dag_id")) and all(one.get(name) == other.get(name) for name in INSTANCE)


def is_same_round(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of one round: a task instance's automatic retries until somebody clears it.

    Airflow sets ``max_tries`` at the creation of a task instance and at a clear only. Versions before 0.3 recorded
    ``round`` instead, which a changed ``retries`` changed, too.
    """
    key = "max_tries" if None not in (one.get("max_tries"), other.get("max_tries")) else "round"
    return is_same_instance(one, other) and one.get(key) is not None and one.get(key) == other.get(key)


def is_sibling(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records are of two map indexes of one task of one run, in any round."""
    return one.get("map_index") != other.get("map_index") and is_same_instance(
        {**one, "map_index": None}, {**other, "map_index": None}
    )


# ---- the next step of a task


@dataclass(frozen=True)
class Claim:
    """Nobody has the destination: claim it in place of ``takes``."""

    takes: Manifest | None = None


@dataclass(frozen=True)
class Follow:
    """The video exists: wait for it if necessary, then download it. Send no create."""

    found: Manifest
    video_id: str


@dataclass(frozen=True)
class Done:
    """The clip is stored. Send nothing."""

    found: Manifest


@dataclass(frozen=True)
class Await:
    """Another try may be sending the create: read the record again, for ``seconds`` at most."""

    found: Manifest
    seconds: float


@dataclass(frozen=True)
class MakeRequest:
    """The record is of another round: the answer depends on the request. Make it and decide again."""


Step = Claim | Follow | Done | Await | MakeRequest


def next_step(
    found: Manifest | None,
    clip_size: int | None,
    terms: Terms,
    wanted: Wanted | None = None,
    *,
    age: float = 0.0,
    remembered: Mapping[str, Any] | None = None,
) -> Step:
    """Decide what a try does at its destination.

    :param found: the record at the destination, None if there is none.
    :param clip_size: bytes of the file at the destination itself, None if there is none.
    :param wanted: the request, None if it was not made yet.
    :param age: seconds since the record was written; used in phase ``creating`` only.
    :param remembered: the words of the task's memory.
    :raises DestinationTakenError: the destination belongs to something else.
    :raises LostCreateError: a create may have made a video whose id is not known.
    :raises ModerationError: the gateway refused this request before; likewise BadRequestError and others.
    """
    displaced = None
    if found is not None and (wanted is None or wanted.video_id is None):  # it pays
        if is_same_round(found.made_by, terms.made_by) and found.phase != "failed":
            return _of_this_round(found, clip_size, terms, age)
        if terms.if_exists == "replace" and found.phase != "failed" and is_sibling(found.made_by, terms.made_by):
            raise _is_siblings(found)
        displaced = _displaced(found, terms) or _dropped(found, terms, remembered or {})
    if wanted is None:
        return MakeRequest()
    if found is not None and displaced:
        if not wanted.is_same_as(found):
            raise _was_displaced(found, displaced)
        # This round has paid already: share the other task's video, and never pay for its lost create.
        terms = replace(terms, if_exists="skip", on_lost_create="fail" if displaced.video_id else terms.on_lost_create)
    if found is None:
        if clip_size is not None and terms.if_exists != "replace":
            raise _not_recorded()
        return Claim()
    if not wanted.is_same_as(found):
        return _other_request(found, clip_size, wanted, terms, age)
    if found.phase == "stored":
        return _stored(found, clip_size, terms)
    if found.phase == "failed":
        return _failed(found, clip_size, terms)
    if found.video_id:
        return Follow(found, found.video_id)
    return _creating(found, terms, age)


def _of_this_round(found: Manifest, clip_size: int | None, terms: Terms, age: float) -> Step:
    """Continue with the record of this round, whatever the request and the arguments are now: one round pays once."""
    if found.phase == "stored" and clip_size is not None:
        if clip_size != found.size:
            raise _other_size(found, clip_size)
        return Done(found)
    if found.video_id:
        return Follow(found, found.video_id)
    return _creating(found, terms, age)


def _displaced(found: Manifest, terms: Terms) -> Manifest | None:
    """Return the record of this round that another task's record has replaced."""
    return next(
        (record for record in found.below if record.phase != "failed" and is_same_round(record.made_by, terms.made_by)),
        None,
    )


def _dropped(found: Manifest, terms: Terms, remembered: Mapping[str, Any]) -> Manifest | None:
    """Return this round's paid video, or lost create, that only the task's memory still names.

    Another clip was stored over its record.
    """
    video_id, by = remembered.get("video_id"), remembered.get("made_by")
    is_known = isinstance(video_id, str) or remembered.get("lost") is True
    if not is_known or not isinstance(by, Mapping) or not is_same_round(by, terms.made_by):
        return None
    is_there = any(remembered.get("claim_id") == record.claim_id for record in (found, *found.below))
    return None if is_there or (video_id and found.video_id == video_id) else replace(found, video_id=video_id)


def _other_request(found: Manifest, clip_size: int | None, wanted: Wanted, terms: Terms, age: float) -> Step:
    if found.phase == "failed" and clip_size is None:
        return Claim(found)  # no video was made: a corrected prompt takes the same place
    if claim_left(found, age):
        raise _taken(
            f"another request is being created there ({differences(found, wanted)})",
            found,
            f"Run the task again in {claim_left(found, age):.0f} s, or give it another destination.",
        )
    if terms.if_exists == "replace":
        return Claim(found)
    state = state_of(found, age, clip_size)
    if state == "lost":
        raise _taken(
            f"there is no clip, but the create of another request{_owner(found)}, begun at {utc(found.claimed_at)}, "
            f"was lost ({differences(found, wanted)})",
            found,
            f"{advice(state, found)} Or give the task another destination.",
        )
    raise _taken(f"it belongs to another request{_owner(found)} ({differences(found, wanted)})", found)


def _stored(found: Manifest, clip_size: int | None, terms: Terms) -> Step:
    is_there = clip_size is not None and clip_size == found.size
    if is_there and is_same_round(found.made_by, terms.made_by):
        return Done(found)  # an earlier try of this download stored it and died before it returned
    if terms.if_exists == "replace":
        return Claim(found)
    if clip_size is None and found.video_id:
        return Follow(found, found.video_id)  # somebody removed the clip; it is paid for, so fetch it again
    if clip_size is not None and not is_there:
        raise _other_size(found, clip_size)
    if terms.if_exists == "fail":
        raise _taken("the same clip is stored there, and if_exists='fail'", found)
    return Done(found)


def _failed(found: Manifest, clip_size: int | None, terms: Terms) -> Step:
    error = refusal(found)
    is_chance = isinstance(error, errors.OutputModerationError)  # a person who clears the task asks for another one
    is_moderated = isinstance(error, errors.ModerationError) and not is_chance
    is_final = is_moderated or is_same_round(found.made_by, terms.made_by)
    if error and is_final:
        raise type(error)(
            f"The gateway refused this request before, so it is not sent again: {error.message}",
            next_step=advice("refused", found),
            **error.facts,
        )
    if clip_size is not None and terms.if_exists != "replace":
        raise _not_recorded()
    return Claim(found)


def _creating(found: Manifest, terms: Terms, age: float) -> Step:
    if left := claim_left(found, age):
        return Await(found, left)  # also if it is an earlier try of this task: it need not be dead
    if terms.on_lost_create == "create":
        return Claim(found)
    raise lost_create(found)


def may_recreate(
    found: Manifest, terms: Terms, clip_size: int | None = None, error: errors.WisdomGateError | None = None
) -> bool:
    """Whether a task may pay again for its video, for each of two reasons at most once per round.

    Its gateway does not have the video any more; or its own object has failed because of moderation of the output.

    :param clip_size: bytes of the file at the destination, None if there is none: a stored clip may have been removed.
    :param error: how the wait or the download ended.
    """
    if isinstance(error, errors.OutputModerationError):
        has_failed = not isinstance(error, errors.ContentModeratedError)  # that one's video is finished, and lives
        is_open = (found.phase == "created" and not found.sha256) or _is_moderated_output(found)
        return has_failed and is_open and terms.on_moderated_output == "retry" and not _has_given_up(found, terms, True)
    if found.phase != "created" and (found.phase != "stored" or clip_size is not None):
        return False
    if found.killed_at is not None:
        return True  # a person ended its task, which asked the gateway to delete it
    if terms.if_exists == "replace" and not is_same_round(found.made_by, terms.made_by):
        return True  # a gone video of another run does not block the new clip
    return terms.on_gone == "create" and not _has_given_up(found, terms, False)


def _has_given_up(found: Manifest, terms: Terms, is_moderated: bool) -> bool:
    """Whether this round has given a video up already, for moderation of its output or for being gone."""
    return any(_is_moderated_output(mark) == is_moderated for mark in found.below if _is_mark(mark, terms.made_by))


def _is_mark(record: Manifest, made_by: Mapping[str, Any]) -> bool:
    by = (record.error or {}).get("given_up_by")
    return isinstance(by, Mapping) and is_same_round(by, made_by)


def _is_moderated_output(found: Manifest) -> bool:
    return isinstance(refusal(found), errors.OutputModerationError)


def is_expired(found: Manifest, expires_at: float | None, now: float) -> bool:
    """Whether an expiry that the video's own object announced has passed for good; missing content then confirms it."""
    made = found.created_at or found.claimed_at
    return expires_at is not None and made < expires_at and now >= expires_at + EXPIRY_MARGIN


# ---- a lost create


def lost_create(found: Manifest) -> errors.LostCreateError:
    """Return the error of a create whose answer nobody recorded."""
    error = errors.LostCreateError(
        f"The answer to a create for {found.uri}, sent at {utc(found.claimed_at)}{_owner(found)}, was never recorded: "
        "the video may exist and be paid for.",
        next_step=advice("lost", found),
    )
    error.answer = found.answer
    return error


def found_again(found: Manifest, listed: Iterable[Video]) -> Video | None:
    """Return the only video of a gateway's list that a lost create can have made; None if that is not certain.

    It has the same model, prompt, length and size, is no remix, and was created while the create was in progress. A
    request with further fields cannot be recognised in a list.
    """
    options = lost_options(found)
    if options is None:
        return None
    first, last = create_window(found)
    known = {found.video_id, *(record.video_id for record in found.below)}
    fitting = [
        video
        for video in listed
        if video.model == found.request.get("model")
        and _prompt_hash(video.prompt) == found.request.get("prompt_sha256")
        and video.remixed_from_video_id is None
        and video.created_at is not None
        and first <= video.created_at <= last
        and video.id not in known
        and all(getattr(video, name) is None or _comparable(getattr(video, name)) == options[name] for name in options)
    ]
    return fitting[0] if len(fitting) == 1 else None


def _prompt_hash(prompt: str | None) -> str | None:
    return None if prompt is None else hashlib.sha256(prompt.encode(errors="replace")).hexdigest()


def create_window(found: Manifest) -> tuple[float, float]:
    """Return between which times (epoch seconds) a claim's create can have made a video, by a gateway's clock."""
    over = found.claimed_at + (found.claim_seconds or OLD_CLAIM_SECONDS) if found.lost_at is None else found.lost_at
    return found.claimed_at - LISTED_TIME_MARGIN, over + LISTED_TIME_MARGIN


def lost_options(found: Manifest) -> Mapping[str, str] | None:
    """Return the length and size that a create asked for, None if it asked for more than a list shows."""
    fields = found.request.get("fields")
    others = set(fields if isinstance(fields, Mapping) else {}) - {"seconds", "duration", "size"}
    if "input_reference_sha256" in found.request or others:
        return None
    return {name: _comparable(value) for name, value in _options(found).items() if value is not None}


# ---- transitions of a task: the record that shall stand there, given the record that stands there now
#
# Each returns the same record if nothing changes and None if no record shall stand there. The driver writes the result
# only over the version that it was decided on. So late news never overwrites what another task has done since.


def is_about_same(found: Manifest, mine: Manifest) -> bool:
    """Whether two records are of one video (or of one claim, before it has a video)."""
    if found.claim_id == mine.claim_id:
        return True
    same_request = found.fingerprint == mine.fingerprint
    return mine.video_id is not None and found.video_id == mine.video_id and same_request


def _is_open_claim(found: Manifest | None, mine: Manifest) -> bool:
    return found is not None and found.claim_id == mine.claim_id and found.phase == "creating"


def renew_claim(found: Manifest | None, mine: Manifest, now: float) -> Manifest:
    """Let a claim live for another attempt of the create, which is sent now.

    :raises WisdomGateError: the claim is no longer this task's, so nothing may be sent.
    """
    if found is None or not _is_open_claim(found, mine):
        raise errors.WisdomGateError(
            f"The claim at {mine.uri}.json was removed or taken before the create was sent; nothing was sent",
            next_step="Run the task again.",
        )
    return replace(found, claimed_at=now)


def release_claim(found: Manifest | None, mine: Manifest) -> Manifest | None:
    """Take back a claim whose create surely made nothing, and restore what it had replaced.

    Only a claim that is unchanged: another try may have given it a video meanwhile.
    """
    is_as_claimed = found is not None and (found.phase, found.video_id) == (mine.phase, mine.video_id)
    if found is None or found.claim_id != mine.claim_id or not is_as_claimed or found.sha256:
        return found
    return _uncovered(found)


def record_refusal(found: Manifest | None, mine: Manifest, error: errors.WisdomGateError) -> Manifest | None:
    """Record that the gateway refused the create. A record that the claim had replaced comes back."""
    if found is None or not _is_open_claim(found, mine) or found.video_id:
        return found
    below = _uncovered(found)
    if below is not None and below.phase != "failed":
        return below
    return replace(found, phase="failed", error=error.as_dict(), claim_seconds=None, lost_at=None)


def record_loss(found: Manifest | None, mine: Manifest, now: float, answer: str | None = None) -> Manifest | None:
    """Record that a create's owner gave up on its answer: a later try need not wait for it.

    :param answer: what came in place of an answer with an id.
    """
    if found is None or not _is_open_claim(found, mine):
        return found
    return replace(found, claim_seconds=0.0, lost_at=now, answer=answer)


def record_id(found: Manifest | None, mine: Manifest, video: Video, now: float) -> Manifest:
    """Record the id of the video that a claim's create has made.

    :raises DestinationTakenError: another claim stands there, or this one has another id, which a person adopted; the
        error has the id.
    """
    is_free = found is None or (found.phase == "failed" and found.claim_id != mine.claim_id)
    has_other = found is not None and (found.claim_id != mine.claim_id or found.video_id not in (None, video.id))
    if has_other and not is_free:
        raise _given_away(mine, video.id)
    if found is not None and not is_free and found.phase != "creating":
        return found
    return replace(
        _with_video(mine if is_free or found is None else found, video.id),
        created_at=now,
        request_ids=(video.request_id,) if video.request_id else (),
        expires_at=video.expires_at,
    )


def _with_video(record: Manifest, video_id: str) -> Manifest:
    return replace(record, phase="created", video_id=video_id, claim_seconds=None, lost_at=None, answer=None)


def recall_id(found: Manifest | None, mine: Manifest, remembered: Mapping[str, Any]) -> Manifest | None:
    """Give a claim the id that its create returned and that could not be written here; a new record if it is gone.

    :param mine: the record to write if there is none. Its request is compared if the memory is of another round.
    :param remembered: ``video_id``, ``claim_id``, ``fingerprint`` and ``made_by``, from the task's memory.
    """
    video_id, claim_id = remembered.get("video_id"), remembered.get("claim_id")
    if not isinstance(video_id, str) or not isinstance(claim_id, str):
        return found
    is_free = found is None or (found.phase == "failed" and found.claim_id != claim_id)  # as for record_id
    if found is not None and not is_free:
        is_its_claim = found.claim_id == claim_id and found.phase == "creating"
        return _with_video(found, video_id) if is_its_claim else found
    by, request = remembered.get("made_by"), remembered.get("fingerprint")
    same_round = isinstance(by, Mapping) and is_same_round(by, mine.made_by)
    if not same_round and request not in (mine.fingerprint, old_fingerprint(mine.request)):
        return found
    same_request = request if isinstance(request, str) else mine.fingerprint
    return _with_video(replace(mine, claim_id=claim_id, fingerprint=same_request), video_id)


def record_failure(found: Manifest | None, mine: Manifest, error: errors.WisdomGateError) -> Manifest | None:
    """Record that a video failed. A record that it had replaced comes back if that one has a video.

    A stored record stays stored, and so does one whose clip may be appearing (``sha256`` is set).
    """
    if found is None or not is_about_same(found, mine) or found.phase != "created" or found.sha256:
        return found
    marks: list[Manifest] = []  # a round gives up one video only, however often its record changes
    for record in found.below:  # a create that was lost may stand between
        if record.phase in ("stored", "created"):
            return _marked(record, marks)
        if _is_mark(record, found.made_by):
            marks.append(record)
    return _marked(replace(found, phase="failed", error=error.as_dict(), replaced=None), marks)


def _uncovered(found: Manifest) -> Manifest | None:
    """Return the record that stands there again without a claim: not one of a video that was given up for the claim."""
    marks: list[Manifest] = []
    for record in found.below:
        if "given_up_by" not in (record.error or {}):
            return _marked(record, marks)
        marks.append(record)
    return found.previous


def _marked(record: Manifest, marks: Iterable[Manifest]) -> Manifest:
    """Keep records of videos that were given up below another one."""
    for mark in reversed([*marks]):
        record = replace(record, replaced=replace(mark, replaced=record.replaced).as_dict())
    return record


def give_up(found: Manifest, error: errors.WisdomGateError, terms: Terms) -> Manifest:
    """Return the record of a video that a task gives up to pay again, see :func:`may_recreate`: it counts that."""
    words = {**error.as_dict(), "given_up_by": dict(terms.made_by)}
    return replace(found, phase="failed", error=words, sha256=None, size=None, stored_at=None)


def mark_killed(found: Manifest | None, claim_id: str, video_id: str, by: Mapping[str, Any], now: float) -> Manifest:
    """Record that a person ended the task, before its video is deleted at the gateway.

    :param by: the task instance that was ended.
    :raises WisdomGateError: the video must not be deleted: this task did not pay for it, or its clip is stored.
    """
    if found is None or found.claim_id != claim_id or found.video_id != video_id or found.phase != "created":
        raise errors.WisdomGateError("its record is not the one that this task created")
    if found.sha256 or not is_same_instance(found.made_by, by):
        raise errors.WisdomGateError("its clip is being stored, or another task paid for it")
    if found.created_at is None:  # found in a list, or adopted: it may be another user's
        raise errors.WisdomGateError("its id did not come from the answer to this task's create")
    return replace(found, killed_at=now)


def record_deletion(
    found: Manifest | None, video_id: str, refusal: errors.WisdomGateError | None = None
) -> Manifest | None:
    """Record that the video of a killed task was deleted, or that the gateway refused to delete it.

    If nobody knows whether it was deleted, the mark of the kill stays.
    """
    if found is None or found.killed_at is None or found.video_id != video_id:
        return found
    if refusal is None:
        return record_failure(found, found, errors.VideoFailedError(DELETED, video_id=video_id))
    return found if refusal.is_transient else replace(found, killed_at=None)


def retract(found: Manifest | None, mine: Manifest) -> Manifest | None:
    """Take back the announcement of a clip that never appeared."""
    if found is None or not is_about_same(found, mine) or found.phase != "created":
        return found
    return replace(found, sha256=None, size=None, stored_at=None)


def announce(found: Manifest | None, mine: Manifest, facts: Mapping[str, Any], now: float) -> Manifest:
    """Record which clip is about to appear. From here on no news about the video counts: all its bytes are here.

    :raises DestinationTakenError: the destination was given to another request meanwhile.
    """
    record = require_own(found, mine)
    if record.phase == "stored" and record.sha256 == facts["sha256"]:
        return record  # somebody removed the clip, and it comes back
    return replace(_with_video(record, str(mine.video_id)), error=None, killed_at=None, stored_at=now, **facts)


def record_stored(found: Manifest | None, mine: Manifest, sha256: str, now: float) -> Manifest | None:
    """Record that the announced clip is stored; another announcement than this one stays as it is.

    Return None if the record was deleted; the caller announces the clip again.
    """
    if found is None or not is_about_same(found, mine) or found.sha256 != sha256:
        return found
    return replace(found, phase="stored", stored_at=now, error=None, replaced=None)


def require_own(found: Manifest | None, mine: Manifest) -> Manifest:
    """Return the record that a task continues with.

    :raises DestinationTakenError: the destination was given to another request meanwhile.
    """
    if found is None:
        return mine  # somebody deleted it; the video is paid for all the same
    if not is_about_same(found, mine):
        raise _given_away(mine, str(mine.video_id))
    return found


# ---- transitions of a person (the command line). They never touch a claim that may be alive, nor a stored clip.


@dataclass(frozen=True)
class Repair:
    """The record that shall stand in place of another (None: no record), and what that means, a sentence each.

    :param pays: whether the next run of the task pays for a new video.
    """

    new: Manifest | None
    means: tuple[str, ...]
    pays: bool = False


def adopt(found: Manifest, state: str, video_id: str, claim_id: str) -> Repair:
    """Record the id of the video that a create has made.

    :param claim_id: a new one, used if another id is replaced: news about that video must not count any more.
    :raises UnfitRepairError: this record takes no id.
    """
    goes_on = f"The next run of the task continues with video {video_id}: it sends no create."
    if state == "lost":
        return Repair(_with_video(found, video_id), (goes_on,))
    if state in ("created", "unfetched") and not found.sha256:
        if found.video_id == video_id:
            raise errors.UnfitRepairError(f"Video {video_id} is recorded at {found.uri} already; nothing was changed.")
        other = replace(found, claim_id=claim_id, created_at=None, request_ids=(), expires_at=None, killed_at=None)
        gives_up = f"Video {found.video_id}, which may be paid for, is given up here."
        return Repair(_with_video(other, video_id), (goes_on, gives_up))
    raise _unfit(found, state, "adopt")


def doubts(found: Manifest, video: Video) -> tuple[str, ...]:
    """Return how a video differs from what a create asked for: it may be another request's, a sentence each."""
    asked = {"model": found.request.get("model"), **_options(found)}
    shown = {"model": video.model, "seconds": video.seconds, "size": video.size}
    differing = [
        f"its {name} is {shown[name]}, the task asked for {asked[name]}"
        for name in shown
        if None not in (asked.get(name), shown[name]) and _comparable(asked[name]) != _comparable(shown[name])
    ]
    prompt = found.request.get("prompt_sha256")
    if video.prompt is not None and prompt is not None and _prompt_hash(video.prompt) != prompt:
        differing.append(f"its prompt is another one: {_short(video.prompt)}")
    first, last = create_window(found)
    if video.created_at and not first <= video.created_at <= last:
        sent = utc(found.claimed_at)
        differing.append(f"it was made at {utc(video.created_at)}, the task's create was sent at {sent}")
    if video.is_failed:
        differing.append(f"it is {video.status}")
    return tuple(f"DOUBTFUL: {difference}." for difference in differing)


def _options(found: Manifest) -> dict[str, Any]:
    """Return the length and size that a create asked for; a size that is a format or a ratio shows in no list."""
    fields = found.request.get("fields")
    options = dict(fields) if isinstance(fields, Mapping) else {}
    size, seconds = str(options.get("size")), options.get("seconds", options.get("duration"))
    return {"seconds": seconds, "size": size if re.fullmatch(r"\d+\s*[xX*\u00d7]\s*\d+", size) else None}


def _comparable(value: Any) -> str:
    text = re.sub(r"\s*[x*\u00d7]\s*", "x", str(value).lower())
    return re.sub(r"^(\d+)\.0+$", r"\1", text)


def find_lost(found: Manifest, state: str, listed: Iterable[Video]) -> Video:
    """Return the video that a lost create made, see :func:`found_again`.

    :raises UnfitRepairError: the create is not lost, or the list does not show for certain which video it made.
    """
    if state != "lost":
        raise _unfit(found, state, "adopt --find")
    if (video := found_again(found, listed)) is None:
        raise errors.UnfitRepairError(
            f"The gateway's list does not show for certain which video the create for {found.uri} made; nothing was "
            "changed.",
            next_step=advice(state, found),
        )
    return video


def owns(record: Manifest, video_id: str, base_url: Any) -> bool:
    """Whether a record has a video, or keeps one that has: no other record may be given it.

    :param base_url: of the gateway that made the video; None if unknown.
    """
    return any(
        each.video_id == video_id
        and each.phase in ("created", "stored")
        and (None in (base_url, there := each.request.get("base_url")) or there == base_url)
        for each in (record, *record.below)
    )


def to_fetch(found: Manifest, state: str, clip_size: int | None) -> str:
    """Return the id of the video whose clip a person can fetch.

    :param clip_size: bytes of the file at the destination, None if there is none.
    :raises UnfitRepairError: the record has no such video, or a file stands in the clip's place.
    """
    if state == "missing" and clip_size is not None:
        raise errors.UnfitRepairError(
            f"At {found.uri} stands a file of {clip_size} bytes, not the clip of {found.size} bytes; nothing was "
            "changed.",
            next_step="Move it away, then fetch.",
        )
    if state not in ("created", "unfetched", "missing") or not found.video_id:
        raise _unfit(found, state, "fetch")
    return found.video_id


def forget(found: Manifest, state: str, age: float, clip_size: int | None) -> Repair:
    """Let the next run of the task create a new video. No clip is deleted; a replaced record comes back.

    A lost create leaves no trace: if its answer comes after all, its id can be recorded. Every other record becomes
    ``failed``, so that the id in the task's memory counts no more either.

    :param age: seconds since the record was written.
    :param clip_size: bytes of the file at the destination, None if there is none.
    :raises UnfitRepairError: there is nothing to give up, or a stored clip would lose its record.
    """
    new = _given_up(found)
    pays = new.phase == "failed"
    if state == "lost":
        unfetched = "If the create did arrive, its video is paid for and not fetched."
        below = _below(found, ("stored", "created", "failed"))  # what replaced it pays again
        return Repair(below, (unfetched, _next_run(found)), pays=True)
    if state == "refused":
        return Repair(new, ("The next run of the task sends the same request once more.",), pays)
    if state in ("created", "unfetched") and (not found.sha256 or age > PUBLISH_SECONDS):
        paid = f"Video {found.video_id} is paid for; it is given up here, and stays at the gateway."
        return Repair(new, (paid, _next_run(found)), pays)
    if state == "missing" and clip_size is None:
        paid = f"Video {found.video_id} is paid for; a run of the task would fetch it again for nothing."
        return Repair(new, (paid, _next_run(found)), pays)
    raise _unfit(found, state, "forget")


def forget_damaged(uri: str, data: bytes, clip_size: int | None) -> Repair:
    """Remove a record that cannot be read. No clip is deleted.

    :param data: the bytes of the record.
    :param clip_size: bytes of the file at the destination, None if there is none.
    :raises UnfitRepairError: the record can be read.
    :raises DamagedManifestError: a later version of this package wrote the record, and can read it.
    :raises DestinationTakenError: it is no record of this package.
    """
    try:
        Manifest.load(data, f"{uri}.json")
    except errors.DamagedManifestError:
        raise
    except errors.DestinationTakenError:
        if not is_record(data):
            raise
    else:
        raise errors.UnfitRepairError(f"{uri}.json can be read by now; nothing was changed.", next_step=LOOK_AGAIN)
    ids = ", ".join(ids_in(data))
    paid = f"Video {ids} is paid for, and given up here." if ids else "What is left of the record names no video."
    pays = "The next run of the task creates a video, and pays for it."
    if clip_size is not None:
        pays = f"A file of {clip_size} bytes stays without a record: the task needs if_exists='replace', and pays."
    return Repair(None, (paid, pays), pays=True)


def _given_up(found: Manifest) -> Manifest:
    """Return the replaced record if it has a video; else this one, as failed."""
    if below := _below(found, ("stored", "created")):
        return below
    error = errors.VideoFailedError(GIVEN_UP, video_id=found.video_id)
    nothing = replace(found, sha256=None, size=None, stored_at=None, replaced=None, claim_seconds=None, lost_at=None)
    return replace(nothing, phase="failed", error=error.as_dict())


def _below(found: Manifest, phases: tuple[str, ...]) -> Manifest | None:
    """Return the latest replaced record in one of these phases: other lost creates may stand between."""
    return next((record for record in found.below if record.phase in phases), None)


def _next_run(found: Manifest) -> str:
    below = _given_up(found)
    if below.phase == "failed":
        return "The next run of the task creates a video, and pays for it."
    clip = "clip" if below.phase == "stored" else "video"
    return (
        f"The record of the {clip} that was to be replaced (video {below.video_id}) comes back. A task with "
        "if_exists='replace' creates another video, and pays for it."
    )


def _unfit(found: Manifest, state: str, what: str) -> errors.WisdomGateError:
    if found.phase == "created" and found.sha256:
        return errors.UnfitRepairError(
            f"`{what}` does not fit {found.uri}: its clip may be appearing; nothing was changed.",
            next_step=f"Run the task again, or: {command('fetch', found.uri)}",
        )
    return errors.UnfitRepairError(
        f"`{what}` does not fit {found.uri}: it is {state} ({STATES[state].means}); nothing was changed.",
        next_step=advice(state, found) or "To make another clip in its place, run the task with if_exists='replace'.",
    )


# ---- words of errors


def _owner(found: Manifest) -> str:
    names = ", ".join(f"{key} {value}" for key, value in found.made_by.items() if key in OWNER)
    return f" ({names})" if names else ""


def _taken(why: str, found: Manifest | None = None, next_step: str | None = None) -> errors.DestinationTakenError:
    place = f"The destination {found.uri}" if found else "The destination"
    return errors.DestinationTakenError(
        f"{place} is taken: {why}",
        next_step=next_step or _free_ways(found),
        video_id=found.video_id if found else None,
    )


def _free_ways(found: Manifest | None) -> str:
    """Return the advice about a taken destination: the paid video first, then what pays."""
    pays = "Give the task another destination, or if_exists='replace': both pay for a new video."
    if found is None or found.phase != "created":
        return pays
    kept = command("fetch", found.uri)
    return (
        f"Its video {found.video_id} is paid for and recorded. To keep it, undo the change of the request and run the "
        f"task again, or: {kept} (both cost nothing). {pays}"
    )


def _not_recorded() -> errors.DestinationTakenError:
    return _taken("a file without a manifest stands there, so this package did not write it")


def _other_size(found: Manifest, clip_size: int) -> errors.DestinationTakenError:
    return _taken(
        f"the clip there has {clip_size} bytes, its manifest records {found.size}",
        found,
        "Move the file away and run the task again: it fetches the clip for nothing. To make another clip, and pay: "
        "give the task another destination.",
    )


def _is_siblings(found: Manifest) -> errors.DestinationTakenError:
    return _taken(
        f"map index {found.made_by.get('map_index')} of this task has it, and mapped clips never replace each other",
        found,
        "Give each mapped instance its own destination: leave destination out, or use {{ ti.map_index }} in it.",
    )


def _was_displaced(found: Manifest, mine: Manifest) -> errors.DestinationTakenError:
    video = f"video {mine.video_id}, which is paid for" if mine.video_id else "a create whose answer was lost"
    return _taken(
        f"this run had {video}, and another task{_owner(found)} replaced its record",
        found,
        "Give the two tasks different destinations. WisdomGateDownloadVideoOperator stores a paid video elsewhere; "
        "that costs nothing.",
    )


def _given_away(mine: Manifest, video_id: str) -> errors.DestinationTakenError:
    return errors.DestinationTakenError(
        f"{mine.uri} was given to another request while video {video_id} was made",
        video_id=video_id,
        next_step="The video is paid for: WisdomGateDownloadVideoOperator stores it elsewhere and costs nothing.",
    )


def differences(found: Manifest, wanted: Wanted) -> str:
    """Return how a recorded request differs from the wanted one. A prompt is not quoted."""
    if wanted.video_id is not None:
        here, there = (record.request.get("base_url") for record in (wanted, found))
        return f"video {found.video_id} of {there} there, video {wanted.video_id} of {here} wanted"
    old, new = _flat(recorded(found.request)), _flat(recorded(wanted.request))
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    shown = [f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} wanted" for key in sorted(changed - PROMPT)]
    if changed & PROMPT:  # its words may be nobody's business here
        shown.append(f"the prompt is another one; the one there: {command('show', found.uri)}")
    return "; ".join(shown) or "the requests' fingerprints differ"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _flat(request: Mapping[str, Any]) -> dict[str, Any]:
    options = request.get("fields")
    flat = {**request, **(options if isinstance(options, Mapping) else {}), "fields": None}
    return dict(_meaning(flat))
