"""What all waits on one connection share: the client, and the poll of a same video."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from blockbuster import BlockBusterFunction, blockbuster_ctx
from many_waits import CONN_ID, Connect, cancel, event_of, outcome_of, rendering, run, until
from support import SMALL, asked, tls_in_front_of

from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.polling import decisions, shared_client
from airflow_provider_wisdomgate.polling.shared_client import share_client
from airflow_provider_wisdomgate.sandbox import Sandbox
from airflow_provider_wisdomgate.triggers import WisdomGateVideoTrigger


def test_a_deferred_wait_goes_on_when_the_key_was_changed_meanwhile(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect
) -> None:
    (video,) = rendering(hook, 1, seconds=0)
    connect(password="the-key-of-yesterday")

    async def main() -> str:
        wait = asyncio.create_task(outcome_of(video, poll_interval=0.5))
        await until(lambda: sandbox.counts()["unauthorized"])
        connect()
        return await wait

    assert run(main) == "ready"
    assert sandbox.counts()["unauthorized"] == 1


def test_deferred_waits_whose_key_is_wrong_twice_end(hook: WisdomGateHook, connect: Connect) -> None:
    videos = rendering(hook, 3, seconds=0)
    connect(password="the-key-of-yesterday")

    async def main() -> list[str]:
        return await asyncio.gather(*(outcome_of(video) for video in videos))

    assert run(main) == ["refused"] * 3


class Relay:
    """Passes bytes on to the sandbox and counts the connections: all there were, and those that are open."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.port = int(sandbox.url.rpartition(":")[2])
        self.made = self.open = 0

    async def __aenter__(self) -> Relay:
        self.server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made, self.open = self.made + 1, self.open + 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(self._copy(far_reader, writer))
        await self._copy(reader, far_writer)
        await back
        self.open -= 1

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()


def test_two_hundred_waits_on_a_connection_share_one_client_and_the_last_one_closes_it(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect
) -> None:
    videos = rendering(hook, 200, seconds=0.6)

    async def main() -> tuple[set[str], int, int]:
        async with Relay(sandbox) as relay:
            connect(host=relay.url)
            async with share_client("the first", "wisdomgate_default") as shared:
                await shared.client()
                # Whoever looked the connection up from here on would end up nowhere.
                connect(host="http://127.0.0.1:9")
                # Far fewer polls a second than one connection carries: more clients would need more connections.
                outcomes = await asyncio.gather(*(outcome_of(video, 1.0) for video in videos))
            await until(lambda: not relay.open)
            return set(outcomes), relay.made, relay.open

    outcomes, made, still_open = run(main)
    assert (outcomes, still_open) == ({"ready"}, 0)
    assert made <= 100


def test_all_waits_of_a_connection_are_given_the_same_client_and_another_connection_its_own(connect: Connect) -> None:
    connect("one")
    connect("other")

    async def main() -> tuple[bool, bool]:
        async with (
            share_client("a", "one") as first,
            share_client("b", "one") as second,
            share_client("a", "other") as third,
        ):
            return first is second, first is third

    assert run(main) == (True, False)


def test_a_wait_after_the_last_one_opens_a_new_client(hook: WisdomGateHook, sandbox: Sandbox, connect: Connect) -> None:
    first, second = rendering(hook, 2, seconds=0)

    async def main() -> tuple[str, str]:
        return await outcome_of(first), await outcome_of(second)

    assert run(main) == ("ready", "ready")


def test_a_changed_key_is_taken_up_by_newcomers_while_the_old_waits_go_on(
    hook: WisdomGateHook, sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = rendering(hook, 2, seconds=0.3)
    monkeypatch.setattr(shared_client, "CLIENT_IS_FRESH", 0.0)

    async def main() -> list[str]:
        before = asyncio.create_task(outcome_of(old))
        await until(lambda: sandbox.counts()["polls"])
        connect(password="revoked")
        return [await outcome_of(new), await before]

    assert run(main) == ["refused", "ready"]


def test_two_event_loops_at_once_have_a_client_each(hook: WisdomGateHook) -> None:
    videos, seen = rendering(hook, 2, seconds=0.3), {}

    async def main(number: int) -> None:
        async with share_client("other", CONN_ID) as shared:
            seen[number] = (await outcome_of(videos[number]), id(await shared.client()))

    threads = [threading.Thread(target=lambda number=number: asyncio.run(main(number))) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen[number][0] for number in (0, 1)] == ["ready", "ready"]
    assert seen[0][1] != seen[1][1]


def test_an_event_loop_that_ended_leaves_nothing_to_the_next(hook: WisdomGateHook) -> None:
    for video in rendering(hook, 3, seconds=0):
        assert run(lambda video=video: outcome_of(video)) == "ready"
    gc.collect()
    assert len(shared_client._CONNECTIONS) <= 1  # asgiref, which looks connections up, holds on to the last loop it saw


def test_waits_that_are_cancelled_leave_the_others_working(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    videos = rendering(hook, 20, seconds=0.3)

    async def main() -> list[str]:
        waits = [asyncio.create_task(outcome_of(video)) for video in videos]
        await until(lambda: sandbox.counts()["polls"] > 20)
        await cancel(waits[::2])
        return await asyncio.gather(*waits[1::2])

    assert run(main) == ["ready"] * 10


def test_a_wait_that_is_cancelled_does_not_cancel_the_poll_it_shares(hook: WisdomGateHook) -> None:
    (video,) = rendering(hook)

    async def main() -> list[str]:
        waits = [asyncio.create_task(outcome_of(video)) for _ in range(6)]
        await asyncio.sleep(0.05)
        await cancel(waits[:3])
        return await asyncio.gather(*waits[3:])

    assert run(main) == ["ready"] * 3


@pytest.mark.parametrize("after", [0.0, 0.001, 0.005, 0.02, 0.05])
def test_waits_that_are_all_cancelled_leave_nothing_behind(hook: WisdomGateHook, after: float) -> None:
    videos = rendering(hook, 3, seconds=60)

    async def main() -> None:
        waits = [asyncio.create_task(outcome_of(video)) for video in [*videos, *videos]]
        await asyncio.sleep(after)
        await cancel(waits)

    run(main)


def test_waits_that_are_cancelled_in_the_queue_leave_no_timer(hook: WisdomGateHook, connect: Connect) -> None:
    videos = rendering(hook, 5, seconds=60)
    connect(extra={"requests_per_minute": 1})

    async def main() -> None:
        waits = [asyncio.create_task(outcome_of(video)) for video in videos]
        await asyncio.sleep(0.1)
        await cancel(waits)
        (kept,) = shared_client._CONNECTIONS[asyncio.get_running_loop()].values()
        assert (kept.rate_limiter._timer, len(kept.rate_limiter._waiting), len(kept.rate_limiter._urgent)) == (
            None,
            0,
            0,
        )

    run(main)


def test_ten_thousand_triggers_that_come_and_go_leave_nothing(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    (video,) = rendering(hook, seconds=60)

    async def main() -> None:
        for batch in range(20):
            # One of each batch polls; the rest is cancelled in its sleep, as most are when a triggerer stops.
            waits = [asyncio.create_task(outcome_of(video, 0.02))]
            waits += [asyncio.create_task(outcome_of(f"{batch}-{number}", 1000.0)) for number in range(499)]
            await asyncio.sleep(0.02)
            await cancel(waits)
        # Of this loop alone: those of earlier tests may not be collected yet.
        assert len(shared_client._CONNECTIONS[asyncio.get_running_loop()]) == 1

    run(main)
    assert [one for one in gc.get_objects() if type(one) is WisdomGateVideoTrigger] == []


def test_waits_for_the_same_video_share_its_polls(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    alone, together = rendering(hook, 2, seconds=0.5)

    async def main() -> set[str]:
        return set(await asyncio.gather(outcome_of(alone, 0.1), *(outcome_of(together, 0.1) for _ in range(20))))

    assert run(main) == {"ready"}
    assert sandbox.polls_of(together) <= 4 * sandbox.polls_of(alone)


def test_a_shared_poll_that_fails_is_a_failed_poll_of_each_wait(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    (video,) = rendering(hook)

    async def main() -> list[str]:
        sandbox.burst(502, 0.1)
        return await asyncio.gather(*(outcome_of(video, 0.1) for _ in range(5)))

    assert run(main) == ["ready"] * 5


def test_a_connection_that_cannot_be_read_for_a_while_is_a_failed_poll_and_the_wait_recovers(
    hook: WisdomGateHook, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = rendering(hook, 3)
    monkeypatch.setenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", "{no json")

    async def main() -> list[str]:
        waits = [asyncio.create_task(outcome_of(video, 0.1)) for video in videos]
        await asyncio.sleep(0.12)
        connect()
        return await asyncio.gather(*waits)

    assert run(main) == ["ready"] * 3


def test_a_connection_that_is_not_there_refuses_every_wait_and_says_so(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WISDOMGATE_DEFAULT", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "wisdomgate"}))

    async def main() -> list[dict[str, Any]]:
        trigger = WisdomGateVideoTrigger("video_1", "other", 0.02, time.time() + 30)
        return [event.payload async for event in trigger.run()]

    ((outcome, error),) = {(one["outcome"], one["error"]["error"]) for one in run(main)}
    assert (outcome, error, sandbox.requests()) == ("refused", "ConfigurationError", [])


def test_a_gateway_that_is_down_for_a_while_ends_no_wait(hook: WisdomGateHook, sandbox: Sandbox) -> None:
    videos = rendering(hook, 10)

    async def main() -> list[str]:
        sandbox.down(0.2)
        return await asyncio.gather(*(outcome_of(video, 0.05) for video in videos))

    assert run(main) == ["ready"] * 10


def test_nothing_blocks_the_event_loop(
    sandbox: Sandbox, connect: Connect, ca_bundle: str, hook: WisdomGateHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What blocks raises inside the loop; that would be a failed poll, of which none is allowed here. A 429 is none."""
    monkeypatch.setattr(decisions, "MAX_FAILED_POLLS", 1)
    videos = [hook.create_video(prompt=asked("render=0.2 poll=429x1"), **SMALL).id for _ in range(3)]

    async def main() -> list[dict[str, Any]]:
        return await asyncio.gather(*map(event_of, videos))

    with tls_in_front_of(sandbox.url) as url, blockbuster_ctx("airflow_provider_wisdomgate") as blocking:
        # Reads the CA bundle, in C where nobody else sees it.
        blocking.functions["ca"] = BlockBusterFunction(ssl.SSLContext, "load_verify_locations")
        blocking.functions["ca"].activate()
        connect(host=url, extra={"verify": ca_bundle})
        events = run(main)
    assert [(event["outcome"], event["error"]) for event in events] == [("ready", None)] * 3


def test_importing_the_trigger_imports_no_http_library_of_ours() -> None:
    code = (
        "import sys, airflow.triggers.base; before = set(sys.modules)\n"
        "import airflow_provider_wisdomgate.triggers\n"
        "late = {'requests', 'airflow_provider_wisdomgate.polling.shared_client'}\n"
        "print(sorted(late & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
