"""Computes where a clip may be, from what Airflow knows of its task. Pure; a guess: only the manifest there proves it.

A relative destination goes below a storage path that depends on the connection, which a viewer may not read. So one
clip of a task is asked for by its XCom, and what stands before its own name in that URI is the others' storage path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.clips.stores.local import PLAIN
from airflow_provider_wisdomgate.ledger.destination import resolve_destination
from airflow_provider_wisdomgate.plugin.run_api import Instance

# In these states a try has not looked at its destination; an earlier one may have.
NOT_BEGUN = (None, "none", "scheduled", "queued", "upstream_failed", "skipped")
# An instance in one of these states has most likely recorded its destination; the first are the likeliest.
TELLING = ("success", "deferred", "running", "up_for_retry", "up_for_reschedule", "failed")

# Tasks that share a storage path: those of a task and a connection.
Group = tuple[str, str | None]


def has_begun(instance: Instance) -> bool:
    """Whether there may be a manifest."""
    earlier = instance.tries - (instance.state in ("scheduled", "queued"))
    return instance.state not in NOT_BEGUN or earlier > 0


def group_of(instance: Instance) -> Group:
    """Return what a storage path is the same for."""
    conn_id = instance.rendered.get("wisdomgate_conn_id")
    return instance.ref.task_id, conn_id if isinstance(conn_id, str) else None


def samples(instances: Iterable[Instance]) -> Mapping[Group, Instance]:
    """Choose one instance of each group to ask for its place, if its name alone does not determine it."""
    chosen: dict[Group, Instance] = {}
    for each in instances:
        if not has_begun(each) or is_absolute(name_of(each)):
            continue
        group = group_of(each)
        if group not in chosen or _rank(each) < _rank(chosen[group]):
            chosen[group] = each
    return chosen


def root_of(uri: str | None, sample: Instance) -> str | None:
    """Return the storage path that a sample's place has before its name, None if that is not its name."""
    name = name_of(sample)
    for ending in (f"/{name}", f"/{quote(name, safe=PLAIN)}"):
        if uri and uri.endswith(ending):
            return uri.removesuffix(ending)
    return None


def place_of(instance: Instance, root: str | None) -> str | None:
    """Return where the clip is if the storage path is this one, None if that is not determined."""
    try:
        return resolve_destination(name_of(instance), root)
    except errors.ConfigurationError:
        return None


def name_of(instance: Instance) -> str:
    """Return the destination that the task was given, or its default one."""
    given = instance.rendered.get("destination")
    ref = instance.ref
    return given if isinstance(given, str) else default_name(ref.dag_id, ref.run_id, ref.task_id, ref.map_index)


def is_absolute(name: str) -> bool:
    """Whether a destination needs no storage path."""
    return "://" in name or name.startswith("/")


def _rank(instance: Instance) -> int:
    return TELLING.index(instance.state) if instance.state in TELLING else len(TELLING)
