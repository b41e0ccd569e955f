"""The player's routes inside a real Airflow app: who gets what, and that nothing forged is played."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mapped_runs import RUN, airflow_app, refuse_to_open
from support import put_manifest, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.links import DESTINATION_KEY
from airflow_provider_wisdomgate.plugin.labels import bytes_of

pytestmark = pytest.mark.needs("player")

DAGS = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

for name in ("mine", "theirs"):
    with DAG(name, schedule=None) as dag:
        Generate(task_id="clip", model="any", prompt="a cat")
        Generate.partial(task_id="many", model="any").expand(prompt=["a", "b", "c"])
    globals()[name] = dag
"""
REFUSAL = errors.ModerationError("Not this cat.").as_dict()
HTML_PROMPT = '<script>alert("1")</script> a cat'


class Player:
    """A client of one Airflow app, as one user."""

    def __init__(self, app: Any, token: str | None = None) -> None:
        from fastapi.testclient import TestClient

        self.http = TestClient(app, headers={"Authorization": f"Bearer {token}"} if token else {})

    def get(
        self, what: str = "player", *, dag: str = "mine", task: str = "clip", index: str = "-1", **options: Any
    ) -> Any:
        path = f"/wisdomgate/ti/{dag}/{quote(RUN, safe='')}/{task}/{index}/{what}"
        return self.http.request(options.pop("method", "GET"), path, **options)

    def tell(self, value: Any, *, key: str = "return_value", dag: str = "mine", task: str = "clip") -> None:
        """Write an XCom, as anybody with the right to may."""
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(RUN)}/taskInstances/{task}/xcomEntries"
        if self.http.delete(f"{path}/{key}").status_code == 405:  # Airflow 3.1
            forget(key, dag, task)
        answer = self.http.post(path, json={"key": key, "value": value, "map_index": -1})
        assert answer.status_code == 201, answer.text


def forget(key: str, dag: str, task: str) -> None:
    """Delete an XCom where Airflow's API cannot."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(XComModel).filter_by(key=key, dag_id=dag, task_id=task, run_id=RUN))


@pytest.fixture(scope="module")
def app(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's app with two DAGs and a run of each; ada is an admin, vera a viewer."""
    with airflow_app(tmp_path_factory.mktemp("dags"), DAGS, {"ada": "admin", "vera": "viewer"}) as app:
        yield app


@pytest.fixture(scope="module")
def log_in(app: Any) -> Callable[[str], Player]:
    def as_user(name: str) -> Player:
        login = {"username": name, "password": name[0]}
        return Player(app, Player(app).http.post("/auth/token", json=login).json()["access_token"])

    return as_user


@pytest.fixture(scope="module")
def ada(log_in: Callable[[str], Player]) -> Player:
    ada = log_in("ada")
    for dag in ("mine", "theirs"):
        run = {"dag_run_id": RUN, "logical_date": "2026-01-01T00:00:00Z"}
        answer = ada.http.post(f"/api/v2/dags/{dag}/dagRuns", json=run)
        assert answer.status_code in (200, 201), answer.text
    return ada


@pytest.fixture(scope="module")
def vera(log_in: Callable[[str], Player]) -> Player:
    return log_in("vera")


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed folder with a clip of each DAG and its record."""
    folder = tmp_path / "clips"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", str(folder))
    for dag in ("mine", "theirs"):
        record(folder / f"{dag}.mp4", dag)
    return folder


def record(path: Path, dag: str, **changes: Any) -> dict[str, Any]:
    data = whole()
    path.write_bytes(data)
    facts: dict[str, Any] = {
        "video_id": "video_1",
        "size": len(data),
        "sha256": "ab" * 32,
        "made_by": {"dag_id": dag, "run_id": RUN, "task_id": "clip"},
        "request": {"model": "any", "prompt": HTML_PROMPT},
        "expires_at": 4e9,
    }
    manifest = Manifest(**{"phase": "stored", "claim_id": "c", "uri": str(path), "claimed_at": 1.0, **facts, **changes})
    return put_manifest(manifest).as_dict()


def test_who_is_nobody_gets_401_and_a_made_up_token_403(app: Any, ada: Player, clips: Path) -> None:
    ada.tell({"uri": str(clips / "mine.mp4")})
    for what in ("player", "clip"):
        assert Player(app).get(what).status_code == 401
        assert Player(app).get(what, cookies={"_token": "made-up"}).status_code == 403
        assert Player(app, "made-up").get(what).status_code == 403


def test_a_viewer_sees_the_clip_with_its_facts(ada: Player, vera: Player, clips: Path) -> None:
    ada.tell({"uri": str(clips / "mine.mp4")})
    page = vera.get()
    assert page.status_code == 200
    for fact in ("video_1", "ab" * 32, str(clips / "mine.mp4"), "2096-10-02 07:06 UTC", 'src="clip"', "clip?download"):
        assert fact in page.text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; a cat" in page.text
    assert "<script" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; media-src 'self'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert vera.get("clip").content == whole()


HALF = "half \ud83d"
HALVES = {
    **dict.fromkeys(("video_id", "content_type", "answer"), HALF),
    "sha256": f"{HALF}\r\nX-Evil: 1",
    "uri": f"/{HALF}\u202e.mp4",
    "error": {"message": HALF},
    "request_ids": [HALF],
    "request": {"model": "\x1b[2J", "prompt": f"a\nfamily \U0001f468\u200d\U0001f467 {HALF}\u202e", "size": HALF},
    "made_by": {"dag_id": "mine", "run_id": HALF, "task_id": HALF},
}
DOES_SOMETHING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("phase", ["stored", "created", "creating", "failed"])
def test_a_page_shows_halves_of_characters_escaped(ada: Player, vera: Player, clips: Path, phase: Any) -> None:
    facts = record(clips / "mine.mp4", "mine") | HALVES | {"phase": phase, "lost_at": 2.0}
    (clips / "mine.mp4.json").write_text(json.dumps(facts, indent=1))
    ada.tell({"uri": str(clips / "mine.mp4")})
    page = vera.get()
    assert (page.status_code, "\\ud83d" in page.text) == (200, True)
    assert DOES_SOMETHING.search(page.text.partition("</style>")[2]) is None
    assert "a\nfamily \U0001f468\u200d\U0001f467" in page.text
    assert vera.get("clip").status_code == (200 if phase == "stored" else 404)


def test_a_clip_can_be_asked_for_in_parts(ada: Player, vera: Player, clips: Path) -> None:
    ada.tell({"uri": str(clips / "mine.mp4")})
    data, size = whole(), len(whole())

    def part(header: str, **more: Any) -> tuple[int, bytes, str | None]:
        answer = vera.get("clip", headers={"Range": header, **more.pop("headers", {})}, **more)
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert part("bytes=100-199") == (206, data[100:200], f"bytes 100-199/{size}")
    assert part("bytes=-7") == (206, data[-7:], f"bytes {size - 7}-{size - 1}/{size}")
    assert part(f"bytes={size}-") == (416, b"", f"bytes */{size}")
    assert part("bytes=0-1,5-6") == (200, data, None)
    assert part("bytes=0-9", headers={"If-Range": '"another"'}) == (200, data, None)
    assert part("bytes=0-9", headers={"If-Range": f'"{"ab" * 32}"'}) == (206, data[:10], f"bytes 0-9/{size}")
    assert part("bytes=0-9", method="HEAD") == (206, b"", f"bytes 0-9/{size}")


def test_the_answer_with_the_clip_is_strict_and_never_compressed(ada: Player, vera: Player, clips: Path) -> None:
    ada.tell({"uri": str(clips / "mine.mp4")})
    answer = vera.get("clip", headers={"Range": "bytes=0-999", "Accept-Encoding": "gzip"})
    expected = {
        "content-type": "video/mp4",
        "content-length": "1000",
        "content-encoding": "identity",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "private, no-cache",
        "content-disposition": 'inline; filename="mine.mp4"',
        "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'self'",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected
    kept = vera.get("clip?download")
    assert kept.headers["content-disposition"] == 'attachment; filename="mine.mp4"'


def test_whatever_is_forged_gets_the_same_404(ada: Player, vera: Player, clips: Path, tmp_path: Path) -> None:
    record(tmp_path / "outside.mp4", "mine")
    (clips / "bare.mp4").write_bytes(whole())
    (clips / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    record(clips / "x.html", "mine")
    names = ("theirs.mp4", "bare.mp4", "link.mp4", "x.html", "absent.mp4", "../outside.mp4", "%2e%2e/outside.mp4")
    uris = [
        *(f"{clips}/{name}" for name in names),
        str(tmp_path / "outside.mp4"),
        "/etc/passwd",
        "http://127.0.0.1/a.mp4",
    ]
    seen = set()
    for uri in uris:
        ada.tell({"uri": uri})
        answers = [vera.get("clip"), vera.get("player")]
        seen.add(tuple((answer.status_code, answer.text) for answer in answers))
    ada.tell({"uri": str(clips / "mine.mp4")})
    assert vera.get("clip").status_code == 200
    assert [[status for status, _ in each] for each in seen] == [[404, 404]]


def test_a_query_or_a_wildcard_does_not_change_which_dag_is_asked_for(ada: Player, vera: Player, clips: Path) -> None:
    ada.tell({"uri": str(clips / "mine.mp4")})
    ada.tell({"uri": str(clips / "mine.mp4")}, dag="theirs")
    assert vera.get("clip?dag_id=mine", dag="theirs").status_code == 404
    assert vera.get("clip", dag="~").status_code == 404
    assert vera.get("clip", dag="absent").status_code == 404
    assert vera.get("clip", index="{MAP_INDEX}").status_code == 200


def test_nothing_is_served_while_no_option_allows_it(
    ada: Player, vera: Player, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.tell({"uri": str(clips / "mine.mp4")})
    monkeypatch.delenv("AIRFLOW__WISDOMGATE__STORAGE_PATH")
    assert vera.get("clip").status_code == 404
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__SERVED_PATHS", f"/elsewhere, {clips}")
    assert vera.get("clip").status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase": "creating", "video_id": None}, "Wait: its claim ends in"),
        ({"phase": "creating", "video_id": None, "claim_seconds": 0.0}, "Needs attention: lost create"),
        ({"phase": "failed", "error": REFUSAL}, "Needs attention: refused"),
        ({"phase": "failed", "error": REFUSAL}, "Not this cat."),
        ({"phase": "failed", "error": REFUSAL}, "&lt;/script&gt; a cat</blockquote>"),
        ({"phase": "failed", "error": REFUSAL}, "Change the request, then run the task again."),
        (
            {"phase": "failed", "error": {"message": "It was <refused>.", "next_step": "Ask."}},
            "It was &lt;refused&gt;.</p>",
        ),
        ({"size": 1}, "Clip is gone"),
        ({"size": 1}, f"<dt>Size found</dt><dd>{bytes_of(len(whole()))}</dd>"),
    ],
)
def test_a_page_without_a_clip_says_why(
    ada: Player, vera: Player, clips: Path, changes: dict[str, Any], words: str
) -> None:
    record(clips / "pending.mp4", "mine", **changes)
    ada.tell("none yet")
    ada.tell(str(clips / "pending.mp4"), key=DESTINATION_KEY)
    page = vera.get()
    assert page.status_code == 200
    assert words in re.sub(r"\s+", " ", page.text)
    assert vera.get("clip").status_code == 404


def test_a_paid_clip_whose_task_failed_names_the_free_way_first(ada: Player, vera: Player, clips: Path) -> None:
    record(clips / "pending.mp4", "mine", phase="created")
    ada.tell("none yet")
    ada.tell(str(clips / "pending.mp4"), key=DESTINATION_KEY)
    task = f"/api/v2/dags/mine/dagRuns/{quote(RUN)}/taskInstances/clip"
    assert ada.http.patch(task, json={"new_state": "failed"}).status_code == 200
    page = vera.get().text
    assert ada.http.patch(task, json={"new_state": "success"}).status_code == 200
    free, fetch, pays = (page.index(words) for words in ("sends no create", "clips fetch", "<strong"))
    assert page.index("Needs attention: paid, not fetched") < free < fetch < pays


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "To remove the record, after which the next run pays"),
        (b'{\n "phase": "cre', "To remove the record, after which the next run pays"),
        (b'{\n "phase": "created", "version": 2}', "Upgrade airflow-provider-wisdomgate to the newest version."),
    ],
)
def test_a_damaged_record_is_shown_with_what_to_do(
    ada: Player, vera: Player, clips: Path, data: bytes, words: str
) -> None:
    (clips / "mine.mp4.json").write_bytes(data)
    ada.tell({"uri": str(clips / "mine.mp4")})
    page = vera.get()
    assert (page.status_code, vera.get("clip").status_code) == (200, 404)
    assert "Needs attention: damaged record" in page.text
    assert words in page.text


def test_a_mapped_task_shows_its_siblings(ada: Player, vera: Player, clips: Path) -> None:
    task = f"/api/v2/dags/mine/dagRuns/{quote(RUN)}/taskInstances/many"
    answer = ada.http.patch(f"{task}/1", json={"new_state": "success"})
    assert answer.status_code == 200, answer.text
    overview = vera.get(task="many")
    assert overview.status_code == 200
    assert re.findall(r'href="(\.\./[^"]*)"', overview.text.replace("../../", "")) == [
        f"../{index}/player" for index in range(3)
    ]
    assert overview.text.count("<video") == 1
    assert 'src="../1/clip#t=0.1"' in overview.text


def test_a_storage_that_cannot_be_read_is_not_told_apart_in_public(
    ada: Player, vera: Player, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_open(clips / "mine.mp4.json", monkeypatch)
    ada.tell({"uri": str(clips / "mine.mp4")})
    answer = vera.get()
    assert (answer.status_code, str(clips) in answer.text) == (503, False)


def test_a_pipe_beside_a_clip_is_nothing_to_show_and_holds_no_thread(ada: Player, vera: Player, clips: Path) -> None:
    (clips / "mine.mp4.json").unlink()
    os.mkfifo(clips / "mine.mp4.json")
    ada.tell({"uri": str(clips / "mine.mp4")})
    assert vera.get().status_code == 404


def test_a_clip_that_became_a_pipe_is_not_sent(ada: Player, vera: Player, clips: Path) -> None:
    (clips / "mine.mp4").unlink()
    os.mkfifo(clips / "mine.mp4")
    ada.tell({"uri": str(clips / "mine.mp4")})
    assert vera.get("clip").status_code == 404
