"""What a task does about the account: no create below ``min_balance``, no copy left at the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripted import Gateway, Request, http, scripted
from support import SMALL, LocalPlace, made, started, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway import account
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.operators import WisdomGateCreateVideoOperator, WisdomGateDownloadVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Connect = Callable[..., Any]
# More than the sandbox gives.
TOO_MUCH = 1e9


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    account._known.clear()


# The balance


def test_a_create_below_the_balance_is_not_sent_and_leaves_nothing(
    generate: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.BalanceTooLowError, match=r"less than min_balance \(1e\+09\)"):
        generate(min_balance=TOO_MUCH).execute(context())
    assert (sandbox.counts()["create_requests"], local.names()) == (0, [])
    generate(min_balance=0.5).execute(context())
    assert sandbox.counts()["creates"] == 1


def test_the_connections_balance_counts_for_every_create(
    generate: Any, sandbox: Sandbox, connect: Connect, quick: None, context: Any
) -> None:
    operator, other = generate(), generate(min_balance=0)
    connect(extra={"min_balance": TOO_MUCH})
    creates = (
        lambda: operator.execute(context()),
        lambda: WisdomGateCreateVideoOperator(task_id="create", prompt="a cat", **SMALL).execute(context()),
        lambda: WisdomGateHook().create_video(prompt="a cat", **SMALL),
        lambda: WisdomGateHook().remix_video("video_1", "at night"),
    )
    for create in creates:
        with pytest.raises(errors.BalanceTooLowError):
            create()
    assert sandbox.counts()["create_requests"] + sandbox.counts()["remix_requests"] == 0
    other.execute(context())  # the task's own word wins
    assert sandbox.counts()["creates"] == 1


def test_the_balance_is_read_once_a_minute(
    generate: Any, local: LocalPlace, sandbox: Sandbox, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        generate(min_balance=0.5, destination=local.uri(f"{number}.mp4")).execute(context())
    assert sandbox.counts()["balance"] == 1
    monkeypatch.setattr(account, "KNOWN_FOR", 0.0)
    generate(min_balance=0.5, destination=local.uri("later.mp4")).execute(context())
    assert sandbox.counts()["balance"] == 2


def test_what_needs_no_create_asks_for_no_balance(generate: Any, sandbox: Sandbox, context: Any) -> None:
    stored = generate().execute(context())
    assert generate(min_balance=TOO_MUCH).execute(context(run_id="next")) == stored
    assert sandbox.counts()["balance"] == 0


CREATED = http(200, json.dumps({"id": "video_1", "status": "queued"}).encode())
NOT_FOUND = b'{"error": {"message": "Invalid URL", "type": "invalid_request_error"}}'
BALANCES = {
    "the gateway's own 404": (http(404, NOT_FOUND), None),
    "its framework's 404": (http(404, b'{"detail": "Not Found"}'), None),
    "another object": (http(200, b'{"credits": 3}'), None),
    "a text": (http(200, b'{"available_balance": "12.5"}'), None),
    "less": (http(200, b'{"available_balance": 0.1}'), errors.BalanceTooLowError),
    "nothing left": (http(200, b'{"available_balance": 0}'), errors.BalanceTooLowError),
    "in debt": (http(200, b'{"available_balance": -3}'), errors.BalanceTooLowError),
    "a proxy's page": (http(502, b"<html>Bad gateway</html>"), errors.WisdomGateError),
    "no to this request": (http(400, NOT_FOUND), errors.BadRequestError),
    "no such key": (http(401, b'{"error": {"message": "No such key"}}'), errors.AuthenticationError),
}


@pytest.fixture
def answered(connect: Connect, quick: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], Gateway]]:
    """A gateway that makes every video, and says this of the balance."""
    monkeypatch.setattr(account, "FEW", WisdomGateHook.retry_policy)
    told = [b""]

    def answer(request: Request) -> bytes:
        return told[0] if request.path.endswith("/balance") else CREATED

    with scripted(answer) as gateway:
        connect(host=gateway.url)

        def say(balance: bytes) -> Gateway:
            told[0] = balance
            return gateway

        yield say


@pytest.mark.parametrize(("balance", "kind"), BALANCES.values(), ids=BALANCES)
def test_what_a_gateway_says_of_its_balance(
    balance: bytes, kind: type[Exception] | None, answered: Callable[[bytes], Gateway]
) -> None:
    """Where it tells none the limit has no effect; where it could not be asked this time, nothing is spent."""
    gateway, hook = answered(balance), WisdomGateHook()
    call = hook.create_call("any", "a cat", {})
    if kind is None:
        assert hook.send_create(call, 1.0).id == "video_1"
    else:
        with pytest.raises(kind):
            hook.send_create(call, 1.0)
    assert ("POST" in {request.method for request in gateway.requests}) == (kind is None)


KEY = "sk-of-the-connection"
WRONG = {
    "refused": (401, b'{"error": {"message": "no"}}'),
    "forbidden": (403, b'{"error": {"message": "no"}}'),
    "bad": (400, b'{"error": {"message": "malformed key"}}'),
    "public": (200, b'{"data": []}'),
    "not known": (502, b"<html>"),
    "moved": (302, b""),
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_test_button_believes_models_only_if_another_key_is_refused(kind: str, connect: Connect) -> None:
    def answer(request: Request) -> bytes:
        if request.path.endswith("/balance"):
            return http(404, NOT_FOUND)
        is_ours = request.headers["authorization"] == f"Bearer {KEY}"
        return http(200, b'{"data": []}') if is_ours else http(*WRONG[kind])

    with scripted(answer) as gateway:
        connect(host=gateway.url, password=KEY)
        told = WisdomGateHook().test_connection()
    assert len(gateway.requests) == 3
    if kind in ("refused", "forbidden", "bad"):
        assert told == (True, f"The key works at {gateway.url}/v1 (this gateway reports no balance).")
    else:
        assert told == (
            True,
            f"{gateway.url}/v1 answers, but the key was not checked: this gateway reports no balance, "
            "and lists its models for any key.",
        )


# The gateway's copy


def test_the_gateways_copy_goes_once_the_clip_is_stored(
    generate: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    stored = generate(delete_after_download=True).execute(context())
    assert (stored["phase"], local.read("cat.mp4"), sandbox.videos()) == ("stored", whole(), [])
    assert generate(delete_after_download=True).execute(context(run_id="next")) == stored
    assert sandbox.counts()["deletes"] == 1


def test_a_copy_stays_where_the_clip_could_not_be_stored(
    generate: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.WisdomGateError):
        generate("render=0 content=truncated", delete_after_download=True).execute(context())
    assert (len(sandbox.videos()), sandbox.counts()["deletes"]) == (1, 0)


def test_a_copy_that_cannot_be_deleted_is_a_warning(
    generate: Any, local: LocalPlace, sandbox: Sandbox, context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.burst(503, 60.0, method="DELETE")
    stored = generate(delete_after_download=True).execute(context())
    assert (stored["phase"], len(sandbox.videos())) == ("stored", 1)
    assert stored["video_id"] in caplog.text


def test_the_download_operator_deletes_what_it_has_stored(
    hook: WisdomGateHook, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    arguments = {"video_id": made(hook, "render=0"), "destination": local.uri("cat.mp4")}
    task = WisdomGateDownloadVideoOperator(task_id="download", delete_after_download=True, **arguments)
    stored = task.execute(context())
    assert (local.read("cat.mp4"), sandbox.videos()) == (whole(), [])
    assert (task.execute(context()), sandbox.counts()["deletes"]) == (stored, 1)


def test_a_try_that_was_killed_before_it_deleted_the_copy_leaves_that_to_the_next(
    generate: Any, sandbox: Sandbox, context: Any
) -> None:
    same = context()
    stored = generate().execute(same)  # killed right after it was stored
    assert generate(delete_after_download=True).execute(same) == stored
    assert (sandbox.counts()["deletes"], sandbox.videos()) == (1, [])


def test_a_task_that_is_killed_while_its_balance_is_read_says_that_nothing_was_made(
    generate: Any, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    sandbox.burst(429, 60.0, retry_after=50, method="GET")
    operator = generate(min_balance=0.5)
    operator.hook.client.retry_policy = WisdomGateHook.retry_policy
    worker, ends = started(operator, context())
    while not sandbox.requests():
        worker.join(0.01)
        assert worker.is_alive()
    operator.on_kill()
    worker.join()
    assert ([type(end) for end in ends], local.names()) == ([errors.StoppedError], [])
    assert sandbox.counts()["create_requests"] == 0
