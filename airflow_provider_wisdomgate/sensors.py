"""Waits for a video in a task: poke, reschedule or deferrable, all on the same decisions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_wisdomgate import DEFAULT_CONN_ID
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import Text, check_seconds
from airflow_provider_wisdomgate.ledger.driver import Memory, NoMemory, memory_of
from airflow_provider_wisdomgate.polling.decisions import (
    LONGEST_RETRY_AFTER,
    MAX_UNAUTHORIZED,
    Ended,
    Wait,
    result_of,
    video_of,
)
from airflow_provider_wisdomgate.triggers import BACKSTOP, WisdomGateVideoTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wisdomgate.hooks import WisdomGateHook

# The state that reschedule mode keeps between its polls.
WAIT_KEY = "wisdomgate_wait"
COUNTS = ("failed_polls", "not_found")

# The events with which Airflow 3 and 2 resume a task whose deferral timed out.
BACKSTOP_REASONS = ("Trigger timeout", "Trigger/execution timeout")


class WisdomGateVideoSensor(BaseSensorOperator):
    """Succeeds when a video is finished, and returns it as a plain dict (without its prompt).

    :param video_id: the video to wait for. (templated)
    :param wisdomgate_conn_id: the connection it was created with. (templated)
    :param poke_interval: seconds between two polls; if deferrable, the longest pause between them.
    :param timeout: seconds until the sensor gives up with ``AirflowSensorTimeout``. The video goes on at the gateway.
    :param deferrable: wait in the triggerer, without a worker slot. Left out: Airflow's option
        ``[operators] default_deferrable``.

    A failed video ends the sensor at once, without retries. With ``soft_fail`` or ``never_fail`` the task is skipped in
    every mode unless the video is finished. In reschedule mode each poll is a process of its own. Airflow 3.3 keeps how
    many polls failed in a row, and how long the gateway asked to wait. On older versions, if the gateway stays broken,
    only ``timeout`` ends such a wait.
    """

    template_fields: Sequence[str] = ("video_id", "wisdomgate_conn_id")
    ui_color = "#d9e8f7"
    video_id = Text()
    wisdomgate_conn_id = Text()

    def __init__(
        self,
        *,
        video_id: str,
        wisdomgate_conn_id: str = DEFAULT_CONN_ID,
        poke_interval: float | timedelta = 30.0,
        timeout: float | timedelta = 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.video_id = video_id
        self.wisdomgate_conn_id = wisdomgate_conn_id
        self.deferrable = deferrable
        # BaseSensorOperator holds the deadline in poke and reschedule mode, after each poll.
        # In reschedule mode each poll is a process of its own, which has just read the connection.
        self._wait = Wait(float("inf"), self.poke_interval, unauthorized=MAX_UNAUTHORIZED - 1 if self.reschedule else 0)
        self._not_before = 0.0
        self._remembers = False

    @cached_property
    def hook(self) -> WisdomGateHook:
        """The hook of this sensor's connection."""
        # Imported when a task runs: parsing a DAG file loads no HTTP library.
        from airflow_provider_wisdomgate.hooks import WisdomGateHook

        return WisdomGateHook(self.wisdomgate_conn_id)

    def execute(self, context: Context) -> Any:
        """Return the finished video, or defer until the wait is over."""
        if not self.deferrable:
            try:
                return super().execute(context)
            except AirflowSensorTimeout as error:
                self._skip_if_told(error)  # Airflow applies never_fail to a deferred sensor's timeout only
                raise
        for name in ("timeout", "poke_interval"):  # in the other modes they are Airflow's own
            check_seconds(name, getattr(self, name))
        now = time.time()
        deadline = now + self.timeout
        claim = {"base_url": self.hook.settings.base_url}  # only the gateway that was asked first is believed
        step = self.hook.poll(self.video_id, Wait(deadline, self.poke_interval, since=now))
        if isinstance(step, Ended):
            return self._result(step)
        self.defer(
            trigger=WisdomGateVideoTrigger(
                self.video_id, self.wisdomgate_conn_id, self.poke_interval, deadline, claim=claim
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout) + BACKSTOP,
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once."""
        memory = memory_of(context, WAIT_KEY) if self.reschedule else NoMemory()
        self._recall(memory)
        if time.time() < self._not_before:
            return False  # the gateway asked for a longer pause than poke_interval
        step = self.hook.poll(self.video_id, self._wait)
        if isinstance(step, Ended):
            memory.forget()
            return PokeReturnValue(is_done=True, xcom_value=self._result(step))
        self._wait = step.wait
        if step.delay > 1.5 * self.poke_interval:
            self._not_before = time.time() + step.delay
        counts = {name: getattr(self._wait, name) for name in COUNTS}
        if any(counts.values()) or self._not_before > time.time():
            memory.remember({**counts, "not_before": self._not_before})
        elif self._remembers:
            memory.forget()
        return False

    def _recall(self, memory: Memory) -> None:
        """Take up what the last poll, in another process, has learnt."""
        words = memory.recall()
        self._remembers = bool(words)
        counts = {name: words[name] for name in COUNTS if isinstance(words.get(name), int)}
        self._wait = replace(self._wait, **counts)
        if isinstance(until := words.get("not_before"), int | float):
            self._not_before = max(self._not_before, min(until, time.time() + LONGEST_RETRY_AFTER))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the finished video of the trigger's event, or raise the error of its end."""
        try:
            return video_of(event, may_recreate=False).as_dict()
        except errors.WisdomGateError as error:
            self._fail(error)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Give the backstop timeout the name that a sensor's timeout has; Airflow 2 does not."""
        if next_method == "__fail__" and (next_kwargs or {}).get("error") in BACKSTOP_REASONS:
            self._fail(
                errors.WaitTimeoutError(
                    "The deadline passed, and no trigger had ended the wait", video_id=self.video_id
                )
            )
        return super().resume_execution(next_method, next_kwargs, context)

    def _result(self, end: Ended) -> dict[str, Any]:
        try:
            return result_of(end, may_recreate=False).as_dict()
        except errors.WisdomGateError as error:
            self._fail(error)

    def _fail(self, error: errors.WisdomGateError) -> NoReturn:
        if isinstance(error, errors.WaitTimeoutError):
            error.next_step = (
                "The video goes on at the gateway: clear the task to go on waiting. To wait longer, raise timeout "
                f"({self.timeout:g} s)."
            )
        self._skip_if_told(error)
        if isinstance(error, errors.WaitTimeoutError):
            raise AirflowSensorTimeout(str(error)) from error
        raise error

    def _skip_if_told(self, error: Exception) -> None:
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(f"Skipping, since soft_fail or never_fail is set: {error}") from error
