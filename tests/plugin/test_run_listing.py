"""The page of a run whose clips are in an object store: how many requests it takes, and that what it shows is right."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from mapped_runs import RUN, Left, airflow_app, leave, log_in, start_run
from s3_server import Fault, Proxy, proxy_before
from support import S3Place

from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.ledger.record import Manifest

pytestmark = pytest.mark.needs("player")

CLIPS = 60
DAGS = f"""
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

with DAG("stored", schedule=None):
    Generate.partial(task_id="many", model="any").expand(prompt=[str(number) for number in range({CLIPS})])
"""


@dataclass
class Page:
    """A run of whole clips in a bucket, its page, and what the store was asked for it."""

    vera: Any
    s3: S3Place
    proxy: Proxy
    folder: str = "videos"
    counts: dict[str, str] = field(default_factory=dict)

    def name(self, index: int) -> str:
        return f"{self.folder}/{default_name('stored', RUN, 'many', index)}"

    def put(self, index: int, size: int = 1000) -> None:
        uri = f"s3://aws_proxy@{self.s3.bucket}/{self.name(index)}"
        facts: dict[str, Any] = {"size": size, "made_by": {"dag_id": "stored", "run_id": RUN}}
        self.s3.write(f"{self.name(index)}.json", Manifest("stored", "c", uri, 1.0, f"video_{index}", **facts).dump())
        self.s3.write(self.name(index), bytes(size))

    def load(self) -> Counter[str]:
        """Load the page; returns the requests by what they are."""
        self.proxy.asked.clear()
        page = self.vera.get(f"/wisdomgate/run/stored/{quote(RUN, safe='')}/videos")
        assert page.status_code == 200
        found = re.findall(r"<strong>([^<]*)</strong> <span>([^<]*)</span></a>", page.text)
        self.counts = {name: number for number, name in found}
        return Counter("list" if "list-type=2" in target else method for method, target in self.proxy.asked)


@pytest.fixture(scope="module")
def app(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with airflow_app(tmp_path_factory.mktemp("dags"), DAGS, {"ada": "admin", "vera": "viewer"}) as app:
        start_run(log_in(app, "ada"), "stored")
        yield app


@pytest.fixture
def page(app: Any, s3: S3Place, _s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    with proxy_before(_s3_url) as proxy:
        config = {"retries": {"total_max_attempts": 1, "mode": "standard"}}
        extra = {"endpoint_url": proxy.url, "region_name": "us-east-1", "config_kwargs": config}
        aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_PROXY", json.dumps(aws))
        monkeypatch.setenv("AIRFLOW__WISDOMGATE__STORAGE_PATH", f"s3://aws_proxy@{s3.bucket}/videos")
        rendered = {"destination": None, "wisdomgate_conn_id": "wisdomgate_default"}
        leave("stored", RUN, [Left("many", index, "success", rendered) for index in range(CLIPS)])
        page = Page(log_in(app, "vera"), s3, proxy)
        for index in range(CLIPS):
            page.put(index)
        yield page


def test_a_folder_is_listed_once_instead_of_looking_at_each_clip(page: Page) -> None:
    assert page.load() == {"GET": CLIPS, "list": 1}
    assert page.counts["stored"] == str(CLIPS)
    assert page.load() == {}  # remembered


def test_a_clip_that_is_gone_or_has_another_size_is_looked_at_and_shown_so(page: Page) -> None:
    page.s3.delete(page.name(3))
    page.s3.write(page.name(4), bytes(999))
    assert page.load()["HEAD"] == 2
    assert (page.counts["stored"], page.counts["failed"]) == (str(CLIPS - 2), "2")


def test_a_clip_that_is_replaced_after_the_listing_is_whole(page: Page) -> None:
    def replace(method: str, target: str) -> None:
        if target.endswith(".json") and not replaced:
            replaced.append(target)
            page.put(CLIPS - 1, size=2000)  # read last, of what is read 16 at a time

    replaced: list[str] = []
    page.proxy.on_request = replace
    asked = page.load()
    assert (page.counts["stored"], asked["list"], len(replaced)) == (str(CLIPS), 1, 1)
    assert page.counts["in storage"] == "61 kB"


def test_a_folder_far_larger_than_the_run_is_left_after_a_page(page: Page) -> None:
    for number in range(1100):  # all of them between the first clip and its manifest
        page.s3.write(f"{page.name(0)}-{number:04}", b"")
    asked = page.load()
    assert (asked["list"], asked["HEAD"], page.counts["stored"]) == (1, CLIPS - 1, str(CLIPS))


def test_what_is_before_the_clips_of_the_run_is_not_listed(page: Page) -> None:
    for number in range(1100):
        page.s3.write(f"{page.name(0).rpartition('/')[0]}/a-{number:04}", b"")
    assert page.load() == {"GET": CLIPS, "list": 1}


def test_who_may_read_and_not_list_sees_the_same(page: Page) -> None:
    page.proxy.faults.append(Fault("GET", page.s3.bucket, "403 AccessDenied", times=9, query="list-type=2"))
    assert (page.load()["HEAD"], page.counts["stored"]) == (CLIPS, str(CLIPS))


def test_a_folder_that_is_not_served_is_not_listed_whatever_a_task_says(page: Page) -> None:
    uris = [f"s3://aws_proxy@{page.s3.bucket}/secret/{index}.mp4" for index in range(CLIPS)]
    rendered = [{"destination": uri, "wisdomgate_conn_id": "c"} for uri in uris]
    leave("stored", RUN, [Left("many", index, "success", each) for index, each in enumerate(rendered)])
    page.load()
    # Airflow before 3.3 lists no rendered fields: there the clips' default names are looked for, where it is allowed.
    assert not any("secret" in target for _, target in page.proxy.asked)
