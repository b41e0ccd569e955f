"""Commands where something is in the way: records that cannot be read, no folder, closed pipes, narrow terminals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import CLIP, Cli, as_files, every_state, manifest
from s3_server import Fault, Proxy, proxy_before
from support import LocalPlace, S3Place, put_manifest, sha256

from airflow_provider_wisdomgate.clips.stores.base import MAX_RECORD_BYTES
from airflow_provider_wisdomgate.ledger import verify as verifying
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.folder import find_kept


@pytest.fixture
def proxy(s3: S3Place, _s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands between the commands and the bucket."""
    with proxy_before(_s3_url) as proxy:
        config = {"retries": {"total_max_attempts": 1, "mode": "standard"}}
        extra = {"endpoint_url": proxy.url, "region_name": "us-east-1", "config_kwargs": config}
        aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
        yield proxy


def keep(place: Any, name: str, clip: bytes = CLIP, **values: Any) -> None:
    place.write(name, clip)
    put_manifest(manifest(place.uri(name), "stored", **values))


def folder_uri(place: Any) -> str:
    uri: str = place.uri("")
    return uri.rstrip("/")


# ------------------------------------------------------------------------------------ what cannot be read


def test_a_record_that_cannot_be_read_is_told_and_the_rest_is_listed(cli: Cli, s3: S3Place, proxy: Proxy) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        put_manifest(manifest(s3.uri(name), "created"))
    for output in ("json", "table"):
        proxy.faults.append(Fault("GET", "/b.mp4.json", "403 AccessDenied"))
        ran = cli("clips", "list", folder_uri(s3), "-o", output)
        assert (ran.status, ran.lines[-1].partition(": ")[2].startswith("not read: ")) == (2, True)
        assert "b.mp4" in ran.lines[-1]
        assert [name in ran.out for name in ("a.mp4", "b.mp4", "c.mp4")] == [True, False, True]


def test_a_clip_that_cannot_be_read_differs_and_the_rest_is_verified(cli: Cli, s3: S3Place, proxy: Proxy) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        keep(s3, name)
    proxy.faults.append(Fault("GET", "/b.mp4", "403 AccessDenied"))
    ran = cli("clips", "verify", folder_uri(s3), "-o", "json")
    (row,) = json.loads(ran.out)
    assert (ran.status, row["uri"], "AccessDenied" in row["problem"]) == (1, s3.uri("b.mp4"), True)
    assert ran.lines[-1].startswith("3 clips verified (")


def test_a_damaged_record_is_listed_and_somebody_elses_file_is_not(cli: Cli, place: LocalPlace | S3Place) -> None:
    keep(place, "a.mp4")
    place.write("b.mp4.json", manifest(place.uri("b.mp4"), "created").dump()[:-9])
    place.write("c.mp4.json", b'{"subtitles": []}')
    ran = cli("clips", "list", folder_uri(place), "-o", "json")
    rows = [(row["state"], row["uri"], row["video_id"]) for row in json.loads(ran.out)]
    assert (ran.status, ran.lines) == (0, [])
    assert rows == [("stored", place.uri("a.mp4"), "v1"), ("damaged", place.uri("b.mp4"), None)]
    assert [
        row["uri"] for row in json.loads(cli(*f"clips list {folder_uri(place)} --state damaged -o json".split()).out)
    ]
    ran = cli("clips", "verify", folder_uri(place), "-o", "json")
    assert (ran.status, [row["uri"] for row in json.loads(ran.out)]) == (1, [place.uri("b.mp4")])


def test_a_record_of_a_request_with_images_in_it_is_listed_and_verified(cli: Cli, place: LocalPlace | S3Place) -> None:
    """Versions before 0.3 recorded them in full."""
    image = "data:image/png;base64," + "A" * (MAX_RECORD_BYTES // 2)
    keep(place, "cat.mp4", request={"fields": {"images": [image]}}, sha256="ab" * 32)
    place.write("somebody.json", b'{"phase": "' + bytes(MAX_RECORD_BYTES))
    ran = cli("clips", "list", folder_uri(place), "-o", "json")
    assert (ran.status, [row["uri"] for row in json.loads(ran.out)]) == (0, [place.uri("cat.mp4")])
    assert "1 clips verified" in cli("clips", "verify", folder_uri(place)).lines[-1]


def test_a_clip_that_is_replaced_whenever_it_is_read_is_told_and_not_read_for_ever(
    cli: Cli, s3: S3Place, proxy: Proxy
) -> None:
    def replace(method: str, target: str) -> None:
        if method == "GET" and target.endswith("/cat.mp4"):
            number = len(replaced)
            replaced.append(target)
            put_manifest(manifest(s3.uri("cat.mp4"), "stored", sha256=f"{number:064}"))

    keep(s3, "cat.mp4", sha256="ab" * 32)
    replaced: list[str] = []
    proxy.on_request = replace
    ran = cli("clips", "verify", folder_uri(s3))
    assert (ran.status, len(replaced)) == (1, verifying.TURNS)
    assert f"its manifest says {1:064}" in ran.out  # what it said when the last turn began


def test_a_clip_that_is_cut_while_it_is_read_is_told(
    place: LocalPlace | S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = Destination.read_range, len(CLIP) // 2

    def cut_first(self: Destination, start: int, end: int) -> bytes:
        place.write("cat.mp4", CLIP[:left])  # somebody else, after its size was asked for
        return real(self, start, end)

    keep(place, "cat.mp4")
    (kept,) = find_kept(folder_uri(place))
    monkeypatch.setattr(Destination, "read_range", cut_first)
    problem = f"the clip ends after {left} of {len(CLIP)} bytes"
    assert verifying.verify(kept) == verifying.Verified(kept, left, problem)


def test_what_is_wrong_with_a_large_clip_is_its_first_fault(cli: Cli, local: LocalPlace) -> None:
    data = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\3moov" + bytes(2 * verifying.CHUNK)
    keep(local, "cat.mp4", data, size=len(data), sha256=sha256(data))
    ran = cli("clips", "verify", str(local.folder))
    assert (ran.status, "box b'moov' says it has 3 bytes" in ran.out) == (1, True)


def test_a_fetch_replaces_no_file_of_another_size(cli: Cli, local: LocalPlace, connection: Any) -> None:
    every_state(local, "other-size")
    before = as_files(local.folder)
    ran = cli("clips", "fetch", local.uri("other-size.mp4"))
    assert (ran.status, len(ran.lines), as_files(local.folder)) == (2, 1, before)
    assert f"stands a file of 7 bytes, not the clip of {len(CLIP)} bytes" in ran.err
    assert "Move it away" in ran.err


# ---------------------------------------------------------------------------------------- how it is shown


def test_what_is_no_number_is_null_for_programs(cli: Cli, local: LocalPlace) -> None:
    facts = manifest(local.uri("cat.mp4"), "created").as_dict() | {"request": {"odd": [1, {"deep": 2}, 1.5]}}
    text = json.dumps(facts, indent=1).replace(" 1,", " 1e999,").replace('"deep": 2', '"deep": -1e999')
    local.write("cat.mp4.json", text.encode())  # this package writes no such manifest
    shown = json.loads(cli("clips", "show", local.uri("cat.mp4"), "-o", "json").out, parse_constant=pytest.fail)
    assert shown["manifest"]["request"]["odd"] == [None, {"deep": None}, 1.5]


SIZES = {
    0: "0 B",
    999: "999 B",
    1000: "1 kB",
    1_234_567: "1.23 MB",
    999_499: "999 kB",
    999_500: "1 MB",
    999_999_999: "1 GB",
    12_300_000_000_000: "12.3 TB",
    999_999_999_999_999: "1,000 TB",
}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_written_with_three_digits(size: int, cli: Cli, local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "stored", size=size))
    assert f" v1     {SIZES[size]} " in cli("clips", "list", str(local.folder)).out.replace("missing  ", " ")


def test_a_record_of_an_unknown_age_is_listed_without_one(cli: Cli, local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "created", claimed_at=5e11, created_at=None))
    ran = cli("clips", "list", str(local.folder))
    assert ran.out.splitlines()[1].split() == ["created", "v1", "daily", "r1", "clip[3]", local.uri("cat.mp4")]


@pytest.mark.parametrize("forced", [False, True])
def test_what_another_program_reads_is_never_folded(
    forced: bool, cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forced:  # as many a CI sets it
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    uri = local.uri("a-long-name" * 10 + ".mp4")
    put_manifest(manifest(uri, "created"))
    assert uri in cli("clips", "list", str(local.folder)).out


def run_in_terminal(*command: str, columns: int) -> str:
    """Run a program in a terminal; returns all that it shows."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so that nobody has the other end any more
                break
            if not piece:
                break
            shown += piece
        process.wait(timeout=60)
    os.close(ours)
    return shown.decode()


WISDOMGATE = str(Path(sys.executable).parent / "wisdomgate")


def test_a_terminal_is_kept_to_and_shows_what_needs_somebody_in_red(local: LocalPlace) -> None:
    uri = local.uri("a-long-name" * 10 + ".mp4")
    put_manifest(manifest(uri, "creating", claim_seconds=0.0))
    shown = run_in_terminal(WISDOMGATE, "clips", "list", str(local.folder), columns=100)
    assert "\x1b[1;31mlost" in shown
    assert uri not in shown
    assert "1 lost" in shown


# --------------------------------------------------------------------------------- where nothing is set up


def test_no_folder_and_no_storage_path_is_one_line(cli: Cli, connect: Any) -> None:
    connect(extra={"storage_path": None})
    ran = cli("clips", "list")
    assert (ran.status, ran.out, len(ran.lines)) == (2, "", 1)
    assert "No folder is named" in ran.err


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(local: LocalPlace) -> None:
    put_manifest(manifest(local.uri("cat.mp4"), "created"))
    command = [WISDOMGATE, "clips", "list", str(local.folder), "-o", "json"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Else nothing is left to be written when Python ends.
    environment = os.environ | {"PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        assert process.stdout is not None
        process.stdout.close()  # long before it has anything to say
        assert process.stderr is not None
        told = process.stderr.read()
        process.wait(timeout=60)
    assert (process.returncode, told) == (1, "")


@pytest.mark.parametrize("before", [None, "client"])
def test_a_command_leaves_the_process_as_it_was(
    before: str | None, cli: Cli, local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "_AIRFLOW_PROCESS_CONTEXT"  # which says where this process looks for connections
    monkeypatch.delenv(name, raising=False)
    if before:
        monkeypatch.setenv(name, before)
    put_manifest(manifest(local.uri("cat.mp4"), "created"))
    assert (cli("clips", "list", str(local.folder)).status, os.environ.get(name)) == (0, before)
