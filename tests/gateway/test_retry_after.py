"""The delay that a gateway asks for, in every spelling."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_wisdomgate.gateway.replies import (
    retry_after_of,
)

NOON = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "120"}, 1.5),
        ({"retry-after-ms": "junk", "retry-after": "120"}, 120.0),
        ({"retry-after-ms": "-1"}, 0.0),
        ({"retry-after": DATE}, 60.0),
        ({"retry-after": "Sunday, 06-Nov-94 08:49:37 GMT"}, 60.0),
        ({"retry-after": "Sun, 06 Nov 1994 09:49:37 +0100"}, 60.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "Sun, 99 Nov 1994 99:99:99 GMT"}, None),
        ({"retry-after": "\x00"}, None),
    ],
    ids=repr,
)
def test_the_delay_asked_for_is_read_in_every_spelling(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_of(headers, NOON - 60.0) == expected


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
@pytest.mark.parametrize("date", [DATE, "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000"])
def test_a_date_without_a_zone_is_utc_wherever_the_worker_stands(date: str) -> None:
    assert retry_after_of({"retry-after": date}, NOON - 60.0) == 60.0
