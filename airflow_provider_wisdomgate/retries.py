"""A retry policy that waits as long as the gateway asked for. Airflow 3.3 and later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wisdomgate.exceptions import StoppedError, WisdomGateError

try:
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "WisdomGateRetryPolicy needs Airflow 3.3 or later. Leave retry_policy out on this version: errors that a retry "
        "cannot help end the task at once anyway."
    ) from error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

MAX_DELAY = timedelta(hours=1)


class WisdomGateRetryPolicy(RetryPolicy):
    """Makes a retry wait for as long as the gateway asked. Give it to a task as ``retry_policy``.

    After an error with ``Retry-After`` the retry waits that long, an hour at most. After any other error the task's
    own ``retry_delay`` counts. Errors that a retry cannot help end the task at once.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide on one failure."""
        if not isinstance(exception, WisdomGateError) or isinstance(exception, StoppedError):
            return RetryDecision.default()
        if exception.retry_after is None:
            return RetryDecision.default()
        delay = min(timedelta(seconds=exception.retry_after), MAX_DELAY)
        return RetryDecision.retry(delay=delay, reason=f"the gateway asked to wait {exception.retry_after:g} s")

    def serialize(self) -> dict[str, Any]:
        """Return the policy's arguments: it has none."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> WisdomGateRetryPolicy:
        """Make the policy again."""
        return cls()
