"""A store that ignores conditions is refused before anybody pays, unless somebody says otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from s3_server import proxy_before
from steps import Generate
from support import S3Place

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.sandbox import Sandbox


@pytest.fixture
def deaf_store(s3: S3Place, _s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A destination in a store that writes whatever the condition says, as older clones of S3 do."""
    with proxy_before(_s3_url) as proxy:
        proxy.deaf = True
        extra = {"endpoint_url": proxy.url, "region_name": "us-east-1"}
        aws = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEAF", json.dumps(aws))
        yield f"s3://aws_deaf@{s3.bucket}/cat.mp4"


def test_a_store_that_ignores_conditions_is_refused_before_anybody_pays(
    generate: Generate, deaf_store: str, s3: S3Place, sandbox: Sandbox, context: Any
) -> None:
    def end(number: int) -> Any:
        try:
            return generate(destination=deaf_store).execute(context(run_id=str(number)))
        except errors.WisdomGateError as error:
            return type(error), "allow_unsafe_storage" in str(error)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(end, range(4))) == [(errors.StorageError, True)] * 4
    assert (sandbox.requests(), s3.names()) == ([], [])


def test_a_store_that_ignores_conditions_is_used_by_who_says_so(
    generate: Generate, deaf_store: str, sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WISDOMGATE__ALLOW_UNSAFE_STORAGE", "True")
    assert generate(destination=deaf_store).execute(context())["phase"] == "stored"
    assert sandbox.counts()["creates"] == 1
