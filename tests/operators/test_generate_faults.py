"""Every fault that the sandbox knows, through the generate operator: recovered, or the right typed error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import SMALL, LocalPlace, asked, sha256, told
from test_faults import CREATE_CASES, POLL_CASES, Case
from test_faults_of_content import CASES as CONTENT_CASES
from test_faults_of_content import MOV, MP4, WEBM, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

# Silences are met by the single calls' tests: ten of them in a row would be seconds.
SILENT = ("hang", "lost-hang", "slow", "stall", "drop")
# A paid video whose content is missing is not given up: the try ends, and the record stays.
GENERATE_CASES = {**CONTENT_CASES, "404": errors.ContentMissingError, "502-404": errors.ContentMissingError}
CONTAINERS = {MP4: "mp4", MOV: "mov", WEBM: "webm"}


def generate(
    prompt: str, local: LocalPlace, context: Callable[..., Any], timeout: float = 60.0
) -> dict[str, Any] | errors.WisdomGateError:
    task = WisdomGateGenerateVideoOperator(
        task_id="generate",
        prompt=prompt,
        destination=local.uri("cat.mp4"),
        poll_interval=0.004,
        timeout=timeout,
        **SMALL,
    )
    try:
        return task.execute(context())
    except errors.WisdomGateError as error:
        return error


def check(
    outcome: Any, error: type[Exception] | None, sandbox: Sandbox, local: LocalPlace, container: str = "mp4"
) -> None:
    """Compare an end with what is expected, and the folder with what may be in it."""
    if error is None:
        assert not isinstance(outcome, Exception), outcome
        assert sha256(local.read("cat.mp4")) == outcome["sha256"] == sha256(whole(container=container))
        assert local.names() == ["cat.mp4", "cat.mp4.json"]
    else:
        assert type(outcome) is error
        assert sandbox.api_key not in told(outcome)
        assert "cat.mp4" not in local.names()
        assert not [name for name in local.names() if name.endswith(".part")]
    assert sandbox.counts()["creates"] <= 1


@pytest.mark.parametrize("case", [case for case in CREATE_CASES if case.fault not in SILENT], ids=str)
def test_a_fault_at_the_create(
    case: Case, hook: WisdomGateHook, sandbox: Sandbox, local: LocalPlace, context: Callable[..., Any]
) -> None:
    outcome = generate(asked(f"create={case.fault} render=0"), local, context)

    check(outcome, case.error, sandbox, local)
    assert sandbox.counts()["creates"] == case.paid


@pytest.mark.parametrize("case", [case for case in POLL_CASES if not case.fault.startswith(SILENT)], ids=str)
def test_a_fault_at_a_poll(
    case: Case,
    hook: WisdomGateHook,
    sandbox: Sandbox,
    local: LocalPlace,
    context: Callable[..., Any],
    impatient: None,
) -> None:
    # Being told to slow down is no failed poll: only the deadline ends such a wait.
    is_slowed = case.error is errors.RateLimitedError
    outcome = generate(asked(f"poll={case.fault} render=0"), local, context, timeout=0.2 if is_slowed else 60.0)

    error = errors.WaitTimeoutError if is_slowed else case.error
    check(outcome, error, sandbox, local)
    assert sandbox.counts()["creates"] == 1


@pytest.mark.parametrize("fault", [fault for fault in GENERATE_CASES if not fault.startswith(SILENT)])
def test_a_fault_at_the_content(
    fault: str,
    hook: WisdomGateHook,
    sandbox: Sandbox,
    local: LocalPlace,
    context: Callable[..., Any],
    impatient: None,
) -> None:
    outcome = generate(asked(f"content={fault} render=0"), local, context)

    expected = GENERATE_CASES[fault]
    is_recovered = isinstance(expected, str)
    container = CONTAINERS[expected] if is_recovered else "mp4"
    check(outcome, None if is_recovered else expected, sandbox, local, container)
    assert sandbox.counts()["creates"] == 1
