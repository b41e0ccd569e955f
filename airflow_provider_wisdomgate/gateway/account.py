"""The account behind a connection: whether its key works, and whether it has enough for a create.

For ``min_balance`` the balance is read at most once a minute for each account in a process, so many tasks at once may
spend a minute's worth below it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import replace
from typing import Any

from airflow_provider_wisdomgate import DEFAULT_BASE_URL
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.retry import HAS_NO_ROUTE, ONCE, RetryPolicy, has_no_route
from airflow_provider_wisdomgate.gateway.values import number_of
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.metrics import count

KNOWN_FOR = 60.0
TIMEOUT = 10.0
FEW = RetryPolicy(attempts=3)
TEST_TIMEOUT = 5.0


log = logging.getLogger(__name__)
_lock = threading.Lock()
# Account -> when it was read (this process's clock), and what it had.
_known: dict[tuple[str, str], tuple[float, float | None]] = {}


def check_account(client: Client) -> tuple[bool, str]:
    """Ask for the balance, or for the models if there is none: free, one to three short requests.

    Some gateways list their models for anybody. Then only a refusal of a made-up key shows that ours was checked.

    :raises WisdomGateError: the gateway cannot be reached, or refuses the key.
    """
    url = client.settings.base_url
    try:
        try:
            balance = client.send(replace(routes.get_balance(), timeout=TEST_TIMEOUT), ONCE)
            amount = balance.get("available_balance")
            return True, f"The key works at {url}" + ("." if amount is None else f"; available balance: {amount}.")
        except HAS_NO_ROUTE:
            models = replace(routes.list_models(), timeout=TEST_TIMEOUT)
            client.send(models, ONCE)
            if _is_refused(client.with_key(uuid.uuid4().hex), models):
                return True, f"The key works at {url} (this gateway reports no balance)."
            return True, (
                f"{url} answers, but the key was not checked: this gateway reports no balance, "
                "and lists its models for any key."
            )
    except HAS_NO_ROUTE as error:
        return False, (
            f"{url} answers (HTTP {error.status}), but not as a video gateway: check the path in the Base URL. "
            f"A good one is {DEFAULT_BASE_URL}."
        )


def _is_refused(client: Client, call: routes.Call[Any]) -> bool:
    try:
        client.send(call, ONCE)
    except errors.WisdomGateError as error:
        return error.status in (400, 401, 403)
    return False


def require_balance(client: Client, minimum: float | None, control: Control | None) -> None:
    """Return if the account has enough, or if the gateway reports no balance.

    :param control: that of the create: a task that is killed while its balance is read has sent nothing.
    :raises BalanceTooLowError: it has less.
    :raises WisdomGateError: the balance could not be read this time, so whether there is enough is not known.
    """
    if not minimum:
        return
    amount = _balance(client, control)
    if amount is not None and amount < minimum:
        raise errors.BalanceTooLowError(
            f"The account at {client.settings.base_url} has {amount:g}, less than min_balance ({minimum:g}); "
            "no create was sent, and nothing was paid."
        )


def send_create(
    client: Client,
    call: routes.Call[Video],
    min_balance: float | None = None,
    control: Control | None = None,
) -> Video:
    """Send what costs, unless the account has less than it must; count it."""
    require_balance(client, client.settings.min_balance if min_balance is None else min_balance, control)
    try:
        video = client.send(call, None, control)
    except errors.LostCreateError:
        count("lost_creates")
        raise
    count("creates")
    return video


def _balance(client: Client, control: Control | None) -> float | None:
    account = (client.settings.url_of(""), client.settings.api_key)
    with _lock:
        when, amount = _known.get(account, (float("-inf"), None))
        if time.monotonic() - when >= KNOWN_FOR:
            amount = _read(client, control)
            _known[account] = (time.monotonic(), amount)
    return amount


def _read(client: Client, control: Control | None) -> float | None:
    try:
        balance = client.send(replace(routes.get_balance(), timeout=TIMEOUT), FEW, control)
    except HAS_NO_ROUTE as error:
        if not has_no_route(error):
            raise
        log.warning("min_balance has no effect, this gateway reports no balance: %s", error)
        return None
    amount = number_of(balance.get("available_balance"))
    if amount is None:
        log.warning("min_balance has no effect, this gateway's balance has no available_balance.")
    return amount
