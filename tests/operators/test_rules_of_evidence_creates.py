"""The paid create: what was surely not made, what is written down before and after it, and what the log shows."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from odd_gateway import VIDEO_ID, odd_gateway, says
from scripted import http
from steps import Generate, manifest_of, money
from support import LocalPlace, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.retry import RetryPolicy
from airflow_provider_wisdomgate.sandbox import Sandbox

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


class TaskTimeout(BaseException):
    """Airflow's AirflowTaskTimeout and Airflow 2's AirflowTaskTerminated are BaseExceptions, too."""


@contextmanager
def interrupted_once(is_time: Callable[[], bool], before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Raise in the main thread out of a signal handler, as Airflow's time-outs do, 0.3 s after it is time."""
    ticks: list[int] = []

    def tick(*_: Any) -> None:
        if is_time():
            ticks.append(1)
        if len(ticks) == 6:
            before()
            raise TaskTimeout

    old = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


# ---- A6, A8: between two attempts


def test_a_time_out_between_two_attempts_of_a_create_gives_the_claim_back(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    operator = generate("render=0 create=429-day")
    operator.hook.client.retry_policy = RetryPolicy(attempts=2, longest_wait=3600.0)
    with pytest.raises(TaskTimeout), interrupted_once(lambda: sandbox.counts()["create_requests"] > 0):
        operator.execute(context())
    assert local.names() == []
    generate().execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["creates"]) == (whole(), 1)


def test_a_time_out_between_two_attempts_brings_the_replaced_record_back(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    stored = generate().execute(context())
    operator = generate("render=0 create=429-day", if_exists="replace")
    operator.hook.client.retry_policy = RetryPolicy(attempts=2, longest_wait=3600.0)
    with pytest.raises(TaskTimeout), interrupted_once(lambda: sandbox.counts()["create_requests"] > 1):
        operator.execute(context(run_id="next"))
    assert (manifest_of(local), local.read("cat.mp4")) == (stored, whole())


def test_a_time_out_while_a_create_is_answered_leaves_it_lost(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    """The other side of the rule: the request is out, and may be paid for."""
    with pytest.raises(TaskTimeout), interrupted_once(lambda: sandbox.counts()["create_requests"] > 0):
        generate("create=lost-hang").execute(context())
    assert (manifest_of(local)["phase"], manifest_of(local)["claim_seconds"]) == ("creating", 0.0)
    with pytest.raises(errors.LostCreateError):
        generate("create=lost-hang").execute(context())
    assert money(sandbox) == (1, 1)


def test_a_killed_task_of_airflow_2_deletes_its_video(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, record: Any
) -> None:
    """There, SIGTERM calls on_kill and then raises AirflowTaskTerminated wherever the task is."""
    operator, ti = generate("never", delete_on_kill=True), record("failed")
    with (
        pytest.raises(TaskTimeout),
        interrupted_once(lambda: sandbox.counts()["polls"] > 0, before=operator.on_kill),
    ):
        operator.execute({"ti": ti})
    assert (sandbox.videos(), manifest_of(local)["phase"]) == ([], "failed")


def test_a_lost_create_names_the_moment_of_the_lost_attempt_and_always_the_same(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, later: Callable[[float], None]
) -> None:
    arrived: list[float] = []

    def slow_down(request: Any) -> bytes:
        later(240.0)
        return http(429)

    def lose(request: Any) -> bytes:
        arrived.append(time.time())
        return b""

    with odd_gateway(connect, create=(slow_down, slow_down, lose)):
        shown = []
        for facts in ({}, {}, {"run_id": "next"}):
            with pytest.raises(errors.LostCreateError) as caught:
                generate().execute(context(**facts))
            shown.append(set(TIME.findall(str(caught.value))))
            later(60.0)
        moments = {datetime.strptime(each, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) for each in set().union(*shown)}
        assert (len(arrived), shown[1] == shown[2], len(moments)) == (1, True, 1)
        assert abs(moments.pop().timestamp() - arrived[0]) < 30


# ---- A7: before it costs


def test_a_deferrable_task_behind_a_socks_proxy_is_refused_before_the_create(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, connect: Any, context: Any
) -> None:
    connect(extra={"proxies": {"http": "socks5://127.0.0.1:9"}})
    with pytest.raises(errors.ConfigurationError, match=r"deferred wait cannot use a SOCKS proxy.*cost nothing"):
        generate(deferrable=True).execute(context())
    assert (sandbox.requests(), local.names()) == ([], [])


# ---- I2: a refusal is recorded


@pytest.mark.parametrize(
    ("fault", "sends_again"), [("400", True), ("422", True), ("model-gone", True), ("moderation", False)]
)
def test_a_refused_create_is_recorded_and_only_a_person_sends_it_again(
    fault: str, sends_again: bool, generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    for is_retry in (False, True):
        with pytest.raises(errors.GatewayError) as caught:
            generate(f"render=0 create={fault}").execute(context())
        found = manifest_of(local)
        assert (found["phase"], found["video_id"], found["request"]["prompt"][:5]) == ("failed", None, "a cat")
        assert found["error"]["error"] == type(caught.value).__name__
        assert (sandbox.counts()["create_requests"], "clips forget" in str(caught.value)) == (1, is_retry)
    with pytest.raises(errors.GatewayError):
        generate(f"render=0 create={fault}").execute(context(max_tries=1))
    assert money(sandbox) == (2 if sends_again else 1, 0)


def test_a_corrected_request_takes_the_place_of_a_refused_one_in_the_same_round(
    generate: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.ModerationError):
        generate("render=0 create=moderation").execute(context())
    generate(text="a dog").execute(context())
    assert (local.read("cat.mp4"), money(sandbox)) == (whole("a dog"), (2, 1))


# ---- I3: a destination that looks absolute and is not


@pytest.mark.parametrize(
    "destination",
    ["s3:/bucket/cat.mp4", "file:/data/cat.mp4", "gs:bucket/cat.mp4", "~/cat.mp4", r"C:\clips\cat.mp4", " /data/c.mp4"],
)
def test_a_destination_that_only_looks_absolute_is_refused_before_it_costs(
    destination: str, generate: Generate, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.ConfigurationError, match="cost nothing"):
        generate(destination=destination).execute(context())
    assert sandbox.requests() == []


# ---- E: a paid id is never only in memory


def test_a_paid_id_is_logged_before_the_manifest_also_if_only_warnings_are_shown(
    generate: Generate, local: LocalPlace, connect: Any, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    caplog.set_level("WARNING", logger="airflow_provider_wisdomgate")
    with odd_gateway(connect, poll=(says(503),)), pytest.raises(errors.WisdomGateError):
        generate(timeout=0.1).execute(context())
    assert [it.levelname for it in caplog.records if VIDEO_ID in it.getMessage()][:1] == ["WARNING"]
    assert [it for it in caplog.records if VIDEO_ID in it.getMessage() and "json" in it.getMessage()]
