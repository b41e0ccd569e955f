"""What a person does in Airflow's UI: fill in the form, trigger, watch, seek, look at the siblings."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import pytest
import requests
from PIL import Image
from playwright.sync_api import Page, expect
from support import put_manifest

from airflow_provider_wisdomgate import FORM_EXTRAS
from airflow_provider_wisdomgate.ledger.record import Manifest
from tests.browser.conftest import TIMEOUT_MS, Site, stored

expect.set_options(timeout=TIMEOUT_MS)
PLAY = "video => { video.muted = true; return video.play(); }"


def plays(video: Any) -> None:
    """Wait until a video's time advances."""
    video.evaluate(PLAY)
    expect(video).to_have_js_property("paused", False)
    video.evaluate("v => new Promise(done => v.addEventListener('timeupdate', () => v.currentTime > 0.3 && done()))")


def test_the_form_shows_our_fields_and_stores_no_defaults(
    site: Site, page: Page, picture: Callable[[Page, str], None]
) -> None:
    page.goto(f"{site.airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill("by_form")
    form.get_by_role("combobox").fill("WisdomGate")
    form.get_by_role("option", name="WisdomGate").click()
    host, key = form.locator("input[name=host]"), form.locator("input[name=password]")
    expect(host).to_be_visible()
    labels = [label.split("\n")[0].strip() for label in form.locator("label").all_inner_texts()]
    assert labels[:5] == ["Connection ID", "Connection Type", "Description", "Base URL", "API key"]
    assert labels[5:] == [field["label"] for field in FORM_EXTRAS.values()]
    assert host.get_attribute("placeholder") == "https://wisdom-gate.juheapi.com"
    assert key.get_attribute("type") == "password"
    assert form.locator("input[name=login], input[name=port], input[name=schema]").count() == 0
    host.fill(site.sandbox.url)
    key.fill(site.sandbox.api_key)
    picture(page, "connection-form")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="by_form")).to_be_visible()
    saved = site.airflow.api("GET", "/connections/by_form")
    assert (saved["conn_type"], saved["host"], stored(saved["extra"])) == ("wisdomgate", site.sandbox.url, {})
    assert site.sandbox.api_key not in str(saved)


def test_a_dag_is_triggered_in_the_ui_and_its_clip_watched_behind_the_link(
    site: Site, page: Page, picture: Callable[[Page, str], None]
) -> None:
    page.goto(f"{site.airflow.url}/dags/generate_video")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").last.click()
    page.wait_for_url(re.compile(r"/runs/"))
    run = page.url.rpartition("/runs/")[2].split("/")[0]
    page.get_by_role("table").get_by_role("link", name="generate", exact=True).click()
    assert site.airflow.wait_for_run("generate_video", run, 240) == "success", site.airflow.logs()
    page.get_by_role("link", name="Details", exact=True).click()
    page.locator("a[href^='wisdomgate/']").click()
    page.wait_for_url(re.compile(r"/team/af/wisdomgate/ti/generate_video/.*/generate/-1/player$"))
    plays(page.locator(".stage video"))
    expect(page.get_by_text("A paper boat sails down a rainy street")).to_be_visible()
    page.get_by_role("link", name="Back to the task").click()
    page.wait_for_url(re.compile(r"/team/af/dags/generate_video/runs/[^/]+/tasks/generate"))
    expect(page.get_by_role("link", name="Details", exact=True)).to_be_visible()


def test_seeking_fetches_only_the_part_that_is_looked_at(site: Site, page: Page) -> None:
    run, file = site.run_of("generate_many_videos"), site.clips / "long.mp4"
    size = encode_noise(file)
    made_by = {"dag_id": "generate_many_videos"}
    put_manifest(Manifest("stored", "claim", str(file), 0.0, size=size, sha256="0" * 64, made_by=made_by))
    path = f"/dags/generate_many_videos/dagRuns/{quote(run)}/taskInstances/prompts/xcomEntries"
    site.airflow.api("POST", path, {"key": "wisdomgate_destination", "value": str(file), "map_index": -1})
    entry = f"{path}/return_value"
    site.airflow.api("PATCH", entry, {"value": {"uri": str(file)}, "map_index": -1})
    answers: list[tuple[int, str]] = []
    page.on("response", lambda got: answers.append((got.status, got.headers.get("content-range", ""))))
    page.goto(site.player("generate_many_videos", "prompts"))
    video = page.locator(".stage video")
    plays(video)
    with page.expect_response(lambda got: got.status == 206 and offset(got.headers["content-range"]) > size // 2):
        video.evaluate("v => new Promise(done => { v.onseeked = done; v.currentTime = 50; })")
    assert video.evaluate("v => v.currentTime") >= 50
    assert {status for status, content_range in answers if content_range} == {206}


def offset(content_range: str) -> int:
    return int(content_range.removeprefix("bytes ").split("-")[0])


def encode_noise(file: Path) -> int:
    """Write a minute of noise, one picture a second, and return its many bytes."""
    dice = random.Random(1)
    with av.open(str(file), "w", options={"movflags": "+faststart"}) as output:
        stream: Any = output.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "8", "g": "1"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(60):
            noise = Image.frombytes("RGB", (640, 480), dice.randbytes(640 * 480 * 3))
            output.mux(stream.encode(av.VideoFrame.from_image(noise)))
        output.mux(stream.encode(None))
    assert file.stat().st_size > 15_000_000
    return file.stat().st_size


def test_a_mapped_task_shows_its_siblings_as_small_players(site: Site, page: Page) -> None:
    site.run_of("generate_many_videos")
    page.goto(site.player("generate_many_videos", "generate", 1))
    tiles = page.get_by_role("region", name="Siblings").get_by_role("listitem")
    expect(tiles).to_have_count(3)
    for tile in tiles.all():
        tile.scroll_into_view_if_needed()
        tile.locator("video").evaluate(
            "v => v.readyState > 0 || new Promise(done => v.addEventListener('loadedmetadata', done))"
        )
    plays(tiles.nth(2).locator("video"))
    tiles.nth(2).get_by_role("link").click()
    page.wait_for_url(re.compile(r"/generate/2/player$"))
    expect(page.locator("blockquote")).to_have_text("A postcard from Lima, animated")


def test_a_task_that_waits_and_one_that_failed_say_so(site: Site, page: Page) -> None:
    page.goto(site.player("unfinished", "waits"))  # looks again by itself until there is something to say
    expect(page.get_by_role("heading", name="In progress")).to_be_visible()
    expect(page.get_by_text("Paint drying")).to_be_visible()
    expect(page.locator("video")).to_have_count(0)
    page.goto(site.player("unfinished", "fails"))
    expect(page.get_by_role("heading", name="Needs attention: refused")).to_be_visible()


def test_the_tab_on_the_task_page_plays_the_clip(site: Site, page: Page, picture: Callable[[Page, str], None]) -> None:
    run = site.run_of("generate_video")
    page.goto(f"{site.airflow.url}/dags/generate_video/runs/{quote(run)}/tasks/generate")
    page.get_by_role("link", name="Video", exact=True).click()
    frame = page.frame_locator("iframe[title=Video]")
    plays(frame.locator(".stage video"))
    frame.locator(".stage video").evaluate("v => v.pause()")
    picture(page, "task-page")
    with page.expect_download() as download:
        frame.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == next(site.clips.rglob("paper-boat/*.mp4")).read_bytes()
    expect(frame.get_by_role("link", name="Back to the task")).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("player-light", {"color_scheme": "light"}),
        ("player-dark", {"color_scheme": "dark"}),
        ("player-narrow", {"color_scheme": "light", "viewport": {"width": 390, "height": 844}}),
    ],
)
def test_the_player_is_readable(
    site: Site, open_page: Callable[..., Page], picture: Callable[[Page, str], None], name: str, options: dict[str, Any]
) -> None:
    site.run_of("generate_many_videos")
    page = open_page(**options)
    page.goto(site.player("generate_many_videos", "generate", 1))
    for video in page.locator("video").all():  # once played, it turns no wheel over its picture
        plays(video)
        video.evaluate("v => { v.pause(); v.currentTime = 0; }")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor"))
    assert contrast(ink, paper) > 7
    picture(page, name)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG reckons it."""

    def light(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_anonymous_and_unauthorised_users_are_refused(site: Site) -> None:
    site.run_of("generate_video")
    page, clip = (
        site.player("generate_video", "generate").replace("/player", f"/{what}") for what in ("player", "clip")
    )

    def statuses(user: str | None) -> list[int]:
        headers = {"Authorization": f"Bearer {site.token(user)}"} if user else {}
        parts = {**headers, "Range": "bytes=0-99"}
        return [requests.get(url, headers=parts, timeout=30).status_code for url in (page, clip)]

    asked = {user: statuses(user) for user in (None, "nora", "vera", "ulla")}
    assert asked == {None: [401, 401], "nora": [403, 403], "vera": [200, 206], "ulla": [200, 206]}


def test_a_forged_xcom_plays_nothing(site: Site) -> None:
    site.run_of("generate_video")
    clip = next(site.clips.rglob("paper-boat/*.mp4"))  # another DAG's
    ulla = site.token("ulla")
    path = f"/dags/unfinished/dagRuns/{quote(site.runs['unfinished'])}/taskInstances/fails/xcomEntries"
    detour = f"{site.clips}/../{site.clips.name}/{clip.relative_to(site.clips)}"
    # What is no clip's address does not count: that page is the task's own, which made nothing.
    for uri, player in ((str(clip), 404), ("/etc/passwd", 200), ("/etc/passwd.mp4", 404), (detour, 404)):
        body = {"key": "return_value", "value": {"uri": uri}, "map_index": -1}
        site.airflow.api("POST", path, body, ulla)
        for what, status in (("player", player), ("clip", 404)):
            url = site.player("unfinished", "fails").replace("/player", f"/{what}")
            answer = requests.get(url, headers={"Authorization": f"Bearer {ulla}"}, timeout=30)
            assert (uri, answer.status_code, "<video" in answer.text) == (uri, status, False)
        site.airflow.api("DELETE", f"{path}/return_value", token=ulla)
