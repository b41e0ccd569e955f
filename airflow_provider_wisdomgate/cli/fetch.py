"""``clips fetch``: stores the clips of paid videos, a few at a time. It costs nothing."""

from __future__ import annotations

import time
from argparse import Namespace
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.clips import row_of, show_clips
from airflow_provider_wisdomgate.cli.output import bytes_of, progress, say
from airflow_provider_wisdomgate.cli.places import hook_for
from airflow_provider_wisdomgate.cli.repair import Choice, choose, is_answered_yes, plan
from airflow_provider_wisdomgate.cli.run import DIFFERS
from airflow_provider_wisdomgate.control import StopFlag
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.driver import GONE, ClipTask
from airflow_provider_wisdomgate.ledger.folder import Kept
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import STATES, Terms, Wanted, gone_advice, to_fetch
from airflow_provider_wisdomgate.polling.decisions import Wait, result_of

POLL_INTERVAL = 10.0
# So many clips are fetched at a time.
FETCHERS = 4


@dataclass(frozen=True)
class Fetch:
    """A paid video whose clip is to be stored."""

    kept: Kept
    manifest: Manifest
    video_id: str
    hook: WisdomGateHook
    timeout: float


def fetch_clips(arguments: Namespace) -> int:
    """Wait for paid videos and store their clips."""
    choice = choose(arguments, dict.fromkeys(arguments.clips))
    is_there = [kept for kept, _ in choice.clips if STATES[kept.state].acts == "nobody"]
    choice.clips = [(kept, None) for kept, _ in choice.clips if kept not in is_there]
    if not choice.is_folder:
        for kept in is_there:
            say(f"The clip is there already: {kept.destination.uri}")
    fetches = plan(choice, lambda kept, _: _plan(arguments, kept))
    choice.report_passed_over()
    if choice.is_single:
        for fetch in fetches:
            with progress(f"Fetching video {fetch.video_id}"):
                _report(_store(fetch, StopFlag()))
        return choice.status
    if not fetches:
        say("There is nothing to fetch.")
        return choice.status
    show_clips([row_of(fetch.kept) for fetch in fetches])
    if not arguments.yes and not is_answered_yes(f"Fetch {len(fetches)} clips? It costs nothing. [y/N] "):
        say("Nothing was fetched.")
        return DIFFERS
    return _fetch_all(choice, fetches)


def _plan(arguments: Namespace, kept: Kept) -> Fetch:
    if (manifest := kept.manifest) is None:
        raise kept.problem or errors.StorageError(f"{kept.destination.uri}.json cannot be read")
    video_id = to_fetch(manifest, kept.state, kept.clip_size)
    return Fetch(kept, manifest, video_id, hook_for(arguments.conn_id, manifest), arguments.timeout)


def _fetch_all(choice: Choice, fetches: list[Fetch]) -> int:
    """Store several clips, a few at a time; an error ends the fetch of its clip only."""
    stop, done = StopFlag(), 0
    with progress("clips", len(fetches)) as bar, ThreadPoolExecutor(FETCHERS) as pool:
        jobs = {pool.submit(_store, fetch, stop): fetch for fetch in fetches}
        try:
            for job in as_completed(jobs):
                done += _is_stored(choice, jobs[job].kept, job)
                bar.advance(bar.task_ids[0])
        except BaseException:
            stop.stop()
            pool.shutdown(cancel_futures=True)
            raise
    say(f"{done} of {len(fetches)} clips were stored.")
    return choice.status


def _is_stored(choice: Choice, kept: Kept, job: Future[Manifest]) -> bool:
    try:
        _report(job.result())
    except errors.WisdomGateError as error:
        choice.leave(kept.destination.uri, error)
        return False
    return True


def _report(stored: Manifest) -> None:
    say(f"Video {stored.video_id} is stored ({bytes_of(stored.size)}): {stored.uri}")


def _store(fetch: Fetch, control: StopFlag) -> Manifest:
    """Wait for a paid video and store its clip."""

    def wait() -> Video:
        if (video := fetch.hook.get_video(fetch.video_id)).is_done:
            return video
        now = time.time()
        terms = Wait(now + fetch.timeout, POLL_INTERVAL, since=now, last=video)
        try:
            return result_of(fetch.hook.wait_for_video(fetch.video_id, terms, control), may_recreate=True)
        except errors.WaitTimeoutError as error:
            again = f"Run the command again to wait longer, or raise --timeout ({fetch.timeout:g} s)."
            raise error.advise(again, replace=True) from None

    def on_missing(error: errors.WisdomGateError) -> None:
        raise error

    clip = ClipTask(fetch.kept.destination, Terms(fetch.manifest.made_by), control)
    clip.resume(fetch.video_id, {}, lambda: Wanted({}))
    try:
        return clip.finish(wait, fetch.hook.open_paid_content, on_missing)
    except GONE as error:
        raise error.advise(gone_advice(fetch.manifest), replace=True) from None
