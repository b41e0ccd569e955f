"""Shared by the operators: the connection, being killed, the facts of a task, the arguments of a create."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wisdomgate import DEFAULT_CONN_ID
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import ReferenceText, Text, shown_whole
from airflow_provider_wisdomgate.clips.names import default_name, old_default_name
from airflow_provider_wisdomgate.control import StopFlag
from airflow_provider_wisdomgate.gateway.routes import Call, seconds_text
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger.driver import Memory, NoMemory, memory_of
from airflow_provider_wisdomgate.lineage import announce, openlineage_facets

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wisdomgate.hooks import WisdomGateHook
    from airflow_provider_wisdomgate.ledger.driver import StoredVideo


NO_CREATE = "This try sent no create, so it cost nothing."


@dataclass(frozen=True)
class TaskFacts:
    """A task instance's facts about itself, read from Airflow's context once.

    :param made_by: dag_id, run_id, task_id and map_index; ``run_started`` (ISO 8601), which distinguishes a run from an
        earlier one of the same id; ``max_tries``, which identifies the round, and ``round``, by which versions before
        0.3 identified it.
    :param started: when this try began, in epoch seconds.
    :param name: the destination that the task instance has by default, relative to the storage path; ``old_name`` the
        one that it had before version 0.3.
    :param memory: what survives the try.
    """

    made_by: Mapping[str, Any] = field(default_factory=dict)
    started: float | None = None
    name: str = ""
    old_name: str = ""
    memory: Memory = field(default_factory=NoMemory)

    @classmethod
    def of(cls, context: Context, retries: int | None) -> TaskFacts:
        if (ti := context.get("ti")) is None:
            return cls()
        names = {name: getattr(ti, name, None) for name in ("dag_id", "run_id", "task_id", "map_index")}
        tries = getattr(ti, "max_tries", None)
        run_started = getattr(context.get("dag_run"), "start_date", None)
        started = getattr(ti, "start_date", None)
        made_by = {
            **names,
            "run_started": run_started.isoformat() if run_started else None,
            "max_tries": tries,
            "round": tries - (retries or 0) if isinstance(tries, int) else None,
        }
        ids = (ti.dag_id, ti.run_id, ti.task_id, names["map_index"])
        memory = memory_of(context)
        return cls(
            made_by, started.timestamp() if started else None, default_name(*ids), old_default_name(*ids), memory
        )

    def deadline(self, timeout: float, execution_timeout: timedelta | None) -> float:
        """Return when this try gives up: Airflow does not enforce ``execution_timeout`` while a task is deferred."""
        deadline = time.time() + timeout
        if execution_timeout and self.started:
            deadline = min(deadline, self.started + execution_timeout.total_seconds())
        return deadline


class WisdomGateBaseOperator(BaseOperator):
    """Shared by the operators: the connection, and what happens when a task is killed.

    :param wisdomgate_conn_id: the connection, of type ``wisdomgate``. (templated)
    """

    delete_on_kill = False
    wisdomgate_conn_id = Text()

    def __init__(self, *, wisdomgate_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wisdomgate_conn_id = wisdomgate_conn_id
        self._stop = StopFlag()
        self._video_id: str | None = None  # for the log of a kill only: a resumed task is a new object
        self._stored: StoredVideo | None = None

    @cached_property
    def hook(self) -> WisdomGateHook:
        """The hook of this operator's connection."""
        # Imported when a task runs: parsing a DAG file loads no HTTP library.
        from airflow_provider_wisdomgate.hooks import WisdomGateHook

        return WisdomGateHook(self.wisdomgate_conn_id)

    def on_kill(self) -> None:
        """Stop as soon as possible. A video that was requested continues at the gateway."""
        self._stop.stop()
        self.hook.interrupt()
        if self._video_id and not self.delete_on_kill:
            self.log.info("Video %s continues at the gateway, and so does the next run of this task", self._video_id)

    def _finish(self, context: Context, stored: StoredVideo) -> dict[str, Any]:
        self._stored = stored
        announce(context, self.outlets, self.hook, stored)
        self.log.info("Video %s is stored at %s (%s bytes)", stored.video_id, stored.uri, stored.size)
        return stored.as_dict()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the stored clip as OpenLineage's output dataset."""
        return openlineage_facets(self._stored)


class CreateArguments(WisdomGateBaseOperator):
    """The arguments of a create, and its call.

    :param model: a model that the gateway serves. (templated)
    :param prompt: the text that describes the video. (templated)
    :param seconds: length of the clip in seconds, a whole number. (templated)
    :param size: what the model takes: ``"1280x720"``, ``"1080P"``, ``"16:9"``. (templated)
    :param input_reference: what guides the video: path or URI of an image (JPEG, PNG or WebP), which is sent as a file;
        an https URL, a ``data:`` URL or an object such as ``{"image_url": "https://..."}``, which are sent as they are;
        or a list of these. (templated)
    :param fields: a dict of whatever else the model takes, sent as it is. (templated)
    """

    model = Text()
    prompt = Text()
    input_reference = ReferenceText()

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
        own = {
            "seconds": None if self.seconds is None else seconds_text(self.seconds),
            "size": self.size,
            "input_reference": shown_whole(self.input_reference),
        }
        own = {name: value for name, value in own.items() if value is not None}
        if clash := own.keys() & fields.keys():
            raise errors.ConfigurationError(
                f"fields repeats {', '.join(sorted(clash))}, which has an argument of its own."
            )
        return {**fields, **own}


@contextmanager
def before_the_create() -> Iterator[None]:
    """Add to an error that is raised in here that it cost nothing."""
    try:
        yield
    except (errors.ConfigurationError, errors.DestinationTakenError, errors.StorageError) as error:
        error.advise(NO_CREATE)
        raise


def how_to_wait_longer(timeout: float, execution_timeout: timedelta | None) -> str:
    """Name the limit that ended a wait at its deadline."""
    if execution_timeout is None:
        return f"To wait longer in one try, raise timeout ({timeout:g} s)."
    theirs = execution_timeout.total_seconds()
    return f"One try waits for timeout ({timeout:g} s) or execution_timeout ({theirs:g} s), the shorter one: raise it."
