"""The review example from end to end: a person watches a clip, asks for another one, and that one is published."""

from __future__ import annotations

import re
from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.browser.conftest import TIMEOUT_MS, Site
from tests.deployment import wait_until

DAG = "review_before_publish"
WORDS = "The same boat, {{ 7 * 7 }} of them, at night"


def states(site: Site) -> dict[str, str | None]:
    return {each["task_id"]: each["state"] for each in site.airflow.task_instances(DAG, site.runs[DAG])}


def wait_for_question(site: Site, task: str) -> str:
    """Return the API's path of a question once it can be answered."""
    wait_until(f"{task}'s question", lambda: states(site).get(task) in ("awaiting_input", "deferred"), 240)
    # Airflow 3.3 fails a task that is answered before its scheduler has heard that the first part of it ended.
    heard = f"task_id='{task}', run_id='{site.runs[DAG]}'"
    wait_until(f"the end of {task}'s first part", lambda: _was_heard(site, heard), 240)
    return f"/dags/{DAG}/dagRuns/{quote(site.runs[DAG], safe='')}/taskInstances/{task}/-1/hitlDetails"


def _was_heard(site: Site, task: str) -> bool:
    lines = site.airflow.log_of("scheduler").splitlines()
    return any(task in line and "Received executor event" in line for line in lines)


def answer(site: Site, task: str, option: str, words: dict[str, str]) -> None:
    body = {"chosen_options": [option], "params_input": words}
    site.airflow.api("PATCH", wait_for_question(site, task), body)


def test_a_person_watches_a_clip_and_says_what_another_one_should_show(site: Site, page: Page) -> None:
    expect.set_options(timeout=TIMEOUT_MS)
    wait_for_question(site, "review")
    page.goto(f"{site.airflow.url}/dags/{DAG}/runs/{quote(site.runs[DAG])}/tasks/review/required_actions")
    expect(page.get_by_role("button", name="Reject")).to_be_visible()
    page.goto(page.get_by_role("link", name="Watch the clip").evaluate("a => a.href"))
    assert re.search(r"/team/af/wisdomgate/ti/review_before_publish/.*/first/-1/player$", page.url)
    expect(page.get_by_text("A paper boat sails down a rainy street")).to_be_visible()
    expect(page.locator(".stage video")).to_be_visible()

    answer(site, "review", "Reject", {})
    answer(site, "words", "OK", {"prompt": WORDS})
    answer(site, "review_second", "Approve", {})
    assert site.airflow.wait_for_run(DAG, site.runs[DAG], 240) == "success", site.airflow.logs()
    ended = states(site)
    assert (ended["publish"], ended["second"], ended["publish_second"]) == ("skipped", "success", "success")
    # The words are a person's: they reach the gateway as they are.
    assert [video["prompt"] for video in site.sandbox.videos()].count(WORDS) == 1
