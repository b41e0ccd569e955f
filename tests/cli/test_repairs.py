"""``clips adopt``, ``forget`` and ``fetch``: what a person does about one clip, in every state and in a race."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import CLIP, OLD, STATE_OF, Cli, age, as_files, every_state, manifest
from support import LocalPlace, S3Place, StateStore, made, put_manifest, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.driver import ClipTask
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import GIVEN_UP, Terms, Wanted
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Generate = Callable[..., WisdomGateGenerateVideoOperator]


def stands_at(place: Any, name: str = "cat") -> Manifest | None:
    return Destination(place.uri(f"{name}.mp4")).read()


# ------------------------------------------------------------------------------------------- in every state

ADOPTED = {"lost", "lost-over-stored", "created", "created-over-stored"}
FORGOTTEN = {"lost", "lost-over-stored", "created", "created-over-stored", "gone", "refused"}


@pytest.mark.parametrize("name", STATE_OF)
def test_adopt_gives_an_id_to_a_create_that_has_none_and_to_nothing_else(name: str, cli: Cli, place: Any) -> None:
    before = every_state(place, name)[name]
    ran = cli("clips", "adopt", place.uri(f"{name}.mp4"), "--video-id", "v9", "--no-check", "--yes")
    now = stands_at(place, name)
    if name not in ADOPTED:
        assert (ran.status, len(ran.lines), now) == (2, 1, before)
        return
    assert (ran.status, now and now.video_id, now and now.phase) == (0, "v9", "created")
    assert now is not None
    assert (now.replaced, now.fingerprint, now.made_by) == (before.replaced, before.fingerprint, before.made_by)
    # News about the video that was recorded before must not count any more; a lost claim stays its owner's.
    assert (now.claim_id == before.claim_id) == (before.phase == "creating")
    assert ("v1" in ran.err) == (before.phase == "created")


@pytest.mark.parametrize("name", STATE_OF)
def test_forget_lets_the_next_run_create_and_touches_no_clip(name: str, cli: Cli, place: Any) -> None:
    before = every_state(place, name)[name]
    ran = cli("clips", "forget", place.uri(f"{name}.mp4"), "--yes")
    now = stands_at(place, name)
    if name not in FORGOTTEN:
        assert (ran.status, len(ran.lines), now) == (2, 1, before)
        return
    assert ran.status == 0
    if before.replaced:
        assert now is not None
        assert (now.video_id, now.phase) == (OLD["video_id"], "stored")
        assert (now.uri, place.read(f"{name}.mp4")) == (before.uri, CLIP)
        assert "comes back" in ran.err
    elif name == "lost":
        assert now is None
    else:
        assert now is not None
        assert (now.phase, now.video_id, now.error and now.error["message"]) == ("failed", "v1", GIVEN_UP)
        assert cli("clips", "show", before.uri, "-o", "json").out.count('"state": "failed"') == 1
    assert ("paid" in ran.err) == (name != "refused")


def test_a_lost_create_over_another_gives_back_what_stood_below_both(cli: Cli, local: LocalPlace) -> None:
    uri = local.uri("cat.mp4")
    lost = manifest(uri, "creating", claim_seconds=0.0)
    failed = manifest(uri, "failed", error=errors.VideoFailedError(GIVEN_UP).as_dict())
    for below in (manifest(uri, "stored", **OLD), manifest(uri, "created", **OLD), failed, None):
        older = replace(lost, claim_id="older").over(below)
        put_manifest(lost.over(older))
        assert (cli("clips", "forget", uri, "--yes").status, stands_at(local)) == (0, below)
        put_manifest(older)  # something stands there for the next one


def test_what_is_done_twice_changes_nothing_more(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    for argv in (["adopt", local.uri("lost.mp4"), "--video-id", "v9", "--no-check"], ["forget", local.uri("gone.mp4")]):
        assert cli("clips", *argv, "--yes").status == 0
        files = as_files(local.folder)
        again = cli("clips", *argv, "--yes")
        assert (again.status, len(again.lines), as_files(local.folder)) == (2, 1, files)


@pytest.mark.parametrize("verb", ["adopt", "forget"])
def test_a_claim_that_may_be_alive_is_never_touched(verb: str, cli: Cli, local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "creating"))
    argv = ["clips", verb, local.uri("cat.mp4"), "--yes"]
    argv += ["--video-id", "v9", "--no-check"] if verb == "adopt" else []
    files = as_files(local.folder)
    age(local, "cat.mp4", 300.0)
    assert (cli(*argv).status, as_files(local.folder)) == (2, files)
    age(local, "cat.mp4", 400.0)
    assert cli(*argv).status == 0


def test_a_clip_that_was_announced_long_ago_and_never_appeared_is_forgotten(cli: Cli, local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "created", sha256="ab", size=5, stored_at=1.0))
    assert cli("clips", "forget", local.uri("cat.mp4"), "--yes").status == 2
    age(local, "cat.mp4", 90_000.0)
    assert cli("clips", "forget", local.uri("cat.mp4"), "--yes").status == 0
    now = stands_at(local)
    assert now
    assert (now.phase, now.sha256, now.size) == ("failed", None, None)


# ------------------------------------------------------------------------------------------------- asking


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("yep\n", 1), ("", 2)])
def test_nothing_is_changed_without_a_yes(answer: str, status: int, cli: Cli, local: LocalPlace) -> None:
    before = put_manifest(manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0))
    ran = cli("clips", "forget", local.uri("cat.mp4"), answer=answer)
    assert (ran.status, stands_at(local)) == (status, None if status == 0 else before)
    assert "[y/N]" in ran.err
    assert ran.out.split()[:2] == ["state", "lost:"]  # what was asked about was shown


@pytest.mark.parametrize("what", ["changed", "deleted", "renewed"])
@pytest.mark.parametrize("verb", ["adopt", "forget"])
def test_a_manifest_that_changes_between_question_and_answer_is_left_alone(
    verb: str, what: str, cli: Cli, place: LocalPlace | S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another task does it at the very moment at which the person types."""
    from airflow_provider_wisdomgate.cli import repair

    lost = put_manifest(manifest(place.uri("cat.mp4"), "creating", claim_seconds=0.0))
    theirs = {
        "changed": replace(lost, phase="created", video_id="v2", claim_seconds=None),
        "deleted": None,
        "renewed": replace(lost, claimed_at=lost.claimed_at + 1, claim_seconds=370.0),
    }[what]

    def person(question: str) -> bool:
        Destination(lost.uri).update(lambda found: theirs)
        return True

    monkeypatch.setattr(repair, "is_answered_yes", person)
    ran = cli("clips", verb, lost.uri, *(["--video-id", "v9", "--no-check"] if verb == "adopt" else []))
    assert (ran.status, "Somebody else changed" in ran.lines[-1], stands_at(place)) == (2, True, theirs)


def test_an_id_that_the_gateway_does_not_know_is_not_adopted(
    cli: Cli, local: LocalPlace, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    base_url = hook.settings.base_url
    lost = manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0, request={"base_url": base_url, "model": "any"})
    put_manifest(lost)
    ran = cli("clips", "adopt", lost.uri, "--video-id", "video_unknown", "--yes")
    assert (ran.status, len(ran.lines), stands_at(local)) == (2, 1, lost)
    video_id = made(hook)
    ran = cli("clips", "adopt", lost.uri, "--video-id", video_id, "--yes")
    assert (ran.status, "DOUBTFUL" in ran.err, f"video {video_id} is" in ran.lines[0]) == (0, False, True)


def test_doubts_about_an_id_are_told_before_the_question(cli: Cli, local: LocalPlace, hook: WisdomGateHook) -> None:
    lost = manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0, request={"model": "other"})
    put_manifest(replace(lost, claimed_at=lost.claimed_at - 86400))
    ran = cli("clips", "adopt", lost.uri, "--video-id", made(hook, "fail=server_error"), answer="n\n")
    assert (ran.status, ran.err.count("DOUBTFUL")) == (1, 3)


def test_a_connection_to_another_gateway_is_refused(cli: Cli, local: LocalPlace, connection: Any) -> None:
    elsewhere = manifest(local.uri("cat.mp4"), "created", request={"base_url": "https://elsewhere/v1"})
    put_manifest(elsewhere)
    for argv in (["fetch", elsewhere.uri], ["adopt", elsewhere.uri, "--video-id", "v9", "--yes"]):
        ran = cli("clips", *argv)
        assert (ran.status, "--conn-id" in ran.lines[-1], stands_at(local)) == (2, True, elsewhere)


# -------------------------------------------------------------------------------------- and the task runs again


LOST_IN_THE_CREATE = """
import sys
from support import TaskInstance, asked
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
WisdomGateGenerateVideoOperator(
    task_id="clip", model="any", prompt=asked(sys.argv[2]), seconds=1, size="64x48", destination=sys.argv[1],
    poll_interval=0.01,
).execute({"ti": TaskInstance()})
"""


def killed_inside_the_create(destination: str, sandbox: Sandbox) -> None:
    """Run the task in a process of its own and kill it while the gateway answers."""
    command = [sys.executable, "-c", LOST_IN_THE_CREATE, destination, "render=0 create=slow"]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.DEVNULL) as task:
        while not sandbox.counts()["create_requests"]:
            assert task.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)  # counted is its head; killed before its body has left, it would create nothing
        task.kill()
    assert task.returncode == -9
    given_up = time.monotonic() + 60
    while not sandbox.counts()["creates"]:  # the gateway goes on with it: nobody told it
        assert time.monotonic() < given_up
        time.sleep(0.02)


def test_the_whole_story_of_a_lost_create(
    cli: Cli, generate: Generate, local: LocalPlace, sandbox: Sandbox, connection: Any, context: Any
) -> None:
    uri = local.uri("cat.mp4")
    killed_inside_the_create(uri, sandbox)
    assert cli("clips", "list", str(local.folder), "--state", "lost", "-o", "json").out == "[]\n"  # it may be alive
    assert cli("clips", "adopt", uri, "--video-id", "v", "--no-check", "--yes").status == 2
    age(local, "cat.mp4", 3600.0)
    (row,) = json.loads(cli("clips", "list", str(local.folder), "--state", "lost", "-o", "json").out)
    with pytest.raises(errors.LostCreateError) as told:
        generate("render=0 create=slow").execute(context())
    (video,) = sandbox.videos()
    adopt = f"wisdomgate clips adopt {row['uri']} --video-id VIDEO_ID"
    assert adopt in str(told.value)
    ran = cli(*adopt.replace("VIDEO_ID", video["id"]).split()[1:], answer="y\n")
    assert (ran.status, ran.lines[-1].endswith(f"Changed: {uri}.json")) == (0, True)
    stored = generate("render=0 create=slow").execute(context())
    assert (stored["phase"], stored["video_id"], local.read("cat.mp4")) == ("stored", video["id"], whole())
    assert sandbox.counts()["creates"] == 1
    assert cli("clips", "verify", str(local.folder)).status == 0


def test_a_lost_create_that_made_nothing_is_forgotten_and_made(
    cli: Cli, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.LostCreateError) as told:
        generate("render=0 create=500x1").execute(context())
    assert f"wisdomgate clips forget {local.uri('cat.mp4')}" in str(told.value)
    assert cli("clips", "forget", local.uri("cat.mp4"), "--yes").status == 0
    assert generate("render=0 create=500x1").execute(context())["phase"] == "stored"
    assert sandbox.counts()["creates"] == 1


def test_a_refused_prompt_is_sent_once_more_after_it_was_forgotten(
    cli: Cli, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    put_request = generate("render=0 fail=moderation_blocked")
    with pytest.raises(errors.ModerationError):
        put_request.execute(context())
    with pytest.raises(errors.ModerationError, match=f"wisdomgate clips forget {local.uri('cat.mp4')}"):
        generate("render=0 fail=moderation_blocked").execute(context())
    assert (cli("clips", "forget", local.uri("cat.mp4"), "--yes").status, sandbox.counts()["creates"]) == (0, 1)
    with pytest.raises(errors.ModerationError):
        generate("render=0 fail=moderation_blocked").execute(context())
    assert sandbox.counts()["creates"] == 2


@pytest.mark.parametrize("verb", ["forget", "adopt"])
def test_what_a_task_remembers_does_not_undo_what_a_person_decided(
    verb: str, cli: Cli, generate: Generate, hook: WisdomGateHook, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    memory = {"task_state_store": StateStore()}
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=60", timeout=0.05).execute(context() | memory)
    given_up = stands_at(local)
    assert given_up
    assert str(given_up.video_id) in str(memory)
    uri = local.uri("cat.mp4")
    if verb == "forget":
        assert cli("clips", "forget", uri, "--yes").status == 0
        with pytest.raises(errors.WaitTimeoutError):
            generate("render=60", timeout=0.05).execute(context() | memory)
    else:
        other = made(hook)
        assert cli("clips", "adopt", uri, "--video-id", other, "--yes").status == 2  # DOUBTFUL: another prompt
        assert cli("clips", "adopt", uri, "--video-id", other, "--yes", "--force").status == 0
        assert generate("render=60").execute(context() | memory)["video_id"] == other
    now = stands_at(local)
    assert now
    assert now.video_id != given_up.video_id
    assert sandbox.counts()["creates"] == 2


def test_a_paid_video_that_only_the_task_remembers_is_fetched_and_not_paid_again(
    cli: Cli, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """The storage failed when the id was to be written; a person takes the create for lost."""
    memory: dict[str, Any] = {"task_state_store": StateStore()}
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=0.3", timeout=0.05).execute(context() | memory)
    created = stands_at(local)
    assert created is not None
    put_manifest(replace(created, phase="creating", video_id=None, created_at=None, claim_seconds=0.0))
    assert cli("clips", "forget", created.uri, "--yes").status == 0
    stored = generate("render=0.3").execute(context() | memory)
    assert (stored["video_id"], sandbox.counts()["creates"]) == (created.video_id, 1)


def test_a_task_that_still_waits_for_a_video_that_was_given_up_stores_it_all_the_same(
    cli: Cli, hook: WisdomGateHook, local: LocalPlace
) -> None:
    video_id = made(hook)
    put_manifest(manifest(local.uri("cat.mp4"), "created", video_id=video_id))
    assert cli("clips", "forget", local.uri("cat.mp4"), "--yes").status == 0
    clip = ClipTask(Destination(local.uri("cat.mp4")), Terms())
    clip.resume(video_id, {}, lambda: Wanted({}))
    stored = clip.download(None, hook.open_content)
    assert (stored.phase, stored.video_id, stored.error) == ("stored", video_id, None)


# ------------------------------------------------------------------------------------------------ clips fetch


def test_a_created_clip_is_fetched_here_and_now_and_the_task_finds_it(
    cli: Cli, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=0.5", timeout=0.05).execute(context())
    ran = cli("clips", "fetch", local.uri("cat.mp4"))
    assert (ran.status, local.read("cat.mp4")) == (0, whole())
    requests = len(sandbox.requests())
    assert generate("render=0.5").execute(context())["phase"] == "stored"
    assert (len(sandbox.requests()), sandbox.counts()["creates"]) == (requests, 1)
    assert cli("clips", "fetch", local.uri("cat.mp4")).status == 0  # it is there already
    local.delete("cat.mp4")
    assert (cli("clips", "fetch", local.uri("cat.mp4")).status, local.read("cat.mp4")) == (0, whole())


@pytest.mark.parametrize("status", [401, 404, 405, 501])
def test_a_fetch_asks_the_address_of_a_clip_that_the_route_refuses(
    status: int, cli: Cli, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    odd = f"content={status} address=metadata.url storage=403x1+cutx1"
    with pytest.raises(errors.WaitTimeoutError):
        generate(f"render=0.5 {odd}", timeout=0.05).execute(context())
    ran = cli("clips", "fetch", local.uri("cat.mp4"))
    assert (ran.status, local.read("cat.mp4")) == (0, whole())
    asked = [it for it in sandbox.requests() if it["path"].startswith("/signed/")]
    assert [it["authorization"] for it in asked] == [False] * 3
    assert "signature" not in local.read("cat.mp4.json").decode() + str(ran.lines)


def test_a_video_that_failed_is_recorded_so(cli: Cli, generate: Generate, local: LocalPlace, context: Any) -> None:
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=0.3 fail=server_error", timeout=0.05).execute(context())
    ran = cli("clips", "fetch", local.uri("cat.mp4"))
    now = stands_at(local)
    assert (ran.status, len(ran.lines), now and now.phase) == (2, 1, "failed")


def test_a_wait_that_is_too_long_leaves_all_as_it_was(
    cli: Cli, generate: Generate, local: LocalPlace, context: Any
) -> None:
    with pytest.raises(errors.WaitTimeoutError):
        generate("render=60", timeout=0.05).execute(context())
    files = as_files(local.folder)
    ran = cli("clips", "fetch", local.uri("cat.mp4"), "--timeout", "0.1")
    assert (ran.status, len(ran.lines), as_files(local.folder)) == (2, 1, files)
    assert "or raise --timeout (0.1 s)." in ran.lines[0]


@pytest.mark.parametrize("name", ["creating", "lost", "failed", "refused"])
def test_where_no_video_is_to_be_had_nothing_is_fetched(
    name: str, cli: Cli, local: LocalPlace, sandbox: Sandbox, connection: Any
) -> None:
    before = every_state(local, name)[name]
    ran = cli("clips", "fetch", local.uri(f"{name}.mp4"))
    assert (ran.status, len(ran.lines), stands_at(local, name), sandbox.requests()) == (2, 1, before, [])
