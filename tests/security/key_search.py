"""Searches for the key in all that a task leaves behind."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support import SMALL, LocalPlace, asked, fire, resume

import airflow_provider_wisdomgate
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.async_client import AsyncClient
from airflow_provider_wisdomgate.gateway.retry import ONCE
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import (
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
)
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

PACKAGE = Path(airflow_provider_wisdomgate.__file__).parent

# Whatever quotes, escapes or encodes the key leaves its letters together.
MARK = "m4rk3rQ7fZ"

KEY = f"sk-{MARK}/%s+x=="


class Net:
    """Gathers what is said while it is open, in words of any kind."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.local_variables: list[str] = []

    def take(self, what: Any) -> None:
        """Take a value or an error, in every way that it may be written down."""
        if isinstance(what, BaseException):
            self.pieces += told(what)
            self.local_variables += shown_by_reporters(what)
        else:
            self.pieces += [str(what), repr(what), repr(getattr(what, "__dict__", ""))]

    def finds(self) -> list[str]:
        """Return where the key is."""
        return found(MARK, [*self.pieces, *self.local_variables])


def found(word: str, pieces: list[str]) -> list[str]:
    return [piece[max(piece.find(word) - 200, 0) :][:300] for piece in pieces if word in piece]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that a traceback shows above it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def told(error: BaseException) -> list[str]:
    """Say all that an error tells by itself."""
    pieces = ["".join(traceback.format_exception(error))]
    for link in chain(error):
        pieces += [str(link), repr(link), str(link.args), str(vars(link))]
        if isinstance(link, errors.WisdomGateError):
            pieces += [repr(pickle.dumps(link)), json.dumps(link.as_dict())]
    return pieces


def shown_by_reporters(error: BaseException) -> list[str]:
    """Return what error reporters add to it: the local variables, here of our own functions."""
    frames = [frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename.startswith(str(PACKAGE))]
    return [f"{frame.f_code.co_qualname}: {frame.f_locals!r}" for frame in ours]


class Listener(logging.Handler):
    """Writes every record into the net, with its traceback and its arguments."""

    def __init__(self, net: Net) -> None:
        super().__init__(logging.DEBUG)
        self.net = net

    def emit(self, record: logging.LogRecord) -> None:
        self.net.pieces += [self.format(record), repr(record.args)]


class Tasks:
    """Every way to use the package, each with all it leaves behind put into the net."""

    def __init__(self, net: Net, local: LocalPlace, context: Any) -> None:
        self.net, self.local, self.context = net, local, context
        self.number = 0
        self.timeout = 0.1  # of a wait, where it is to fail

    def end(self, act: Callable[[], Any]) -> Any:
        try:
            result = act()
        except Exception as error:
            result = error
        self.net.take(result)
        return result

    def run(self, kind: Any, **arguments: Any) -> Any:
        """Run a task to its end, in a new object after each deferral, as Airflow does."""

        def work() -> Any:
            context, operator = self.context(), kind(**arguments)
            try:
                return operator.execute(context)
            except TaskDeferred as deferral:
                event = fire(deferral)
                for left in (deferral.trigger.serialize(), vars(deferral.trigger), deferral.kwargs, event):
                    self.net.take(left)
                return resume(kind(**arguments), deferral, event, context)
            finally:
                for left in (operator, operator.hook, [getattr(operator, name) for name in operator.template_fields]):
                    self.net.take(left)
                if "client" in vars(operator.hook):
                    self.net.take(operator.hook.client)

        return self.end(work)

    def place(self) -> str:
        self.number += 1
        return self.local.uri(f"{self.number}.mp4")

    def create(self, directives: str) -> Any:
        return self.run(WisdomGateCreateVideoOperator, task_id="create", prompt=asked(directives), **SMALL)

    def generate(self, directives: str, deferrable: bool = False) -> Any:
        return self.run(
            WisdomGateGenerateVideoOperator,
            task_id="generate",
            prompt=asked(directives),
            destination=self.place(),
            deferrable=deferrable,
            poll_interval=0.001,
            timeout=self.timeout,
            **SMALL,
        )

    def sense(self, video_id: str, **mode: Any) -> Any:
        pace = {"poke_interval": 0.001, "timeout": self.timeout}
        return self.run(WisdomGateVideoSensor, task_id="wait", video_id=video_id, **pace, **mode)

    def download(self, video_id: str) -> Any:
        return self.run(
            WisdomGateDownloadVideoOperator, task_id="download", video_id=video_id, destination=self.place()
        )

    def close(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Add the files, and what was printed."""
        self.net.pieces += [str(path) for path in self.local.folder.rglob("*")]
        self.net.pieces += [repr(path.read_bytes()) for path in self.local.folder.rglob("*.json")]
        self.net.pieces += capfd.readouterr()


def sync_and_async(tasks: Tasks) -> list[Any]:
    """Poll a video with both clients and as a trigger, and return the ends."""

    async def poll() -> Any:
        async with AsyncClient(WisdomGateHook().settings) as client:
            return await client.send(routes.get_video("video_1"), ONCE)

    async def wait() -> Any:
        trigger = WisdomGateVideoTrigger("video_1", poll_interval=0.001, deadline=0.0)
        return [event.payload async for event in trigger.run()]

    return [
        tasks.end(lambda: WisdomGateHook().client.send(routes.get_video("video_1"), ONCE)),
        tasks.end(lambda: asyncio.run(poll())),
        tasks.end(lambda: asyncio.run(wait())),
        tasks.end(lambda: WisdomGateHook().test_connection()),
    ]
