"""Reads a connection of Airflow's into the clients' settings, blocking or not."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_wisdomgate import (
    DEFAULT_BASE_URL,
    FORM_EXTRAS,
    FORM_HIDDEN,
    FORM_LABELS,
    FORM_PLACEHOLDERS,
)
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.settings import Secret, Settings, keys_in

# The oldest common-compat that we take has none.
mask_secret: Callable[[str], None] = getattr(sdk, "mask_secret", lambda secret: None)


def read_settings(conn_id: str) -> Settings:
    """Read a connection. Sends nothing to the gateway.

    :raises ConfigurationError: there is no such connection, or it has no key, or a field of it is wrong.
    """
    with _missing_connection(conn_id):
        found = BaseHook.get_connection(conn_id)
    fields = found.host, found.port, Secret(found.password or ""), found.extra_dejson
    del found  # its repr shows the key, and error reporters show the reprs of local variables
    settings = Settings.of(conn_id, *fields)
    for key in keys_in(settings.query):  # urllib3 logs URLs, if asked for details
        mask_secret(key)
    return _with_its_files(conn_id, settings)


async def read_settings_async(conn_id: str) -> Settings:
    """Read a connection without blocking the event loop; see :func:`read_settings`."""
    with _missing_connection(conn_id):
        found = await _get_async(conn_id)
    fields = found.host, found.port, Secret(found.password or ""), await get_async_extra_dejson(found)
    del found
    return await asyncio.to_thread(_with_its_files, conn_id, Settings.of(conn_id, *fields))


async def _get_async(conn_id: str) -> Any:
    try:
        return await get_async_connection(conn_id)
    except AirflowNotFoundException:
        if not _is_dag_test():
            raise
    return await asyncio.to_thread(BaseHook.get_connection, conn_id)


def _is_dag_test() -> bool:
    """Return whether a trigger runs in `airflow dags test` of Airflow 3.

    What answers there for the API cannot be awaited, and Airflow then calls a connection of its database missing: the
    task had found it, and had paid.
    """
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    comms = getattr(runner, "SUPERVISOR_COMMS", None)
    return comms is not None and not hasattr(comms, "asend")


def _with_its_files(conn_id: str, settings: Settings) -> Settings:
    """Look for the certificates: requests reports a missing one only when a paid create is under way."""
    cert = settings.cert if isinstance(settings.cert, tuple) else (settings.cert,)
    for name, path in [("verify", settings.verify), *(("cert", path) for path in cert)]:
        if isinstance(path, str) and not os.path.exists(path):
            raise errors.ConfigurationError(
                f"Connection {conn_id!r}: extra {name!r} names {path!r}, and no such file is on this machine.",
                next_step="Workers and triggerers need it at the same path.",
            )
    return settings


@contextmanager
def _missing_connection(conn_id: str) -> Iterator[None]:
    try:
        yield
    except AirflowNotFoundException as error:
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        if os.environ.get(variable):  # Airflow reports one that it cannot read as "not defined", too
            raise errors.ConfigurationError(
                f"Airflow cannot read the connection {conn_id!r} in the environment variable {variable}.",
                next_step="In a URI, / # ? @ : and % of the key are written as %2F etc. JSON needs none of that: "
                f'{{"conn_type": "wisdomgate", "host": "{DEFAULT_BASE_URL}", "password": "<key>"}}.',
            ) from error
        raise errors.ConfigurationError(
            f"There is no connection {conn_id!r}.",
            next_step=f"Add it in Admin > Connections, or: airflow connections add {conn_id} --conn-type wisdomgate "
            f"--conn-host {DEFAULT_BASE_URL} --conn-password '<key>'. This process looked in the Airflow of "
            f"AIRFLOW_HOME={os.path.expanduser(os.environ.get('AIRFLOW_HOME', '~/airflow'))}.",
        ) from error


def form_behaviour() -> dict[str, Any]:
    """Describe to Airflow before 3.2 what the connection form shows; later ones read get_provider_info()."""
    return {
        "hidden_fields": list(FORM_HIDDEN),
        "relabeling": dict(FORM_LABELS),
        "placeholders": dict(FORM_PLACEHOLDERS),
    }


def form_widgets() -> dict[str, Any]:
    """Describe to Airflow before 3.2 which fields the connection form adds."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    kinds = {"string": StringField, "integer": IntegerField, "number": StringField}  # Airflow 2 takes no FloatField
    return {
        name: kinds[field["type"]](
            field["label"], description=field["description"], widget=BS3TextFieldWidget(), validators=[Optional()]
        )
        for name, field in FORM_EXTRAS.items()
    }
