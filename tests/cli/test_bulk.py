"""``adopt``, ``forget`` and ``fetch`` for many clips: all is shown, one question is asked, each change stands alone."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from commands import CLIP, STATE_OF, Cli, as_files, every_state, manifest
from support import LocalPlace, asked, made, put_manifest, whole

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.sandbox import Sandbox


def lost(local: LocalPlace, name: str, **values: Any) -> Manifest:
    return put_manifest(manifest(local.uri(name), "creating", claim_seconds=0.0, **values))


def stands_at(local: LocalPlace, name: str) -> Manifest | None:
    return Destination(local.uri(name)).read()


def lost_create_of(hook: WisdomGateHook, text: str) -> dict[str, Any]:
    """Return the request of a lost create that ``made(hook, text=text)`` answers."""
    prompt = asked("render=0", text)
    request = {"model": "any", "prompt_sha256": sha256(prompt.encode()).hexdigest()}
    return request | {"base_url": hook.settings.base_url, "fields": {"seconds": 1, "size": "64x48"}}


# ---------------------------------------------------------------------------------------------- forget


def test_several_named_clips_are_shown_and_forgotten_after_one_question(cli: Cli, local: LocalPlace) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        lost(local, name)
    ran = cli("clips", "forget", local.uri("a.mp4"), local.uri("c.mp4"), answer="y\n")
    assert (ran.status, ran.err.count("[y/N]")) == (0, 1)
    assert "Change 2 records (2 of them lead to a new paid create)?" in ran.err
    assert [name in ran.out for name in ("a.mp4", "b.mp4", "c.mp4")] == [True, False, True]
    assert ran.out.count("The next run of the task creates a video, and pays for it.") == 2
    assert ran.lines[-1] == "2 of 2 records were changed."
    assert [stands_at(local, name) is None for name in ("a.mp4", "b.mp4", "c.mp4")] == [True, False, True]


def test_a_no_changes_none_of_them(cli: Cli, local: LocalPlace) -> None:
    for name in ("a.mp4", "b.mp4"):
        lost(local, name)
    before = as_files(local.folder)
    ran = cli("clips", "forget", "--folder", str(local.folder), "--state", "lost", answer="n\n")
    assert (ran.status, ran.lines[-1].endswith("Nothing was changed."), as_files(local.folder)) == (1, True, before)


def test_of_a_folder_only_what_the_filters_select_is_changed(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    ran = cli("clips", "forget", "--folder", str(local.folder), "--state", "lost", "--state", "refused", "--yes")
    after = json.loads(cli("clips", "list", str(local.folder), "-o", "json").out)
    states = {row["uri"].rpartition("/")[2]: row["state"] for row in after}
    expected = {f"{name}.mp4": state for name, state in STATE_OF.items() if name != "lost"}
    assert ran.status == 0
    assert states == expected | {"lost-over-stored.mp4": "stored", "refused.mp4": "failed"}


OTHERS = {"dag_id": {"dag_id": "x"}, "run_id": {"run_id": "x"}, "task_id": {"task_id": "x"}}


@pytest.mark.parametrize("name", OTHERS)
def test_clips_are_selected_by_what_made_them(name: str, cli: Cli, local: LocalPlace) -> None:
    mine = lost(local, "mine.mp4")
    lost(local, "other.mp4", made_by={**mine.made_by, **OTHERS[name]})
    filters = (f"--{name.replace('_', '-')}", "x")
    listed = json.loads(cli("clips", "list", str(local.folder), *filters, "-o", "json").out)
    assert [row["uri"] for row in listed] == [local.uri("other.mp4")]
    assert cli("clips", "forget", "--folder", str(local.folder), "--state", "lost", *filters, "--yes").status == 0
    assert local.names() == ["mine.mp4.json"]


def test_clips_are_selected_by_their_age(cli: Cli, local: LocalPlace) -> None:
    young = lost(local, "young.mp4")
    lost(local, "old.mp4", claimed_at=young.claimed_at - 7200)
    for age, names in {"90min": ["old"], "1 d": [], "0": ["old", "young"], "2h": ["old"], "7100s": ["old"]}.items():
        rows = json.loads(cli("clips", "list", str(local.folder), "--older-than", age, "-o", "json").out)
        assert [row["uri"] for row in rows] == [local.uri(f"{name}.mp4") for name in names], age


def test_a_paid_video_is_selected_by_either_word_for_it(cli: Cli, local: LocalPlace) -> None:
    every_state(local, "created")
    for state in ("created", "unfetched"):
        rows = json.loads(cli("clips", "list", str(local.folder), "--state", state, "-o", "json").out)
        assert [row["state"] for row in rows] == ["created"]


@pytest.mark.parametrize("argv", [["--state", "lost"], []], ids=["folder", "names"])
def test_a_clip_that_changes_between_question_and_answer_is_left_and_the_others_are_changed(
    argv: list[str], cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wisdomgate.cli import repair

    records = [lost(local, name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    theirs = replace(records[1], phase="created", video_id="v2", claim_seconds=None)

    def person(question: str) -> bool:
        Destination(theirs.uri).update(lambda found: theirs)
        return True

    monkeypatch.setattr(repair, "is_answered_yes", person)
    chosen = ["--folder", str(local.folder), *argv] if argv else [record.uri for record in records]
    ran = cli("clips", "forget", *chosen)
    assert (ran.status, ran.lines[-1]) == (1, "2 of 3 records were changed.")
    assert [line for line in ran.lines if line.startswith("Left: ")] == [
        f"Left: {theirs.uri}: Somebody else changed {theirs.uri}.json meanwhile; nothing was changed by this command. "
        "Look at it again."
    ]
    assert [stands_at(local, name) for name in ("a.mp4", "b.mp4", "c.mp4")] == [None, theirs, None]


def test_a_named_clip_that_does_not_fit_is_left_and_the_others_are_changed(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    before = stands_at(local, "stored.mp4")
    ran = cli("clips", "forget", local.uri("stored.mp4"), local.uri("lost.mp4"), local.uri("refused.mp4"), "--yes")
    assert (ran.status, stands_at(local, "stored.mp4"), stands_at(local, "lost.mp4")) == (1, before, None)
    assert ran.err.count("Left: ") == 1


def test_a_name_that_is_wrong_is_an_error_and_the_others_are_changed(cli: Cli, local: LocalPlace) -> None:
    lost(local, "a.mp4")
    ran = cli("clips", "forget", local.uri("a.mp4"), local.uri("no.mp4"), "--yes")
    assert (ran.status, local.names()) == (2, [])
    assert f"Left: {local.uri('no.mp4')}: There is no manifest" in ran.err


# ----------------------------------------------------------------------------------------------- adopt


def test_several_videos_are_adopted_as_pairs(cli: Cli, local: LocalPlace) -> None:
    lost(local, "day=1/a.mp4")
    lost(local, "b.mp4")
    pairs = [f"{local.uri('day=1/a.mp4')}=video_1==", f"{local.uri('b.mp4')}=video_2"]
    ran = cli("clips", "adopt", *pairs, "--no-check", answer="y\n")
    ids = [record and record.video_id for record in (stands_at(local, "day=1/a.mp4"), stands_at(local, "b.mp4"))]
    assert (ran.status, ids, ran.err.count("[y/N]")) == (0, ["video_1==", "video_2"], 1)


def test_lost_creates_are_found_in_the_gateways_list_which_is_read_once(
    cli: Cli, local: LocalPlace, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    videos = {text: made(hook, text=text) for text in ("a cat", "a dog", "a fox")}
    for text in videos:
        lost(local, f"{text[2:]}.mp4", request=lost_create_of(hook, text))
    nothing = lost(local, "owl.mp4", request=lost_create_of(hook, "an owl"))
    every_state(local, "stored")
    ran = cli("clips", "adopt", "--find", "--folder", str(local.folder), "--yes")
    found = {name: stands_at(local, f"{name[2:]}.mp4") for name in videos}
    assert {name: record and record.video_id for name, record in found.items()} == videos
    assert (ran.status, stands_at(local, "owl.mp4"), sandbox.counts()["lists"]) == (1, nothing, 1)
    assert "Left as they are: 1 lost, 1 stored." in ran.lines


def test_a_video_that_two_lost_creates_fit_is_adopted_by_neither(
    cli: Cli, local: LocalPlace, hook: WisdomGateHook
) -> None:
    made(hook)
    before = [lost(local, name, request=lost_create_of(hook, "a cat")) for name in ("a.mp4", "b.mp4")]
    ran = cli("clips", "adopt", "--find", "--state", "lost", "--folder", str(local.folder), "--yes")
    assert (ran.status, [stands_at(local, name) for name in ("a.mp4", "b.mp4")]) == (1, before)


# ----------------------------------------------------------------------------------------------- fetch


def test_paid_clips_of_a_folder_are_fetched_and_an_error_ends_one_of_them(
    cli: Cli, local: LocalPlace, hook: WisdomGateHook, sandbox: Sandbox
) -> None:
    request = {"base_url": hook.settings.base_url}
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        put_manifest(manifest(local.uri(name), "created", video_id=made(hook), request=request))
    put_manifest(manifest(local.uri("bad.mp4"), "created", video_id="video_unknown", request=request))
    every_state(local, "stored")
    ran = cli("clips", "fetch", "--folder", str(local.folder), answer="y\n")
    assert (ran.status, ran.lines[-1], ran.err.count("[y/N]")) == (2, "3 of 4 clips were stored.", 1)
    assert [local.read(name) for name in ("a.mp4", "b.mp4", "c.mp4")] == [whole()] * 3
    assert f"Left: {local.uri('bad.mp4')}: " in ran.err
    assert (stands_at(local, "bad.mp4") or CLIP, sandbox.counts()["downloads"]) != (None, 0)
    again = cli("clips", "fetch", local.uri("a.mp4"), local.uri("b.mp4"), "--yes")
    assert (again.status, again.err.count("The clip is there already: ")) == (0, 2)


def test_nothing_is_fetched_after_a_no(cli: Cli, local: LocalPlace, hook: WisdomGateHook, sandbox: Sandbox) -> None:
    for name in ("a.mp4", "b.mp4"):
        put_manifest(manifest(local.uri(name), "created", video_id=made(hook)))
    before = as_files(local.folder)
    ran = cli("clips", "fetch", local.uri("a.mp4"), local.uri("b.mp4"), answer="n\n")
    assert (ran.status, as_files(local.folder), sandbox.counts()["downloads"]) == (1, before, 0)
