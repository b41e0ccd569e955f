"""What the player may serve, what it makes of a Range, of odd records and of the names it shows. No Airflow running."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import LocalPlace, S3Place, TaskInstance, made, put_manifest

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import STATES, WITHOUT_RECORD, amount_of, next_actions
from airflow_provider_wisdomgate.links import DESTINATION_KEY, HAS_PLAYER, WisdomGateVideoLink, player_url
from airflow_provider_wisdomgate.operators import WisdomGateDownloadVideoOperator, WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.plugin import labels
from airflow_provider_wisdomgate.plugin.clip_finder import find_clip
from airflow_provider_wisdomgate.plugin.html import tag
from airflow_provider_wisdomgate.plugin.ranges import OutOfRangeError, parse_range
from airflow_provider_wisdomgate.plugin.served_paths import prefixes_of, served_location

CLIPS = ("/srv/clips", "s3://aws_default@bucket/videos")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/srv/clips/a.mp4", "/srv/clips/a.mp4"),
        ("file:///srv/clips/dag/a%20b.MOV", "/srv/clips/dag/a b.MOV"),
        ("FILE:///srv/clips/dag/a.webm", "/srv/clips/dag/a.webm"),
        ("s3://aws_default@bucket/videos/d/a.mp4", "s3://aws_default@bucket/videos/d/a.mp4"),
    ],
)
def test_a_clip_below_an_allowed_prefix_may_be_looked_at(uri: str, shown: str) -> None:
    place = served_location(uri, CLIPS)
    assert place is not None
    assert place.uri == shown


@pytest.mark.parametrize(
    "uri",
    [
        None,
        7,
        {"uri": "/srv/clips/a.mp4"},
        "",
        "a.mp4",
        "/srv/clips",
        "/srv/clips.mp4",
        "/srv/clips-of-others/a.mp4",
        "/etc/passwd",
        "/srv/clips/passwd",
        "/srv/clips/a.html",
        "/srv/clips/a.mp4.html",
        "/srv/clips/a.mp4/",
        "/srv/clips/../other/a.mp4",
        "/srv/clips/./a.mp4",
        "/srv/clips//a.mp4",
        "/srv/clips/%2e%2e/a.mp4",
        "/srv/clips/x%2f..%2f../a.mp4",
        "file:///srv/clips/%2E%2e/%2e./etc/a.mp4",
        "file://elsewhere/srv/clips/a.mp4",
        "/srv/clips/a\x00.mp4",
        "/srv/clips/a\n.mp4",
        "/srv/clips/..\\a.mp4",
        "s3://bucket/videos/a.mp4",
        "s3://other_conn@bucket/videos/a.mp4",
        "s3://aws_default@other/videos/a.mp4",
        "s3://aws_default@bucket/videos-of-others/a.mp4",
        "s3://aws_default@bucket/videos/../a.mp4",
        "s3://aws_default@bucket/videos/%2e%2e/a.mp4",
        "s3:///videos/a.mp4",
        "gs://aws_default@bucket/videos/a.mp4",
        "http://127.0.0.1/srv/clips/a.mp4",
        "http://aws_default@bucket/videos/a.mp4",
        "://srv/clips/a.mp4",
        "/srv/clips/" + "a" * 5000 + ".mp4",
    ],
)
def test_nothing_else_may_be_looked_at(uri: Any) -> None:
    assert served_location(uri, CLIPS) is None


def test_nothing_is_served_unless_an_option_says_so() -> None:
    assert prefixes_of(None, None) == prefixes_of("", " , ") == ()
    assert prefixes_of("/a", "/b, s3://c/d ,") == ("/a", "/b", "s3://c/d")
    assert served_location("/srv/clips/a.mp4", ()) is None


@pytest.mark.parametrize("prefix", ["/", "//", "file:///", "s3://", "relative/folder", "../clips", "://"])
def test_a_prefix_that_names_no_folder_allows_nothing(prefix: str) -> None:
    assert served_location("/srv/clips/a.mp4", (prefix,)) is None
    assert served_location("s3://bucket/a.mp4", (prefix,)) is None


def test_a_whole_bucket_can_be_allowed() -> None:
    assert served_location("s3://bucket/a.mp4", ("s3://bucket",)) is not None


def test_a_symlink_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    clips, secrets = tmp_path / "clips", tmp_path / "secrets"
    clips.mkdir()
    secrets.mkdir()
    (clips / "out").symlink_to(secrets)
    (clips / "a.mp4").symlink_to(secrets / "b.mp4")
    (tmp_path / "alias").symlink_to(clips)
    assert served_location(f"{clips}/out/b.mp4", (str(clips),)) is None
    assert served_location(f"{clips}/a.mp4", (str(clips),)) is None
    place = served_location(f"{clips}/real.mp4", (str(tmp_path / "alias"),))
    assert place is not None
    assert place.uri == f"{clips}/real.mp4"


# --------------------------------------------------------------------------------------------- the record decides


def stored(uri: str, **changes: Any) -> Manifest:
    facts: dict[str, Any] = {"size": 10, "sha256": "0" * 64, "made_by": {"dag_id": "mine"}, "video_id": "video_1"}
    return Manifest("stored", "claim", uri, 0.0, **{**facts, **changes})


def test_a_clip_is_played_when_its_record_names_the_dag_and_the_size(place: LocalPlace | S3Place) -> None:
    data = bytes(range(256)) * 12000  # 3 MB: chunks of 1 MiB, the last one shorter
    place.write("a.mp4", data)
    put_manifest(stored(place.uri("a.mp4"), size=len(data)))
    found = find_clip(place.uri("a.mp4"), "mine", [place.uri("")])
    assert found is not None
    assert found.is_playable
    assert [len(chunk) for chunk in found.chunks(5, len(data))] == [1024**2, 1024**2, len(data) - 5 - 2 * 1024**2]
    assert b"".join(found.chunks(1_000_001, 2_500_000)) == data[1_000_001:2_500_000]


def test_a_clip_without_a_record_or_with_another_dags_is_not_shown(place: LocalPlace | S3Place) -> None:
    for name in ("bare.mp4", "other.mp4", "nobody.mp4", "odd.mp4"):
        place.write(name, b"0123456789")
    put_manifest(stored(place.uri("other.mp4"), made_by={"dag_id": "theirs"}))
    put_manifest(stored(place.uri("nobody.mp4"), made_by={}))
    place.write("odd.mp4.json", json.dumps({"made_by": {"dag_id": "mine"}, "phase": "stored"}).encode())
    names = ("bare.mp4", "other.mp4", "nobody.mp4", "odd.mp4", "absent.mp4")
    assert [find_clip(place.uri(name), "mine", [place.uri("")]) for name in names] == [None] * len(names)


@pytest.mark.parametrize("changes", [{"size": 11}, {"size": None}, {"size": "10"}, {"phase": "created"}])
def test_a_clip_that_its_record_does_not_vouch_for_is_not_played(local: LocalPlace, changes: dict[str, Any]) -> None:
    local.write("a.mp4", b"0123456789")
    record = {**stored(local.uri("a.mp4")).as_dict(), **changes}
    local.write("a.mp4.json", json.dumps(record).encode())
    found = find_clip(local.uri("a.mp4"), "mine", [local.uri("")])
    assert found is None or not found.is_playable


def test_a_record_that_is_a_symlink_is_not_read(local: LocalPlace, tmp_path: Path) -> None:
    local.write("a.mp4", b"0123456789")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(stored(local.uri("a.mp4")).dump())
    (local.folder / "a.mp4.json").symlink_to(elsewhere)
    assert find_clip(local.uri("a.mp4"), "mine", [local.uri("")]) is None


# ------------------------------------------------------------------------------------------------ ranges, words


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=9-99", (9, 10)),
        ("Bytes = 0-3", (0, 4)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("bytes=a-b", None),
        ("bytes=\u0661-", None),
        ("seconds=0-1", None),
    ],
)
def test_one_range_is_understood_and_the_rest_ignored(header: str | None, part: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(OutOfRangeError):
        parse_range(header, 10)


def test_the_pages_name_no_state_of_their_own() -> None:
    """Phases and Airflow's own states apart, which share some words."""
    shared = {"stored", "creating", "created", "failed", "skipped", "unknown", "waiting"}
    named = {
        (path.name, node.value)
        for path in Path(labels.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in {*STATES, *WITHOUT_RECORD} - shared
    }
    assert named == set()


def test_what_pays_comes_last_in_every_state() -> None:
    for state in STATES:
        pays = [action.pays for action in next_actions(state, stored("/clips/a.mp4"))]
        assert pays == sorted(pays), state


def test_whatever_is_not_built_as_html_is_escaped() -> None:
    built = tag("a", "<b>", tag("i", "&"), None, href='"><script>', class_="x", hidden=True, title=None)
    assert built == '<a href="&quot;&gt;&lt;script&gt;" class="x" hidden>&lt;b&gt;<i>&amp;</i></a>'


# --------------------------------------------------------------------------------------------- link and plugin


def test_the_link_quotes_every_id_and_stays_below_any_prefix() -> None:
    ti = TaskInstance("d/../x", "manual__2026-01-01T00:00:00+00:00", "group.täsk", 3)
    link = WisdomGateVideoLink().get_link(None, ti_key=ti)  # type: ignore[arg-type]
    expected = "wisdomgate/ti/d%2F..%2Fx/manual__2026-01-01T00%3A00%3A00%2B00%3A00/group.t%C3%A4sk/3/player"
    assert link == (expected if HAS_PLAYER else "")
    assert player_url("d", "r", "t", None) == "wisdomgate/ti/d/r/t/-1/player"


def test_the_operators_that_store_a_clip_have_the_link() -> None:
    for operator in (WisdomGateGenerateVideoOperator, WisdomGateDownloadVideoOperator):
        assert [link.name for link in operator.operator_extra_links] == ["Video"]


def test_a_task_says_where_its_clip_will_be_before_it_has_one(
    hook: WisdomGateHook, tmp_path: Path, context: Callable[..., dict[str, Any]]
) -> None:
    class Telling(TaskInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            pushed.append((key, value, Path(value).exists()))

    pushed: list[tuple[str, str, bool]] = []
    uri = str(tmp_path / "clips" / "a.mp4")
    operator = WisdomGateDownloadVideoOperator(task_id="clip", video_id=made(hook), destination=uri)
    operator.execute({"ti": Telling()})  # type: ignore[arg-type]
    assert pushed == [(DESTINATION_KEY, uri, False)]


def test_importing_the_plugin_loads_no_web_framework() -> None:
    code = (
        # Airflow 3.0 loads FastAPI for this class by itself.
        "from airflow.providers.common.compat.sdk import AirflowPlugin; import sys; before = set(sys.modules);"
        "import airflow_provider_wisdomgate.plugin as plugin;"
        "print(plugin.WisdomGatePlugin.name, [m for m in set(sys.modules) - before"
        " if m.split('.')[0] in ('fastapi', 'starlette')"
        " or m.startswith(('airflow.api_fastapi', 'airflow_provider_wisdomgate.plugin.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "wisdomgate []"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (999_999_999, "1 GB"),
        (12_300_000_000_000, "12.3 TB"),
        (1_234_000_000_000_000, "1,234 TB"),
    ],
)
def test_sizes_are_written_with_three_digits(size: int, words: str) -> None:
    assert amount_of(size) == words
