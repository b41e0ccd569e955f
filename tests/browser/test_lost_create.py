"""The whole story of a lost create: killed within it, seen on the run's page, adopted or forgotten, cleared, stored.

What the commands print here stands in docs/lost-create.md: both are compared.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.links import run_url
from tests.browser.conftest import TIMEOUT_MS, Site
from tests.browser.test_run_page import tiles, wait_for_pictures
from tests.deployment import BIN, wait_until

DAG = "postcards"
PAGE = Path(__file__).parents[2] / "docs" / "lost-create.md"
# What differs each time the story is told, and each port.
CHANGING = {
    r"video_[0-9a-f]+": "VIDEO",
    r"manual__[-+:.T\d]+": "RUN",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "TIME",
    r"127\.0\.0\.1:\d+": "GATEWAY",
    r"\b[0-9a-f]{32,64}\b": "HASH",
    r"\b\d+ (s|min)\b": "AGE",
    r" +": " ",  # widths of columns
    r" $": "",
}


def shape(text: str) -> list[str]:
    """Return lines without what differs each time."""
    for pattern, word in CHANGING.items():
        text = re.sub(pattern, word, text, flags=re.M)
    return [line.strip() for line in text.splitlines()]


def documented(verb: str) -> list[str]:
    """Return what docs/lost-create.md says that a command prints."""
    blocks = re.findall(r"^ *```console\n *\$ wisdomgate (.*?)\n(.*?)^ *```$", PAGE.read_text(), re.M | re.S)
    return shape(next(output for command, output in blocks if command.startswith(verb)))


def wisdomgate(site: Site, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Run the real program; returns its status and what a terminal would show."""
    env = {**site.airflow.env, "PYTHONUNBUFFERED": "1"}  # stdout and stderr as they come
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([str(BIN / "wisdomgate"), *arguments], env=env, input=answer, timeout=120, **out)  # type: ignore[call-overload]
    if os.environ.get("TELL"):  # for whoever writes the page
        print(f"$ wisdomgate {shlex.join(arguments)}\n{done.stdout}")
    shown = done.stdout.replace(str(site.clips), "/mnt/clips")
    return done.returncode, shown.replace("[y/N] ", f"[y/N] {answer}")


def videos(site: Site, city: str) -> list[str]:
    """Return the ids of all that was made, and paid for, of one prompt."""
    return [str(each["id"]) for each in site.sandbox.videos() if f"from {city}" in str(each["prompt"])]


def kill_within_its_create(site: Site, run: str) -> None:
    """Wait until the gateway has made Oslo's video and keeps the answer; then end the task's process."""
    wait_until("Oslo's video being made", lambda: videos(site, "Oslo"), 240)
    instances = {each["task_id"]: each for each in site.airflow.task_instances(DAG, run)}
    pid = int(instances["oslo"]["pid"])
    assert os.getsid(pid) == site.airflow.processes["scheduler"].pid  # nobody else's process
    os.kill(pid, signal.SIGKILL)


def let_the_claim_end(clip: Path) -> None:
    """Turn the clock for one file: a local disk tells a claim's age by the time of its manifest.

    Nothing that was written changes. Without this the test would wait for eleven minutes.
    """
    manifest = clip.with_name(f"{clip.name}.json")
    written = manifest.stat().st_mtime
    os.utime(manifest, (written - 700, written - 700))


def test_a_lost_create_is_seen_adopted_or_forgotten_and_paid_once(
    site: Site,
    page: Page,
    picture: Callable[[Page, str], None],
    violations: Callable[[Page], dict[str, list[str]]],
) -> None:
    expect.set_options(timeout=TIMEOUT_MS)
    page.set_viewport_size({"width": 1280, "height": 800})
    run = site.runs[DAG] = site.airflow.trigger(DAG)
    url, folder = f"{site.airflow.url}/{run_url(DAG, run)}", site.clips / "postcards"
    kill_within_its_create(site, run)
    assert site.airflow.wait_for_run(DAG, run, 240) == "failed"
    [video_id] = videos(site, "Oslo")
    assert videos(site, "Quito") == []

    # Nobody may touch the claim while its owner might be alive.
    page.goto(url)
    expect(of(page, "oslo")).to_contain_text("being requested")
    adopt = ("clips", "adopt", str(folder / "oslo.mp4"), "--video-id", video_id, "--yes")
    status, shown = wisdomgate(site, *adopt)
    assert (status, "a create is in progress" in shown) == (2, True), shown

    let_the_claim_end(folder / "oslo.mp4")
    page.goto(url)
    page.get_by_role("link", name=re.compile("^2 need attention$")).click()
    expect(tiles(page)).to_have_count(2)
    commands = of(page, "oslo").locator("code").all_inner_texts(), of(page, "quito").locator("code").all_inner_texts()
    assert violations(page) == {}
    picture(page, "lost-create")
    page.goto(site.player(DAG, "oslo"))
    expect(page.get_by_role("heading", name="Needs attention: lost create")).to_be_visible()
    expect(page.locator("main code").first).to_have_text(commands[0][0])
    assert violations(page) == {}

    # As a person copies them.
    told = {"clips list": wisdomgate(site, "clips", "list", str(folder), "--state", "lost")}
    (first, *adopt_it), (_, *forget_it) = shlex.split(commands[0][0]), shlex.split(commands[1][1])
    assert first == "wisdomgate"
    adopt_it[adopt_it.index("VIDEO_ID")] = video_id
    told["clips adopt"] = wisdomgate(site, *adopt_it, answer="y\n")
    told["clips forget"] = wisdomgate(site, *forget_it, answer="y\n")

    clear = {"dry_run": False, "dag_run_id": run, "task_ids": ["oslo", "quito"], "only_failed": True}
    site.airflow.api("POST", f"/dags/{DAG}/clearTaskInstances", clear)
    assert site.airflow.wait_for_run(DAG, run, 240) == "success", site.airflow.logs()
    assert videos(site, "Oslo") == [video_id]
    assert len(videos(site, "Quito")) == 1
    for city in ("oslo", "quito"):
        manifest = Destination(str(folder / f"{city}.mp4")).read()
        assert manifest is not None
        assert (manifest.phase, [manifest.video_id]) == ("stored", videos(site, city.title()))
        assert (folder / f"{city}.mp4").stat().st_size == manifest.size

    page.goto(url)
    expect(page.get_by_role("link", name=re.compile("^3 stored$"))).to_be_visible()
    wait_for_pictures(page)
    picture(page, "lost-create-after")
    page.goto(site.player(DAG, "oslo"))
    expect(page.locator(".stage video")).to_be_visible()
    for verb, (status, shown) in told.items():
        assert (verb, status, shape(shown)) == (verb, 0, documented(verb))


def of(page: Page, city: str) -> Any:
    """Return a clip on the run's page."""
    return tiles(page).filter(has=page.get_by_role("heading", name=city))
