"""Which errors say that a create surely made no video."""

from __future__ import annotations

import pytest

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.retry import is_surely_not_created

UNMADE: list[tuple[errors.WisdomGateError, bool]] = [
    (errors.UnreachableError("m"), True),
    (errors.ConfigurationError("m"), True),
    (errors.ConnectionBrokenError("m"), False),
    (errors.RateLimitedError("m", status=429), True),
    (errors.BadRequestError("m", status=400), True),
    (errors.AuthenticationError("m", status=401), True),
    (errors.PermissionDeniedError("m", status=403), True),
    (errors.VideoNotFoundError("m", status=404), True),
    (errors.BadRequestError("m", status=422), True),
    (errors.ModerationError("m", status=200), True),
    (errors.ModelNotFoundError("m", status=503), True),
    (errors.GatewayFaultError("m", status=408), False),
    (errors.GatewayFaultError("m", status=500), False),
    (errors.GatewayFaultError("m", status=502), False),
    (errors.GatewayFaultError("m", status=503), False),
    (errors.GatewayFaultError("m", status=503, code="get_channel_failed"), True),
    (errors.GatewayFaultError("m", status=503, type="no_available_channel"), True),
    (errors.GatewayFaultError("m", status=502, code="get_channel_failed"), False),
    (errors.GatewayFaultError("m", status=504), False),
    (errors.GatewayFaultError("m", status=524), False),
    (errors.UnexpectedReplyError("m", status=200), False),
    (errors.UnexpectedReplyError("m", status=308), True),
    # "See Other" is how a server answers a POST that it has carried out.
    (errors.UnexpectedReplyError("m", status=303), False),
    (errors.UnexpectedReplyError("m"), False),
    (errors.VideoNotReadyError("m", status=200), False),
    (errors.LostCreateError("m"), False),
    (errors.LostCreateError("m", status=408), False),
    (errors.WisdomGateError("m"), False),
    (errors.StoppedError("m"), False),
]


@pytest.mark.parametrize(
    ("error", "expected"), UNMADE, ids=[f"{type(e).__name__}-{e.status}-{e.code or e.type}" for e, _ in UNMADE]
)
def test_a_create_is_surely_not_created_only_where_it_never_arrived_or_was_refused(
    error: errors.WisdomGateError, expected: bool
) -> None:
    assert is_surely_not_created(error) is expected
