"""Create, download, or both with the wait between them. Thin: what happens is decided in ledger and waiting."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_wisdomgate import DEFAULT_CONN_ID
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.destination import MAX_BYTES, Target, resolve
from airflow_provider_wisdomgate.clips.ledger import Claim, Done, IfExists, Manifest, OnLostCreate, Wanted, fingerprint
from airflow_provider_wisdomgate.clips.lifecycle import Keeper, StoredVideo
from airflow_provider_wisdomgate.gateway.replies import Video
from airflow_provider_wisdomgate.gateway.routes import Call, Part, check_name
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.lineage import announce, openlineage_facets
from airflow_provider_wisdomgate.links import WisdomGateVideoLink, tell_destination
from airflow_provider_wisdomgate.polling.decisions import Again, Wait, result_of, video_of
from airflow_provider_wisdomgate.triggers import BACKSTOP, WisdomGateVideoTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class WisdomGateBaseOperator(BaseOperator):
    """What the three operators share: the connection, and an ear for being killed."""

    delete_on_kill = False

    def __init__(self, *, wisdomgate_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wisdomgate_conn_id = wisdomgate_conn_id
        self._killed = False
        self._video_id: str | None = None  # for words on being killed only: a resumed task is a new object
        self._stored: StoredVideo | None = None

    @cached_property
    def hook(self) -> WisdomGateHook:
        """The hook of this operator's connection."""
        return WisdomGateHook(self.wisdomgate_conn_id)

    def on_kill(self) -> None:
        """Stop what is under way at the next chance; a video that was asked for goes on at the gateway."""
        self._killed = True
        self.hook.interrupt()
        if self._video_id and not self.delete_on_kill:
            self.log.info("Video %s goes on at the gateway; a re-run of this task picks it up", self._video_id)

    def _check(self) -> None:
        if self._killed:
            raise errors.StoppedError("The task was asked to stop.")

    def _finish(self, context: Context, stored: StoredVideo) -> dict[str, Any]:
        self._stored = stored
        announce(context, self.outlets, self.hook, stored)
        self.log.info("Video %s is stored at %s (%s bytes)", stored.video_id, stored.uri, stored.size)
        return stored.as_dict()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the stored clip as OpenLineage's output dataset."""
        return openlineage_facets(self._stored)


class _RequestOperator(WisdomGateBaseOperator):
    """The arguments of a create, and its call."""

    template_fields: Sequence[str] = (
        "model",
        "prompt",
        "seconds",
        "size",
        "input_reference",
        "fields",
        "wisdomgate_conn_id",
    )

    def __init__(
        self,
        *,
        model: str,
        prompt: str,
        seconds: int | str | None = None,
        size: str | None = None,
        input_reference: Any = None,
        fields: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.prompt = prompt
        self.seconds = seconds
        self.size = size
        self.input_reference = input_reference
        self.fields = fields

    def _call(self) -> Call[Video]:
        return self.hook.create_call(self.model, self.prompt, self._options())

    def _options(self) -> dict[str, Any]:
        if not isinstance(fields := self.fields or {}, Mapping):
            raise errors.ConfigurationError(f"fields must be a dict, not {fields!r}.")
        own = {"seconds": self.seconds, "size": self.size, "input_reference": self.input_reference}
        own = {name: value for name, value in own.items() if value is not None}
        if clash := own.keys() & fields.keys():
            raise errors.ConfigurationError(f"fields repeats {', '.join(sorted(clash))}, an argument of its own.")
        return {**fields, **own}


class WisdomGateCreateVideoOperator(_RequestOperator):
    """Asks for a video and returns its id. Costs money, so nothing is ever sent twice that may have arrived.

    A retry of this task asks for another video; :class:`WisdomGateGenerateVideoOperator` does not.

    :param model: a model that the gateway serves. (templated)
    :param prompt: the text that describes the video. (templated)
    :param seconds: length of the clip, a whole number. (templated)
    :param size: ``WIDTHxHEIGHT`` in pixels. (templated)
    :param input_reference: path or URI (anything ``ObjectStoragePath`` reads) of an image. (templated)
    :param fields: whatever else the model takes, passed through. (templated)
    """

    ui_color = "#f7e3d9"

    def execute(self, context: Context) -> str:
        """Return the video's id."""
        video = self.hook.client.send(self._call())
        self.log.info("Video %s is %s", video.id, video.status)
        return video.id


class WisdomGateDownloadVideoOperator(WisdomGateBaseOperator):
    """Streams a finished video's content to storage, whole or not at all; returns the manifest as a plain dict.

    :param video_id: the video. (templated)
    :param destination: URI or path; relative ones go below the storage path. Left out:
        ``{dag_id}/{run_id}/{task_id}[-{map_index}].mp4``. (templated)
    :param if_exists: ``skip`` succeeds without a request when this very video is there, ``replace`` fetches it
        anew, ``fail`` fails. (templated)
    :param max_bytes: give up on content larger than this.
    """

    template_fields: Sequence[str] = ("video_id", "destination", "if_exists", "wisdomgate_conn_id")
    ui_color = "#ddf0dc"
    operator_extra_links = (WisdomGateVideoLink(),)

    def __init__(
        self,
        *,
        video_id: str,
        destination: str | None = None,
        if_exists: IfExists = "skip",
        max_bytes: int = MAX_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video_id = video_id
        self.destination = destination
        self.if_exists = if_exists
        self.max_bytes = max_bytes

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest."""
        _check_choice("if_exists", self.if_exists, ("skip", "replace", "fail"))
        check_name("video_id", self.video_id, "Give the id that a create returned.")
        destination = resolve(destination_of(self.destination, context), self.hook.storage_path)
        tell_destination(context, destination)
        stored = self.hook.download_video(
            self.video_id,
            destination,
            if_exists=self.if_exists,
            max_bytes=self.max_bytes,
            made_by=made_by(context, self.retries),
            check=self._check,
        )
        return self._finish(context, stored)


class WisdomGateGenerateVideoOperator(_RequestOperator):
    """Asks for a video, waits for it and stores it: one task that can be killed, retried and cleared at any time.

    The manifest beside the clip remembers what was paid for, so that a later try goes on instead of paying
    again. Returns the manifest as a plain dict. Takes the arguments of
    :class:`WisdomGateCreateVideoOperator`, and:

    :param destination: as for :class:`WisdomGateDownloadVideoOperator`. (templated)
    :param if_exists: ``skip`` succeeds without a request when the clip of the very same request is there;
        ``replace`` makes a new one in its place; ``fail`` fails. (templated)
    :param timeout: seconds that one try waits for the video.
    :param poll_interval: the longest pause between looks, in seconds; see :func:`pacing.pause`.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param on_lost_create: what a try does that finds a create without an answer, which may have been paid for:
        ``fail``, or ``create`` another one.
    :param delete_on_kill: delete the video at the gateway when the task is killed, where the gateway can; a
        re-run then makes a new one. Deferred tasks need Airflow 3.3 for it.
    :param record_prompt: write the prompt into the manifest; its hash is there either way.
    :param max_bytes: give up on content larger than this.
    """

    template_fields: Sequence[str] = (
        *_RequestOperator.template_fields,
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
        keeper, call = self._prepare(context)
        tell_destination(context, keeper.target.uri)
        step, manifest = keeper.begin()
        if isinstance(step, Done):
            return self._finish(context, step.found)
        wait = Wait(self._deadline(context), self.poll_interval, since=time.time())
        if isinstance(step, Claim):
            manifest = self._create(keeper, manifest, step, call)
        else:
            self.log.info("Going on with video %s, created before", manifest.video_id)
        with self._accounting_for(keeper, manifest) as video_id:
            # A video that was just asked for cannot be ready; one from an earlier try may be.
            look = Again(wait, delay=0.0) if isinstance(step, Claim) else self.hook.look(video_id, wait)
            if isinstance(look, Again) and self.deferrable:
                self._defer(video_id, manifest.uri, wait)
            end = self.hook.wait_for_video(video_id, wait, self._check) if isinstance(look, Again) else look
            video = result_of(end, may_recreate=True)
            return self._finish(context, keeper.land(manifest, video, self.hook.open_content))

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, destination: str | None = None
    ) -> dict[str, Any]:
        """Store the video of the trigger's event, or raise the error of its end.

        :param destination: as resolved before the deferral; ``dag.test()`` loses it, then it is resolved again.
        """
        target = Target(destination or self._destination(context))
        keeper = Keeper(target, Wanted({}), max_bytes=self.max_bytes, check=self._check)
        manifest, told = target.read(), (event or {}).get("video_id")
        if manifest is None or (told and manifest.video_id != told):
            raise errors.DestinationTakenError(
                f"The record of this task's video at {target.uri}.json is gone or another's",
                video_id=told,
                next_step="WisdomGateDownloadVideoOperator stores the video under another name.",
            )
        with self._accounting_for(keeper, manifest):
            video = video_of(event, may_recreate=True)
            return self._finish(context, keeper.land(manifest, video, self.hook.open_content))

    def _prepare(self, context: Context) -> tuple[Keeper, Call[Video]]:
        """Check everything that can be checked before money is spent."""
        _check_choice("if_exists", self.if_exists, ("skip", "replace", "fail"))
        _check_choice("on_lost_create", self.on_lost_create, ("fail", "create"))
        for name in ("timeout", "poll_interval"):
            if not isinstance(value := getattr(self, name), int | float) or not value > 0:
                raise errors.ConfigurationError(f"{name} must be a number of seconds above 0, not {value!r}.")
        call = self._call()
        wanted = self._wanted(call, made_by(context, self.retries))
        target = Target(self._destination(context))
        return Keeper(target, wanted, self.if_exists, self.on_lost_create, self.max_bytes, self._check), call

    def _create(self, keeper: Keeper, mine: Manifest, step: Claim, call: Call[Video]) -> Manifest:
        try:
            manifest, video = keeper.create(mine, step.takes, lambda: self.hook.client.send(call))
        except errors.LostCreateError as error:
            if self.on_lost_create == "fail":
                raise
            advice = "A retry creates it anew, as on_lost_create='create' says."
            raise errors.WisdomGateError(error.message, next_step=advice, **error.facts) from error
        self.log.info("Video %s is %s; its record is %s.json", video.id, video.status, manifest.uri)
        return manifest

    def _destination(self, context: Context) -> str:
        return resolve(destination_of(self.destination, context), self.hook.storage_path)

    @contextmanager
    def _accounting_for(self, keeper: Keeper, manifest: Manifest) -> Iterator[str]:
        """Record how a video that was paid for ends, and yield its id."""
        self._video_id = video_id = str(manifest.video_id)
        with keeper.recording_failures(manifest):
            try:
                yield video_id
            except errors.StoppedError:
                if self.delete_on_kill:
                    self._delete(keeper, manifest)
                raise
            except errors.VideoNotFoundError as error:
                if self.delete_on_kill:  # a deferred task's trigger deletes, and cannot write the record
                    raise errors.VideoFailedError("Deleted, since its task was killed", **error.facts) from error
                advice = f"To create it anew, and pay again, delete {manifest.uri}.json."
                raise errors.VideoNotFoundError(error.message, next_step=advice, **error.facts) from error

    def _delete(self, keeper: Keeper, manifest: Manifest) -> None:
        try:
            self.hook.delete_video(str(manifest.video_id))
        except errors.WisdomGateError as error:
            self.log.warning("Video %s could not be deleted and goes on: %s", manifest.video_id, error)
        else:
            keeper.fail(manifest, errors.VideoFailedError("Deleted, since its task was killed"))

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
        record = {**request, "prompt": self.prompt} if self.record_prompt else request
        return Wanted(record, fingerprint(request), made_by=task)

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


def destination_of(destination: str | None, context: Context) -> str:
    """Return the given destination, or the one that a task instance has by default.

    Never ``ds``, which manual and asset-triggered runs lack; never ``try_number``, so that a retry finds what the
    first try made.
    """
    if destination is not None:
        return destination
    ti = context["ti"]
    index = getattr(ti, "map_index", -1)
    name = ti.task_id if index is None or index < 0 else f"{ti.task_id}-{index}"
    return "/".join(_safe(part) for part in (ti.dag_id, ti.run_id, name)) + ".mp4"


def _safe(part: str) -> str:
    safe = UNSAFE.sub("_", part)
    return safe if safe.strip(".") else "_" * len(safe)


def made_by(context: Context, retries: int | None) -> dict[str, Any]:
    """Name the task instance that acts. ``round`` changes with a clear, and stays over automatic retries."""
    ti = context.get("ti")
    if ti is None:
        return {}
    tries = getattr(ti, "max_tries", None)
    names = ("dag_id", "run_id", "task_id", "map_index")
    return {
        **{name: getattr(ti, name, None) for name in names},
        "round": tries - (retries or 0) if isinstance(tries, int) else None,
    }


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise errors.ConfigurationError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
