"""Counts what costs and what goes wrong, for Airflow's metrics (StatsD, OpenTelemetry). Never raises.

Off unless Airflow's own metrics are on. The names are ``wisdomgate.`` and: ``creates`` (answered ones, remixes too),
``lost_creates``, ``polls``, ``failed_polls``, ``downloads``, ``downloaded_bytes``.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

# Airflow 3.2+ has two copies: a task sets up the first one, the triggerer the second. Older ones have the third.
COPIES = ("airflow.sdk.observability.stats", "airflow.observability.stats")
OLD = "airflow.stats"

_chosen: list[Any] = []


def count(name: str, number: int = 1) -> None:
    """Add to one of our counters."""
    with suppress(Exception):
        stats = _chosen[0] if _chosen else _choose()
        if stats is not None:
            stats.incr(f"wisdomgate.{name}", number)


def _choose() -> Any:
    """Return the copy that this process has set up, None where it has set up none (yet)."""
    is_known = False
    for name in COPIES:
        with suppress(ImportError):
            stats = import_module(name)
            is_known = True
            if getattr(sys.modules[stats.incr.__module__], "_factory", None) is not None:
                _chosen.append(stats)
                return stats
    if is_known:
        return None
    _chosen.append(import_module(OLD).Stats)
    return _chosen[0]
