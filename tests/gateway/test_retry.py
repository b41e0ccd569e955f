"""Whether and when the same request is sent again."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.retry import ONCE, RetryPolicy, is_surely_not_created, retry_delay

FAULT = errors.GatewayFaultError("fault", status=502)
POLICY = RetryPolicy(attempts=3, base=1.0, cap=5.0, rate_limited_base=2.0, longest_wait=9.0)


def own(error: errors.WisdomGateError) -> errors.WisdomGateError:
    """Mark an error as said in the gateway's own shape."""
    error.is_own_words = True
    return error


CLASSES = [k for k in vars(errors).values() if inspect.isclass(k) and issubclass(k, errors.WisdomGateError)]

USUAL_STATUS: dict[str, int] = {
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "BadRequestError": 400,
    "ModerationError": 400,
    "ModelNotFoundError": 503,
    "VideoNotFoundError": 404,
    "VideoExpiredError": 410,
    "RateLimitedError": 429,
    "VideoNotReadyError": 202,
    "GatewayFaultError": 500,
    "UnexpectedReplyError": 200,
}

# What a poll may be sent again after. Of these, all but two may have reached the gateway: no create after them.
PASSING = {
    "UnreachableError",
    "ConnectionBrokenError",
    "RateLimitedError",
    "VideoNotReadyError",
    "ContentMissingError",
    "GatewayFaultError",
    "UnexpectedReplyError",
    "ContentError",
}

NEVER_ARRIVED = {"UnreachableError", "RateLimitedError"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("idempotent", [True, False], ids=["a poll", "a create"])
def test_a_create_is_asked_again_only_if_it_surely_was_unmade(
    kind: type[errors.WisdomGateError], idempotent: bool
) -> None:
    error = kind("m", status=USUAL_STATUS.get(kind.__name__))
    delay = retry_delay(error, idempotent=idempotent, attempt=1, policy=POLICY, jitter=1.0)
    usual = 2.0 if kind is errors.RateLimitedError else 1.0
    assert delay == (usual if kind.__name__ in (PASSING if idempotent else NEVER_ARRIVED) else None)


@settings(deadline=None)
@given(
    st.sampled_from(CLASSES),
    st.none() | st.integers(100, 599),
    st.none() | st.sampled_from(["get_channel_failed", "model_not_found", "x"]),
    st.integers(1, 5),
    st.none() | st.floats(0, 100),
)
def test_whatever_may_have_made_a_video_is_not_sent_twice(
    kind: type[errors.WisdomGateError], status: int | None, code: str | None, attempt: int, retry_after: float | None
) -> None:
    error = kind("m", status=status, code=code, retry_after=retry_after)
    delay = retry_delay(error, idempotent=False, attempt=attempt, policy=POLICY, jitter=0.5)
    assert delay is None or is_surely_not_created(error)


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (errors.GatewayFaultError("m", status=503), None),
        (own(errors.GatewayFaultError("m", status=503, code="get_channel_failed")), 1.0),
        (errors.GatewayFaultError("m", status=503, code="get_channel_failed"), None),
        (own(errors.ModelNotFoundError("m", status=503, code="model_not_found")), None),
        (errors.RateLimitedError("wrapped", status=502), None),
        (errors.UnexpectedReplyError("m", status=404), None),
        (errors.GatewayFaultError("m", status=408), None),
        (errors.GatewayFaultError("m", status=524), None),
        (errors.UnexpectedReplyError("m", status=200), None),
        (errors.UnexpectedReplyError("m", status=303), None),
        (errors.ConnectionBrokenError("m"), None),
        (errors.UnreachableError("m"), 1.0),
        (errors.RateLimitedError("m", status=429), 2.0),
        (errors.VideoNotReadyError("m", status=409), None),
        (errors.VideoNotReadyError("m", status=425), None),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.status}-{value.code}" if isinstance(value, Exception) else None,
)
def test_a_create_that_may_have_arrived_is_not_sent_twice(error: errors.WisdomGateError, delay: float | None) -> None:
    assert retry_delay(error, idempotent=False, attempt=1, policy=POLICY, jitter=1.0) == delay


@pytest.mark.parametrize(
    ("attempt", "retry_policy", "jitter", "delay"),
    [
        (1, POLICY, 1.0, 1.0),
        (1, POLICY, 0.0, 0.5),
        (2, POLICY, 1.0, 2.0),
        (3, POLICY, 1.0, None),
        (4, RetryPolicy(attempts=9, base=1.0, cap=5.0), 1.0, 5.0),
        (1, ONCE, 1.0, None),
    ],
)
def test_the_pause_doubles_up_to_a_cap_and_the_tries_are_bounded(
    attempt: int, retry_policy: RetryPolicy, jitter: float, delay: float | None
) -> None:
    assert retry_delay(FAULT, idempotent=True, attempt=attempt, policy=retry_policy, jitter=jitter) == delay


@pytest.mark.parametrize(("asked", "delay"), [(0.0, 1.0), (4.0, 4.0), (9.0, 9.0), (9.1, 9.0), (86400.0, 9.0)])
def test_the_pause_the_gateway_asks_for_is_kept_up_to_the_longest_wait(asked: float, delay: float) -> None:
    error = errors.RateLimitedError("m", status=429, retry_after=asked)
    assert retry_delay(error, idempotent=True, attempt=1, policy=POLICY, jitter=0.0) == delay


def test_a_429_that_says_nothing_is_waited_out_beyond_a_minute() -> None:
    policy, error = RetryPolicy(), errors.RateLimitedError("m", status=429)
    delays = [
        retry_delay(error, idempotent=False, attempt=attempt, policy=policy, jitter=0.0) or 0.0
        for attempt in range(1, policy.attempts)
    ]
    assert sum(delays) > 60.0
