"""What Airflow is told of this package: the schemas hold, the names resolve, the form shows."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from versions import form

import airflow_provider_wisdomgate
from airflow_provider_wisdomgate import FORM_EXTRAS, FORM_HIDDEN, __version__, get_provider_info
from airflow_provider_wisdomgate.hooks import WisdomGateHook

ROOT = Path(__file__).parents[1]


def schema(name: str) -> dict[str, Any]:
    path = files("airflow") / name
    if not path.is_file():
        pytest.skip(f"this Airflow has no {name}")
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_the_provider_info_fits_airflows_schema_for_installed_providers() -> None:
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_each_part_of_the_provider_info_fits_airflows_schema_for_provider_yaml() -> None:
    whole = schema("provider.yaml.schema.json")
    parts = get_provider_info()
    if "cli" not in whole["properties"]:  # Airflow before 3.2 knows no commands of providers, and passes them over
        del parts["cli"]
    assert set(parts) - set(whole["properties"]) == set()
    partial = {**whole, "required": ["name", "package-name", "description", "versions"]}
    jsonschema.validate(parts, partial)


def test_the_provider_info_is_plain_json() -> None:
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


def test_the_entry_point_finds_the_provider_info() -> None:
    (found,) = (
        entry for entry in entry_points(group="apache_airflow_provider") if entry.value.startswith("airflow_provider_w")
    )
    assert found.load()() == get_provider_info()


def test_the_version_stands_in_one_place_and_the_changelog_begins_with_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert ("version" in project["project"], "version" in project["project"]["dynamic"]) == (False, True)
    assert ROOT / project["tool"]["hatch"]["version"]["path"] == Path(airflow_provider_wisdomgate.__file__)
    assert get_provider_info()["versions"] == [__version__]
    released = re.findall(r"^## \[(\d.*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[0] == __version__


def test_every_module_that_the_provider_info_names_can_be_imported() -> None:
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for group in info[kind]:
            for module in group["python-modules"]:
                import_module(module)
    for path in info["cli"]:
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))
    (connection_type,) = info["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name) is WisdomGateHook


def test_the_hook_and_the_provider_info_describe_one_form() -> None:
    (connection_type,) = get_provider_info()["connection-types"]
    behaviour = WisdomGateHook.get_ui_field_behaviour()
    assert {name.replace("_", "-"): value for name, value in behaviour.items()} == connection_type["ui-field-behaviour"]
    assert connection_type["connection-type"] == WisdomGateHook.conn_type
    assert connection_type["hook-name"] == WisdomGateHook.hook_name
    assert list(connection_type["conn-fields"]) == list(FORM_EXTRAS)


def test_the_hooks_own_class_says_what_airflow_2_asks_for_the_form() -> None:
    assert vars(WisdomGateHook).keys() >= {"get_ui_field_behaviour", "get_connection_form_widgets"}


def test_airflows_providers_manager_lists_the_connection_type() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.providers["airflow-provider-wisdomgate"].version == __version__
    hook = manager.hooks["wisdomgate"]
    assert hook is not None
    assert (hook.hook_class_name, hook.connection_id_attribute_name, hook.hook_name) == (
        "airflow_provider_wisdomgate.hooks.WisdomGateHook",
        "wisdomgate_conn_id",
        "WisdomGate",
    )


@pytest.mark.needs("form fields")
def test_the_connection_form_shows_our_fields_and_hides_those_that_mean_nothing_here() -> None:
    assert form() == (sorted(FORM_EXTRAS), sorted(FORM_HIDDEN))


def test_the_storage_path_option_is_known_to_airflows_configuration() -> None:
    from airflow.configuration import conf

    assert conf.get("wisdomgate", "storage_path", fallback=None) is None
