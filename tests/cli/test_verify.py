"""``clips verify`` reads every stored clip again, says what differs, and goes on where it stopped."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from commands import CLIP, Cli, as_files, every_state, manifest
from support import LocalPlace, S3Place, put_manifest, sha256, whole

from airflow_provider_wisdomgate.ledger import verify as verifying
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.folder import find_kept


def keep(place: Any, name: str, clip: bytes | None = CLIP, **values: Any) -> None:
    if clip is not None:
        place.write(name, clip)
    put_manifest(manifest(place.uri(name), "stored", **values))


def folder_uri(place: Any) -> str:
    uri: str = place.uri("")
    return uri.rstrip("/")


def flipped(data: bytes, at: int = -5) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def test_what_is_as_its_manifest_says_passes(cli: Cli, place: LocalPlace | S3Place) -> None:
    for number in range(5):
        keep(place, f"{number}.mp4")
    put_manifest(manifest(place.uri("created.mp4"), "created"))
    ran = cli("clips", "verify", folder_uri(place))
    assert (ran.status, ran.out) == (0, "")
    (line,) = ran.lines
    assert line.startswith("5 clips verified (")
    assert line.endswith(" 0 differ; 1 manifests of clips that are not stored.")


PAGE = b"<html></html>"
DAMAGE: dict[str, tuple[bytes | None, dict[str, Any], str]] = {
    "a flipped byte": (flipped(CLIP), {}, "sha256"),
    "cut": (CLIP[:-1], {}, f"the clip has {len(CLIP) - 1} bytes, its manifest says {len(CLIP)}"),
    "longer": (CLIP + b"x", {}, f"the clip has {len(CLIP) + 1} bytes"),
    "gone": (None, {}, "the clip is gone"),
    "another clip": (whole("a dog", len(CLIP)), {}, "sha256"),
    "no sum": (CLIP, {"sha256": None}, "its manifest says None"),
    "no clip from the start": (PAGE, {"size": len(PAGE), "sha256": sha256(PAGE)}, "no known video container"),
    "cut before it was hashed": (
        CLIP[:-9],
        {"size": len(CLIP) - 9, "sha256": sha256(CLIP[:-9])},
        "cut off after",
    ),
    "empty": (b"", {"size": 0, "sha256": sha256(b"")}, "too few for any video"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_nothing_is_changed(what: str, cli: Cli, place: LocalPlace | S3Place) -> None:
    clip, values, words = DAMAGE[what]
    keep(place, "a.mp4")
    keep(place, "b.mp4", clip, **values)
    names = place.names()
    ran = cli("clips", "verify", folder_uri(place))
    assert (ran.status, ran.out.startswith(f"{place.uri('b.mp4')}: "), words in ran.out) == (1, True, True)
    assert (len(ran.out.splitlines()), "1 differ" in ran.err, place.names()) == (1, True, names)


def test_programs_get_json_or_csv(cli: Cli, local: LocalPlace) -> None:
    every_state(local)
    rows = json.loads(cli("clips", "verify", str(local.folder), "-o", "json").out)
    assert [(row["uri"], row["video_id"], row["problem"]) for row in rows] == [
        (local.uri("gone.mp4"), "v1", "the clip is gone"),
        (local.uri("other-size.mp4"), "v1", f"the clip has 7 bytes, its manifest says {len(CLIP)}"),
    ]
    ran = cli("clips", "verify", str(local.folder), "-o", "csv")
    assert list(csv.DictReader(io.StringIO(ran.out))) == rows
    assert ran.status == 1


def test_a_clip_that_is_replaced_while_it_is_read_is_read_again(local: LocalPlace) -> None:
    keep(local, "cat.mp4")
    (kept,) = find_kept(str(local.folder))
    other = whole("a dog", len(CLIP))
    local.write("cat.mp4", other)
    put_manifest(manifest(local.uri("cat.mp4"), "stored", sha256=sha256(other)))
    assert verifying.verify(kept) == verifying.Verified(kept, len(CLIP), None)
    put_manifest(manifest(local.uri("cat.mp4"), "created"))
    assert kept.manifest
    gone = replace(kept, manifest=replace(kept.manifest, sha256="ab"))
    assert verifying.verify(gone).problem is None  # nothing is stored there any more


def test_an_interrupted_run_says_how_to_go_on_and_does(
    cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        keep(local, f"a {number}.mp4", flipped(CLIP) if number in (1, 4) else CLIP)
    real = verifying.verify

    def until(kept: Any) -> Any:
        if kept.name == "a 3.mp4":
            raise KeyboardInterrupt
        return real(kept)

    monkeypatch.setattr(verifying, "verify", until)
    first = cli("clips", "verify", str(local.folder))
    assert (first.status, first.out.count("\n")) == (130, 1)
    told = first.lines[0].partition("To go on: ")[2]
    assert told == f"wisdomgate clips verify {local.folder} --after 'a 2.mp4'"
    monkeypatch.setattr(verifying, "verify", real)
    second = cli("clips", "verify", str(local.folder), "--after", "a 2.mp4")
    assert (second.status, "a%204.mp4" in second.out, second.lines[0][:17]) == (1, True, "3 clips verified ")


def test_a_log_is_told_where_a_killed_run_goes_on(cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_wisdomgate.cli import verify

    monkeypatch.setattr(verify, "TELL_EVERY", 0.0)
    for number in range(3):
        keep(local, f"{number}.mp4")
    lines = cli("clips", "verify", str(local.folder)).lines
    assert [line.partition(" --after ")[2] for line in lines] == ["0.mp4", "1.mp4", "2.mp4", ""]


def test_what_cannot_be_read_differs_and_the_rest_is_verified(cli: Cli, local: LocalPlace) -> None:
    keep(local, "a.mp4", None)
    os.mkdir(local.folder / "a.mp4")  # a folder in the clip's place
    keep(local, "b.mp4", flipped(CLIP))
    ran = cli("clips", "verify", str(local.folder))
    assert (ran.status, [line.partition("place/")[2][:5] for line in ran.out.splitlines()]) == (1, ["a.mp4", "b.mp4"])


def test_no_more_than_a_chunk_of_a_clip_is_asked_for_at_once(
    cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "CHUNK", 100)
    asked: list[int] = []
    real = Destination.read_range

    def counted(self: Destination, start: int, end: int) -> bytes:
        asked.append(end - start)
        return real(self, start, end)

    monkeypatch.setattr(Destination, "read_range", counted)
    keep(local, "cat.mp4")
    assert (cli("clips", "verify", str(local.folder)).status, max(asked)) == (0, 100)
    assert as_files(local.folder)["cat.mp4"] == CLIP
