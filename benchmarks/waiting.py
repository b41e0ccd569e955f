"""Waits for videos by every way there is, on one loopback server, and prints the ratios. Times assert nothing.

``HttpSensorTrigger`` and ``HttpTrigger`` (one instance a poll, in a loop) of apache-airflow-providers-http, a bare
aiohttp loop on one session as the limit, and ``WisdomGateVideoTrigger``. Over TLS everybody checks the same CA, given
by SSL_CERT_FILE and REQUESTS_CA_BUNDLE. Log lines are off for all, and connections come from environment variables:
both spare the competitors more than us.

Every run is a process of its own; rounds are interleaved and medians are printed. A stall is three numbers in
milliseconds: the longest gap between two beats of a 5 ms heartbeat / the most that this thread computed within one,
which is what remains of it on a machine that nobody else uses / the longest run of Python's garbage collector, whose
full collections walk all that importing Airflow has left, in every competitor alike; --freeze takes that out of their
way (gc.freeze()), to tell its part. Judged is the second number; the third is
printed beside the bare loop's. Linux only: memory comes from /proc.

This file runs the rounds, prints and judges; ``waits/`` holds the server, the competitors and the measurements.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from benchmarks.waits.competitors import KEY, NAMES
from benchmarks.waits.gateway import gateway, make_certificate
from benchmarks.waits.measurements import AT_ONCE, FREEZE, Facts, measure


def medians(rounds: list[Facts]) -> Facts:
    return {fact: statistics.median(one[fact] for one in rounds) for fact in rounds[0]}


def target(text: str, value: float, limit: float, unit: str = "") -> None:
    print(f"{'met   ' if value <= limit else 'MISSED'}  {text}: {value:.2f}{unit}, at most {limit:g}{unit}")


def stall_of(facts: Facts, when: str = "") -> str:
    return "/".join(f"{facts[when + name] * 1000:.0f}" for name in ("gap", "computed", "collected"))


def cost_of_a_poll(rounds: int, seconds: float, folder: Path) -> None:
    certificate = make_certificate(folder)
    ca = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(folder / "certificate"))
    for scheme in ("HTTP", "TLS"):
        seen: dict[str, list[Facts]] = {name: [] for name in NAMES}
        for shift in range(rounds):
            for name in NAMES[shift % 4 :] + NAMES[: shift % 4]:
                # A server of its own for each: what one leaves in TIME_WAIT is not the next one's trouble.
                with gateway(certificate if scheme == "TLS" else None) as url:
                    os.environ.update(ca)
                    seen[name].append(measure(name, url, "speed", seconds, environment=ca))
        results = {name: medians(facts) for name, facts in seen.items()}
        ours = results["ours"]["cpu"]
        print(f"\nOne poll over {scheme}, {AT_ONCE} waits as fast as they go, medians of {rounds} rounds")
        print(f"{'':18}{'CPU ms/poll':>12}{'x ours':>8}{'polls/s/core':>14}{'connections/poll':>18}{'stall ms':>16}")
        for name, facts in results.items():
            stall = stall_of(facts)
            print(
                f"{name:18}{facts['cpu'] * 1000:12.3f}{facts['cpu'] / ours:8.2f}{1 / facts['cpu']:14,.0f}"
                f"{facts['connections']:18.3f}{stall:>16}"
            )
        # Of each round, since the machine's speed changes between them.
        ratio = {
            name: statistics.median(
                mine["cpu"] / other["cpu"] for mine, other in zip(seen["ours"], seen[name], strict=True)
            )
            for name in NAMES
        }
        target(
            f"{scheme}: CPU per poll, ours to HttpSensorTrigger", ratio[NAMES[0]], 0.25 if scheme == "HTTP" else 0.125
        )
        target(f"{scheme}: CPU per poll, ours to the bare loop", ratio["bare aiohttp"], 1.6)


def many_waiting(crowds: dict[str, int], interval: float, seconds: float) -> None:
    print(
        f"\nWaiting at an interval of {interval:g} s in one loop, videos up to 10 minutes old, HTTP, for {seconds:g} s"
    )
    print(f"{'':18}{'videos':>8}{'of a core':>11}{'polls/s':>9}{'KiB each':>10}{'stall ms':>16}{'at start':>16}")
    seen: dict[str, Facts] = {}
    for name, count in crowds.items():
        with gateway() as url:
            facts = measure(name, url, "crowd", count, interval, seconds)
        stall, start = stall_of(facts), stall_of(facts, "start_")
        print(
            f"{name:18}{count:8,}{facts['share']:11.2f}{facts['polls']:9.0f}{facts['memory']:10.1f}{stall:>16}{start:>16}"
        )
        assert facts["alive"] == count, facts
        seen[name] = facts
    ours = seen["ours"]
    target(f"of a core, {crowds['ours']:,} videos", ours["share"], 0.5)
    target("KiB per waiting video", ours["memory"], 30)
    target(
        "longest stall of our own computing, start included",
        max(ours["computed"], ours["start_computed"]) * 1000,
        100,
        " ms",
    )
    longest = {
        name: max(seen[name]["collected"], seen[name]["start_collected"]) * 1000 for name in ("ours", "bare aiohttp")
    }
    print(
        f"        beside it, the collector's longest run: ours {longest['ours']:.0f} ms, "
        f"the bare loop {longest['bare aiohttp']:.0f} ms"
    )


def how_late(count: int, interval: float) -> None:
    print(f"\nDetection lag, {count} videos of 2 to 20 intervals, (longest) interval {interval:g} s, HTTP")
    print(f"{'':18}{'mean s':>8}{'p95 s':>8}{'polls each':>12}")
    for name in NAMES:
        with gateway() as url:
            facts = measure(name, url, "lag", count, interval)
        print(f"{name:18}{facts['mean']:8.2f}{facts['p95']:8.2f}{facts['polls']:12.1f}")


def within_a_rate_limit(count: int, render_seconds: float) -> None:
    from tests.servers import sandbox

    print(
        f"\nA rate limit: {count} videos of {render_seconds:g} s, requests_per_minute=50, a sandbox that enforces 50",
        flush=True,
    )
    with sandbox(f"--api-key={KEY}") as url:
        facts = measure("ours", url, "rate_limit", count, render_seconds)
    print(f"all ready after {facts['seconds']:.0f} s and {facts['polls']:.0f} polls")
    target("polls refused with 429", facts["refused"], 0)


PARTS = ("speed", "crowd", "lag", "rate_limit", "simulation")
EARLIER_NAMES = {"budget": "rate_limit"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each speed run (default %(default)s)")
    parser.add_argument(
        "--only", type=lambda name: EARLIER_NAMES.get(name, name), choices=PARTS, nargs="+", default=PARTS
    )
    parser.add_argument("--freeze", action="store_true", help="in the crowd, keep the collector off what was imported")
    options = parser.parse_args()
    if options.freeze:
        os.environ[FREEZE] = "1"
    with tempfile.TemporaryDirectory(prefix="wisdomgate-bench-") as folder:
        if "speed" in options.only:
            cost_of_a_poll(options.rounds, options.seconds, Path(folder))
    if "crowd" in options.only:
        many_waiting({NAMES[0]: 1000, NAMES[1]: 1000, NAMES[2]: 10_000, "ours": 10_000}, 15.0, 30.0)
    if "lag" in options.only:
        how_late(200, 1.0)
    if "simulation" in options.only:
        import schedule_simulation

        schedule_simulation.main([])
    if "rate_limit" in options.only:
        within_a_rate_limit(100, 20.0)


if __name__ == "__main__":
    main()
