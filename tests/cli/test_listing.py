"""``clips list`` and ``clips show`` tell what is kept, whoever wrote it, and change nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from commands import ME, STATE_OF, Cli, as_files, every_state, manifest
from support import LocalPlace, S3Place, put_manifest

from airflow_provider_wisdomgate.ledger.folder import find_kept


def names_in(out: str) -> list[str]:
    return [row["uri"].rpartition("/")[2] for row in json.loads(out)]


def folder_uri(place: Any) -> str:
    uri: str = place.uri("")
    return uri.rstrip("/")


def test_a_listing_tells_the_state_of_every_clip_in_the_order_of_names(cli: Cli, place: LocalPlace | S3Place) -> None:
    every_state(place)
    ran = cli("clips", "list", folder_uri(place), "-o", "json")
    rows = json.loads(ran.out)
    assert {row["uri"]: row["state"] for row in rows} == {
        place.uri(f"{name}.mp4"): state for name, state in STATE_OF.items()
    }
    assert names_in(ran.out) == sorted(f"{name}.mp4" for name in STATE_OF)
    assert (ran.status, ran.err) == (0, "")
    (row,) = (row for row in rows if row["uri"].endswith("/stored.mp4"))
    age = row.pop("age")
    made_by = {name: ME[name] for name in ("dag_id", "run_id", "task_id", "map_index")}
    assert row == {"state": "stored", "video_id": "v1", "size": len(place.read("stored.mp4")), **made_by} | {
        "uri": place.uri("stored.mp4")
    }
    assert 0 <= age < 600


def test_only_the_states_that_are_asked_for_are_listed(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    ran = cli("clips", "list", str(local.folder), "--state", "lost", "--state", "refused", "-o", "json")
    assert names_in(ran.out) == ["lost-over-stored.mp4", "lost.mp4", "refused.mp4"]


def test_a_table_is_for_people_and_csv_for_programs(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    table = cli("clips", "list", str(local.folder))
    assert table.out.splitlines()[0].split() == ["STATE", "VIDEO", "SIZE", "AGE", "MADE", "BY", "CLIP"]
    assert len(table.out.splitlines()) == len(STATE_OF) + 1
    assert "daily r1 clip[3]" in table.out
    assert table.lines == ["2 lost, 1 refused, 1 failed, 2 missing, 1 creating, 3 created, 1 stored"]
    rows = list(csv.DictReader(io.StringIO(cli("clips", "list", str(local.folder), "-o", "csv").out)))
    assert sorted(row["state"] for row in rows) == sorted(STATE_OF.values())


def test_folders_below_are_listed_and_what_is_no_manifest_of_ours_is_passed_over(
    cli: Cli, place: LocalPlace | S3Place
) -> None:
    for name in ("b/c/deep.mp4", "b.mp4", "b-c.mp4", "b.mp4.mp4"):
        put_manifest(manifest(place.uri(name), "created"))
    for name, data in {
        "package.json": b"{}",
        "other.json": b'{"phase": "stored"}',
        "list.json": b"[1]",
        "text.mp4.json": b"no json",
        "half.mp4.json": b'{\n "phase": "crea',
        "deep.json": b"[" * 100_000,
        "large.json": b" " * 5_000_000 + b"{}",
        ".json": b"{}",
        "film.mp4": b"a film",
    }.items():
        place.write(name, data)
    ran = cli("clips", "list", folder_uri(place), "-o", "json")
    names = [row["uri"].removeprefix(place.uri("")) for row in json.loads(ran.out) if row["state"] != "damaged"]
    assert (ran.status, names) == (0, ["b-c.mp4", "b.mp4", "b.mp4.mp4", "b/c/deep.mp4"])
    assert json.loads(cli("clips", "list", place.uri("b/c"), "-o", "json").out)[0]["uri"] == place.uri("b/c/deep.mp4")


def test_an_interrupted_listing_goes_on_after_a_name(place: LocalPlace | S3Place) -> None:
    for name in ("a.mp4", "b/a.mp4", "b/b.mp4", "b/c/a.mp4", "c.mp4"):
        put_manifest(manifest(place.uri(name), "created"))
    whole = [kept.name for kept in find_kept(folder_uri(place))]
    assert whole == ["a.mp4", "b/a.mp4", "b/b.mp4", "b/c/a.mp4", "c.mp4"]
    for number, name in enumerate(whole):
        assert [kept.name for kept in find_kept(folder_uri(place), name)] == whole[number + 1 :]


def test_symbolic_links_lead_nowhere(cli: Cli, local: LocalPlace, tmp_path: Path) -> None:
    outside = LocalPlace(tmp_path / "outside")
    put_manifest(manifest(outside.uri("secret.mp4"), "created"))
    put_manifest(manifest(local.uri("in/cat.mp4"), "created"))
    os.symlink(outside.folder, local.folder / "out")
    os.symlink(local.folder, local.folder / "in" / "circle")
    os.symlink(outside.folder / "secret.mp4.json", local.folder / "link.mp4.json")
    assert names_in(cli("clips", "list", str(local.folder), "-o", "json").out) == ["cat.mp4"]


@pytest.mark.parametrize("name", ["a b.mp4", "100%.mp4", "a#b?c.mp4", "Kätzchen 猫.mp4", "a%20b.mp4"])
def test_a_listed_uri_is_one_that_every_command_takes(name: str, cli: Cli, place: LocalPlace | S3Place) -> None:
    folder = str(place.folder) if isinstance(place, LocalPlace) else folder_uri(place)
    put_manifest(manifest(f"{folder}/{name}", "created"))
    (row,) = json.loads(cli("clips", "list", folder, "-o", "json").out)
    shown = cli("clips", "show", row["uri"], "-o", "json")
    assert (shown.status, json.loads(shown.out)["manifest"]["uri"]) == (0, row["uri"])


def test_a_file_whose_name_is_no_text_is_listed_and_shown(cli: Cli, local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "created"))
    odd = os.fsencode(local.folder) + b"/\xff.mp4.json"
    os.rename(local.folder / "cat.mp4.json", odd)
    for folder in (str(local.folder), f"file://{local.folder}"):
        (row,) = json.loads(cli("clips", "list", folder, "-o", "json").out)
        assert (row["uri"], cli("clips", "show", row["uri"]).status) == (f"file://{local.folder}/%FF.mp4", 0)


EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2J\r\nstored\u202egpm\u2028\x7f [bold red]x[/bold red] :smile: \ud83d"


def test_what_others_wrote_into_a_manifest_does_nothing_to_the_terminal(cli: Cli, local: LocalPlace) -> None:
    made_by = {"dag_id": EVIL, "run_id": [EVIL], "task_id": {EVIL: EVIL}, "map_index": True}
    uri = local.uri("cat.mp4")
    error = {"message": EVIL, "x": EVIL}
    put_manifest(manifest(uri, "failed", video_id=EVIL, made_by=made_by, request={EVIL: EVIL}, error=error))
    for argv in (
        ["list", str(local.folder)],
        ["list", str(local.folder), "-o", "json"],
        ["list", str(local.folder), "-o", "csv"],
        ["show", uri],
        ["show", uri, "-o", "json"],
        ["fetch", uri],
        ["adopt", uri, "--video-id", EVIL],
        ["verify", str(local.folder), "-o", "json"],
    ):
        ran = cli("clips", *argv)
        assert re.search(r"[^ -~\n]", ran.out + ran.err) is None, argv
        assert "Traceback" not in ran.err
    table = cli("clips", "list", str(local.folder))
    assert "[bold red]x[/bold red] :smile:" in table.out
    assert len(table.out.splitlines()) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"claimed_at": float("nan")},
        {"claimed_at": float("inf"), "created_at": -1e300},
        {"claimed_at": 10**400},
        {"size": 10**4000},
        {"size": -1, "stored_at": 1e300, "duration": float("-inf")},
        {"claim_seconds": float("nan")},
    ],
    ids=str,
)
def test_odd_numbers_are_shown_somehow(values: dict[str, Any], cli: Cli, local: LocalPlace) -> None:
    for phase in ("creating", "created", "stored"):
        facts = manifest(local.uri(f"{phase}.mp4"), phase).as_dict() | values
        local.write(f"{phase}.mp4.json", json.dumps(facts, indent=1).encode())
    for argv in (["list", str(local.folder)], ["list", str(local.folder), "-o", "json"], ["verify", str(local.folder)]):
        assert "Traceback" not in cli("clips", *argv).err
    for phase in ("creating", "created", "stored"):
        assert "Traceback" not in cli("clips", "show", local.uri(f"{phase}.mp4")).err


def test_a_manifest_that_cannot_be_read_is_told_and_the_others_are_listed(cli: Cli, local: LocalPlace) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    for name in ("a.mp4", "b.mp4"):
        put_manifest(manifest(local.uri(name), "created"))
    os.chmod(local.folder / "a.mp4.json", 0)
    ran = cli("clips", "list", str(local.folder), "-o", "json")
    assert (ran.status, names_in(ran.out), len(ran.lines)) == (2, ["b.mp4"], 1)


def test_a_folder_that_nobody_may_write_to_is_listed(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    os.chmod(local.folder, 0o555)
    before = as_files(local.folder)
    try:
        ran = cli("clips", "list", str(local.folder), "-o", "json")
    finally:
        os.chmod(local.folder, 0o755)
    assert (ran.status, len(json.loads(ran.out)), as_files(local.folder)) == (0, len(STATE_OF), before)


def test_nothing_there_is_said(cli: Cli, local: LocalPlace) -> None:
    local.folder.mkdir()
    assert cli("clips", "list", str(local.folder)).lines == [f"No such clips below {local.folder}."]
    assert cli("clips", "list", str(local.folder), "-o", "json").out == "[]\n"


def test_without_a_folder_the_storage_path_is_listed(
    cli: Cli, local: LocalPlace, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_manifest(manifest(local.uri("a/cat.mp4"), "created"))
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(local.folder))
    assert names_in(cli("clips", "list", "-o", "json").out) == ["cat.mp4"]
    connect(extra={"storage_path": str(local.folder / "a")})
    assert names_in(cli("clips", "list", "-o", "json").out) == ["cat.mp4"]
    assert cli("clips", "show", "cat.mp4").status == 0


# ------------------------------------------------------------------------------------------------ clips show


@pytest.mark.parametrize("name", STATE_OF)
def test_a_clip_is_shown_with_its_state_and_what_to_do(name: str, cli: Cli, local: LocalPlace) -> None:
    stands = every_state(local, name)[name]
    before = as_files(local.folder)
    shown = cli("clips", "show", local.uri(f"{name}.mp4"), "-o", "json")
    told = json.loads(shown.out)
    assert (told["state"], told["manifest"]) == (STATE_OF[name], stands.as_dict())
    people = cli("clips", "show", str(local.folder / f"{name}.mp4"))
    assert people.out.split()[:2] == ["state", f"{STATE_OF[name]}:"]
    assert people.lines == told["next"]
    for verb in {"lost": ("adopt", "forget"), "created": ("fetch",), "refused": ("forget",)}.get(STATE_OF[name], ()):
        assert f"wisdomgate clips {verb} {local.uri(f'{name}.mp4')}" in people.err
    assert as_files(local.folder) == before


def test_a_claim_that_lives_is_shown_with_its_time(cli: Cli, local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "creating", claimed_at=time.time()))
    (line,) = cli("clips", "show", local.uri("cat.mp4")).lines
    assert re.fullmatch(r"Wait: its claim ends in 3\d\d s at the latest\.", line)


def test_show_writes_each_time_as_people_read_it(cli: Cli, local: LocalPlace) -> None:
    uri = local.uri("cat.mp4")
    put_manifest(manifest(uri, "creating", claimed_at=1.6e9, lost_at=1.6e9, claim_seconds=0.0))
    shown = cli("clips", "show", uri).out
    assert shown.count("2020-09-13 12:26:40 UTC") == 2
    assert "1600000000" not in shown
