"""What depends on the Airflow version: each row of docs/versions.md, asked of the Airflow that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from unittest.mock import patch

from airflow_provider_wisdomgate import FORM_EXTRAS
from airflow_provider_wisdomgate.links import WisdomGateVideoLink

PACKAGE = "airflow_provider_wisdomgate"


def has_core() -> bool:
    modules = ("hooks", "operators", "sensors", "triggers", "decorators")
    return all(import_module(f"{PACKAGE}.{name}") for name in modules)


def read_form() -> tuple[list[str], list[str]]:
    """Ask whatever fills the form, the API server's service or Airflow 2's provider manager: its fields, the hidden."""
    try:
        service = import_module("airflow.api_fastapi.core_api.services.ui.connections").HookMetaService
    except ImportError:
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        fields = [name.rpartition("__")[2] for name in manager.connection_form_widgets if "wisdomgate" in name]
        return sorted(fields), sorted(manager.field_behaviours["wisdomgate"]["hidden_fields"])
    (ours,) = (each for each in service.hook_meta_data() if each.connection_type == "wisdomgate")
    standard = ours.standard_fields.model_dump() if ours.standard_fields else {}
    hidden = [name.removeprefix("url_") for name, told in standard.items() if told and told["hidden"]]
    return sorted(ours.extra_fields or {}), sorted(hidden)


@cache
def form() -> tuple[list[str], list[str]]:
    """Read the form in a process of its own: Airflow 3.0 and 3.1 leave stand-ins for FAB behind in theirs."""
    command = [sys.executable, __file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    fields, hidden = json.loads(done.stdout.splitlines()[-1])
    return fields, hidden


def has_form_fields() -> bool:
    return set(form()[0]) == set(FORM_EXTRAS)


def has_asset_events() -> bool:
    from airflow.providers.common.compat.sdk import Asset
    from support import outlet_events

    from airflow_provider_wisdomgate.ledger.driver import StoredVideo
    from airflow_provider_wisdomgate.lineage import FACTS, announce

    asset, events = Asset("s3://bucket/clip.mp4"), outlet_events()
    facts = dict.fromkeys(FACTS) | {"uri": "s3://bucket/clip.mp4"}
    stored: StoredVideo = SimpleNamespace(**facts)  # type: ignore[assignment]
    announce({"outlet_events": events}, [asset], SimpleNamespace(), stored)  # type: ignore[arg-type,typeddict-item]
    return bool(events[asset].extra == facts)


def has_openlineage() -> bool:
    from airflow_provider_wisdomgate.lineage import openlineage_facets

    return openlineage_facets(None) is not None


def has_player() -> bool:
    from airflow.providers.common.compat.sdk import AirflowPlugin

    from airflow_provider_wisdomgate.plugin import WisdomGatePlugin

    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    link = WisdomGateVideoLink().get_link(None, ti_key=ti)  # type: ignore[arg-type]
    if not (link and getattr(WisdomGatePlugin, "fastapi_apps", None) and hasattr(AirflowPlugin, "external_views")):
        return False
    return bool(import_module(f"{PACKAGE}.plugin.app").app)


def has_tab() -> bool:
    from airflow_provider_wisdomgate.plugin import tabs

    with patch.dict(os.environ, {"AIRFLOW__WISDOMGATE__VIDEO_TAB": "True"}):
        return has_player() and bool(tabs())


def has_tab_download() -> bool:
    return has_tab() and bool(import_module(f"{PACKAGE}.plugin.app").FRAME_ALLOWS_DOWNLOAD)


def has_kill_of_deferred() -> bool:
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


def has_retry_policy() -> bool:
    with suppress(ImportError):
        return hasattr(import_module(f"{PACKAGE}.retries"), "WisdomGateRetryPolicy")
    return False


def has_backfill_command() -> bool:
    from airflow.cli.cli_parser import get_parser

    dates = ["--from-date", "2026-01-01", "--to-date", "2026-01-07"]
    try:
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
            get_parser().parse_args(["backfill", "create", "--dag-id", "daily", *dates])
    except SystemExit:
        return False
    return True


def has_airflow_wisdomgate() -> bool:
    from airflow.providers_manager import ProvidersManager

    return hasattr(ProvidersManager, "cli_command_functions")


# The names of the table's rows, and what @pytest.mark.needs(...) takes.
FEATURES: dict[str, Callable[[], bool]] = {
    "core": has_core,
    "form fields": has_form_fields,
    "asset events": has_asset_events,
    "OpenLineage": has_openlineage,
    "player": has_player,
    "tab": has_tab,
    "download in the tab": has_tab_download,
    "kill of a deferred task": has_kill_of_deferred,
    "retry policy": has_retry_policy,
    "backfill command": has_backfill_command,
    "airflow wisdomgate": has_airflow_wisdomgate,
}

if __name__ == "__main__":
    print(json.dumps(read_form()))
