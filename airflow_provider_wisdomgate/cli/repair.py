"""``clips adopt`` and ``clips forget``: what a person changes about one clip or about many.

All changes are shown before one question. Each is written over exactly the version of the manifest that was shown, or
not at all.
"""

from __future__ import annotations

import re
import sys
import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.clips import counted, row_of, selected, show_clips, show_kept
from airflow_provider_wisdomgate.cli.output import moment_of, progress, say
from airflow_provider_wisdomgate.cli.places import (
    destination_of,
    folder_of,
    folder_to_compare,
    hook_for,
    is_filtered,
    kept_at,
)
from airflow_provider_wisdomgate.cli.run import DIFFERS, ERROR
from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.gateway.routes import check_text
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Found, OvertakenError
from airflow_provider_wisdomgate.ledger.folder import Kept, age_at, find_owners
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import (
    LOOK_AGAIN,
    NEEDS_PERSON,
    Repair,
    adopt,
    command,
    doubts,
    find_lost,
    forget,
    forget_damaged,
    owns,
)

T = TypeVar("T")

ID_REMEDY = "Give the id that the gateway shows."
# A clip and the id of its video. Ids may end with "=", as base64 does, and folders may be named "day=2026-12-01".
PAIR = re.compile(r"(.*[^=])=([^=].*)", re.S)
# The records of a storage path are compared for so many seconds before a video is adopted.
COMPARE_SECONDS = 30.0


@dataclass
class Choice:
    """The clips that a command is for, and what became of those that it left as they were.

    :param is_single: one clip was named: its error ends the command.
    :param is_folder: a folder was named: clips that the command does not fit are passed over.
    """

    clips: list[tuple[Kept, str | None]]
    is_single: bool
    is_folder: bool
    status: int = 0
    passed_over: list[str] = field(default_factory=list)

    def leave(self, uri: str, error: errors.WisdomGateError, state: str = "") -> None:
        """Report a clip that is left as it is, and go on.

        :param state: given if the command does not fit the clip: of a folder, such clips are only counted.
        """
        if self.is_single:
            raise error
        is_unfit = isinstance(error, errors.UnfitRepairError)
        is_passed_over = self.is_folder and is_unfit and bool(state)
        if is_passed_over:
            self.passed_over.append(state)
        else:
            say(f"Left: {uri}: {error}")
        if not is_passed_over or state in NEEDS_PERSON:
            self.status = max(self.status, DIFFERS if is_unfit else ERROR)

    def report_passed_over(self) -> None:
        if self.passed_over:
            say(f"Left as they are: {counted(self.passed_over)}.")


@dataclass(frozen=True)
class Change:
    """A change of one clip's record, and what a person reads before the question."""

    kept: Kept
    found: Found
    repair: Repair
    video: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        return self.kept.destination.uri

    @property
    def video_id(self) -> str:
        return str(self.repair.new and self.repair.new.video_id)

    def is_taken_by(self, record: Manifest) -> bool:
        """Whether another record has the video of this one, or this one keeps an older record that has it."""
        base_url = self.kept.manifest and self.kept.manifest.request.get("base_url")
        return record.uri != self.uri and owns(record, self.video_id, base_url)

    @property
    def lines(self) -> tuple[str, ...]:
        return (*self.doubts, *self.repair.means)


def choose(arguments: Namespace, names: Mapping[str, str | None]) -> Choice:
    """Find the clips that a command names, or those of a folder that its filters let through.

    :param names: the named clips, each with the id of its video if one is given.
    :raises ConfigurationError: there are none, or both.
    """
    is_folder = arguments.folder is not None or is_filtered(arguments)
    if bool(names) == is_folder:
        raise errors.ConfigurationError(
            "Name clips, or a folder (--folder) and what to select from it.", next_step="See --help."
        )
    choice = Choice([], is_single=len(names) == 1, is_folder=is_folder)
    if is_folder:
        unread: list[Kept] = []
        folder = folder_of(arguments.folder, arguments.conn_id)
        choice.clips = [(kept, None) for kept in selected(folder, arguments, unread)]
        for kept in unread:
            choice.leave(kept.destination.uri, kept.problem or errors.StorageError("It cannot be read."))
    for name, video_id in names.items():
        try:
            choice.clips.append((kept_at(destination_of(name, arguments.conn_id)), video_id))
        except errors.WisdomGateError as error:
            choice.leave(name, error)
    return choice


def plan(choice: Choice, decide: Callable[[Kept, str | None], T]) -> list[T]:
    """Decide about each clip; those about which nothing can be done are left."""
    planned = []
    for kept, video_id in choice.clips:
        try:
            planned.append(decide(kept, video_id))
        except errors.WisdomGateError as error:
            choice.leave(kept.destination.uri, error, kept.state)
    return planned


# ---- forget


def forget_clips(arguments: Namespace) -> int:
    """Give records up, so that the next runs create anew."""
    choice = choose(arguments, dict.fromkeys(arguments.clips))
    if choice.is_folder and not arguments.state:
        raise errors.ConfigurationError(
            "All records of a folder are not forgotten at once.", next_step="Name the states: --state."
        )
    return change_all(arguments, choice, plan(choice, _forget))


def _forget(kept: Kept, _: str | None) -> Change:
    place, manifest = kept.destination, kept.manifest
    if manifest is not None:
        return Change(kept, _found(kept), forget(manifest, kept.state, age_at(place, manifest), place.clip_size()))
    if (read := place.find_any()) is None:
        raise _changed_meanwhile(place.uri)
    return Change(kept, Found(None, read.version), forget_damaged(place.uri, read.data, place.clip_size()))


def _found(kept: Kept) -> Found:
    if kept.found is None:
        raise kept.problem or errors.StorageError(f"{kept.destination.uri}.json cannot be read")
    return kept.found


# ---- adopt


def adopt_clips(arguments: Namespace) -> int:
    """Give lost creates the ids of the videos that they made."""
    choice = choose(arguments, _named(arguments))
    adoption = _Adoption(arguments)
    changes = plan(choice, adoption.decide)
    return change_all(arguments, choice, adoption.without_taken(choice, changes))


def _named(arguments: Namespace) -> dict[str, str | None]:
    """Return the named clips, each with the id of its video; without ids if they are to be found."""
    names: list[str] = arguments.clips
    if arguments.find and arguments.video_id is None:
        return dict.fromkeys(names)
    if arguments.video_id is not None and len(names) == 1:
        return {names[0]: check_text("--video-id", arguments.video_id, ID_REMEDY)}
    pairs = [PAIR.fullmatch(name) for name in names]
    if not names or arguments.video_id is not None or arguments.find or not all(pairs):
        raise errors.ConfigurationError(
            "It is not clear which video is whose.",
            next_step="Give one clip and --video-id, several as CLIP=VIDEO_ID, or --find.",
        )
    return {pair[1]: check_text("VIDEO_ID", pair[2], ID_REMEDY) for pair in pairs if pair}


class _Adoption:
    """The gateway's list, read once for all adoptions of one command."""

    def __init__(self, arguments: Namespace) -> None:
        self._arguments = arguments
        self._listed: list[Video] | None = None

    def decide(self, kept: Kept, video_id: str | None) -> Change:
        found, manifest = _found(kept), kept.manifest
        if manifest is None:
            raise kept.problem or _changed_meanwhile(kept.destination.uri)
        conn_id = self._arguments.conn_id
        if video_id is None:
            video: Video | None = find_lost(manifest, kept.state, self._videos(hook_for(conn_id, manifest)))
        else:
            adopt(manifest, kept.state, video_id, "")  # if this does not fit, the gateway need not be asked
            video = None if self._arguments.no_check else hook_for(conn_id, manifest).get_video(video_id)
        repair = adopt(manifest, kept.state, video_id or str(video and video.id), uuid.uuid4().hex)
        if video is None:
            return Change(kept, found, repair)
        return Change(kept, found, repair, _described(video), doubts(manifest, video))

    def _videos(self, hook: WisdomGateHook) -> list[Video]:
        if self._listed is None:
            self._listed = hook.list_videos()
        return self._listed

    def without_taken(self, choice: Choice, changes: list[Change]) -> list[Change]:
        """Leave the clips whose video another record has; with --force, that is a doubt."""
        if not changes:
            return []
        folders = dict.fromkeys(folder_to_compare(each.kept.destination, self._arguments.conn_id) for each in changes)
        with progress("Comparing with other records"):
            owners, problem = find_owners(folders, {each.video_id for each in changes}, COMPARE_SECONDS)
        fitting = []
        for change in changes:
            others = [kept.destination.uri for kept in owners if kept.manifest and change.is_taken_by(kept.manifest)]
            others += [each.uri for each in changes if each is not change and each.video_id == change.video_id]
            if others and not self._arguments.force:
                choice.leave(change.uri, _taken(change, others[0]))
                continue
            more = [f"DOUBTFUL: {other} has this video, too." for other in dict.fromkeys(others)]
            if problem:
                more.append(f"DOUBTFUL: another record may have this video: {problem.message}.")
            fitting.append(replace(change, doubts=(*change.doubts, *more)))
        return fitting


def _described(video: Video) -> str:
    known = {"model": video.model, "made": moment_of(video.created_at), "seconds": video.seconds, "size": video.size}
    facts = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    return f"The gateway says: video {video.id} is {video.status}" + (f" ({facts})." if facts else ".")


def _taken(change: Change, other: str) -> errors.UnfitRepairError:
    return errors.UnfitRepairError(
        f"Video {change.video_id} is recorded at {other}.json already; nothing was changed.",
        next_step=f"Look for another video, or see {command('show', other)}. To adopt it all the same: --force.",
    )


# ---- the question, and the changes


def change_all(arguments: Namespace, choice: Choice, changes: list[Change]) -> int:
    """Show all changes, ask once, and write each over what was shown."""
    if arguments.yes and not getattr(arguments, "force", True):
        for change in changes:
            if change.doubts:
                choice.leave(change.uri, _doubtful(change))
        changes = [change for change in changes if not change.doubts]
    choice.report_passed_over()
    if not changes:
        say("Nothing was changed.")
        return choice.status
    _show(arguments, choice, changes)
    if not arguments.yes and not is_answered_yes(_question(choice, changes)):
        say("Nothing was changed.")
        return DIFFERS
    done = sum(_write(choice, change) for change in changes)
    if not choice.is_single:
        say(f"{done} of {len(changes)} records were changed.")
    return choice.status


def _show(arguments: Namespace, choice: Choice, changes: list[Change]) -> None:
    if not choice.is_single:
        rows = [row_of(each.kept) | {"change": " ".join(filter(None, (each.video, *each.lines)))} for each in changes]
        show_clips(rows, more=("change",))
        return
    (change,) = changes
    if change.video:
        say(change.video)
    show_kept(change.kept, arguments.conn_id)
    for line in change.lines:
        say(line)


def _question(choice: Choice, changes: list[Change]) -> str:
    if choice.is_single:
        return f"Change {changes[0].uri}.json? [y/N] "
    pays = sum(change.repair.pays for change in changes)
    doubtful = sum(bool(change.doubts) for change in changes)
    facts = [f"{pays} of them lead to a new paid create"] * bool(pays) + [f"{doubtful} are DOUBTFUL"] * bool(doubtful)
    return f"Change {len(changes)} records{' (' + ', '.join(facts) + ')' if facts else ''}? [y/N] "


def _write(choice: Choice, change: Change) -> bool:
    """Write a change over what was shown; whether it was written."""
    new = change.repair.new
    try:
        change.kept.destination.swap(change.found, new and replace(new, uri=change.uri))
    except OvertakenError:
        choice.leave(change.uri, _changed_meanwhile(change.uri))
        return False
    except errors.WisdomGateError as error:
        choice.leave(change.uri, error)
        return False
    say(f"Changed: {change.uri}.json")
    return True


def _changed_meanwhile(uri: str) -> errors.UnfitRepairError:
    return errors.UnfitRepairError(
        f"Somebody else changed {uri}.json meanwhile; nothing was changed by this command.", next_step=LOOK_AGAIN
    )


def _doubtful(change: Change) -> errors.UnfitRepairError:
    return errors.UnfitRepairError(
        f"{' '.join(change.doubts)} Nothing was changed at {change.uri}.json.",
        next_step="To adopt it all the same: --force, or answer the question without --yes.",
    )


def is_answered_yes(question: str) -> bool:
    """Ask a person on the terminal.

    :raises WisdomGateError: nobody is there.
    """
    print(printable(question), end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        print(file=sys.stderr)
        raise errors.WisdomGateError("There is nobody to ask; nothing was changed.", next_step="Give --yes.")
    return answer.strip().lower() in ("y", "yes")
