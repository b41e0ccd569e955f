"""Faults of the whole gateway: down, a burst of errors, a rate limit. Thread-safe; answers nothing."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass

WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class Burst:
    status: int
    retry_after: str | None
    until: float
    code: str | None = None
    method: str | None = None


class Outages:
    def __init__(self, requests_per_minute: int | None) -> None:
        self._lock = threading.Lock()
        self._first_limit = requests_per_minute
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._down_until, self._down_method = 0.0, ""
            self._burst: Burst | None = None
        self.limit(self._first_limit)

    def limit(self, requests_per_minute: int | None) -> None:
        """Allow so many requests in any 60 s from now on (None: no limit); what went before is forgotten."""
        if requests_per_minute is not None and requests_per_minute < 1:
            raise ValueError(f"requests_per_minute must be at least 1, not {requests_per_minute!r}")
        with self._lock:
            self._limit = requests_per_minute
            self._window: deque[float] = deque()

    def down(self, seconds: float, method: str | None = None) -> None:
        with self._lock:
            self._down_until, self._down_method = time.monotonic() + seconds, method or ""

    def burst(
        self,
        status: int,
        seconds: float,
        retry_after: float | str | None = None,
        code: str | None = None,
        method: str | None = None,
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a burst needs an HTTP error status from 400 to 599, not {status!r}")
        text = None if retry_after is None else str(retry_after)
        with self._lock:
            self._burst = Burst(status, text, time.monotonic() + seconds, code, method)

    def is_down(self, method: str) -> bool:
        with self._lock:
            return time.monotonic() < self._down_until and self._down_method in ("", method)

    def current_burst(self, method: str) -> Burst | None:
        with self._lock:
            burst = self._burst
            is_on = burst is not None and time.monotonic() < burst.until and burst.method in (None, method)
            return burst if is_on else None

    def admit(self) -> int | None:
        """Let one request in (None), or return after how many seconds to come back."""
        now = time.monotonic()
        with self._lock:
            while self._window and self._window[0] <= now - WINDOW_SECONDS:
                self._window.popleft()
            if self._limit is not None and len(self._window) >= self._limit:
                return math.ceil(self._window[0] + WINDOW_SECONDS - now)
            if self._limit is not None:
                self._window.append(now)
            return None
