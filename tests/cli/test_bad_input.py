"""Whatever is typed wrong, or is not as it should be, is one line on stderr and status 2, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
from commands import Cli, as_files, every_state, manifest
from support import LocalPlace, S3Place, put_manifest

from airflow_provider_wisdomgate.links import AIRFLOW
from airflow_provider_wisdomgate.sandbox import Sandbox

WRONG: dict[str, list[str]] = {
    "no command": [],
    "no such command": ["clips", "steal", "{folder}/lost.mp4"],
    "a command of a group is missing": ["clips"],
    "an option that is not there": ["clips", "list", "{folder}", "--recursive"],
    "no such state": ["clips", "list", "{folder}", "--state", "lots"],
    "no such format": ["clips", "list", "{folder}", "-o", "yaml"],
    "no such folder": ["clips", "list", "{folder}/nothing"],
    "a file in place of a folder": ["clips", "verify", "{folder}/stored.mp4"],
    "a scheme that nobody knows": ["clips", "list", "nowhere://bucket/clips"],
    "a bucket without a name": ["clips", "list", "s3://"],
    "a bucket that is not there": ["clips", "list", "s3://aws_default@no-such-bucket"],
    "a connection that is not there": ["clips", "list", "s3://aws_nobody@bucket/clips"],
    "no manifest": ["clips", "show", "{folder}/nothing.mp4"],
    "the manifest's name": ["clips", "forget", "{folder}/lost.mp4.json", "--yes"],
    "a manifest that is none": ["clips", "adopt", "{folder}/odd.mp4", "--video-id", "v9", "--yes"],
    "half a manifest": ["clips", "adopt", "{folder}/half.mp4", "--video-id", "v9", "--yes"],
    "a clip and a folder": ["clips", "forget", "{folder}/lost.mp4", "--folder", "{folder}", "--yes"],
    "no clip": ["clips", "fetch", "--yes"],
    "all of a folder": ["clips", "forget", "--folder", "{folder}", "--yes"],
    "no age": ["clips", "list", "{folder}", "--older-than", "soon"],
    "an age of a unit that nobody knows": ["clips", "list", "{folder}", "--older-than", "3 moons"],
    "one id for two clips": [
        "clips",
        "adopt",
        "{folder}/lost.mp4",
        "{folder}/created.mp4",
        "--video-id",
        "v9",
        "--yes",
    ],
    "a clip without its id": ["clips", "adopt", "{folder}/lost.mp4=v9", "{folder}/created.mp4", "--yes"],
    "a folder in place of a clip": ["clips", "fetch", "{folder}"],
    "a folder with a slash": ["clips", "forget", "{folder}/", "--yes"],
    "out of the storage path": ["clips", "show", "../../etc/passwd"],
    "no id": ["clips", "adopt", "{folder}/lost.mp4", "--yes"],
    "an empty id": ["clips", "adopt", "{folder}/lost.mp4", "--video-id", "", "--yes"],
    "an id of blanks": ["clips", "adopt", "{folder}/lost.mp4", "--video-id", "  ", "--no-check", "--yes"],
    "an id that is no id": ["clips", "adopt", "{folder}/lost.mp4", "--video-id", "half \ud83d", "--no-check", "--yes"],
    "an unknown id": ["clips", "adopt", "{folder}/lost.mp4", "--video-id", "video_unknown", "--yes"],
    "a timeout that is none": ["clips", "fetch", "{folder}/created.mp4", "--timeout", "soon"],
    "no such video": ["videos", "get", "video_unknown"],
    "no such video to delete": ["videos", "delete", "video_unknown", "--yes"],
    "no such gateway connection": ["balance", "--conn-id", "nobody"],
    "a gateway that is away": ["test", "--conn-id", "away"],
}


@pytest.fixture
def _metadata(request: pytest.FixtureRequest) -> None:
    if AIRFLOW < (3, 0):  # that one says loudly that there is no database to look connections up in
        request.getfixturevalue("airflow_db")


@pytest.mark.usefixtures("_metadata")
@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_one_line_and_changes_nothing(
    what: str, cli: Cli, local: LocalPlace, s3: S3Place, connect: Any, sandbox: Sandbox
) -> None:
    connect()
    connect("away", host="http://127.0.0.1:9")
    every_state(local)
    local.write("odd.mp4.json", b"[]")
    local.write("half.mp4.json", b'{\n "phase": "crea')
    before = as_files(local.folder)
    ran = cli(*(word.format(folder=local.folder) for word in WRONG[what]))
    assert (ran.status, ran.out, as_files(local.folder)) == (2, "", before)
    (line,) = ran.lines
    assert line.startswith("wisdomgate")
    assert sandbox.counts()["creates"] == 0


@pytest.mark.usefixtures("_metadata")
def test_a_connection_that_is_not_found_names_the_airflow_that_was_looked_in(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/srv/other-home")
    ran = cli("test", "--conn-id", "nobody")
    assert ran.status == 2
    assert "AIRFLOW_HOME=/srv/other-home." in ran.lines[-1]


def test_nobody_to_ask_is_an_error_that_names_the_option(cli: Cli, local: LocalPlace, connection: Any) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0))
    before = as_files(local.folder)
    for argv in (["clips", "forget", local.uri("cat.mp4")], ["videos", "delete", "video_1"]):
        ran = cli(*argv)
        assert (ran.status, "--yes" in ran.lines[-1], as_files(local.folder)) == (2, True, before)


def test_storage_without_rights_or_room_is_one_line(
    cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses the write after the person said yes [sim]."""
    import errno
    import os

    put_manifest(manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0))
    before = as_files(local.folder)

    def refused(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refused)
    ran = cli("clips", "adopt", local.uri("cat.mp4"), "--video-id", "v9", "--no-check", "--yes")
    assert (ran.status, "A disk is full" in ran.lines[-1], as_files(local.folder)) == (2, True, before)
