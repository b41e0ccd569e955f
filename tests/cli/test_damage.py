"""A record that cannot be read is shown and removed by a person, and what is shown can be copied."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from commands import CLIP, Cli, as_files, manifest
from support import LocalPlace, S3Place, put_manifest

from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.rules import quoted

WHOLE = manifest("file:///cat.mp4", "created", video_id="video_77").dump()
# How a record may be damaged, and the ids that can still be read.
DAMAGE: dict[str, tuple[bytes, list[str]]] = {
    "cut off": (WHOLE[:-9], ["video_77"]),
    "cut off early": (WHOLE[:30], []),
    "empty": (b"", []),
    "zeros": (bytes(len(WHOLE)), []),
    "not text": (WHOLE[:-9] + b"\xff\x1b[31m\r", ["video_77"]),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_record_is_shown_and_forgotten(what: str, cli: Cli, place: LocalPlace | S3Place) -> None:
    data, ids = DAMAGE[what]
    place.write("cat.mp4.json", data)
    uri = place.uri("cat.mp4")
    shown = json.loads(cli("clips", "show", uri, "-o", "json").out)
    assert (shown["state"], shown["video_ids"], shown["bytes"], shown["uri"]) == ("damaged", ids, len(data), uri)
    people = cli("clips", "show", uri)
    assert people.out.split()[:2] == ["state", "damaged:"]
    assert f"wisdomgate clips forget {uri}" in people.lines[-1]
    no = cli("clips", "forget", uri, answer="n\n")
    assert (no.status, place.read("cat.mp4.json")) == (1, data)
    yes = cli("clips", "forget", uri, answer="y\n")
    assert (yes.status, place.names(), "pays for it" in yes.err) == (0, [], True)
    assert all(video_id in yes.err for video_id in ids)


def test_a_damaged_record_beside_a_clip_is_forgotten_and_the_clip_stays(cli: Cli, local: LocalPlace) -> None:
    local.write("cat.mp4", CLIP)
    local.write("cat.mp4.json", WHOLE[:-9])
    ran = cli("clips", "forget", local.uri("cat.mp4"), "--yes")
    assert (ran.status, as_files(local.folder), "if_exists='replace'" in ran.err) == (0, {"cat.mp4": CLIP}, True)


def test_damaged_records_of_a_folder_are_forgotten_together(cli: Cli, local: LocalPlace) -> None:
    for name in ("a.mp4", "b.mp4"):
        local.write(f"{name}.json", WHOLE[:-9])
    put_manifest(manifest(local.uri("c.mp4"), "created"))
    ran = cli("clips", "forget", "--folder", str(local.folder), "--state", "damaged", "--yes")
    assert (ran.status, local.names(), ran.out.count("video_77")) == (0, ["c.mp4.json"], 2)


def test_a_record_that_is_repaired_between_question_and_answer_is_left_alone(
    cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_wisdomgate.cli import repair

    def person(question: str) -> bool:
        local.write("cat.mp4.json", WHOLE)
        return True

    local.write("cat.mp4.json", WHOLE[:-9])
    monkeypatch.setattr(repair, "is_answered_yes", person)
    ran = cli("clips", "forget", local.uri("cat.mp4"))
    assert (ran.status, local.read("cat.mp4.json")) == (2, WHOLE)


OTHERS = {
    "a later version's": json.dumps(json.loads(WHOLE) | {"version": 2}, indent=1).encode(),
    "somebody else's": b'{"subtitles": []}',
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_record_of_a_later_version_and_somebody_elses_file_are_not_forgotten(
    what: str, cli: Cli, local: LocalPlace
) -> None:
    local.write("cat.mp4.json", OTHERS[what])
    ran = cli("clips", "forget", local.uri("cat.mp4"), "--yes")
    assert (ran.status, len(ran.lines), local.read("cat.mp4.json")) == (2, 1, OTHERS[what])
    assert "clips forget" not in cli("clips", "show", local.uri("cat.mp4")).err


@pytest.mark.parametrize("verb", ["adopt", "fetch"])
def test_nothing_else_is_done_to_a_damaged_record(verb: str, cli: Cli, local: LocalPlace, connection: Any) -> None:
    local.write("cat.mp4.json", WHOLE[:-9])
    more = ["--video-id", "v9", "--yes"] if verb == "adopt" else []
    ran = cli("clips", verb, local.uri("cat.mp4"), *more)
    assert (ran.status, len(ran.lines), local.read("cat.mp4.json")) == (2, 1, WHOLE[:-9])
    assert f"wisdomgate clips forget {local.uri('cat.mp4')}" in ran.err


def test_what_is_shown_of_a_damaged_record_has_no_key_and_an_end(cli: Cli, local: LocalPlace, connect: Any) -> None:
    connect(password="sk-very-secret-key")
    local.write("cat.mp4.json", WHOLE[:-9].replace(b"video_77", b"sk-very-secret-key") + b" " * 9000 + b"sk-very")
    for output in ("json", "table"):
        out = cli("clips", "show", local.uri("cat.mp4"), "-o", output).out
        assert ("sk-very" in out, "***" in out) == (False, True)
    assert len(json.loads(cli("clips", "show", local.uri("cat.mp4"), "-o", "json").out)["begins"]) <= 2000


# ------------------------------------------------------------------------------------- what people copy

NAMES = ["my  cat.mp4", "a\tb.mp4", "it's.mp4", "a\nb.mp4", " c.mp4", "d\\n.mp4", "e\u202egpm.mp4", "$(f) `g`.mp4"]


@pytest.mark.parametrize("name", [name for name in NAMES if "\n" not in name])  # moto's keys are of one line
def test_a_command_that_is_shown_names_the_same_clip_after_a_shell_has_read_it(
    name: str, cli: Cli, s3: S3Place
) -> None:
    uri = put_manifest(manifest(s3.uri(name), "creating", claim_seconds=0.0)).uri
    (line,) = [line for line in cli("clips", "show", uri).lines if "clips forget" in line]
    shown = line.partition("wisdomgate ")[2]
    assert shown.isprintable()
    argv = subprocess.run(["bash", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True).stdout
    assert os.fsdecode(argv).split("\0")[:-1] == ["clips", "forget", uri]


@pytest.mark.parametrize("text", [*NAMES, "\udcff.mp4", "half \ud83d"])
def test_a_quoted_text_is_what_a_shell_reads(text: str) -> None:
    shown = quoted(text)
    assert shown.isprintable()
    read = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, check=True).stdout
    assert read in (os.fsencode(text) if "\ud83d" not in text else b"", text.encode(errors="surrogatepass"))


def test_verify_continues_after_the_clip_that_it_names(cli: Cli, local: LocalPlace) -> None:
    from airflow_provider_wisdomgate.cli.verify import Progress

    so_far = Progress(str(local.folder), "my  cat\n.mp4")
    argv = subprocess.run(["bash", "-c", f"printf '%s\\0' {so_far.goes_on}"], capture_output=True, check=True).stdout
    assert argv.decode().split("\0")[-3:] == ["--after", "my  cat\n.mp4", ""]


# ------------------------------------------------------------------------------------- evidence


def test_show_has_what_came_in_place_of_an_answer_and_what_a_later_version_wrote(cli: Cli, local: LocalPlace) -> None:
    record = manifest(local.uri("cat.mp4"), "creating", claim_seconds=0.0, answer='{"jobId": "j1"}')
    put_manifest(replace(record, unknown={"cost": 0.4, "answered_id": "j1"}))
    out = cli("clips", "show", record.uri).out
    rows = dict(line.split(None, 1) for line in out.splitlines())
    assert (rows["answer"].strip(), rows["cost"].strip()) == ('{"jobId": "j1"}', "0.4")
    assert rows["answered_id"].strip() == "j1"
    killed = put_manifest(manifest(record.uri.replace("cat", "dog"), "created", killed_at=1.6e9))
    assert "2020-09-13 12:26:40 UTC" in cli("clips", "show", killed.uri).out
    assert Destination(record.uri).read() == replace(record, unknown={"cost": 0.4, "answered_id": "j1"})
