"""Finds the clips of a run and reads their manifests, several at a time. Never writes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from airflow_provider_wisdomgate.clips.stores.base import shared_clients
from airflow_provider_wisdomgate.exceptions import StorageError
from airflow_provider_wisdomgate.links import DESTINATION_KEY
from airflow_provider_wisdomgate.plugin.airflow_api import RETURN_KEY, Airflow, RunRef, TaskRef
from airflow_provider_wisdomgate.plugin.clip_finder import FoundClip, find_clip
from airflow_provider_wisdomgate.plugin.run_api import AT_ONCE, Instance, instance_of, instances_of
from airflow_provider_wisdomgate.plugin.run_listing import folders_of, sizes_in
from airflow_provider_wisdomgate.plugin.run_places import Group, group_of, has_begun, place_of, root_of, samples
from airflow_provider_wisdomgate.plugin.run_sums import RunClip, clip_of

# Manifests that one API server process reads at a time, for all viewers together.
READERS = 16
# Clips of a page whose place follows from nothing, so that each costs a request to Airflow (5 to 15 ms).
MAX_ASKED = 100
# A running task has written the first one only.
KEYS = (DESTINATION_KEY, RETURN_KEY)

# Seconds, and clips: who filters and turns pages does not wait for the same 1,000 clips each time.
REMEMBERED = 60.0
MAX_REMEMBERED = 5000

T = TypeVar("T")
# A clip's place, the DAG, and what may be served.
Key = tuple[str, str, tuple[str, ...]]

log = logging.getLogger(__name__)
_readers = ThreadPoolExecutor(READERS, thread_name_prefix="wisdomgate-manifests")
_whole: dict[Key, tuple[float, FoundClip]] = {}


async def clips_of(airflow: Airflow, run: RunRef, prefixes: Sequence[str]) -> list[RunClip]:
    """Return what became of each clip of a run.

    :raises RefusedError: the viewer may not see the run.
    """
    with shared_clients():
        return await _clips_of(airflow, run, prefixes)


async def likely_places(airflow: Airflow, ti: TaskRef, prefixes: Sequence[str]) -> list[str]:
    """Compute where the clip of a task may be if its XComs do not name the place."""
    row = await airflow.instance(ti)
    return _places(instance_of(ti.run, row), {}, prefixes) if row else []


async def _clips_of(airflow: Airflow, run: RunRef, prefixes: Sequence[str]) -> list[RunClip]:
    instances = await instances_of(airflow, run)
    roots = await _roots(airflow, instances)
    places = [_places(each, roots, prefixes) for each in instances]
    sizes = await _sizes(instances, places, prefixes)
    reads = (_read(*each, prefixes, sizes) for each in zip(instances, places, strict=True))
    clips = [clip for clip in await asyncio.gather(*reads) if clip.is_shown]
    return await _ask_for_the_rest(airflow, clips, roots, prefixes)


async def _roots(airflow: Airflow, instances: Sequence[Instance]) -> Mapping[Group, str | None]:
    """Find out the storage paths of the tasks, by one clip each; None if a clip's name does not determine it."""
    chosen = samples(instances)
    answers = await asyncio.gather(*(airflow.told(each.ref, KEYS) for each in chosen.values()))
    told = zip(chosen.items(), answers, strict=True)
    return {group: root_of(each.uri, sample) for (group, sample), each in told if each.uri is not None}


def _places(instance: Instance, roots: Mapping[Group, str | None], prefixes: Sequence[str]) -> list[str]:
    """Return the places to look at: below every served path if no clip has shown the storage path."""
    if not has_begun(instance):
        return []
    group = group_of(instance)
    places = (place_of(instance, root) for root in ([roots[group]] if group in roots else prefixes))
    return list(dict.fromkeys(place for place in places if place))


async def _sizes(
    instances: Sequence[Instance], places: Sequence[Sequence[str]], prefixes: Sequence[str]
) -> Mapping[str, int]:
    """List the folders that many clips share which are not remembered."""
    pairs = ((each.ref.dag_id, place) for each, some in zip(instances, places, strict=True) for place in some)
    unknown = [place for dag_id, place in pairs if not _remembered((place, dag_id, tuple(prefixes)))]
    folders = folders_of(unknown, prefixes)
    listed = await asyncio.gather(*(_in_a_thread(sizes_in, folder) for folder in folders))
    return {uri: size for sizes in listed for uri, size in sizes.items()}


async def _ask_for_the_rest(
    airflow: Airflow, clips: list[RunClip], roots: Mapping[Group, str | None], prefixes: Sequence[str]
) -> list[RunClip]:
    """Ask one by one for clips that should be there and were not found at their computed places."""
    lost = [number for number, clip in enumerate(clips) if _should_be_there(clip, roots)][:MAX_ASKED]
    turns = asyncio.Semaphore(AT_ONCE)

    async def ask(clip: RunClip) -> RunClip:
        async with turns:
            told = await airflow.told(clip.instance.ref, KEYS)
            places = [told.uri] if told.uri else []
            if not places and not clip.instance.rendered:  # Airflow 3.1 lists none
                places = await likely_places(airflow, clip.instance.ref, prefixes)
        read = await _read(clip.instance, places, prefixes) if places else clip
        return replace(read, is_reference=told.is_reference and read.found is None)

    asked = await asyncio.gather(*(ask(clips[number]) for number in lost))
    found = dict(zip(lost, asked, strict=True))
    return [found.get(number, clip) for number, clip in enumerate(clips)]


def _should_be_there(clip: RunClip, roots: Mapping[Group, str | None]) -> bool:
    if clip.found is not None or clip.is_unreadable or not has_begun(clip.instance):
        return False
    is_told = roots.get(group_of(clip.instance), "") is not None
    return clip.instance.state == "success" or not is_told or not clip.instance.rendered


async def _read(
    instance: Instance, places: Sequence[str], prefixes: Sequence[str], sizes: Mapping[str, int] | None = None
) -> RunClip:
    if not places:
        return clip_of(instance, None)
    return await _in_a_thread(_read_first, instance, places, prefixes, sizes)


async def _in_a_thread(work: Callable[..., T], *arguments: Any) -> T:
    run = copy_context().run  # the clients that are shared
    return await asyncio.get_running_loop().run_in_executor(_readers, run, partial(work, *arguments))


def _read_first(
    instance: Instance, places: Sequence[str], prefixes: Sequence[str], sizes: Mapping[str, int] | None
) -> RunClip:
    """Read the manifest at the first place that has one of this DAG's."""
    is_unreadable = False
    for place in places:
        try:
            if found := _find(place, instance.ref.dag_id, tuple(prefixes), sizes):
                return clip_of(instance, found)
        except StorageError as error:
            log.warning("%s", error)
            is_unreadable = True
    return clip_of(instance, None, is_unreadable=is_unreadable)


def _remembered(key: Key) -> FoundClip | None:
    known = _whole.get(key)
    return known[1] if known and time.monotonic() - known[0] < REMEMBERED else None


def _find(place: str, dag_id: str, prefixes: tuple[str, ...], sizes: Mapping[str, int] | None) -> FoundClip | None:
    """Do what ``find_clip`` does; a whole clip in an object store, one or two requests, is remembered a while."""
    key, now = (place, dag_id, prefixes), time.monotonic()
    if known := _remembered(key):
        return known
    found = find_clip(place, dag_id, prefixes, sizes)
    if found and found.is_playable and found.location.scheme != "file":
        if len(_whole) >= MAX_REMEMBERED or (_whole and now - next(iter(_whole.values()))[0] > REMEMBERED):
            _whole.clear()  # each holds a client of its store: none longer than it is of use
        _whole[key] = (now, found)
    return found
