"""What a wait logs."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from waits import BAD_KEY, BROKEN, DONE, FAILED, FAULT, MIDDLE, MISSING, NOW, QUEUED, RUNNING, SLOW_DOWN, STRANGE, WAIT

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.polling.decisions import (
    PollAgain,
    Wait,
    after_poll,
    log_line,
)

QUIET = replace(WAIT, last=RUNNING)

ODD = replace(WAIT, last=STRANGE)


@pytest.mark.parametrize(
    ("wait", "seen", "expected"),
    [
        (WAIT, QUEUED, (logging.INFO, "Video v is queued (progress unknown)")),
        (QUIET, RUNNING, None),
        (
            QUIET,
            Video("v", "in_progress", progress=41.0),
            (logging.INFO, "Video v is in_progress (41%, about 1439 s to go)"),
        ),
        (QUIET, Video("v", "in_progress", progress=1.0), (logging.INFO, "Video v is in_progress (1%)")),
        (QUIET, DONE, (logging.INFO, "Video v is completed (progress unknown)")),
        (QUIET, FAILED, (logging.INFO, "Video v is failed (progress unknown)")),
        (
            QUIET,
            STRANGE,
            (logging.WARNING, "Video v is uploading (100%): a status word that is not known; waiting on"),
        ),
        (ODD, STRANGE, None),
        (ODD, Video("v", "uploading", progress=7.0), (logging.INFO, "Video v is uploading (7%, about 13286 s to go)")),
        (
            WAIT,
            Video("v"),
            (logging.WARNING, "Video v is None (progress unknown): a status word that is not known; waiting on"),
        ),
    ],
    ids=[
        "first",
        "the same",
        "progress",
        "one: a percent, or all of it",
        "done",
        "failed",
        "a word not known",
        "the same, not known",
        "progress, not known",
        "no word",
    ],
)
def test_only_a_change_is_logged(wait: Wait, seen: Video | errors.WisdomGateError, expected: Any) -> None:
    assert log_line(wait, seen, NOW) == expected


def test_a_whole_wait_logs_once_per_change() -> None:
    seen = [QUEUED, QUEUED, RUNNING, RUNNING, RUNNING, STRANGE, STRANGE, DONE]
    wait, lines = WAIT, []
    for number, poll in enumerate(seen):
        lines.append(log_line(wait, poll, NOW + number))
        step = after_poll(wait, poll, NOW + number, MIDDLE)
        wait = step.wait if isinstance(step, PollAgain) else wait
    assert [number for number, line in enumerate(lines) if line] == [0, 2, 5, 7]


def test_the_log_never_shows_the_prompt() -> None:
    for word in ("queued", "uploading", "completed", "failed"):
        assert "secret" not in str(log_line(WAIT, Video("v", word, prompt="a secret cat"), NOW))


def test_every_failed_poll_is_a_warning_with_its_reason() -> None:
    for error in (FAULT, BROKEN, MISSING, SLOW_DOWN):
        level, line = log_line(QUIET, error, NOW) or (0, "")
        assert (level, line.endswith(str(error))) == (logging.WARNING, True)


def test_a_failed_poll_that_ends_the_wait_is_not_announced_as_going_on() -> None:
    assert "goes on" not in str(log_line(WAIT, BAD_KEY, NOW))


def test_what_a_gateway_writes_does_nothing_in_a_log() -> None:
    evil = "\x1b]0;owned\x07\x9b2J\r\n\u202egpm\ud83d"
    for seen in (Video(evil, evil), errors.GatewayFaultError(evil, code=evil, request_id=evil, answer=evil)):
        line = log_line(WAIT, seen, NOW)
        assert line
        assert line[1].isprintable()
