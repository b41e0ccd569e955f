"""``clips adopt`` compares a video with what the task asked for, and with what other records have."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from commands import Cli, manifest
from support import LocalPlace, asked, made, put_manifest

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.record import Manifest

PROMPT = asked("render=0")
RIGHT: dict[str, Any] = {"prompt_sha256": sha256(PROMPT.encode()).hexdigest(), "model": "any"}
FIELDS = {"seconds": 1, "size": "64x48"}


def lost(local: LocalPlace, name: str = "cat.mp4", **values: Any) -> Manifest:
    request = RIGHT | {"fields": FIELDS} | values.pop("request", {})
    return put_manifest(manifest(local.uri(name), "creating", claim_seconds=0.0, request=request, **values))


def id_at(local: LocalPlace, name: str = "cat.mp4") -> str | None:
    record = Destination(local.uri(name)).read()
    return record and record.video_id


# What differs in the request, and the word that the doubt names it by.
DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": "other"}, "its model is any, the task asked for other"),
    "length": ({"fields": {**FIELDS, "seconds": "8"}}, "its seconds is 1, the task asked for 8"),
    "length in a model's own field": ({"fields": {"duration": 8}}, "its seconds is 1, the task asked for 8"),
    "size": ({"fields": {**FIELDS, "size": "48x64"}}, "its size is 64x48, the task asked for 48x64"),
    "prompt": ({"prompt_sha256": "ab" * 32}, "its prompt is another one: 'a cat"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_each_difference_is_a_doubt_that_yes_alone_does_not_override(
    what: str, cli: Cli, local: LocalPlace, hook: WisdomGateHook
) -> None:
    request, words = DIFFERENT[what]
    before = lost(local, request=request)
    video_id = made(hook)
    argv = ("clips", "adopt", before.uri, "--video-id", video_id)
    refused = cli(*argv, "--yes")
    assert (refused.status, id_at(local), len(refused.lines)) == (2, None, 1)
    assert f"DOUBTFUL: {words}" in refused.err
    assert "--force" in refused.err
    asked_about = cli(*argv, answer="n\n")
    assert (asked_about.status, asked_about.err.count("DOUBTFUL"), id_at(local)) == (1, 1, None)
    assert (cli(*argv, answer="y\n").status, id_at(local)) == (0, video_id)
    put_manifest(before)
    assert (cli(*argv, "--yes", "--force").status, id_at(local)) == (0, video_id)


def test_a_video_of_another_time_is_doubtful(cli: Cli, local: LocalPlace, hook: WisdomGateHook) -> None:
    before = lost(local)
    put_manifest(replace(before, claimed_at=before.claimed_at - 86400))
    ran = cli("clips", "adopt", before.uri, "--video-id", made(hook), "--yes")
    assert (ran.status, ran.err.count("DOUBTFUL: it was made at "), id_at(local)) == (2, 1, None)


@pytest.mark.parametrize(
    "fields",
    [{}, FIELDS, {"seconds": 1.0, "size": "64*48"}, {"duration": "1", "size": "64X48"}, {"size": "16:9"}],
    ids=str,
)
def test_what_is_the_same_in_other_words_or_is_not_known_raises_no_doubt(
    fields: dict[str, Any], cli: Cli, local: LocalPlace, hook: WisdomGateHook
) -> None:
    video_id = made(hook)
    ran = cli("clips", "adopt", lost(local, request={"fields": fields}).uri, "--video-id", video_id, "--yes")
    assert (ran.status, "DOUBTFUL" in ran.err, id_at(local)) == (0, False, video_id)


# -------------------------------------------------------------------------------- another record has the video

OWNERS: dict[str, dict[str, Any]] = {
    "created": {"phase": "created"},
    "stored": {"phase": "stored"},
    "below a record that replaces it": {"phase": "creating"},
}


@pytest.mark.parametrize("what", OWNERS)
def test_a_video_that_another_record_has_is_refused_unless_forced(what: str, cli: Cli, local: LocalPlace) -> None:
    lost(local)
    owner = manifest(local.uri("run-2/dog.mp4"), "stored" if what == "stored" else "created", video_id="v9")
    if what.startswith("below"):
        owner = manifest(owner.uri, "creating").over(owner)
    put_manifest(replace(owner, uri=local.uri("dog.mp4")))
    argv = ("clips", "adopt", local.uri("cat.mp4"), "--video-id", "v9", "--no-check")
    for more in (["--yes"], []):
        ran = cli(*argv, *more, answer="y\n")
        assert (ran.status, id_at(local), len(ran.lines)) == (2, None, 1)
        assert f"Video v9 is recorded at {local.uri('dog.mp4')}.json already" in ran.err
    forced = cli(*argv, "--yes", "--force")
    assert (forced.status, id_at(local)) == (0, "v9")
    assert f"DOUBTFUL: {local.uri('dog.mp4')} has this video, too." in forced.lines


def test_records_anywhere_below_the_storage_path_are_compared(cli: Cli, local: LocalPlace, connect: Any) -> None:
    connect(extra={"storage_path": str(local.folder)})
    lost(local, "dag/run-1/cat.mp4")
    put_manifest(manifest(local.uri("other/run-2/dog.mp4"), "stored", video_id="v9"))
    ran = cli("clips", "adopt", "dag/run-1/cat.mp4", "--video-id", "v9", "--no-check", "--yes")
    assert (ran.status, id_at(local, "dag/run-1/cat.mp4")) == (2, None)


@pytest.mark.parametrize(
    "other",
    [{"phase": "failed"}, {"request": {"base_url": "https://elsewhere/v1"}}],
    ids=["given up", "another gateway"],
)
def test_a_video_that_was_given_up_or_is_another_gateways_is_adopted(
    other: dict[str, Any], cli: Cli, local: LocalPlace
) -> None:
    lost(local, request={"base_url": "https://here/v1"})
    put_manifest(replace(manifest(local.uri("dog.mp4"), "created", video_id="v9"), **other))
    ran = cli("clips", "adopt", local.uri("cat.mp4"), "--video-id", "v9", "--no-check", "--yes")
    assert (ran.status, id_at(local)) == (0, "v9")


def test_records_that_were_not_all_compared_in_time_are_a_doubt(
    cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wisdomgate.cli import repair

    monkeypatch.setattr(repair, "COMPARE_SECONDS", 0.0)
    lost(local)
    argv = ("clips", "adopt", local.uri("cat.mp4"), "--video-id", "v9", "--no-check")
    ran = cli(*argv, "--yes")
    assert (ran.status, "DOUBTFUL: another record may have this video" in ran.err) == (2, True)
    assert (cli(*argv, answer="y\n").status, id_at(local)) == (0, "v9")
