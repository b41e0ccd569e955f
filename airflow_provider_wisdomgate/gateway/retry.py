"""May the same request be sent again, and when? Pure: time and chance are arguments.

A request that costs nothing is sent again after any transient error; one that costs only when it surely did not arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.dialects import BEFORE_FORWARDING, NOT_FORWARDED_WORDS, UNSURE_STATUSES


@dataclass(frozen=True)
class RetryPolicy:
    """How long one request is tried again: ``attempts`` in all, ``base`` seconds doubling up to ``cap``.

    :param rate_limited_base: the same after a 429 without a time: limits are per minute.
    :param longest_wait: a longer ``Retry-After`` is a wish; so long it is waited for.
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 60.0
    rate_limited_base: float = 15.0
    longest_wait: float = 120.0


ONCE = RetryPolicy(attempts=1)

# The answers of a gateway that has no such route; without a word of its own, its framework's.
HAS_NO_ROUTE = (errors.VideoNotFoundError, errors.UnexpectedReplyError, errors.BadRequestError)
NO_ROUTE_STATUSES = (404, 405)


def retry_delay(
    error: errors.WisdomGateError, *, idempotent: bool, attempt: int, policy: RetryPolicy, jitter: float
) -> float | None:
    """Return in how many seconds the same request may be sent again, or None for never.

    :param idempotent: whether sending it twice costs nothing. A costly one is sent again only if it surely
        did not arrive.
    :param attempt: how often it was sent so far, from 1.
    """
    if attempt >= policy.attempts or not error.is_transient:
        return None
    if not (idempotent or (is_surely_not_created(error) and _may_be_taken_later(error))):
        return None
    if error.retry_after:
        return min(error.retry_after, policy.longest_wait)
    base = policy.rate_limited_base if isinstance(error, errors.RateLimitedError) else policy.base
    backoff: float = min(policy.cap, base * 2 ** (attempt - 1))
    return backoff * (0.5 + 0.5 * jitter)


def _may_be_taken_later(error: errors.WisdomGateError) -> bool:
    """Whether the same create may be taken in a moment; a wrong Base URL, for one, stays wrong."""
    return isinstance(error, errors.UnreachableError) or error.status in (429, 503)


def is_surely_not_created(error: errors.WisdomGateError) -> bool:
    """Whether a create that ended so surely made no video. There are three such cases.

    No connection was established. Or the gateway refused in its own words. Or a page came that can only have been sent
    before forwarding; any other page may stand in place of the answer of a video that was made.
    """
    if isinstance(error, errors.UnreachableError | errors.ConfigurationError):
        return True
    if isinstance(error, errors.LostCreateError) or error.status is None:
        return False
    if error.is_own_words and 400 <= error.status < 500:
        return error.status not in UNSURE_STATUSES
    if error.is_own_words and error.status == 503:
        return NOT_FORWARDED_WORDS.intersection({error.code, error.type}) != set()
    return error.status in BEFORE_FORWARDING and not error.answered_id


def has_no_route(error: errors.WisdomGateError) -> bool:
    """Whether a gateway does not know what was asked of it: no error of this request, and none that passes."""
    return isinstance(error, HAS_NO_ROUTE) and error.status in NO_ROUTE_STATUSES
