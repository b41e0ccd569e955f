"""How a caller stops what takes time: one object that is asked before each sending and while somebody sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_provider_wisdomgate.exceptions import StoppedError


class Control:
    """Lets everything pass. A subclass raises in :meth:`check` to stop; whatever it raises is not caught."""

    def check(self) -> None:
        """Raise to stop."""

    def sleep(self, seconds: float) -> None:
        """Sleep; :meth:`check` may end it early."""
        interruptible_sleep(seconds, self.check)

    def before_attempt(self, costs: bool) -> None:
        """Raise to send nothing any more. Called before each sending of a request.

        :param costs: whether the request is one that costs money.
        """
        self.check()


class StopFlag(Control):
    """Stops everything once :meth:`stop` was called, from a signal handler or another thread."""

    is_stopped = False

    def stop(self) -> None:
        self.is_stopped = True

    def check(self) -> None:
        """Raise if :meth:`stop` was called.

        :raises StoppedError: it was.
        """
        if self.is_stopped:
            raise StoppedError("The task was asked to stop.")


def interruptible_sleep(seconds: float, check: Callable[[], None]) -> None:
    """Sleep, asking ``check`` five times a second whether to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.2))
