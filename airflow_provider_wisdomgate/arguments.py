"""Checks arguments before money is spent. Pure. gateway/routes.py checks a create's own fields."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import inf
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.routes import as_text
from airflow_provider_wisdomgate.gateway.settings import without_default_port

# Airflow writes the end of a wait as a date, and knows none after the year 9999.
YEAR = 366 * 86400
# The remedy for a task whose connection was changed while it waited.
LEAD_BACK = "Let the connection lead there until the video is stored."


class Text:
    """An operator's argument that is text. Native rendering makes a number of digits, and this text again."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, operator: Any, owner: type | None = None) -> Any:
        return self if operator is None else operator.__dict__[self.name]

    def __set__(self, operator: Any, value: Any) -> None:
        operator.__dict__[self.name] = self.kept(value)

    @staticmethod
    def kept(value: Any) -> Any:
        return as_text(value)


class ReferenceText(Text):
    """A reference image. Airflow stores and shows rendered arguments; of a ``data:`` URL it gets the hash."""

    @staticmethod
    def kept(value: Any) -> Any:
        if isinstance(value, str):
            is_data = value.lstrip().lower().startswith("data:") and "{{" not in value and "{%" not in value
            return DataUrl(value) if is_data else value
        return _each(value, ReferenceText.kept)


class DataUrl:
    """A ``data:`` URL that shows its hash only."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def _shown(self) -> str:
        return f"(data: URL of {len(self.url)} characters, sha256 {hashlib.sha256(self.url.encode()).hexdigest()})"

    def __repr__(self) -> str:
        return self._shown


def shown_whole(value: Any) -> Any:
    """Return a reference as it was given."""
    return value.url if isinstance(value, DataUrl) else _each(value, shown_whole)


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: change(each) for name, each in value.items()}
    return [change(each) for each in value] if isinstance(value, list | tuple) else value


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Refuse a value that is none of the choices.

    :raises ConfigurationError: naming the argument.
    """
    if value not in choices:
        raise errors.ConfigurationError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}.")


def check_seconds(name: str, value: Any) -> None:
    """Refuse what is no time to wait: of 0 s, or of more than a year.

    :raises ConfigurationError: naming the argument.
    """
    if not _is_number(value) or not 0 < value <= YEAR:
        raise errors.ConfigurationError(
            f"{name} must be a number of seconds above 0 and at most {YEAR} (a year), not {value!r}."
        )


def check_storing(if_exists: Any, max_bytes: Any, delete_after_download: Any) -> None:
    """Refuse what a clip cannot be stored by: the arguments that generate, remix and download share.

    :raises ConfigurationError: naming the argument.
    """
    check_choice("if_exists", if_exists, ("skip", "replace", "fail"))
    check_choice("delete_after_download", delete_after_download, (True, False))
    if not _is_number(max_bytes) or not 0 < max_bytes < inf:
        raise errors.ConfigurationError(f"max_bytes must be a number of bytes above 0, not {max_bytes!r}.")


def check_credit(name: str, value: Any) -> None:
    """Refuse what is no amount of credit; None is one that was left out.

    :raises ConfigurationError: naming the argument.
    """
    if value is not None and (not _is_number(value) or not 0 <= value < inf):
        raise errors.ConfigurationError(f"{name} must be a number of 0 or more, not {value!r}.")


def check_gateway(there: Any, here: str, conn_id: str, remedy: str = LEAD_BACK) -> None:
    """Refuse a connection that does not lead to the gateway that made a video: another one may have its id, too.

    :param there: the base URL that the video's record names, only ever compared; None if it names none.
    :raises WrongGatewayError: naming both.
    """
    if there is not None and without_default_port(str(there)) != without_default_port(here):
        raise errors.WrongGatewayError(
            f"This video is at {there}, and connection {conn_id!r} leads to {here}.",
            next_step=remedy,
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
