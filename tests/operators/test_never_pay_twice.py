"""Cases that once cost a second payment or a clip: news of another video, and runs that find what is theirs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from steps import Generate, deferred, manifest_at
from support import LocalPlace, put_manifest, resume, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import Ended, event_of
from airflow_provider_wisdomgate.sandbox import Sandbox


def news(video_id: str, status: str) -> dict[str, Any]:
    """What a trigger says of a video whose status the gateway gave as this."""
    video = Video(video_id, status)
    if status == "completed":
        return event_of(video_id, Ended("ready", video))
    if status == "expired":
        return event_of(video_id, Ended("expired", video, errors.VideoExpiredError("gone", video_id=video_id)))
    return event_of(video_id, Ended("failed", video, errors.VideoFailedError("no luck", video_id=video_id)))


# ------------------------------------------------------------------------------ late news about another video


def test_the_failure_of_an_earlier_video_does_not_touch_the_record_of_the_next(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    one, other = context(run_id="one"), context(run_id="other")
    first = deferred(generate("render=0.5", deferrable=True), one)
    waits_too = deferred(generate("render=0.5", deferrable=True), other)
    failed = news(str(manifest_at(local).video_id), "failed")
    with pytest.raises(errors.VideoFailedError):
        resume(generate(), first, failed, one)
    deferred(generate("render=0.5", deferrable=True), one)  # its retry pays a second video
    second = manifest_at(local)
    with pytest.raises(errors.VideoFailedError):
        resume(generate(), waits_too, failed, other)
    assert (manifest_at(local), second.phase) == (second, "created")
    assert generate("render=0.5").execute(other)["video_id"] == second.video_id
    assert sandbox.counts()["creates"] == 2


@pytest.mark.parametrize("status", ["expired", "failed"])
def test_a_stored_clip_beats_whatever_is_said_of_its_video_later(
    status: str, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    late = deferred(generate(deferrable=True), context(run_id="late"))
    stored = generate().execute(context())
    event = news(stored["video_id"], status)
    assert resume(generate(), late, event, context(run_id="late")) == stored
    assert (manifest_at(local).as_dict(), sandbox.counts()["creates"]) == (stored, 1)


def test_a_removed_clip_that_is_gone_at_the_gateway_stays_recorded(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any, later: Any
) -> None:
    stored = generate("render=0 expires=0.3").execute(context())
    local.delete("cat.mp4")
    stored = put_manifest(replace(manifest_at(local), created_at=stored["created_at"] - 1)).as_dict()
    time.sleep(0.4)
    later(600)
    with pytest.raises(errors.VideoExpiredError, match="if_exists='replace'"):
        generate("render=0 expires=0.3").execute(context(run_id="next"))
    assert (manifest_at(local).as_dict(), sandbox.counts()["creates"]) == (stored, 1)


def test_a_replacement_that_fails_leaves_the_old_clip_to_its_next_run(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    stored = generate().execute(context())
    with pytest.raises(errors.VideoFailedError):
        generate("render=0 fail=server_error", if_exists="replace").execute(context(run_id="other"))
    assert manifest_at(local).as_dict() == stored
    requests = len(sandbox.requests())
    assert generate().execute(context(run_id="next")) == stored
    assert (len(sandbox.requests()), local.read("cat.mp4")) == (requests, whole())


# ----------------------------------------------------------------------------------- runs, places, other requests


def started_at(moment: datetime) -> dict[str, Any]:
    return {"dag_run": SimpleNamespace(start_date=moment)}


def test_a_run_that_was_created_again_under_its_id_makes_a_new_clip(
    generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    then = datetime(2026, 11, 1, tzinfo=UTC)
    first = generate(if_exists="replace").execute(context() | started_at(then))
    retried = generate(if_exists="replace").execute(context() | started_at(then))
    again = generate(if_exists="replace").execute(context() | started_at(then + timedelta(hours=1)))
    assert (retried, again["video_id"] != first["video_id"], sandbox.counts()["creates"]) == (first, True, 2)


def test_a_clip_is_where_it_is_found_after_its_folder_was_renamed(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, context: Any
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    stored = generate(destination=str(old / "cat.mp4")).execute(context())
    old.rename(new)
    found = generate(destination=str(new / "cat.mp4")).execute(context())
    assert found == stored | {"uri": f"file://{new}/cat.mp4"}
    assert sandbox.counts()["creates"] == 1


def test_a_wait_whose_folder_was_renamed_goes_on_at_the_new_place(
    generate: Generate, tmp_path: Path, sandbox: Sandbox, context: Any
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    deferred(generate(destination=str(old / "cat.mp4"), deferrable=True), context())
    old.rename(new)
    stored = generate(destination=str(new / "cat.mp4")).execute(context())
    assert (stored["uri"], old.exists()) == (f"file://{new}/cat.mp4", False)
    assert json.loads((new / "cat.mp4.json").read_text()) == stored
    assert sandbox.counts()["creates"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "half \ud83d"},
        {"model": "\ud83d"},
        {"fields": {"style": "half \ud83d"}},
        {"fields": {"half \ud83d": "style"}},
        {"fields": {"deep": [{"er": "half \udc00"}]}},
    ],
    ids=["prompt", "model", "a field", "a field's name", "deep in a field"],
)
def test_half_a_character_is_refused_before_the_claim(
    arguments: dict[str, Any], generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    model = arguments.pop("model", "any")
    operator = generate(**arguments)
    operator.model = model
    with pytest.raises(errors.ConfigurationError, match="half a character"):
        operator.execute(context())
    assert (sandbox.requests(), local.names()) == ([], [])


# ------------------------------------------------------------------------------------- records that were spoiled


@pytest.mark.parametrize("spoil", [lambda text: text.replace(",", ",,", 1).rstrip(), lambda text: text[:-40]])
def test_a_damaged_record_of_a_paid_video_is_not_taken_for_a_claim_that_nobody_finished(
    spoil: Any, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    generate().execute(context())
    local.delete("cat.mp4")
    local.write("cat.mp4.json", spoil(local.read("cat.mp4.json").decode()).encode())
    before = local.read("cat.mp4.json")
    with pytest.raises(errors.DamagedManifestError, match=r"is damaged: it is a record of this package"):
        generate().execute(context())
    assert (local.read("cat.mp4.json"), sandbox.counts()["creates"]) == (before, 1)
