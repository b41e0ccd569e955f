"""Gateways that no one here wrote, each in front of the sandbox. ./scripts/test-gateways installs them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from airflow_provider_wisdomgate.sandbox import Sandbox
from tests.deployment import free_port

HOME = Path(os.environ.get("GATEWAYS", Path(__file__).parents[2] / ".cache" / "gateways"))
MASTER_KEY = "sk-gateway-of-a-test"
STARTS_WITHIN = 300.0  # s: for a busy machine


@dataclass(frozen=True)
class Gateway:
    """A foreign server at ``url``, and the sandbox that it forwards to."""

    url: str
    upstream: Sandbox


@contextmanager
def running(command: list[str], ready: str, log: Path, **environment: str) -> Iterator[None]:
    """Run a server until the URL ``ready`` answers, and as long as the block lasts."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}, cwd=log.parent
        )
    try:
        until = time.monotonic() + STARTS_WITHIN
        while not answers(ready):
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{command[0]} did not start: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code < 500
    except requests.RequestException:
        return False


@contextmanager
def litellm_proxy(folder: Path, **general_settings: str) -> Iterator[Gateway]:
    """Run LiteLLM's proxy with two models: ``any`` as docs/gateways.md advises, ``retried`` as it comes."""
    port = free_port()
    with Sandbox(dialect="openai") as upstream:
        deployment = {"model": "openai/any", "api_base": f"{upstream.url}/v1", "api_key": upstream.api_key}
        models = [
            {"model_name": "any", "litellm_params": {**deployment, "num_retries": 0}},
            {"model_name": "retried", "litellm_params": deployment},
        ]
        config = {"model_list": models, "general_settings": {"master_key": MASTER_KEY, **general_settings}}
        (folder / "config.yaml").write_text(json.dumps(config))
        command = [str(HOME / "litellm" / "bin" / "litellm"), "--config", str(folder / "config.yaml")]
        url = f"http://127.0.0.1:{port}"
        with running(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"],
            f"{url}/health/liveliness",
            folder / "log",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
        ):
            yield Gateway(url, upstream)


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with litellm_proxy(tmp_path_factory.mktemp("litellm")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def litellm_of_one_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with litellm_proxy(tmp_path_factory.mktemp("litellm"), completion_model="any") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def portkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = HOME / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not server.exists():
        pytest.skip("npm is not installed, so there is no Portkey")
    port = free_port()
    with Sandbox(dialect="openai") as upstream:
        command, log = ["node", str(server), f"--port={port}", "--headless"], tmp_path_factory.mktemp("portkey") / "log"
        with running(command, f"http://127.0.0.1:{port}/", log):
            yield Gateway(f"http://127.0.0.1:{port}", upstream)
