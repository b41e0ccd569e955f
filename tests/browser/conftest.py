"""One real Airflow under a path prefix, with the sandbox as its gateway, and one Chromium, for all browser tests."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from airflow_provider_wisdomgate.links import player_url
from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import Deployment, connection

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# No window, no GPU, and nothing sent to anybody but the Airflow under test.
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
TIMEOUT_MS = 60_000  # ms: for a busy machine
UNFINISHED = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

with DAG("unfinished", schedule=None) as dag:
    Generate(task_id="waits", model="sora-2", prompt="Paint drying [sandbox: render=900]", deferrable=True)
    Generate(task_id="fails", model="sora-2", prompt="A duel [sandbox: fail=moderation_blocked]", poll_interval=1)
"""
# Paused: its run is there, and what its tasks leave is written by gallery.py.
GALLERY = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

with DAG("gallery", schedule=None, is_paused_upon_creation=True) as dag:
    Generate.partial(task_id="postcard", model="sora-2").expand(prompt=[str(number) for number in range(60)])
"""
# The story of test_lost_create.py: one clip as it should be, two whose creates get no answer, one of them paid for.
POSTCARDS = """
from airflow.sdk import DAG
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator as Generate

CITIES = {"lisbon": "", "oslo": "[sandbox: create=lost-hang]", "quito": "[sandbox: create=dropx1]"}

with DAG("postcards", schedule=None) as dag:
    for city, fault in CITIES.items():
        prompt, file = f"A postcard from {city.title()}, animated {fault}", f"postcards/{city}.mp4"
        Generate(task_id=city, model="sora-2", prompt=prompt.strip(), destination=file, poll_interval=1)
"""
AXE = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", help="keep the documentation's pictures in this folder")


@dataclass
class Site:
    """The Airflow under test: its users, and one run of each DAG."""

    airflow: Deployment
    sandbox: Sandbox
    clips: Path
    runs: dict[str, str]

    def run_of(self, dag: str) -> str:
        """Return the finished run of a DAG."""
        if self.airflow.wait_for_run(dag, self.runs[dag], 240) != "success":
            pytest.fail(f"{dag} failed\n{self.airflow.logs()}")
        return self.runs[dag]

    def player(self, dag: str, task: str, map_index: int = -1) -> str:
        return f"{self.airflow.url}/{player_url(dag, self.runs[dag], task, map_index)}"

    def token(self, user: str) -> str:
        return self.airflow.token(user, f"{user}-password")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    dags, clips = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("clips")
    for example in ("generate_video.py", "generate_many_videos.py", "review_before_publish.py"):
        shutil.copy(ROOT / "example_dags" / example, dags)
    (dags / "unfinished.py").write_text(UNFINISHED)
    (dags / "gallery.py").write_text(GALLERY)
    (dags / "postcards.py").write_text(POSTCARDS)
    with Sandbox(render_seconds=1.0) as sandbox:
        gateway = connection(conn_type="wisdomgate", host=sandbox.url, password=sandbox.api_key)
        environment = {
            "AIRFLOW_CONN_WISDOMGATE_DEFAULT": gateway,
            "AIRFLOW__WISDOMGATE__STORAGE_PATH": str(clips),
            "AIRFLOW__WISDOMGATE__VIDEO_TAB": "True",
        }
        login = ("ada", "ada-password")
        airflow = Deployment(dags, environment, all_admins=False, login=login, prefix="/team/af")
        for name, role in {"vera": "viewer", "ulla": "user", "nora": ""}.items():
            airflow.add_user(name, f"{name}-password", role)
        with airflow:
            dags_to_run = ("generate_many_videos", "unfinished", "generate_video", "review_before_publish", "gallery")
            runs = {dag: airflow.trigger(dag) for dag in dags_to_run}
            yield Site(airflow, sandbox, clips, runs)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def logged_in(site: Site, chromium: Browser) -> Any:
    """The state of a browser in which ada has logged in by the form."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(site.airflow.url)
    page.locator("input[name=username]").fill("ada")
    page.locator("input[name=password]").fill("ada-password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Dags", exact=True).first.wait_for()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def open_page(chromium: Browser, logged_in: Any) -> Iterator[Callable[..., Page]]:
    """Open pages as ada; whatever the player's pages complain about in the console fails the test."""
    contexts, complaints = [], []

    def open_one(**options: Any) -> Page:
        size = {"width": 1280, "height": 860}
        contexts.append(context := chromium.new_context(**{"storage_state": logged_in, "viewport": size, **options}))
        context.set_default_timeout(TIMEOUT_MS)
        page: Page = context.new_page()
        page.on("console", lambda told: complaints.append(told.text) if "Content Security" in told.text else None)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], dict[str, list[str]]]:
    """Ask axe what is wrong with a page for a keyboard, a screen reader or weak eyes: rule and elements."""
    source = AXE.read_text()

    def ask(page: Page) -> dict[str, list[str]]:
        page.evaluate(source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return {each["id"]: [node["html"] for node in each["nodes"]] for each in found}

    return ask


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture(scope="session")
def picture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page, str], None]:
    """Take a screenshot, small enough for a repository."""
    folder = Path(request.config.getoption("--screenshots") or tmp_path_factory.mktemp("pictures"))

    def take(page: Page, name: str) -> None:
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.png"
        page.screenshot(path=file)
        Image.open(file).convert("RGB").quantize(256).save(file, optimize=True)
        assert file.stat().st_size < 200_000

    return take


def stored(extra: str | None) -> dict[str, Any]:
    """Return what of a connection's extra is set."""
    return {name: value for name, value in json.loads(extra or "{}").items() if value is not None}
