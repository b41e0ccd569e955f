"""How a caller stops what takes time: one object that is asked before each sending and while somebody sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable


class Control:
    """Lets everything pass. A subclass raises in :meth:`check` to stop; whatever it raises is not caught."""

    def check(self) -> None:
        """Raise to stop."""

    def sleep(self, seconds: float) -> None:
        """Sleep; :meth:`check` may end it early."""
        interruptible_sleep(seconds, self.check)

    def before_attempt(self) -> None:
        """Raise to send nothing any more. Called before each sending of a request."""
        self.check()


def interruptible_sleep(seconds: float, check: Callable[[], None]) -> None:
    """Sleep, asking ``check`` five times a second whether to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.2))
