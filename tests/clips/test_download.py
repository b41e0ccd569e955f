"""A clip and its manifest at their place, a folder or a bucket: all of it or nothing, and never another's."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from support import LocalPlace, S3Place, is_swapped, made, put_manifest, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination, Found
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.sandbox import Sandbox

Place = LocalPlace | S3Place
CAT = whole()


def claim(place: Place, number: int = 0, **facts: Any) -> Manifest:
    made_by = {"phase": "creating", "claimed_at": time.time(), **facts}
    return Manifest(claim_id=f"claim-{number}", uri=place.uri("cat.mp4"), **made_by)


# Downloads


def test_a_clip_is_stored_whole_with_its_manifest_beside_it(
    hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    video_id = made(hook)
    before = time.time()
    stored = hook.download_video(video_id, place.uri("cat.mp4"), made_by={"dag_id": "films"})
    assert place.read("cat.mp4") == CAT
    assert place.names() == ["cat.mp4", "cat.mp4.json"]
    manifest = json.loads(place.read("cat.mp4.json"))
    assert manifest == stored.as_dict()
    times = [before, manifest.pop("claimed_at"), manifest.pop("stored_at"), time.time()]
    assert times == sorted(times)
    assert len(manifest.pop("claim_id")) == 32
    assert manifest == {
        "phase": "stored",
        "uri": place.uri("cat.mp4"),
        "video_id": video_id,
        "fingerprint": None,
        "request": {"base_url": f"{sandbox.url}/v1"},
        "made_by": {"dag_id": "films"},
        "request_ids": [],
        "created_at": None,
        "expires_at": None,
        "size": len(CAT),
        "sha256": sha256(CAT),
        "content_type": "video/mp4",
        "duration": 1.0,
        "width": 64,
        "height": 48,
        "error": None,
        "version": 1,
    }


@pytest.mark.parametrize(
    ("fault", "kind"), [("octet-stream", "video/mp4"), ("webm", "video/webm"), ("mov", "video/quicktime")]
)
def test_an_object_gets_the_content_type_of_what_is_in_it(
    fault: str, kind: str, hook: WisdomGateHook, s3: S3Place
) -> None:
    hook.download_video(made(hook, f"content={fault}"), s3.uri("cat.mp4"))
    assert s3.content_type_of("cat.mp4") == kind


def test_a_clip_of_several_chunks_is_stored_whole(hook: WisdomGateHook, place: Place) -> None:
    size = 3 * 1024**2 + 7
    stored = hook.download_video(made(hook, f"bytes={size}"), place.uri("big.mp4"))
    assert (stored.size, stored.sha256) == (size, sha256(whole(size=size)))
    assert hashlib.sha256(place.read("big.mp4")).hexdigest() == stored.sha256


class Calls(Control):
    """Calls a function at each check."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check = check  # type: ignore[method-assign]


def test_an_exception_in_the_middle_leaves_nothing(hook: WisdomGateHook, place: Place) -> None:
    chunks = iter(range(10))

    def stop_at_the_third_chunk() -> None:
        if next(chunks) == 2:
            raise errors.StoppedError("The task was asked to stop.")

    with pytest.raises(errors.StoppedError):
        hook.download_video(made(hook, "bytes=4000000"), place.uri("cat.mp4"), control=Calls(stop_at_the_third_chunk))
    assert place.names() == []


def test_even_an_exit_of_the_process_in_the_middle_leaves_no_clip(hook: WisdomGateHook, place: Place) -> None:
    def leave() -> None:
        raise SystemExit(1)

    video_id = made(hook)
    with pytest.raises(SystemExit):
        hook.download_video(video_id, place.uri("cat.mp4"), control=Calls(leave))
    assert [name for name in place.names() if name != "cat.mp4.json"] == []
    assert hook.download_video(video_id, place.uri("cat.mp4")).sha256 == sha256(CAT)


def test_content_above_max_bytes_is_given_up_and_leaves_nothing(
    hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    video_id = made(hook)
    with pytest.raises(errors.StorageError, match="larger than max_bytes"):
        hook.download_video(video_id, place.uri("cat.mp4"), max_bytes=len(CAT) - 1)
    assert (place.names(), sandbox.counts()["downloads"]) == ([], 1)
    assert hook.download_video(video_id, place.uri("cat.mp4"), max_bytes=len(CAT)).size == len(CAT)


# Going on where it broke


def test_a_cut_body_goes_on_from_the_byte_where_it_broke(hook: WisdomGateHook, place: Place, sandbox: Sandbox) -> None:
    hook.download_video(made(hook, "content=cutx1"), place.uri("cat.mp4"))
    first, second = (seen["headers"] for seen in sandbox.requests() if seen["path"].endswith("/content"))
    assert (first.get("range"), second["range"]) == (None, f"bytes={len(CAT) // 2}-")
    assert second["if-range"].startswith('"')
    assert place.read("cat.mp4") == CAT


def test_a_gateway_that_ignores_the_range_is_read_from_the_start(
    hook: WisdomGateHook, place: Place, sandbox: Sandbox
) -> None:
    hook.download_video(made(hook, "content=cutx1+no-range"), place.uri("cat.mp4"))
    assert (place.read("cat.mp4"), sandbox.counts()["downloads"]) == (CAT, 2)


# A killed worker

KILLED = """
import sys, threading
from airflow_provider_wisdomgate.hooks import WisdomGateHook
video_id, *uris = sys.argv[1:]
downloads = [threading.Thread(target=WisdomGateHook().download_video, args=(video_id, uri)) for uri in uris]
[download.start() for download in downloads]
[download.join() for download in downloads]
"""


def test_a_killed_worker_leaves_no_clip_and_the_next_try_clears_up_after_it(
    hook: WisdomGateHook, local: LocalPlace, s3: S3Place, sandbox: Sandbox
) -> None:
    video_id = made(hook, "bytes=3000000 content=stallx2")
    until = time.monotonic() + 120

    def parts() -> list[Path]:
        return [part for part in local.folder.glob(".cat.mp4.*.part") if part.stat().st_size > 0]

    command = [sys.executable, "-c", KILLED, video_id, local.uri("cat.mp4"), s3.uri("cat.mp4")]
    with subprocess.Popen(command) as worker:
        try:
            while not (local.folder.exists() and parts() and sandbox.counts()["downloads"] == 2):
                assert worker.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
        finally:
            worker.kill()
    (part,) = parts()
    assert local.names() == [part.name, "cat.mp4.json"]
    assert s3.names() == ["cat.mp4.json"]
    os.utime(part, (0, 0))
    for place in (local, s3):
        stored = hook.download_video(video_id, place.uri("cat.mp4"))
        assert (stored.sha256, place.names()) == (sha256(whole(size=3000000)), ["cat.mp4", "cat.mp4.json"])
    assert sandbox.counts()["creates"] == 1


def test_the_part_of_a_live_worker_is_left_alone(hook: WisdomGateHook, local: LocalPlace) -> None:
    video_id = made(hook)
    seen: list[str] = []

    def meanwhile() -> None:
        if not seen:
            (part,) = local.folder.glob("*.part")
            os.utime(part, (0, 0))
            Destination(local.uri("cat.mp4")).remove_partial_files()
            put_manifest(claim(local, 7, phase="failed"))
            seen.extend(name for name in local.names() if name.endswith(".part"))

    with pytest.raises(errors.DestinationTakenError):
        hook.download_video(video_id, local.uri("cat.mp4"), control=Calls(meanwhile))
    assert len(seen) == 1


# Claims: of any number of changes of one version, one counts


def test_of_eight_threads_that_claim_at_once_one_wins(place: Place) -> None:
    together = Barrier(8)

    def try_it(number: int) -> bool:
        together.wait()
        return is_swapped(None, claim(place, number))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(try_it, range(8)))
    assert sorted(won) == [False] * 7 + [True]
    assert claimant(place) == f"claim-{won.index(True)}"
    assert place.names() == ["cat.mp4.json"]


def claimant(place: Place) -> str | None:
    found = Destination(place.uri("cat.mp4")).read()
    return found and found.claim_id


def test_of_eight_threads_that_take_over_a_failed_record_one_wins(place: Place) -> None:
    together = Barrier(8)
    put_manifest(claim(place, 99, phase="failed"))
    found = Destination(place.uri("cat.mp4")).find()

    def try_it(number: int) -> bool:
        together.wait()
        return is_swapped(found, claim(place, number))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(try_it, range(8)))
    assert sorted(won) == [False] * 7 + [True]
    assert claimant(place) == f"claim-{won.index(True)}"
    assert place.names() == ["cat.mp4.json"]


def _swap_in_a_process(folder: str, number: int, found: Found | None, together: Any, wins: Any) -> None:
    together.wait()
    if is_swapped(found, claim(LocalPlace(Path(folder)), number)):
        wins.put(number)


@pytest.mark.parametrize("takes_over", [False, True])
def test_of_eight_processes_that_change_a_file_at_once_one_wins(local: LocalPlace, takes_over: bool) -> None:
    fork = multiprocessing.get_context("fork")  # a fresh interpreter would import Airflow eight times
    together, wins = fork.Barrier(8), fork.SimpleQueue()
    if takes_over:
        put_manifest(claim(local, 99, phase="failed"))
    found = Destination(local.uri("cat.mp4")).find()
    tries = [
        fork.Process(target=_swap_in_a_process, args=(str(local.folder), number, found, together, wins))
        for number in range(8)
    ]
    for each in tries:
        each.start()
    for each in tries:
        each.join()
    winner = wins.get()
    assert wins.empty()
    assert claimant(local) == f"claim-{winner}"
    assert local.names() == ["cat.mp4.json"]


def test_a_manifest_that_changed_since_it_was_read_is_not_changed(place: Place) -> None:
    put_manifest(claim(place, 1, phase="failed"))
    found = Destination(place.uri("cat.mp4")).find()
    theirs = put_manifest(claim(place, 2))
    assert not is_swapped(found, claim(place, 3))
    assert Destination(place.uri("cat.mp4")).read() == theirs


def test_who_loses_reads_again_and_decides_again(place: Place) -> None:
    target, seen = Destination(place.uri("cat.mp4")), list[str | None]()

    def decide(found: Manifest | None) -> Manifest:
        seen.append(found and found.claim_id)
        if len(seen) == 1:
            put_manifest(claim(place, 1))  # another task, between our read and our write
        return replace(found, claim_id=f"{found.claim_id}-and-ours") if found else claim(place, 0)

    target.update(decide)
    assert (seen, claimant(place)) == ([None, "claim-1"], "claim-1-and-ours")
