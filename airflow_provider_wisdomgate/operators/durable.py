"""Create, wait, store: one durable task. Thin: ledger/rules.py and polling/decisions.py decide what happens."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import (
    Text,
    check_choice,
    check_credit,
    check_gateway,
    check_seconds,
    check_storing,
)
from airflow_provider_wisdomgate.clips.download import MAX_BYTES
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.gateway.routes import Call, longest_attempt
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.killed import is_ended_by_person
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.ledger.destination import Destination, destination_warning, resolve_destination
from airflow_provider_wisdomgate.ledger.driver import (
    GONE,
    ClipTask,
    mark_killed,
    place_of_round,
    record_deletion,
    unless_storage_fails,
)
from airflow_provider_wisdomgate.ledger.rules import (
    Claim,
    Done,
    IfExists,
    OnGone,
    OnLostCreate,
    OnModeratedOutput,
    Terms,
    Wanted,
)
from airflow_provider_wisdomgate.links import WisdomGateVideoLink, tell_destination, told_destination
from airflow_provider_wisdomgate.operators.base import (
    TaskFacts,
    WisdomGateBaseOperator,
    before_the_create,
    how_to_wait_longer,
)
from airflow_provider_wisdomgate.polling.decisions import (
    CONTENT_IN_TASK,
    PollAgain,
    Wait,
    after_missing_content,
    result_of,
    video_of,
)
from airflow_provider_wisdomgate.triggers import BACKSTOP, WisdomGateVideoTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# The trigger waits for content on behalf of a task; its words travel with the claim.
MISSING = "missing"


class DurableVideoOperator(WisdomGateBaseOperator):
    """Asks for a video, waits for it and stores it. Its subclasses make the request.

    The manifest beside the clip remembers what was paid for, so that a later try goes on instead of paying again.

    :param destination: URI or path; a relative one is below the storage path. Left out:
        ``{dag_id}/{run_id}/{task_id}[-{map_index}].mp4``. (templated)
    :param if_exists: ``skip`` keeps the clip of the very same request, ``replace`` makes a new one in its place,
        ``fail`` fails. (templated)
    :param on_gone: what to do if the gateway does not know a paid video any more, or does not have its content:
        ``fail``, so that a person decides; or ``create`` another one and pay again, at most once until somebody clears
        the task. (templated)
    :param on_moderated_output: what to do if the gateway's moderation refuses the video that was made, which is partly
        a matter of chance: ``fail``, so that a person decides; or ``retry``: create another one and pay again, at most
        once until somebody clears the task. A request refused because of its input is never sent again by itself.
        (templated)
    :param timeout: how many seconds one try waits for the video. A shorter ``execution_timeout`` ends the wait, too.
    :param poll_interval: the longest pause between two polls, in seconds; see :func:`polling.decisions.poll_delay`.
    :param deferrable: wait in the triggerer, without a worker slot. Left out: Airflow's option
        ``[operators] default_deferrable``.
    :param on_lost_create: what to do after an earlier create whose answer was lost, and which may have been paid for:
        ``fail``, or ``create`` another one and perhaps pay twice. (templated)
    :param record_prompt: write the prompt into the manifest. Its hash is always there.
    :param delete_on_kill: delete the video at the gateway if a person ends the task (marks it as failed or success, or
        clears it while it runs) before its clip is stored, and the gateway can; the next run then makes a new one. For
        a deferred task this needs Airflow 3.3.
    :param delete_after_download: delete the video at the gateway once its clip is stored; a warning if the
        gateway cannot. A clip that is removed from storage cannot be fetched again then.
    :param min_balance: send no create while the account has less than this, in the gateway's own unit. Without effect
        if the gateway reports no balance. Left out, the connection's ``min_balance`` counts; 0 switches that off.
    :param max_bytes: refuse a larger clip, in bytes.
    """

    template_fields: Sequence[str] = ("destination", "if_exists", "on_lost_create", "on_gone", "on_moderated_output")
    operator_extra_links = (WisdomGateVideoLink(),)
    lost_create_choices: tuple[OnLostCreate, ...] = ("fail", "create")
    prompt = Text()
    destination = Text()
    _made_call: Call[Video] | None = None  # of this execution: a reference image is read once

    def __init__(
        self,
        *,
        destination: str | None = None,
        if_exists: IfExists = "skip",
        timeout: float = 3600.0,
        poll_interval: float = 30.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        on_lost_create: OnLostCreate = "fail",
        on_gone: OnGone = "fail",
        on_moderated_output: OnModeratedOutput = "fail",
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
        self.on_gone = on_gone
        self.on_moderated_output = on_moderated_output
        self.record_prompt = record_prompt
        self.max_bytes = max_bytes

    def _call(self) -> Call[Video]:
        """Check the arguments and make the call that costs. Sends nothing."""
        raise NotImplementedError

    def _request(self, call: Call[Video]) -> dict[str, Any]:
        """Return what shapes the result besides the gateway and the prompt, in plain JSON types."""
        raise NotImplementedError

    def _list_videos(self) -> Iterable[Video]:
        """List the gateway's videos, to find the video of a lost create."""
        return ()

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest of the stored clip, or defer until the video is finished."""
        facts = TaskFacts.of(context, self.retries)
        with before_the_create():
            self._check_arguments()
            terms = self._terms(facts)
            clip = self._clip_task(place_of_round(self._places(facts), terms, facts.memory), facts)
            if warning := destination_warning(clip.destination.uri):
                self.log.warning(warning)
            tell_destination(context, clip.destination.uri)
            finds = self._list_videos if self.on_lost_create == "find" else None
            step = clip.begin(self._wanted, finds)
        if isinstance(step, Done):
            if self.delete_after_download and rules.is_same_round(step.found.made_by, facts.made_by):
                self.hook.delete_copy(str(step.found.video_id))  # an earlier try stored it, and was killed before this
            return self._finish(context, step.found)
        if isinstance(step, Claim):
            self._create(clip)
        else:
            self.log.info("Continuing with video %s, created before", clip.mine.video_id)
        wait = self._new_wait(facts, clip)
        # A video that was just requested cannot be ready; one of an earlier try may be.
        return self._store(context, facts, clip, wait, lambda: self._wait(clip, wait, not isinstance(step, Claim)))

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, destination: str | None = None
    ) -> dict[str, Any]:
        """Store the video of the trigger's event, or raise the error of its end.

        :param destination: of a task that an earlier version deferred; the event of this one has it.
        """
        facts, words = TaskFacts.of(context, self.retries), (event or {}).get("claim") or {}
        place = words.get("destination") or destination or told_destination(context) or self._places(facts)[0]
        clip = self._clip_task(place, facts)
        clip.resume((event or {}).get("video_id"), words, self._wanted)
        wait = self._new_wait(facts, clip)
        wait = replace(wait, deadline=words.get("deadline") or wait.deadline, **words.get(MISSING) or {})
        return self._store(context, facts, clip, wait, lambda: self._seen_there(clip, event))

    def _clip_task(self, destination: str, facts: TaskFacts) -> ClipTask:
        upload_args = None
        with suppress(errors.ConfigurationError):  # raised by the wait, which knows that the video is paid for
            upload_args = self.hook.settings.upload_args
        place = Destination(destination, upload_args)
        return ClipTask(place, self._terms(facts), self._stop, facts.memory, self.max_bytes)

    def _terms(self, facts: TaskFacts) -> Terms:
        return Terms(facts.made_by, self.if_exists, self.on_lost_create, self.on_gone, self.on_moderated_output)

    def _places(self, facts: TaskFacts) -> list[str]:
        """Return where this task's clip may be. The first place counts for a new clip.

        Below each storage path that is configured, and under the name that an earlier version gave it.
        """
        names = [facts.name, facts.old_name] if self.destination is None else [self.destination]
        paths: list[str | None] = [*self.hook.storage_paths] or [None]
        return list(dict.fromkeys(resolve_destination(name, path) for name in names for path in paths))

    def _new_wait(self, facts: TaskFacts, clip: ClipTask) -> Wait:
        deadline = facts.deadline(self.timeout, self.execution_timeout)
        created_at = clip.mine.created_at or clip.mine.claimed_at
        return Wait(deadline, self.poll_interval, since=time.time(), created_at=created_at)

    def _seen_there(self, clip: ClipTask, event: Mapping[str, Any] | None) -> Video:
        """Return the video of an event, unless the connection was changed meanwhile: another gateway reported it."""
        self._check_gateway(clip)
        return video_of(event, may_recreate=True)

    def _check_gateway(self, clip: ClipTask) -> None:
        check_gateway(clip.mine.request.get("base_url"), self.hook.settings.base_url, self.wisdomgate_conn_id)

    def _wait(self, clip: ClipTask, wait: Wait, poll_first: bool) -> Video:
        """Return the finished video; defers if it is not finished and a triggerer can wait."""
        self._check_gateway(clip)
        video_id = str(clip.mine.video_id)
        polled = self.hook.poll(video_id, wait) if poll_first else PollAgain(wait, delay=0.0)
        if isinstance(polled, PollAgain) and self.deferrable:
            self._defer(clip, polled.wait)
        end = self.hook.wait_for_video(video_id, polled.wait, self._stop) if isinstance(polled, PollAgain) else polled
        return result_of(end, may_recreate=True)

    def _store(
        self, context: Context, facts: TaskFacts, clip: ClipTask, wait: Wait, wait_for_video: Callable[[], Video]
    ) -> dict[str, Any]:
        try:
            with self._accounting_for(context, clip):
                stored = clip.finish(wait_for_video, self.hook.open_paid_content, self._content_wait(clip, wait))
        except (*GONE, errors.OutputModerationError) as error:
            with unless_storage_fails(error):
                may_recreate = not error.is_hearsay and clip.may_recreate(error)
            if not may_recreate:
                if isinstance(error, GONE):
                    error.advise(rules.gone_advice(clip.mine), replace=True)
                raise
            return self._store_another(context, facts, clip, error)
        if self.delete_after_download:
            self.hook.delete_copy(str(stored.video_id))
        return self._finish(context, stored)

    def _store_another(
        self, context: Context, facts: TaskFacts, clip: ClipTask, error: errors.WisdomGateError
    ) -> dict[str, Any]:
        """Pay for another video in place of one that is gone, or that moderation refused."""
        why = printable(error.message)
        self.log.warning("Video %s is given up, and another one is created: %s", clip.mine.video_id, why)
        clip.recreate(error, self._wanted)
        self._create(clip)
        wait = self._new_wait(facts, clip)
        return self._store(context, facts, clip, wait, lambda: self._wait(clip, wait, poll_first=False))

    def _content_wait(self, clip: ClipTask, wait: Wait) -> Callable[[errors.WisdomGateError], None]:
        """Return what waits for the content of a finished video: in this task for a minute, then in the triggerer."""

        def wait_for_content(error: errors.WisdomGateError) -> None:
            nonlocal wait
            step = after_missing_content(wait, error, time.time(), can_defer=self.deferrable)
            if not isinstance(step, PollAgain):
                raise step.error or error
            wait = step.wait
            if step.delay > CONTENT_IN_TASK:
                self._defer(clip, wait, step.delay)
            self.log.info("Video %s is finished, and its content is not there yet: %s", clip.mine.video_id, error)
            self._stop.sleep(step.delay * random.uniform(0.8, 1.0))

        return wait_for_content

    def _check_arguments(self) -> None:
        """Check everything that can be checked before money is spent."""
        check_storing(self.if_exists, self.max_bytes, self.delete_after_download)
        check_choice("on_lost_create", self.on_lost_create, self.lost_create_choices)
        check_choice("on_gone", self.on_gone, ("fail", "create"))
        check_choice("on_moderated_output", self.on_moderated_output, ("fail", "retry"))
        for name in ("record_prompt", "delete_on_kill"):
            check_choice(name, getattr(self, name), (True, False))
        for name in ("timeout", "poll_interval"):
            check_seconds(name, getattr(self, name))
        check_credit("min_balance", self.min_balance)
        if self.deferrable:
            self.hook.check_deferrable()

    def _create(self, clip: ClipTask) -> None:
        call = replace(self._made_call or self._call(), idempotency_key=clip.mine.claim_id)

        def send(control: Control) -> Video:
            return self.hook.send_create(call, self.min_balance, control)

        try:
            clip.create(send)
        except errors.LostCreateError as error:
            if self.on_lost_create == "fail":
                raise
            does = {"find": "looks for it in the gateway's list", "create": "creates another one and may pay twice"}
            advice = f"A retry {does[self.on_lost_create]}, because on_lost_create={self.on_lost_create!r}."
            raise errors.WisdomGateError(error.message, next_step=advice, **error.facts) from error

    @contextmanager
    def _accounting_for(self, context: Context, clip: ClipTask) -> Iterator[None]:
        """Delete the video if a person ended the task, and name the limit of a wait that timed out."""
        self._video_id = str(clip.mine.video_id)
        try:
            yield
        except errors.WaitTimeoutError as error:
            error.next_step = (
                f"{rules.paid_advice(clip.mine)} {how_to_wait_longer(self.timeout, self.execution_timeout)}"
            )
            raise
        except BaseException:  # Airflow 2 ends a killed task with an exception of its own
            if self._stop.is_stopped and self.delete_on_kill:
                self._delete(context, clip)
            raise

    def _delete(self, context: Context, clip: ClipTask) -> None:
        """Delete the video of a task that a person ended; in doubt, delete nothing."""
        video_id, words = str(clip.mine.video_id), clip.claim_words()
        try:
            if not is_ended_by_person(context["ti"]):
                self.log.warning("Video %s is kept: Airflow does not record that a person ended this task", video_id)
                return
            self._check_gateway(clip)
            mark_killed(words, video_id)
            try:
                self.hook.delete_video(video_id)
            except errors.WisdomGateError as refusal:
                record_deletion(words, video_id, refusal)
                raise
            record_deletion(words, video_id)
        except errors.WisdomGateError as error:
            self.log.warning("Video %s could not be deleted and continues at the gateway: %s", video_id, error)

    def _wanted(self) -> Wanted:
        self._made_call = call = self._call()
        request = {
            "base_url": self.hook.settings.base_url,
            "prompt_sha256": hashlib.sha256(self.prompt.encode()).hexdigest(),
            **self._request(call),
        }
        recorded = {**request, "prompt": self.prompt} if self.record_prompt else request
        return Wanted(recorded, attempt_seconds=longest_attempt(call))

    def _defer(self, clip: ClipTask, wait: Wait, delay: float | None = None) -> None:
        """Defer until the video is finished, or for ``delay`` seconds until its content may be there."""
        # Of a wait for content only: a finished video ends a row of "unknown" answers to polls.
        counts = {name: getattr(wait, name) for name in ("not_found", "not_found_since")}
        missing = None if delay is None else counts
        claim = {**clip.claim_words(), "deadline": wait.deadline, MISSING: missing}
        self.defer(
            trigger=WisdomGateVideoTrigger(
                str(clip.mine.video_id),
                self.wisdomgate_conn_id,
                self.poll_interval,
                wait.deadline,
                self.delete_on_kill,
                claim,
                None if delay is None else time.time() + delay,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(wait.deadline - time.time(), 0.0)) + BACKSTOP,
        )
