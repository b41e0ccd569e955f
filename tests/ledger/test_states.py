"""Each record has one state. Each state has a meaning, actions for a person, and a row in the docs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from textwrap import dedent

import pytest
from ledger_cases import LIVES
from source import ROOT

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.cli.main import parser
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import (
    NEEDS_PERSON,
    OLD_CLAIM_SECONDS,
    STATES,
    Action,
    advice,
    gone_advice,
    next_actions,
    paid_advice,
    state_of,
)

CREATING = Manifest("creating", "claim", "file:///my cats/a 'cat'.mp4", 1.0, claim_seconds=LIVES)
CREATED = replace(CREATING, phase="created", video_id="v1", claim_seconds=None)
ANNOUNCED = replace(CREATED, size=5, sha256="ab", stored_at=2.0)
STORED = replace(ANNOUNCED, phase="stored")
BLOCKED = errors.ModerationError("not this")


def failed(error: errors.WisdomGateError) -> Manifest:
    return replace(CREATED, phase="failed", error=error.as_dict())


TABLE = {
    "a claim that is young": (CREATING, 369.0, None, "creating"),
    "a claim whose time is over": (CREATING, 370.0, None, "lost"),
    "a create that ended without an answer": (replace(CREATING, claim_seconds=0.0), 0.0, None, "lost"),
    "a claim for ever, in its first day": (replace(CREATING, claim_seconds=1e14), 86399.0, None, "creating"),
    "a claim for ever": (replace(CREATING, claim_seconds=1e14), 86400.0, None, "lost"),
    "an old version's claim": (replace(CREATING, claim_seconds=None), OLD_CLAIM_SECONDS - 1, None, "creating"),
    "an old version's claim, over": (replace(CREATING, claim_seconds=None), OLD_CLAIM_SECONDS, None, "lost"),
    "a lost create over a clip": (CREATING, 370.0, 5, "lost"),
    "a claim with an id": (replace(CREATING, video_id="v1"), 999.0, None, "created"),
    "an id": (CREATED, 999.0, None, "created"),
    "an id that somebody removed": (replace(CREATED, video_id=None), 0.0, None, "lost"),
    "a clip about to appear": (ANNOUNCED, 0.0, None, "created"),
    "a clip that has appeared and is not recorded": (ANNOUNCED, 0.0, 5, "created"),
    "a clip": (STORED, 0.0, 5, "stored"),
    "a clip that is gone": (STORED, 0.0, None, "missing"),
    "a clip of another size": (STORED, 0.0, 6, "missing"),
    "a clip of no size": (replace(STORED, size=None), 0.0, None, "missing"),
    "no luck": (failed(errors.VideoFailedError("no luck")), 0.0, None, "failed"),
    "no luck over a clip": (failed(errors.VideoExpiredError("too late")), 0.0, 5, "failed"),
    "moderation": (failed(BLOCKED), 0.0, None, "refused"),
    "bad input": (failed(errors.BadRequestError("no such size")), 0.0, None, "refused"),
    "an unknown model": (failed(errors.ModelNotFoundError("no such model")), 0.0, None, "refused"),
    "for good": (failed(errors.VideoFailedForGoodError("no")), 0.0, None, "refused"),
    "an error of no known name": (replace(CREATED, phase="failed", error={"error": 5}), 0.0, None, "failed"),
    "no error": (replace(CREATED, phase="failed"), 0.0, None, "failed"),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_record_has_one_state(case: str) -> None:
    record, age, clip_size, state = TABLE[case]
    assert state_of(record, age, clip_size) == state


@pytest.mark.parametrize(("is_waited_for", "state"), [(None, "created"), (True, "created"), (False, "unfetched")])
def test_a_paid_video_that_no_task_waits_for_has_a_state_of_its_own(is_waited_for: bool | None, state: str) -> None:
    assert state_of(CREATED, 0.0, None, is_waited_for=is_waited_for) == state


@pytest.mark.parametrize("case", TABLE)
def test_only_a_paid_video_is_unfetched(case: str) -> None:
    record, age, clip_size, state = TABLE[case]
    expected = "unfetched" if state == "created" else state
    assert state_of(record, age, clip_size, is_waited_for=False) == expected


def test_every_state_can_be_reached() -> None:
    by_record = {state for *_, state in TABLE.values()}
    assert by_record | {"unfetched", "damaged"} == set(STATES)  # what cannot be read has no record
    assert {"lost", "refused", "damaged", "unfetched"} == NEEDS_PERSON


# ---- what a person can do


def actions_of(state: str) -> tuple[Action, ...]:
    records = {state: (record, age) for record, age, _, state in TABLE.values()}
    record, age = records.get(state, (CREATED, 0.0))
    return next_actions(state, record, age)


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_actions_unless_there_is_nothing_to_do(state: str) -> None:
    assert bool(actions_of(state)) is (STATES[state].acts != "nobody")


@pytest.mark.parametrize("state", sorted(NEEDS_PERSON))
def test_a_state_that_needs_a_person_names_a_command_or_what_to_change(state: str) -> None:
    assert any(action.command or "Change" in action.text for action in actions_of(state))


@pytest.mark.parametrize("state", STATES)
def test_what_is_free_comes_before_what_pays(state: str) -> None:
    pays = [action.pays for action in actions_of(state)]
    assert pays == sorted(pays)


@pytest.mark.parametrize("state", STATES)
def test_every_action_that_forgets_is_marked_as_paying(state: str) -> None:
    for action in actions_of(state):
        assert action.pays or " forget " not in action.command, action


@pytest.mark.parametrize("state", STATES)
def test_every_command_to_copy_is_one_that_the_command_line_takes(state: str) -> None:
    for action in actions_of(state):
        if action.command:
            name, *arguments = shlex.split(action.command)
            parsed = vars(parser().parse_args(arguments))
            assert (name, parsed["clips"]) == ("wisdomgate", [CREATED.uri])


@pytest.mark.parametrize("state", STATES)
def test_advice_is_all_actions_in_their_order(state: str) -> None:
    text, place = advice(state, CREATED), 0
    for action in next_actions(state, CREATED):
        place = text.index(str(action), place)


@pytest.mark.parametrize("text", [paid_advice(CREATED), paid_advice(CREATED, ends_try=True), gone_advice(CREATED)])
def test_advice_about_a_paid_video_begins_with_what_is_free(text: str) -> None:
    assert text.startswith("Video v1 is paid for and recorded at ")
    free, _, pays = text.partition("pay for a new video")
    assert "costs nothing" in free
    assert "wisdomgate clips fetch" in free
    assert not pays or "on_gone" in pays


# ---- the docs


PAGE = ROOT / "docs/never-pay-twice.md"
BEGIN, END = "<!-- states -->", "<!-- /states -->"
WHO = {"nobody": "nobody", "task": "the next try or run", "person": "a person"}


def table_of_states() -> str:
    """Return the table that docs/never-pay-twice.md has between its markers."""
    rows = [f"| `{name}` | {state.means} | {WHO[state.acts]} |" for name, state in STATES.items()]
    return "\n".join([BEGIN, "", "| state | means | who acts |", "|---|---|---|", *rows, "", END])


def test_the_docs_have_the_table_of_states() -> None:
    """If this fails, put what it expects into the page."""
    page = PAGE.read_text()
    assert page[page.index(BEGIN) : page.index(END) + len(END)] == table_of_states()


def test_the_docs_have_the_diagram_of_the_rules() -> None:
    drawing = str(rules.__doc__).partition("::\n\n")[2].partition("\n\nA ``creating`` record")[0]
    assert dedent(drawing).strip("\n") in PAGE.read_text()
