"""Create, wait, store: one durable task. Thin: what happens is decided in clips/ledger.py and polling/decisions.py."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import (
    check_choice,
    check_credit,
    check_gateway,
    check_seconds,
    check_storing,
)
from airflow_provider_wisdomgate.clips.advice import command
from airflow_provider_wisdomgate.clips.claim import ClipClaim, resume
from airflow_provider_wisdomgate.clips.destination import Destination, resolve_destination
from airflow_provider_wisdomgate.clips.download import MAX_BYTES
from airflow_provider_wisdomgate.clips.ledger import Claim, Done, Follow, IfExists, OnLostCreate, Wanted, fingerprint
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.clips.memory import memory_of
from airflow_provider_wisdomgate.clips.paid_video import GOES_ON, PaidVideo
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway.routes import Call, longest_attempt
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.links import WisdomGateVideoLink, tell_destination, told_destination
from airflow_provider_wisdomgate.operators.base import (
    WisdomGateBaseOperator,
    before_the_create,
    deadline_of,
    destination_of,
    how_to_wait_longer,
    made_by,
)
from airflow_provider_wisdomgate.polling.decisions import PollAgain, Wait
from airflow_provider_wisdomgate.polling.events import result_of, video_of
from airflow_provider_wisdomgate.triggers import BACKSTOP, WisdomGateVideoTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DELETED = "Deleted, since its task was killed"
KNOWN_EVERYWHERE_AFTER = 60.0


class DurableVideoOperator(WisdomGateBaseOperator):
    """Asks for a video, waits for it and stores it. Its subclasses make the request.

    The manifest beside the clip remembers what was paid for, so that a later try goes on instead of paying again.

    :param destination: URI or path; a relative one is below the storage path. Left out:
        ``{dag_id}/{run_id}/{task_id}[-{map_index}].mp4``. (templated)
    :param if_exists: ``skip`` keeps the clip of the very same request, ``replace`` makes a new one in its place,
        ``fail`` fails. (templated)
    :param timeout: how many seconds one try waits for the video. A shorter ``execution_timeout`` ends the wait, too.
    :param poll_interval: the longest pause between two polls, in seconds; see :func:`polling.schedule.poll_delay`.
    :param deferrable: wait in the triggerer, without a worker slot. Left out: Airflow's option
        ``[operators] default_deferrable``.
    :param on_lost_create: what to do after an earlier create whose answer was lost, and which may have been paid for:
        ``fail``, or ``create`` another one and perhaps pay twice. (templated)
    :param record_prompt: write the prompt into the manifest. Its hash is always there.
    :param delete_on_kill: delete the video at the gateway when the task is killed, if the gateway can; the
        next run then makes a new one. For a deferred task this needs Airflow 3.3.
    :param delete_after_download: delete the video at the gateway once its clip is stored; a warning if the
        gateway cannot. A clip that is removed from storage cannot be fetched again then.
    :param min_balance: send no create while the account has less than this, in the gateway's own unit. Without effect
        if the gateway tells no balance. Left out, the connection's ``min_balance`` counts; 0 switches that off.
    :param max_bytes: refuse a larger clip, in bytes.
    """

    template_fields: Sequence[str] = ("destination", "if_exists", "on_lost_create")
    operator_extra_links = (WisdomGateVideoLink(),)
    lost_create_choices: tuple[OnLostCreate, ...] = ("fail", "create")
    prompt: str

    def __init__(
        self,
        *,
        destination: str | None = None,
        if_exists: IfExists = "skip",
        timeout: float = 3600.0,
        poll_interval: float = 30.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_lost_create: OnLostCreate = "fail",
        record_prompt: bool = True,
        delete_on_kill: bool = False,
        delete_after_download: bool = False,
        min_balance: float | None = None,
        max_bytes: int = MAX_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.if_exists = if_exists
        self.delete_on_kill = delete_on_kill
        self.delete_after_download = delete_after_download
        self.min_balance = min_balance
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.on_lost_create = on_lost_create
        self.record_prompt = record_prompt
        self.max_bytes = max_bytes

    def _call(self) -> Call[Video]:
        """Check the arguments and make the call that costs. Sends nothing."""
        raise NotImplementedError

    def _request(self, call: Call[Video]) -> dict[str, Any]:
        """Return what shapes the result besides the gateway and the prompt, in plain JSON types."""
        raise NotImplementedError

    def _find_lost(self, lost: Manifest) -> Video | None:
        """Find the video of a lost create at the gateway; None where that cannot be told."""
        return None

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest of the stored clip, or defer until the video is finished."""
        with before_the_create():
            self._check_arguments()
            call = self._call()
            claim = ClipClaim(
                Destination(self._destination(context)),
                self._wanted(call, context),
                self.if_exists,
                self.on_lost_create,
                self._check,
                memory_of(context),
                self._find_lost,
            )
            tell_destination(context, claim.destination.uri)
            step, manifest = claim.begin(longest_attempt(call))
        if isinstance(step, Done):
            if self.delete_after_download and step.found.made_by == claim.wanted.made_by:
                self.hook.delete_copy(str(step.found.video_id))  # an earlier try stored it, and was killed before this
            return self._finish(context, step.found)
        if self.delete_on_kill and isinstance(step, Follow) and self._was_deleted(manifest):
            PaidVideo(claim.destination, manifest).record_failure(errors.VideoFailedError(DELETED))
            step, manifest = claim.begin(longest_attempt(call))
        wait = Wait(deadline_of(context, self.timeout, self.execution_timeout), self.poll_interval, since=time.time())
        if isinstance(step, Claim):
            manifest = self._create(claim, manifest, call)
        else:
            self.log.info("Going on with video %s, created before", manifest.video_id)
        # A video that was just asked for cannot be ready; one from an earlier try may be.
        poll_first = not isinstance(step, Claim)
        return self._store(
            context, claim.destination, manifest, lambda: self._wait(claim.destination, manifest, wait, poll_first)
        )

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, destination: str | None = None
    ) -> dict[str, Any]:
        """Store the video of the trigger's event, or raise the error of its end.

        :param destination: as it was before the deferral. ``dag.test()`` loses it; then the XCom has it.
        """
        target = Destination(destination or told_destination(context) or self._destination(context))
        manifest = resume(target, (event or {}).get("video_id"), lambda: self._wanted_or_unknown(context))
        return self._store(context, target, manifest, lambda: self._seen_there(manifest, event))

    def _seen_there(self, manifest: Manifest, event: Mapping[str, Any] | None) -> Video:
        """Take the video out of an event, unless the connection was changed meanwhile: another gateway said it then."""
        check_gateway(manifest.request.get("base_url"), self.hook.settings.base_url, self.wisdomgate_conn_id)
        return video_of(event, may_recreate=True)

    def _wait(self, target: Destination, manifest: Manifest, wait: Wait, poll_first: bool) -> Video:
        """Return the finished video; defers where it is not finished and a triggerer can wait."""
        video_id = str(manifest.video_id)
        polled = self.hook.poll(video_id, wait) if poll_first else PollAgain(wait, delay=0.0)
        if isinstance(polled, PollAgain) and self.deferrable:
            self._defer(video_id, target.uri, wait)
        end = self.hook.wait_for_video(video_id, wait, self._check) if isinstance(polled, PollAgain) else polled
        return result_of(end, may_recreate=True)

    def _store(
        self, context: Context, target: Destination, manifest: Manifest, wait: Callable[[], Video]
    ) -> dict[str, Any]:
        paid = PaidVideo(target, manifest, self.max_bytes, self._check, memory_of(context))
        with self._accounting_for(paid):
            stored = paid.finish(wait, self.hook.open_content)
            if self.delete_after_download:
                self.hook.delete_copy(str(stored.video_id))
            return self._finish(context, stored)

    def _check_arguments(self) -> None:
        """Check everything that can be checked before money is spent."""
        check_storing(self.if_exists, self.max_bytes, self.delete_after_download)
        check_choice("on_lost_create", self.on_lost_create, self.lost_create_choices)
        for name in ("record_prompt", "delete_on_kill"):
            check_choice(name, getattr(self, name), (True, False))
        for name in ("timeout", "poll_interval"):
            check_seconds(name, getattr(self, name))
        check_credit("min_balance", self.min_balance)

    def _create(self, claim: ClipClaim, mine: Manifest, call: Call[Video]) -> Manifest:
        call = replace(call, idempotency_key=mine.claim_id)

        def send(control: Control) -> Video:
            return self.hook.send_create(call, self.min_balance, control)

        try:
            return claim.create(mine, send)
        except errors.LostCreateError as error:
            if self.on_lost_create == "fail":
                raise
            does = {"find": "looks for it in the gateway's list", "create": "creates anew and may pay twice"}
            advice = f"A retry {does[self.on_lost_create]}, as on_lost_create={self.on_lost_create!r} says."
            raise errors.WisdomGateError(error.message, next_step=advice, **error.facts) from error

    def _destination(self, context: Context) -> str:
        return resolve_destination(destination_of(self.destination, context), self.hook.storage_path)

    @contextmanager
    def _accounting_for(self, paid: PaidVideo) -> Iterator[None]:
        """Say what becomes of a video that was paid for, and do what ``delete_on_kill`` asks."""
        self._video_id = str(paid.mine.video_id)
        try:
            yield
        except errors.StoppedError:
            if self.delete_on_kill:
                self._delete(paid)
            raise
        except errors.WaitTimeoutError as error:
            error.next_step = f"{GOES_ON} {how_to_wait_longer(self.timeout, self.execution_timeout)}"
            raise
        except errors.VideoNotFoundError as error:
            # A deferred task's trigger deletes, and cannot write the manifest.
            if self.delete_on_kill and _is_known_everywhere(paid.mine):
                deleted = errors.VideoFailedError(DELETED, **error.facts)
                paid.record_failure(deleted)
                raise deleted from error
            paid.memory.forget()  # or the next try would go on with the id that is not there
            advice = f"To create it anew, and pay again: {command('forget', paid.destination.uri)}"
            raise errors.VideoNotFoundError(error.message, next_step=advice, **error.facts) from error

    def _was_deleted(self, manifest: Manifest) -> bool:
        """Whether the gateway itself says that it has no such video: a deferred task's trigger deletes without a word.

        Of a video that was asked for a moment ago it may say so before it is known everywhere.
        """
        if not _is_known_everywhere(manifest):
            return False
        try:
            self.hook.get_video(str(manifest.video_id))
        except errors.VideoNotFoundError:
            return True
        except errors.WisdomGateError as error:
            self.log.warning("Whether video %s is there could not be found out: %s", manifest.video_id, error)
        return False

    def _delete(self, paid: PaidVideo) -> None:
        try:
            self.hook.delete_video(str(paid.mine.video_id))
        except errors.WisdomGateError as error:
            self.log.warning("Video %s could not be deleted and goes on: %s", paid.mine.video_id, error)
        else:
            paid.record_failure(errors.VideoFailedError(DELETED))

    def _wanted(self, call: Call[Video], context: Context) -> Wanted:
        request = {
            "base_url": self.hook.settings.base_url,
            "prompt_sha256": hashlib.sha256(self.prompt.encode()).hexdigest(),
            **self._request(call),
        }
        recorded = {**request, "prompt": self.prompt} if self.record_prompt else request
        return Wanted(recorded, fingerprint(request), made_by=made_by(context, self.retries))

    def _wanted_or_unknown(self, context: Context) -> Wanted:
        try:
            return self._wanted(self._call(), context)
        except errors.WisdomGateError as error:  # say, the reference image is gone by now
            self.log.warning("The request of this video cannot be told any more: %s", error)
            return Wanted({}, made_by=made_by(context, self.retries))

    def _defer(self, video_id: str, destination: str, wait: Wait) -> None:
        self.defer(
            trigger=WisdomGateVideoTrigger(
                video_id, self.wisdomgate_conn_id, self.poll_interval, wait.deadline, self.delete_on_kill
            ),
            method_name="execute_complete",
            kwargs={"destination": destination},
            timeout=timedelta(seconds=max(wait.deadline - time.time(), 0.0)) + BACKSTOP,
        )


def _is_known_everywhere(manifest: Manifest) -> bool:
    """Whether a video is old enough that a gateway's "there is none" counts: else it would be paid for twice."""
    return time.time() - (manifest.created_at or 0.0) >= KNOWN_EVERYWHERE_AFTER
