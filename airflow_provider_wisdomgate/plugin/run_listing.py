"""Learns the sizes of a run's clips from listings of their folders, 1,000 names a request. Never writes.

A size saves the request that looks at the clip. It is a hint from a moment ago: ``find_clip`` believes it where it is
the manifest's, and looks at the clip itself where it is another one, or none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from airflow_provider_wisdomgate.exceptions import WisdomGateError
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.plugin.served_paths import ClipLocation, served_location

# Their listings begin at a name and come in pages; the others' read all that is before it, or the whole folder.
LISTABLE = frozenset({"s3", "s3a", "gs", "gcs"})
# Fewer clips of a folder are looked at sooner than it is listed.
FEWEST = 50
# A folder may be far larger than the run: the listing stops after a page with fewer clips than one in this many names.
PAGE = 1000
NAMES_PER_CLIP = 20

log = logging.getLogger(__name__)


def folders_of(places: Iterable[str], prefixes: Iterable[str]) -> list[list[ClipLocation]]:
    """Return those of the places that a listing is worth it for, by folder. Only what may be served is listed."""
    folders: dict[ClipLocation, list[ClipLocation]] = {}
    prefixes = tuple(prefixes)
    for place in dict.fromkeys(places):
        location = served_location(place, prefixes)
        if location and location.scheme in LISTABLE:
            folder = ClipLocation(location.scheme, location.netloc, location.parts[:-1])
            folders.setdefault(folder, []).append(location)
    return [clips for clips in folders.values() if len(clips) >= FEWEST]


def sizes_in(folder: list[ClipLocation]) -> Mapping[str, int]:
    """Return the sizes of these clips of one folder by URI, as far as the listing is worth its requests."""
    uris = {location.parts[-1]: location.uri for location in folder}
    first = min(uris)
    sizes: dict[str, int] = {}
    try:
        # Start just before the first clip: its name without the last letter sorts before it.
        for number, file in enumerate(Destination(uris[first]).siblings(first[:-1]), start=1):
            if uri := uris.get(file.name):
                sizes[uri] = file.size
            is_too_large = number % PAGE == 0 and number > PAGE // 2 + NAMES_PER_CLIP * len(sizes)
            if len(sizes) == len(uris) or is_too_large:
                break
    except WisdomGateError as error:  # who may read need not be allowed to list
        log.info("Not listed, each clip is looked at: %s", error)
    return sizes
