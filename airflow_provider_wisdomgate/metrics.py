"""Counts what costs and what goes wrong, for Airflow's metrics (StatsD, OpenTelemetry). Never raises.

Off unless Airflow's own metrics are on. docs/scale.md lists the names.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

# Airflow 3.2 and newer have two copies: a task sets up the first one, the triggerer the second. A counter goes to one
# of them, also if both are set up. Older ones have a third place, which needs no setting up.
COPIES = ("airflow.sdk.observability.stats", "airflow.observability.stats")
OLD = "airflow.stats"
# The placeholder there until somebody sets it up, and if metrics are off.
NOT_SET_UP = ("NoneType", "NoStatsLogger")

_chosen: list[Any] = []


def count(name: str, number: int = 1) -> None:
    """Add to one of our counters."""
    if not _chosen:  # decided once: looking for it cost a poll more than sending
        with suppress(Exception):
            _chosen.append(_choose())
    if _chosen and _chosen[0] is not None:
        with suppress(Exception):
            _chosen[0].incr(f"wisdomgate.{name}", number)


def _choose() -> Any:
    """Return the copy that this process has set up, None if it has set up none."""
    has_copies = False
    for name in COPIES:
        with suppress(ImportError):
            stats = import_module(name).Stats
            has_copies = True
            factory = _factory_of(stats)
            if (getattr(factory, "__name__", None) or type(factory).__name__) not in NOT_SET_UP:
                return stats
    return None if has_copies else import_module(OLD).Stats


def _factory_of(stats: Any) -> Any:
    """Return what makes a copy's backend: Airflow 3.3 keeps it beside the class, 3.2 in it."""
    module = sys.modules[stats.__module__]
    return module._factory if hasattr(module, "_factory") else stats.factory
