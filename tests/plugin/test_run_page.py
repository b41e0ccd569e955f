"""The page of a run inside a real Airflow app: what it counts, who sees it, and that nothing forged is shown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mapped_runs import RUN, Left, airflow_app, leave, log_in, refuse_to_open, start_run
from run_pages import EARLIER, EVIL, address, done, fill, numbers, place, record, tiles, told

from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.links import DESTINATION_KEY

pytestmark = pytest.mark.needs("player")

DAGS = """
from airflow.sdk import DAG, task
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

for name in ("ours", "others"):
    with DAG(name, schedule=None) as dag:
        Generate(task_id="clip", model="any", prompt="a cat")
        Generate.partial(task_id="many", model="any").expand(prompt=[str(number) for number in range(60)])

        @task
        def other():
            pass

        other()
    globals()[name] = dag
"""


@pytest.fixture(scope="module")
def app(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    users = {"ada": "admin", "vera": "viewer"}
    with airflow_app(tmp_path_factory.mktemp("dags"), DAGS, users) as app:
        ada = log_in(app, "ada")
        for dag in ("ours", "others"):
            start_run(ada, dag, RUN)
            start_run(ada, dag, EARLIER, "2025-12-31T00:00:00Z")
        yield app


@pytest.fixture
def vera(app: Any) -> Iterator[Any]:
    """A viewer, in an Airflow whose runs have not begun."""
    for dag in ("ours", "others"):
        for run in (RUN, EARLIER):
            leave(dag, run, [Left("clip", -1, None), *(Left("many", index, None) for index in range(60))])
    return log_in(app, "vera")


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(folder))
    return folder


def test_each_state_is_counted_and_the_numbers_add_up_to_what_is_wanted(vera: Any, clips: Path) -> None:
    fill(clips)
    page = vera.get(address())
    assert page.status_code == 200
    assert numbers(page.text) == {
        "wanted": "60",  # 61 task instances, one of them skipped
        "stored": "1",
        "in progress": "2",
        "not started": "48",
        "failed": "4",
        "need attention": "4",
        "not found": "1",
        "skipped": "1",
        "creates sent": "8",
        "of video": "4 s",
        "in storage": "1 kB",
    }


def test_halves_of_characters_do_not_end_the_page(vera: Any, clips: Path) -> None:
    fill(clips)
    half = "half \ud83d\u202e\x1b[2J"
    evil = {**dict.fromkeys(("video_id", "answer"), half), "error": {"message": half}, "request": {"prompt": half}}
    for path in clips.rglob("*.json"):
        with suppress(ValueError):  # one is damaged
            path.write_text(json.dumps(json.loads(path.read_bytes()) | evil, indent=1))
    page = vera.get(address())
    assert (page.status_code, "\\ud83d" in page.text) == (200, True)


def test_each_number_leads_to_its_clips(vera: Any, clips: Path) -> None:
    fill(clips)
    page = vera.get(address()).text
    shown = {}
    for name, choice in re.findall(r'<li class="sum ([\w-]+)[^>]*><a href="\?(?:state=)?([^"]*)"', page):
        shown[name] = sorted(tiles(vera.get(address(query=f"?state={choice}")).text))
    queued = [f"many [{index}]" for index in range(13, 60)]
    assert {name: found for name, found in shown.items() if name not in ("wanted", "waiting")} == {
        "stored": ["many [0]"],
        "making": ["many [1]", "many [2]"],
        "failed": ["many [4]", "many [6]", "many [7]", "many [8]"],
        "needs-you": ["many [11]", "many [12]", "many [3]", "many [5]"],
        "unknown": ["many [10]"],
        "skipped": ["many [9]"],
        "creates": sorted(f"many [{index}]" for index in (*range(7), 11)),
        "seconds": ["many [0]"],
        "bytes": ["many [0]"],
    }
    assert (len(shown["wanted"]), len(shown["waiting"])) == (48, 48)
    rest = tiles(vera.get(address(query="?page=2")).text)
    assert (len(rest), set(rest) & set(shown["wanted"])) == (12, set())
    assert shown["waiting"] == sorted(["clip", *queued])


def test_a_tile_says_what_to_know_and_what_to_do(vera: Any, clips: Path) -> None:
    fill(clips)
    page = vera.get(address()).text
    words = tiles(page)
    uri = {index: shlex.quote(f"file://{place(clips, index)}") for index in (3, 5, 11, 12)}
    assert words["many [1]"].startswith("in progress The video is paid for; it is being made")
    assert "Video video_1. The task is deferred. Requested" in words["many [1]"]
    assert words["many [2]"].startswith("being requested A create is in progress. The task is running. Requested ")
    assert words["many [3]"].startswith("needs attention: lost create The answer to a create was lost")
    assert "The answer was: <html>no id" in words["many [3]"]
    assert f"wisdomgate clips adopt {uri[3]} --video-id VIDEO_ID Pays: If there is none" in words["many [3]"]
    assert words["many [3]"].endswith(f"wisdomgate clips forget {uri[3]}")
    assert words["many [4]"].startswith(
        "failed No video was made; the next run of the task asks for a new one. It broke in"
    )
    assert f"Not {EVIL} this." in words["many [5]"]
    assert words["many [5]"].endswith(f"run the task after: wisdomgate clips forget {uri[5]}")
    assert words["many [6]"].startswith("clip is gone 4 s 1 kB The clip was stored, and is gone")
    assert words["many [7]"].endswith("before a request was recorded; its log has the reason.")
    assert words["many [8]"] == "blocked An upstream task failed, so no video was requested."
    assert words["many [11]"].startswith("needs attention: paid, not fetched The video is paid for, and no task waits")
    assert f"wisdomgate clips fetch {uri[11]} Pays: To give the video up" in words["many [11]"]
    assert words["many [12]"].startswith("needs attention: damaged record The record cannot be read")
    assert words["many [12]"].endswith(f"pays for a new video: wisdomgate clips forget {uri[12]}")
    assert words["many [13]"] == "not started The task has not requested a video yet. The task is queued."
    assert "<script" not in page
    assert page.count("<video ") == 1
    path = f"../../../../wisdomgate/ti/ours/{quote(RUN, safe='')}/many/0"
    assert f'<video src="{path}/clip#t=0.1"' in page
    assert f'<a href="{path}/player">many [0]</a>' in page


def test_a_command_is_quoted_for_a_shell(vera: Any, clips: Path) -> None:
    path = record(clips / "it's; $(rm) <b>.mp4", "creating", video_id=None, claim_seconds=0.0)
    rendered = {"destination": str(path), "wisdomgate_conn_id": "c"}
    leave("ours", RUN, [Left("clip", -1, "failed", rendered)])
    page = vera.get(address(query="?state=lost")).text
    (command, *_) = (unescape(each) for each in re.findall(r"<code[^>]*>(.*?)</code>", page))
    program, *words = shlex.split(command)
    assert (program, words[:2], words[3:]) == ("wisdomgate", ["clips", "adopt"], ["--video-id", "VIDEO_ID"])
    assert Destination(words[2]).read() is not None
    assert Destination(words[2]).uri == Destination(str(path)).uri


def test_a_clip_has_its_name_by_the_template(vera: Any, clips: Path) -> None:
    sample = record(place(clips, 0))
    leave("ours", RUN, [done(0, label=f"Lima {EVIL}", **told(sample))])
    assert list(tiles(vera.get(address(query="?state=stored")).text)) == [
        "many [Lima &lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;]"
    ]


def test_the_answer_is_strict(vera: Any, clips: Path) -> None:
    fill(clips)
    for url in (address(), "/wisdomgate/dag/ours/videos"):
        headers = vera.get(url).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; media-src 'self'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("private, no-store", "nosniff")


@pytest.mark.parametrize("url", [address(), "/wisdomgate/dag/ours/videos"])
def test_who_is_nobody_gets_401_and_a_made_up_token_403(app: Any, vera: Any, clips: Path, url: str) -> None:
    from fastapi.testclient import TestClient

    assert TestClient(app).get(url).status_code == 401
    assert TestClient(app, headers={"Authorization": "Bearer made-up"}).get(url).status_code == 403


def test_what_may_not_be_seen_gets_one_and_the_same_404(vera: Any, clips: Path) -> None:
    wildcards = [address("~"), address(run="~"), "/wisdomgate/dag/~/videos", "/wisdomgate/run/~/~/videos"]
    assert [vera.get(url).status_code for url in wildcards] == [404] * 4
    absent, empty = vera.get(address("nodag", "norun")), vera.get(address("ours", "norun"))
    assert (absent.status_code, empty.status_code) == (404, 404)
    assert absent.text.replace("nodag", "ours") == empty.text
    assert vera.get("/wisdomgate/dag/nodag/videos").status_code == 404


@pytest.mark.parametrize("state", ["failed", "success", "skipped", "upstream_failed", "removed"])
def test_a_paid_clip_that_no_task_waits_for_needs_attention(vera: Any, clips: Path, state: str) -> None:
    record(place(clips, 0), "created")
    leave("ours", RUN, [Left("many", 0, state, done(0).rendered, tries=1)])
    page = vera.get(address(query="?state=unfetched")).text
    assert list(tiles(page)) == ["many [0]"]
    assert (numbers(page)["need attention"], numbers(page)["in progress"]) == ("1", "0")


def test_a_cleared_task_goes_on_with_its_paid_clip_before_it_is_scheduled(vera: Any, clips: Path) -> None:
    for index in range(3):
        record(place(clips, index), "created")
    cleared = [Left("many", 0, None, tries=1), Left("many", 1, "queued", tries=2), Left("many", 2, "queued", tries=1)]
    leave("ours", RUN, cleared)
    found = numbers(vera.get(address()).text)
    assert (found["in progress"], found["need attention"]) == ("2", "0")  # the third runs for the first time


def test_a_task_instance_that_was_removed_counts_only_if_a_person_must_act(vera: Any, clips: Path) -> None:
    record(place(clips, 0))
    record(place(clips, 1), "created")
    leave("ours", RUN, [done(index, "removed") for index in range(3)])
    found = numbers(vera.get(address()).text)
    assert (found["stored"], found["need attention"], found.get("not found")) == ("0", "1", None)


@pytest.mark.parametrize(
    ("seen", "words", "is_late"),
    [
        (10.0, r"Last seen by its triggerer \d+ seconds ago\.", False),
        (7200.0, r"Last seen by its triggerer 2 hours ago\. Nothing seems to poll it", True),
        (None, r"No triggerer has it yet\. Nothing seems to poll it", True),
    ],
)
def test_a_deferred_clip_shows_when_its_triggerer_was_seen(
    vera: Any, clips: Path, seen: float | None, words: str, is_late: bool
) -> None:
    path = record(place(clips, 0), "created")
    leave("ours", RUN, [done(0, "deferred", seen=seen, **told(path))])
    player = f"/wisdomgate/ti/ours/{quote(RUN, safe='')}/many/0/player"
    for page in (vera.get(address(query="?state=making")).text, vera.get(player).text):
        assert re.search(words, page), page
        assert ('class="warning"' in page) is is_late


# ----------------------------------------------------------------------------------------- where a clip may be


def test_another_dags_clip_and_one_outside_are_not_shown_whatever_a_task_says(
    vera: Any, clips: Path, tmp_path: Path
) -> None:
    theirs = record(clips / "theirs.mp4", dag="others", error={"message": "secret"})
    outside = record(tmp_path / "outside.mp4")
    forged = [
        Left("many", index, "success", {"destination": uri, "wisdomgate_conn_id": "c"}, {DESTINATION_KEY: uri})
        for index, uri in enumerate(
            [str(theirs), str(outside), f"{clips}/../outside.mp4", "/etc/passwd", "http://127.0.0.1/a.mp4", "../a.mp4"]
        )
    ]
    leave("ours", RUN, forged)
    page = vera.get(address(query="?state=unknown"))
    assert list(tiles(page.text)) == [f"many [{index}]" for index in range(6)]
    assert (numbers(page.text)["stored"], "secret" in page.text) == ("0", False)


def test_the_storage_path_of_a_connection_is_learnt_from_one_clip(
    vera: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "of a connection" / "deep"
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__SERVED_PATHS", str(tmp_path / "of a connection"))
    for index in range(60):
        record(place(elsewhere, index))
    leave("ours", RUN, [done(index, **(told(place(elsewhere, 7)) if index == 7 else {})) for index in range(60)])
    assert numbers(vera.get(address()).text)["stored"] == "1"  # asked one by one, one has told it

    leave("ours", RUN, [done(index, **(told(place(elsewhere, 0)) if index == 0 else {})) for index in range(60)])
    assert numbers(vera.get(address()).text)["stored"] == "60"


def test_a_place_that_no_name_tells_is_asked_for(vera: Any, clips: Path) -> None:
    odd = [record(clips / f"odd-{index * 31 % 17}.mp4") for index in range(10)]
    leave("ours", RUN, [done(index, **told(path)) for index, path in enumerate(odd)])
    assert numbers(vera.get(address()).text)["stored"] == "10"


def test_without_a_word_from_any_clip_it_is_looked_below_what_may_be_served(vera: Any, clips: Path) -> None:
    for index in range(3):
        record(place(clips, index))
    leave("ours", RUN, [done(index) for index in range(3)])
    assert numbers(vera.get(address()).text)["stored"] == "3"


def test_a_clip_of_an_earlier_run_costs_no_create(vera: Any, clips: Path) -> None:
    before = {"phase": "failed", "fingerprint": "f", "made_by": {"dag_id": "ours", "run_id": RUN}}
    shared = [record(clips / "a.mp4", run=EARLIER), record(clips / "b.mp4", replaced=before)]
    shared.append(record(clips / "c.mp4", fingerprint=None))  # somebody else's video, downloaded
    rendered = [{"destination": str(path), "wisdomgate_conn_id": "c"} for path in shared]
    leave("ours", RUN, [Left("many", index, "success", each) for index, each in enumerate(rendered)])
    found = numbers(vera.get(address()).text)
    assert (found["stored"], found["creates sent"]) == ("3", "2")


def test_a_storage_that_cannot_be_read_is_said_and_not_told_apart(
    vera: Any, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_open(record(place(clips, 0)).with_suffix(".mp4.json"), monkeypatch)
    record(place(clips, 1))
    leave("ours", RUN, [done(0), done(1)])
    page = vera.get(address())
    assert (page.status_code, numbers(page.text)["stored"], numbers(page.text)["not found"]) == (200, "1", "1")
    assert "could not read the manifests of 1 clips" in page.text
    assert str(clips) not in page.text


def test_nothing_is_shown_while_no_option_allows_it(vera: Any, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(clips)
    monkeypatch.delenv("AIRFLOW__WISDOMGATE__STORAGE_PATH")
    found = numbers(vera.get(address()).text)
    assert (found["stored"], found["creates sent"]) == ("0", "0")


# ------------------------------------------------------------------------------------------------ a DAG's page


def test_a_dag_has_a_row_for_each_run_with_its_sums(vera: Any, clips: Path) -> None:
    fill(clips)
    record(place(clips, -1, "clip", run=EARLIER), run=EARLIER)
    leave("ours", EARLIER, [done(-1, task="clip")])
    page = vera.get("/wisdomgate/dag/ours/videos")
    assert page.status_code == 200
    rows = [
        [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>.*?</tr>", page.text, re.DOTALL)
    ]
    counts = {row[0]: row[3:] for row in rows[1:]}
    assert rows[0][3:] == [
        *("wanted", "stored", "in progress", "not started", "failed", "need attention", "creates sent"),
        *("of video", "in storage"),
    ]
    assert counts == {
        RUN: ["60", "1", "2", "48", "4", "4", "8", "4 s", "1 kB"],
        EARLIER: ["61", "1", "0", "60", "0", "0", "1", "4 s", "1 kB"],
    }
    assert f'href="../../../wisdomgate/run/ours/{quote(RUN, safe="")}/videos?state=needs-you"' in page.text


def test_the_frame_is_kept_to_by_every_link_within_it(vera: Any, clips: Path) -> None:
    fill(clips)
    for url in (address(query="?tab&state=waiting"), "/wisdomgate/dag/ours/videos?tab"):
        links = re.findall(r'href="([^"]*)"', vera.get(url).text)
        assert links != []
        assert [link for link in links if not link.partition("?")[2].startswith("tab")] == []
