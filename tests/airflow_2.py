"""What Airflow 2 needs for its operators and sensors to run in tests without a scheduler and its database."""

from __future__ import annotations

import threading
from typing import Any


class Callers(threading.local):
    """Airflow 2 remembers for the main thread only which ``execute`` runs; tests run some in other threads."""

    def __init__(self) -> None:
        self.callers: dict[str, Any] = {}


def stand_in() -> None:
    from airflow.models.baseoperator import ExecutorSafeguard
    from airflow.sensors import base
    from support import TaskInstance

    ExecutorSafeguard._sentinel = Callers()
    # Airflow 2 looks up in its database what Airflow 3 asks the task instance.
    base._orig_start_date = lambda **_: TaskInstance.latest.first_reschedule_date
