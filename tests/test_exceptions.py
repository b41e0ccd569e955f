"""The error tree: it is what the docstring draws, and every error keeps its facts wherever it travels."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_wisdomgate import exceptions as errors

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.WisdomGateError)
}
EVERY_FACT = {
    "status": 502,
    "code": "video_processing",
    "type": "video_not_ready",
    "request_id": "2026-req",
    "video_id": "video_a/b=",
    "retry_after": 2.5,
    "expires_at": 1_790_000_000.0,
    "answer": '{"oops": 1}',
    "answered_id": "video_b",
}

LINE = re.compile(r"^(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +(?P<mark>[x~]) )?")


def drawn_tree() -> dict[str, tuple[str | None, bool, bool]]:
    """Read the docstring: name -> (parent, whether marked x, whether marked ~)."""
    tree: dict[str, tuple[str | None, bool, bool]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        if not line.strip():
            break
        match = LINE.match(line)
        assert match, line
        depth = (len(match["branch"]) - 4) // 4
        path = [*path[:depth], match["name"]]
        tree[match["name"]] = (path[-2] if depth else None, match["mark"] == "x", match["mark"] == "~")
    return tree


def real_tree() -> dict[str, tuple[str | None, bool, bool]]:
    tree: dict[str, tuple[str | None, bool, bool]] = {"AirflowException": (None, False, False)}
    for name, kind in CLASSES.items():
        is_final = issubclass(kind, AirflowFailException)
        tree[name] = (kind.__bases__[0].__name__, is_final, kind.is_transient)
    return tree


def test_the_drawn_tree_is_the_real_one() -> None:
    assert drawn_tree() == real_tree()


def test_every_error_is_an_airflow_exception_and_nothing_final_is_transient() -> None:
    assert {name for name, kind in CLASSES.items() if not issubclass(kind, AirflowException)} == set()
    assert {n for n, k in CLASSES.items() if k.is_transient and issubclass(k, AirflowFailException)} == set()


def test_advice_is_appended_or_takes_the_place_of_what_was_there() -> None:
    bare, own = errors.WisdomGateError("It broke"), errors.StorageError("It broke", next_step="Do this.")
    assert [bare.advise("Do that.").next_step, own.advise("Do that.").next_step] == ["Do that.", "Do this. Do that."]
    assert own.advise("Do nothing.", replace=True) is own
    assert own.next_step == "Do nothing."
    assert errors.StorageError.next_step is None


def test_the_answer_to_a_lost_create_is_shown_whatever_becomes_of_its_error() -> None:
    facts = {"answer": "<h1>Oops</h1>", "answered_id": "video_b"}
    lost = errors.LostCreateError("It is lost", next_step="Look.", **facts)
    assert str(lost) == "It is lost. Its answer names the id video_b. The gateway answered: <h1>Oops</h1> Look."
    retried = errors.WisdomGateError("It is lost", **facts)  # on_lost_create: a retry may find it
    assert str(retried) == "It is lost. Its answer names the id video_b. The gateway answered: <h1>Oops</h1>"


def test_every_error_says_in_a_docstring_of_its_own_what_it_means() -> None:
    assert {name for name, kind in CLASSES.items() if not vars(kind).get("__doc__")} == set()


def made(name: str) -> errors.WisdomGateError:
    return CLASSES[name]("Something happened", next_step="Do this.", **EVERY_FACT)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "travel",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy, copy.copy, lambda e: errors.from_dict(e.as_dict())],
    ids=["pickle", "deepcopy", "copy", "dict"],
)
def test_an_error_arrives_with_all_its_facts(name: str, travel: object) -> None:
    error = made(name)
    arrived = travel(error)  # type: ignore[operator]
    expected = {"error": name, "message": "Something happened", "next_step": "Do this.", **EVERY_FACT}
    assert type(arrived) is CLASSES[name]
    assert arrived is not error
    assert arrived.as_dict() == error.as_dict() == expected
    assert (str(arrived), arrived.args) == (str(error), error.args)


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_without_facts_arrives_with_the_next_step_of_its_class(name: str) -> None:
    error = CLASSES[name]("Something happened")
    arrived = pickle.loads(pickle.dumps(error))
    assert arrived.as_dict() == {
        "error": name,
        "message": "Something happened",
        "next_step": CLASSES[name].next_step,
    }
    assert type(arrived) is CLASSES[name]
    assert arrived.facts == {}


@pytest.mark.parametrize("name", CLASSES)
def test_the_dict_of_an_error_is_json_and_survives_it(name: str) -> None:
    fields = made(name).as_dict()
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields


@pytest.mark.parametrize(
    "name",
    ["NoSuchError", "annotations", "AirflowException", "from_dict", "FACTS", "__doc__", "", None, 5, ["x"]],
    ids=repr,
)
def test_an_unknown_name_gives_the_base_class(name: object) -> None:
    error = errors.from_dict({"error": name, "message": "m", "code": "c", "never_heard_of": 1})
    assert type(error) is errors.WisdomGateError
    assert error.as_dict() == {"error": "WisdomGateError", "message": "m", "next_step": None, "code": "c"}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            errors.GatewayFaultError(
                "No answer from upstream",
                next_step="Try later.",
                status=503,
                code="busy",
                request_id="r1",
                video_id="v1",
                type="t",
                retry_after=3.0,
                expires_at=4.0,
            ),
            "No answer from upstream. (HTTP 503, code busy, request r1, video v1) Try later.",
        ),
        (errors.WisdomGateError("It broke"), "It broke."),
        (errors.WisdomGateError("It broke!", status=500), "It broke! (HTTP 500)"),
        (errors.WisdomGateError("Did it break?"), "Did it break?"),
        (
            errors.ModerationError("Refused.", code="moderation_blocked"),
            "Refused. (code moderation_blocked) "
            "Change the prompt or the reference image; the same request is refused again.",
        ),
        (errors.ModelNotFoundError("Gone", next_step="Use sora-3."), "Gone. Use sora-3."),
    ],
    ids=["every fact", "bare", "its own full stop", "question", "next step of the class", "next step of its own"],
)
def test_the_message_holds_what_is_known_and_what_to_do(error: errors.WisdomGateError, text: str) -> None:
    assert str(error) == text


def test_a_fact_that_no_error_has_is_refused() -> None:
    with pytest.raises(TypeError) as caught:
        errors.RateLimitedError("m", statuss=429, cod="x")
    assert str(caught.value) == "RateLimitedError takes no cod, statuss"


@pytest.mark.parametrize("next_step", [5, ["a"], {"a": 1}, True], ids=repr)
def test_a_next_step_that_is_no_text_does_not_break_the_message(next_step: object) -> None:
    error = errors.from_dict({"error": "GatewayError", "message": "m", "next_step": next_step})
    assert str(error).startswith("m.")
