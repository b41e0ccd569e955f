"""``airflow wisdomgate``: gives Airflow (3.2+) the commands as it wants them. See ``cli`` in the provider info."""

from __future__ import annotations

from typing import Any

from airflow_provider_wisdomgate.cli.definition import WISDOMGATE, Command, Group
from airflow_provider_wisdomgate.cli.run import runner


def get_cli_commands() -> list[Any]:
    """Return the one group that this package adds to ``airflow``."""
    return [_of(WISDOMGATE)]


def _of(entry: Command | Group) -> Any:
    # Airflow has imported it by then: it asks for the commands when it makes its parser.
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    if isinstance(entry, Group):
        inside = tuple(_of(each) for each in entry.commands)
        return GroupCommand(entry.name, entry.help, inside, entry.description)
    arguments = [Arg(each.flags, **each.options) for each in entry.arguments]  # type: ignore[no-untyped-call]
    return ActionCommand(entry.name, entry.help, runner(entry, "airflow wisdomgate"), arguments, entry.description)
