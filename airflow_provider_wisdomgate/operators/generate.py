"""Generates a clip: one durable task that asks for a video, waits for it and stores it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.retry import has_no_route
from airflow_provider_wisdomgate.gateway.routes import Call, as_text, seconds_text
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger.rules import OnLostCreate
from airflow_provider_wisdomgate.operators.base import CreateArguments
from airflow_provider_wisdomgate.operators.durable import DurableVideoOperator
from airflow_provider_wisdomgate.operators.help_text import shows_all_arguments


@shows_all_arguments
class WisdomGateGenerateVideoOperator(CreateArguments, DurableVideoOperator):
    """Asks for a video, waits for it and stores it: one task that can be killed, retried and cleared at any time.

    The manifest beside the clip remembers what was paid for, so that a later try goes on instead of paying
    again. Returns the manifest as a plain dict. Takes Airflow's own arguments, too (``retries``, ``pool``, ...).

    :param if_exists: ``skip`` succeeds without a request if the clip of the very same request is there;
        ``replace`` makes a new one in its place; ``fail`` fails. (templated)
    :param on_lost_create: what to do after an earlier create whose answer was lost, and which may have been paid for:
        ``fail``; ``find`` its video in the gateway's list, and fail if the list does not tell which one it is; or
        ``create`` another one and perhaps pay twice. (templated)
    """

    template_fields: Sequence[str] = (*CreateArguments.template_fields, *DurableVideoOperator.template_fields)
    ui_color = "#d9d7f2"
    lost_create_choices: tuple[OnLostCreate, ...] = ("fail", "find", "create")

    def _request(self, call: Call[Video]) -> dict[str, Any]:
        options = self._options()
        options.pop("input_reference", None)
        request: dict[str, Any] = {
            "model": self.model,
            "fields": {name: _recorded(name, value) for name, value in sorted(options.items())},
        }
        if call.reference_sha256:
            request["input_reference_sha256"] = call.reference_sha256
        return request

    def _list_videos(self) -> Iterable[Video]:
        try:
            return self.hook.list_videos()
        except errors.WisdomGateError as error:
            if error.is_transient and not has_no_route(error):
                error.advise("A retry looks for the lost create in the gateway's list again.", replace=True)
                raise
            self.log.warning("The gateway does not list its videos, so a lost create stays lost: %s", error)
            return ()


def _recorded(name: str, value: Any) -> Any:
    """Return a field as the record has it, whichever way its number was written."""
    written = {"seconds": seconds_text, "size": as_text}.get(name)
    return value if written is None or value is None else written(value)
