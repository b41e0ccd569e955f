"""What an import costs: a DAG file loads no HTTP library through us, and the package alone loads nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from source import PACKAGE, ROOT

HEAVY = ("aiohttp", "requests", "urllib3", "fsspec", "airflow.providers.http")
LIGHT = ("decorators", "exceptions", "lineage", "links", "operators", "sensors")
PARSE = """
import importlib, sys
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator
before = set(sys.modules)
importlib.import_module(sys.argv[1])
heavy = tuple(sys.argv[2:])
gained = set(sys.modules) - before
print(sorted(name for name in gained if any(f"{name}.".startswith(f"{each}.") for each in heavy)))
"""


@pytest.mark.parametrize("module", LIGHT)
def test_a_dag_file_that_imports_it_loads_no_http_library_and_no_filesystem(module: str) -> None:
    command = [sys.executable, "-c", PARSE, f"{PACKAGE}.{module}", *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"


# ---------------------------------------------------------------------------------- the triggerer's event loop

FIRE = """
import asyncio, json, sys, threading
threads = {}

class Recorder:
    def find_spec(self, name, path=None, target=None):
        threads.setdefault(name, threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Recorder())
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger

async def fire():
    return [event async for event in WisdomGateVideoTrigger("video_1", deadline=1.0).run()]

(event,) = asyncio.run(fire())
print(json.dumps([event.payload["outcome"], *(threads[name] for name in sys.argv[1:])]))
"""


def test_a_trigger_imports_the_http_client_in_a_thread_beside_the_event_loop() -> None:
    nobody = json.dumps({"conn_type": "wisdomgate", "host": "http://127.0.0.1:9", "password": "a-key"})
    done = subprocess.run(
        [sys.executable, "-c", FIRE, f"{PACKAGE}.polling.shared_client", "requests"],
        env=os.environ | {"AIRFLOW_CONN_WISDOMGATE_DEFAULT": nobody},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == ["timed_out", False, False]


# ------------------------------------------------------------------------------------------ the package

MEASURE = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
before = set(sys.modules)
start = time.perf_counter()
import {PACKAGE}
took = time.perf_counter() - start
gained = sorted(set(sys.modules) - before)
info = {PACKAGE}.get_provider_info()
after = sorted(set(sys.modules) - before)
import json
print(json.dumps([took, gained, after, info["package-name"]]))
"""


def measured() -> tuple[float, list[str], list[str], str]:
    """Import the package in a fresh interpreter without site packages: (seconds, modules gained, ...)."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE],
        env={"PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    took, gained, after, name = json.loads(done.stdout)
    return took, gained, after, name


def test_importing_the_package_imports_nothing_else_and_costs_next_to_nothing() -> None:
    runs = [measured() for _ in range(5)]
    assert {(tuple(gained), tuple(after), name) for _, gained, after, name in runs} == {
        ((PACKAGE,), (PACKAGE,), "airflow-provider-wisdomgate")
    }
    assert min(took for took, *_ in runs) < 0.005
