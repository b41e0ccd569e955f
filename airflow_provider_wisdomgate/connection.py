"""Reads a connection of Airflow's into the clients' settings, blocking or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.client import Secret, Settings


def read_settings(conn_id: str) -> Settings:
    """Read a connection. Sends nothing to the gateway.

    :raises ConfigurationError: there is no such connection, or it has no key, or a field of it is wrong.
    """
    with _missing_connection(conn_id):
        found = BaseHook.get_connection(conn_id)
    fields = found.host, found.port, Secret(found.password or ""), found.extra_dejson
    del found  # its repr shows the key, and error reporters show the reprs of local variables
    return Settings.of(conn_id, *fields)


async def read_settings_async(conn_id: str) -> Settings:
    """Read a connection without blocking the event loop; see :func:`read_settings`."""
    with _missing_connection(conn_id):
        found = await get_async_connection(conn_id)
    fields = found.host, found.port, Secret(found.password or ""), await get_async_extra_dejson(found)
    del found
    return Settings.of(conn_id, *fields)


@contextmanager
def _missing_connection(conn_id: str) -> Iterator[None]:
    try:
        yield
    except AirflowNotFoundException as error:
        raise errors.ConfigurationError(
            f"There is no connection {conn_id!r}.",
            next_step=f"Add it in Admin > Connections, or: airflow connections add {conn_id} --conn-type wisdomgate "
            f"--conn-host {DEFAULT_BASE_URL} --conn-password '<key>'.",
        ) from error
