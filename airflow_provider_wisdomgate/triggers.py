"""Waits for a video in the triggerer: polls, decides, sleeps, and yields one event."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wisdomgate import DEFAULT_CONN_ID
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.killed import is_ended_by_person_async, run_to_end
from airflow_provider_wisdomgate.polling.decisions import (
    Ended,
    PollAgain,
    Wait,
    after_poll,
    event_of,
    first_poll,
    log_line,
)

if TYPE_CHECKING:
    from airflow_provider_wisdomgate.polling.shared_client import SharedClient

# How much later than the deadline Airflow itself ends a deferral, should no trigger run at all.
BACKSTOP = timedelta(minutes=5)
# After a connection that is not found.
NEEDED_HERE = "The triggerer needs the workers' variable or secrets backend, too, or an entry in Airflow's database."
# After a fault of our own.
GOES_ON = "The video goes on at the gateway, and a retry or a clear waits for it again. See the triggerer's log."


class WisdomGateVideoTrigger(BaseTrigger):
    """Fires once, when the wait for a video is over, however it ended.

    It has no other state than its arguments: a restarted triggerer goes on from them.

    :param video_id: the video to wait for.
    :param wisdomgate_conn_id: the connection it was created with.
    :param poll_interval: the longest pause between two polls, in seconds; see :func:`polling.decisions.poll_delay`.
    :param deadline: when to give up, in epoch seconds; left out, an hour from now.
    :param delete_on_kill: delete the video at the gateway if a person ends the deferred task (Airflow 3.3 or later).
    :param claim: the task's record, see :meth:`ledger.driver.ClipTask.claim_words`: the event returns it unchanged. Its
        ``base_url`` is only compared with the connection's. None in a trigger of an earlier version and of a sensor.
    :param not_before: the first poll's earliest time, in epoch seconds, of a wait for content.
    """

    def __init__(
        self,
        video_id: str,
        wisdomgate_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        delete_on_kill: bool = False,
        claim: dict[str, Any] | None = None,
        not_before: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.video_id = video_id
        self.wisdomgate_conn_id = wisdomgate_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline if deadline is not None else time.time() + 3600.0
        self.delete_on_kill = delete_on_kill
        self.claim = claim
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger again: ids and numbers, no key and no prompt."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "video_id": self.video_id,
                "wisdomgate_conn_id": self.wisdomgate_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "delete_on_kill": self.delete_on_kill,
                "claim": self.claim,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event, see :func:`polling.decisions.event_of`."""
        try:
            end = await self._wait()
        except Exception as error:  # else the task would only learn "Trigger failure"
            self.log.exception("Waiting for video %s failed", self.video_id)
            end = Ended(
                "refused",
                error=errors.WisdomGateError(
                    f"The trigger failed: {error!r}", video_id=self.video_id, next_step=GOES_ON
                ),
            )
        yield TriggerEvent(event_of(self.video_id, end, self.claim))  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Delete the video if a person ended the deferred task and ``delete_on_kill`` is set; in doubt, delete nothing.

        Not ``cleanup()``: that runs on every restart of the triggerer, too.
        """
        if not self.delete_on_kill:
            self.log.info("Video %s continues at the gateway, and so does the next run of the task", self.video_id)
        elif self.claim is None:
            self.log.warning("Video %s is kept: this trigger is of an earlier version, without a claim", self.video_id)
        else:
            await run_to_end(self._delete(self.claim))

    async def _delete(self, claim: dict[str, Any]) -> None:
        """Mark the record, delete the video at the gateway, and record that it was deleted."""
        try:
            # After the deadline the task may have resumed elsewhere, and ended: its state would not mean this wait.
            is_over = time.time() >= self.deadline
            if is_over or not await is_ended_by_person_async(self.task_instance):
                self.log.warning("Video %s is kept: no person ended its task", self.video_id)
                return
            driver = await asyncio.to_thread(import_module, "airflow_provider_wisdomgate.ledger.driver")
            await asyncio.to_thread(driver.mark_killed, claim, self.video_id)
            shared = await _shared_client_module()
            try:
                await shared.delete_video(self.video_id, self.wisdomgate_conn_id, claim.get("base_url"))
            except errors.WisdomGateError as refusal:
                await asyncio.to_thread(driver.record_deletion, claim, self.video_id, refusal)
                raise
            await asyncio.to_thread(driver.record_deletion, claim, self.video_id)
            self.log.info("Video %s is deleted at the gateway", self.video_id)
        except Exception as error:
            self.log.warning("Video %s could not be deleted and continues at the gateway: %s", self.video_id, error)

    async def _wait(self) -> Ended:
        now, claim = time.time(), self.claim or {}
        wait = Wait(self.deadline, self.poll_interval, since=now, created_at=claim.get("created_at"))
        step: PollAgain | Ended = first_poll(wait, now, random.random())
        if self.not_before is not None:
            step = PollAgain(wait, max(min(self.not_before, self.deadline) - now, 0.0))
        async with AsyncExitStack() as stack:
            share_client = (await _shared_client_module()).share_client
            shared = await stack.enter_async_context(share_client(self.video_id, self.wisdomgate_conn_id))
            while isinstance(step, PollAgain):
                await asyncio.sleep(step.delay)
                seen = await self._poll(shared, step)
                now = time.time()
                if line := log_line(step.wait, seen, now):
                    self.log.log(*line)
                step = after_poll(step.wait, seen, now, random.random())
        return step

    async def _poll(self, shared: SharedClient, step: PollAgain) -> Video | errors.WisdomGateError:
        last = step.wait.last
        due, expires_at = self.deadline, last.expires_at if last else None
        if expires_at and expires_at > time.time():  # one that is past already means nothing for this wait
            due = min(due, expires_at)
        try:
            return await shared.poll(self.video_id, due, step.delay / 2, (self.claim or {}).get("base_url"))
        except errors.WisdomGateError as error:
            if not isinstance(error, errors.ConfigurationError) or error.__cause__ is None:
                return error
            # Airflow reports "not found" as well if a secrets backend or its database did not answer.
            return errors.ConnectionBrokenError(error.message, video_id=self.video_id, next_step=NEEDED_HERE)
        except Exception as error:  # Airflow's own database or API was away: a failed poll like any other
            return errors.ConnectionBrokenError(f"The poll failed: {error!r}", video_id=self.video_id)


_shared_client: ModuleType | None = None


async def _shared_client_module() -> Any:
    """Import the HTTP libraries in a thread: on the triggerer's loop that blocks everybody for a second."""
    global _shared_client
    if _shared_client is None:
        _shared_client = await asyncio.to_thread(import_module, "airflow_provider_wisdomgate.polling.shared_client")
    return _shared_client
