"""Create, wait, store: one durable task. Thin: what happens is decided in clips/ledger.py and polling/decisions.py."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import Destination, resolve_destination
from airflow_provider_wisdomgate.clips.download import MAX_BYTES
from airflow_provider_wisdomgate.clips.ledger import Claim, Done, IfExists, OnLostCreate, Wanted, fingerprint
from airflow_provider_wisdomgate.clips.lifecycle import ClipLifecycle
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.gateway.routes import Call, Part
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.links import WisdomGateVideoLink, tell_destination
from airflow_provider_wisdomgate.operators.base import CreateArguments, check_choice, destination_of, made_by
from airflow_provider_wisdomgate.polling.decisions import PollAgain, Wait
from airflow_provider_wisdomgate.polling.events import result_of, video_of
from airflow_provider_wisdomgate.triggers import BACKSTOP, WisdomGateVideoTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class WisdomGateGenerateVideoOperator(CreateArguments):
    """Asks for a video, waits for it and stores it: one task that can be killed, retried and cleared at any time.

    The manifest beside the clip remembers what was paid for, so that a later try goes on instead of paying
    again. Returns the manifest as a plain dict. Takes the arguments of
    :class:`WisdomGateCreateVideoOperator`, and:

    :param destination: as for :class:`WisdomGateDownloadVideoOperator`. (templated)
    :param if_exists: ``skip`` succeeds without a request when the clip of the very same request is there;
        ``replace`` makes a new one in its place; ``fail`` fails. (templated)
    :param timeout: seconds that one try waits for the video.
    :param poll_interval: the longest delay between polls, in seconds; see :func:`polling.schedule.poll_delay`.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param on_lost_create: what a try does that finds a create without an answer, which may have been paid for:
        ``fail``, or ``create`` another one.
    :param delete_on_kill: delete the video at the gateway when the task is killed, where the gateway can; a
        re-run then makes a new one. Deferred tasks need Airflow 3.3 for it.
    :param record_prompt: write the prompt into the manifest; its hash is there either way.
    :param max_bytes: give up on content larger than this.
    """

    template_fields: Sequence[str] = (
        *CreateArguments.template_fields,
        "destination",
        "if_exists",
        "on_lost_create",
    )
    ui_color = "#d9d7f2"
    operator_extra_links = (WisdomGateVideoLink(),)

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
        max_bytes: int = MAX_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.if_exists = if_exists
        self.delete_on_kill = delete_on_kill
        self.timeout = timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.on_lost_create = on_lost_create
        self.record_prompt = record_prompt
        self.max_bytes = max_bytes

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest of the stored clip, or defer until the video is finished."""
        lifecycle, call = self._prepare(context)
        tell_destination(context, lifecycle.destination.uri)
        step, manifest = lifecycle.begin()
        if isinstance(step, Done):
            return self._finish(context, step.found)
        wait = Wait(self._deadline(context), self.poll_interval, since=time.time())
        if isinstance(step, Claim):
            manifest = self._create(lifecycle, manifest, step, call)
        else:
            self.log.info("Going on with video %s, created before", manifest.video_id)
        with self._accounting_for(lifecycle, manifest) as video_id:
            # A video that was just asked for cannot be ready; one from an earlier try may be.
            polled = PollAgain(wait, delay=0.0) if isinstance(step, Claim) else self.hook.poll(video_id, wait)
            if isinstance(polled, PollAgain) and self.deferrable:
                self._defer(video_id, manifest.uri, wait)
            end = self.hook.wait_for_video(video_id, wait, self._check) if isinstance(polled, PollAgain) else polled
            video = result_of(end, may_recreate=True)
            return self._finish(context, lifecycle.download(manifest, video, self.hook.open_content))

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, destination: str | None = None
    ) -> dict[str, Any]:
        """Store the video of the trigger's event, or raise the error of its end.

        :param destination: as resolved before the deferral; ``dag.test()`` loses it, then it is resolved again.
        """
        target = Destination(destination or self._destination(context))
        lifecycle = ClipLifecycle(target, Wanted({}), max_bytes=self.max_bytes, check=self._check)
        manifest, told = target.read(), (event or {}).get("video_id")
        if manifest is None or (told and manifest.video_id != told):
            raise errors.DestinationTakenError(
                f"The manifest of this task's video at {target.uri}.json is gone or another's",
                video_id=told,
                next_step="WisdomGateDownloadVideoOperator stores the video under another name.",
            )
        with self._accounting_for(lifecycle, manifest):
            video = video_of(event, may_recreate=True)
            return self._finish(context, lifecycle.download(manifest, video, self.hook.open_content))

    def _prepare(self, context: Context) -> tuple[ClipLifecycle, Call[Video]]:
        """Check everything that can be checked before money is spent."""
        check_choice("if_exists", self.if_exists, ("skip", "replace", "fail"))
        check_choice("on_lost_create", self.on_lost_create, ("fail", "create"))
        for name in ("timeout", "poll_interval"):
            if not isinstance(value := getattr(self, name), int | float) or not value > 0:
                raise errors.ConfigurationError(f"{name} must be a number of seconds above 0, not {value!r}.")
        call = self._call()
        wanted = self._wanted(call, made_by(context, self.retries))
        target = Destination(self._destination(context))
        return ClipLifecycle(target, wanted, self.if_exists, self.on_lost_create, self.max_bytes, self._check), call

    def _create(self, lifecycle: ClipLifecycle, mine: Manifest, step: Claim, call: Call[Video]) -> Manifest:
        try:
            manifest, video = lifecycle.create(mine, step.takes, lambda: self.hook.client.send(call))
        except errors.LostCreateError as error:
            if self.on_lost_create == "fail":
                raise
            advice = "A retry creates it anew, as on_lost_create='create' says."
            raise errors.WisdomGateError(error.message, next_step=advice, **error.facts) from error
        self.log.info("Video %s is %s; its manifest is %s.json", video.id, video.status, manifest.uri)
        return manifest

    def _destination(self, context: Context) -> str:
        return resolve_destination(destination_of(self.destination, context), self.hook.storage_path)

    @contextmanager
    def _accounting_for(self, lifecycle: ClipLifecycle, manifest: Manifest) -> Iterator[str]:
        """Record how a video that was paid for ends, and yield its id."""
        self._video_id = video_id = str(manifest.video_id)
        with lifecycle.recording_failures(manifest):
            try:
                yield video_id
            except errors.StoppedError:
                if self.delete_on_kill:
                    self._delete(lifecycle, manifest)
                raise
            except errors.VideoNotFoundError as error:
                if self.delete_on_kill:  # a deferred task's trigger deletes, and cannot write the manifest
                    raise errors.VideoFailedError("Deleted, since its task was killed", **error.facts) from error
                advice = f"To create it anew, and pay again, delete {manifest.uri}.json."
                raise errors.VideoNotFoundError(error.message, next_step=advice, **error.facts) from error

    def _delete(self, lifecycle: ClipLifecycle, manifest: Manifest) -> None:
        try:
            self.hook.delete_video(str(manifest.video_id))
        except errors.WisdomGateError as error:
            self.log.warning("Video %s could not be deleted and goes on: %s", manifest.video_id, error)
        else:
            lifecycle.record_failure(manifest, errors.VideoFailedError("Deleted, since its task was killed"))

    def _wanted(self, call: Call[Video], task: Mapping[str, Any]) -> Wanted:
        options = self._options()
        options.pop("input_reference", None)
        prompt_hash = hashlib.sha256(self.prompt.encode()).hexdigest()
        request: dict[str, Any] = {
            "base_url": self.hook.settings.base_url,
            "model": self.model,
            "prompt_sha256": prompt_hash,
        }
        request["fields"] = {name: str(v) if name == "seconds" else v for name, v in sorted(options.items())}
        if isinstance(part := (call.form or {}).get("input_reference"), Part):
            request["input_reference_sha256"] = hashlib.sha256(part.content).hexdigest()
        recorded = {**request, "prompt": self.prompt} if self.record_prompt else request
        return Wanted(recorded, fingerprint(request), made_by=task)

    def _defer(self, video_id: str, destination: str, wait: Wait) -> None:
        self.defer(
            trigger=WisdomGateVideoTrigger(
                video_id, self.wisdomgate_conn_id, self.poll_interval, wait.deadline, self.delete_on_kill
            ),
            method_name="execute_complete",
            kwargs={"destination": destination},
            timeout=timedelta(seconds=max(wait.deadline - time.time(), 0.0)) + BACKSTOP,
        )

    def _deadline(self, context: Context) -> float:
        """Return when this try gives up: Airflow does not enforce ``execution_timeout`` while a task is deferred."""
        deadline = time.time() + self.timeout
        started = getattr(context.get("ti"), "start_date", None)
        if self.execution_timeout and started:
            deadline = min(deadline, started.timestamp() + self.execution_timeout.total_seconds())
        return deadline
