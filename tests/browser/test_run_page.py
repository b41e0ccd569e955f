"""What a person sees of a run of 60 mapped clips in all states, in a real browser before a real Airflow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import Page, expect

from airflow_provider_wisdomgate.links import run_url
from airflow_provider_wisdomgate.plugin.airflow_api import uri_of
from tests.browser.conftest import TIMEOUT_MS, Site

expect.set_options(timeout=TIMEOUT_MS)
ROOT = Path(__file__).parents[2]
NUMBERS = {
    "wanted": "59",
    "stored": "38",
    "in progress": "5",
    "not started": "3",
    "failed": "6",
    "need attention": "6",
    "not found": "1",
    "skipped": "1",
    "creates sent": "52",
    "of video": "76 s",
}


@pytest.fixture(scope="module")
def run(site: Site) -> str:
    """The run of 60 clips."""
    run = site.runs["gallery"]
    paths = os.pathsep.join(str(path) for path in (ROOT / "tests", ROOT / "tests" / "plugin"))
    command = [sys.executable, str(Path(__file__).with_name("gallery.py")), str(site.clips), run]
    done = subprocess.run(
        command, env={**site.airflow.env, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return run


@pytest.fixture(scope="module")
def url(site: Site, run: str) -> str:
    return f"{site.airflow.url}/{run_url('gallery', run)}"


def numbers(page: Any) -> dict[str, str]:
    """Read the sums but the bytes, which follow the encoder."""
    items = page.get_by_role("navigation", name="Sums, each leads to its clips").get_by_role("listitem").all()
    read = dict(reversed(item.get_by_role("link").inner_text().split("\n")) for item in items)
    return {name: number for name, number in read.items() if name != "in storage"}


def tiles(page: Any) -> Any:
    return page.get_by_role("region", name="Clips").get_by_role("listitem")


def wait_for_pictures(page: Any) -> None:
    """Scroll through the page until each clip that is shown has its picture."""
    for video in page.locator(".tile video").all():
        video.scroll_into_view_if_needed()
        shown = "v.error || v.readyState > 1"
        ready = "['loadeddata', 'error'].forEach(name => v.addEventListener(name, done))"
        assert (
            video.evaluate(f"async v => {{ {shown} || await new Promise(done => {ready}); return v.error; }}") is None
        )
    page.evaluate("scrollTo(0, 0)")


def test_the_sums_lead_to_the_clips_and_the_clips_to_the_player(url: str, page: Page) -> None:
    page.goto(url)
    assert numbers(page) == NUMBERS
    expect(tiles(page)).to_have_count(48)
    page.get_by_role("link", name="Later").click()
    expect(tiles(page)).to_have_count(11)
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    for name, count in (("stored", 38), ("in progress", 5), ("failed", 6), ("need attention", 6), ("skipped", 1)):
        page.get_by_role("link", name=re.compile(f"^[0-9]+ {name}$")).click()
        expect(page.get_by_role("heading", name=f"Clips: {name} {count}")).to_be_visible()
        expect(tiles(page)).to_have_count(count)
        expect(page.locator("[aria-current=page]")).to_have_count(1)
    page.get_by_role("link", name=re.compile("^38 stored$")).click()
    tiles(page).first.click(position={"x": 30, "y": 30})  # the picture: all of a tile is the link
    page.wait_for_url(re.compile(r"/gallery/[^/]*/postcard/[0-9]+/player$"))
    expect(page.locator(".stage video")).to_be_visible()
    page.get_by_role("link", name="All videos of this run").click()
    assert numbers(page) == NUMBERS


def test_a_lost_create_has_its_commands_ready_to_copy(url: str, site: Site, run: str, page: Page) -> None:
    page.goto(f"{url}?state=lost")
    expect(tiles(page)).to_have_count(2)
    code = tiles(page).first.locator("code")
    expect(code).to_have_count(2)
    command = code.first.inner_text()
    place = f"{site.clips.as_uri()}/gallery/[^/]*/postcard-[0-9]+\\.mp4"
    assert re.fullmatch(f"wisdomgate clips adopt '?{place}'? --video-id VIDEO_ID", command)
    code.first.click()  # selects all of it, and follows no link
    assert page.evaluate("getSelection().toString()") == command
    assert page.url.endswith("?state=lost")


def test_each_tile_is_reached_by_the_keyboard_and_seen_to_be(url: str, page: Page) -> None:
    page.goto(f"{url}?state=skipped")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText"))
        if str(reached[-1]).startswith("postcard"):
            break
    assert reached[0] == "Refresh"
    assert str(reached[-1]).startswith("postcard [")
    outline = "getComputedStyle(document.activeElement, '::after').outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_the_tabs_show_the_run_and_the_dag_within_airflow(site: Site, run: str, page: Page) -> None:
    page.goto(f"{site.airflow.url}/dags/gallery/runs/{quote(run)}")
    page.get_by_role("link", name="Videos", exact=True).click()
    frame = page.frame_locator("iframe[title=Videos]")
    expect(frame.get_by_role("heading", name="Clips: wanted")).to_be_visible()
    frame.get_by_role("link", name=re.compile("^6 need attention$")).click()
    expect(tiles(frame)).to_have_count(6)
    expect(frame.get_by_role("link", name="Back to the run")).to_have_count(0)

    page.goto(f"{site.airflow.url}/dags/gallery")
    page.get_by_role("link", name="Videos", exact=True).click()
    row = page.frame_locator("iframe[title=Videos]").get_by_role("row").filter(has_text=run)
    expect(row.get_by_role("link")).to_have_text(
        [run, "59", "38", "5", "3", "6", "6", "52", "76 s", re.compile("[kM]B$")]
    )
    row.get_by_role("link", name="38", exact=True).click()
    frame = page.frame_locator("iframe[title=Videos]")
    expect(frame.get_by_role("heading", name="Clips: stored 38")).to_be_visible()


DARK: dict[str, Any] = {"color_scheme": "dark"}
NARROW: dict[str, Any] = {"color_scheme": "light", "viewport": {"width": 390, "height": 844}}


@pytest.mark.parametrize(
    ("name", "query", "options"),
    [
        ("run-light", "", {"color_scheme": "light", "viewport": {"width": 1280, "height": 1000}}),
        ("run-dark", "?state=needs-you", {**DARK, "viewport": {"width": 1280, "height": 860}}),
        ("run-narrow", "", NARROW),
        ("run-failed", "?state=failed", DARK),
        ("run-made", "?state=making", {"color_scheme": "light"}),
    ],
)
def test_the_page_is_readable(
    url: str,
    open_page: Callable[..., Page],
    picture: Callable[[Page, str], None],
    violations: Callable[[Page], dict[str, list[str]]],
    name: str,
    query: str,
    options: dict[str, Any],
) -> None:
    page = open_page(**options)
    page.goto(url + query)
    wait_for_pictures(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == {}
    picture(page, name)


@pytest.mark.parametrize(
    ("name", "options"), [("dag-runs", {"color_scheme": "light"}), ("dag-dark", DARK), ("dag-narrow", NARROW)]
)
def test_axe_finds_nothing_on_the_other_pages(
    site: Site,
    run: str,
    open_page: Callable[..., Page],
    picture: Callable[[Page, str], None],
    violations: Callable[[Page], dict[str, list[str]]],
    name: str,
    options: dict[str, Any],
) -> None:
    page = open_page(**options)
    page.goto(f"{site.airflow.url}/wisdomgate/dag/gallery/videos")
    assert violations(page) == {}
    picture(page, name)
    site.run_of("generate_many_videos")
    for dag, task, index in (("generate_many_videos", "generate", 1), ("generate_many_videos", "generate", -1)):
        page.goto(site.player(dag, task, index))
        assert violations(page) == {}
    page.goto(site.player("unfinished", "fails"))
    expect(page.get_by_role("heading", name="Needs attention: refused")).to_be_visible()
    assert violations(page) == {}


def test_anonymous_and_unauthorised_users_are_refused(site: Site, url: str) -> None:
    def statuses(user: str | None) -> list[int]:
        headers = {"Authorization": f"Bearer {site.token(user)}"} if user else {}
        urls = (url, f"{site.airflow.url}/wisdomgate/dag/gallery/videos")
        return [requests.get(each, headers=headers, timeout=60).status_code for each in urls]

    asked = {user: statuses(user) for user in (None, "nora", "vera", "ulla")}
    assert asked == {None: [401, 401], "nora": [403, 403], "vera": [200, 200], "ulla": [200, 200]}


def test_a_forged_xcom_shows_nothing(site: Site, url: str) -> None:
    site.run_of("generate_video")
    clip = next(site.clips.rglob("paper-boat/*.mp4"))  # another DAG's
    ulla = site.token("ulla")
    path = f"/dags/unfinished/dagRuns/{quote(site.runs['unfinished'])}/taskInstances/fails/xcomEntries"
    page = f"{site.airflow.url}/{run_url('unfinished', site.runs['unfinished'])}"
    told = uri_of(site.airflow.api("GET", f"{path}/wisdomgate_destination")["value"])
    for uri in (str(clip), "/etc/passwd", f"{site.clips}/../{site.clips.name}/{clip.relative_to(site.clips)}"):
        site.airflow.api("POST", path, {"key": "return_value", "value": {"uri": uri}, "map_index": -1}, ulla)
        site.airflow.api("PATCH", f"{path}/wisdomgate_destination", {"value": uri, "map_index": -1}, ulla)
        text = requests.get(page, headers={"Authorization": f"Bearer {ulla}"}, timeout=60).text
        assert "fails</a>" in text
        assert re.search(r"<strong>0</strong> <span>stored</span>", text), text
        assert clip.name not in text
        site.airflow.api("DELETE", f"{path}/return_value", token=ulla)
        site.airflow.api("PATCH", f"{path}/wisdomgate_destination", {"value": told, "map_index": -1}, ulla)
