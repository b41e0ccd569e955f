"""A lost create that the gateway lists is found again, but only where there is no doubt which one it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support import LocalPlace, put_manifest, sha256, whole

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.hooks import WisdomGateHook
from airflow_provider_wisdomgate.ledger import rules
from airflow_provider_wisdomgate.ledger.destination import Destination
from airflow_provider_wisdomgate.ledger.driver import ClipTask
from airflow_provider_wisdomgate.ledger.record import Manifest
from airflow_provider_wisdomgate.ledger.rules import Claim, Terms, Wanted, found_again
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.sandbox import Sandbox

Generate = Callable[..., WisdomGateGenerateVideoOperator]
NOW = 1_790_000_000.0
WANTED = Wanted({"model": "any", "prompt_sha256": sha256(b"a cat")})
LOST = Manifest(
    "creating", "lost", "file:///cat.mp4", NOW, None, WANTED.fingerprint, WANTED.request, claim_seconds=370.0
)
MADE = Video("v1", "queued", model="any", prompt="a cat", created_at=NOW + 1)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ([], None),
        ([MADE], MADE),
        ([replace(MADE, id="v0", prompt="a dog"), MADE, replace(MADE, id="v2", model="other")], MADE),
        ([MADE, replace(MADE, id="v2")], None),
        ([replace(MADE, created_at=NOW - 100)], None),
        ([replace(MADE, created_at=NOW + 500)], None),
        ([replace(MADE, created_at=None)], None),
        ([replace(MADE, prompt=None)], None),
        ([replace(MADE, model=None)], None),
        ([replace(MADE, id="v2", remixed_from_video_id="v0"), MADE], MADE),
        ([replace(MADE, remixed_from_video_id="v0")], None),
    ],
    ids=[
        *("nothing", "one", "others beside it", "two", "before", "after", "no time", "no prompt", "no model"),
        *("a remix beside it", "a remix"),
    ],
)
def test_a_lost_create_is_the_one_video_that_fits(listed: list[Video], found: Video | None) -> None:
    assert found_again(LOST, listed) == found


@pytest.mark.parametrize(
    ("fields", "listed", "is_found"),
    [
        ({"size": "768P", "seconds": "8"}, {"size": "1366x768", "seconds": "8"}, True),
        ({"size": "16:9"}, {"size": "1280x720"}, True),
        ({"size": "832*480"}, {"size": "832x480"}, True),
        ({"size": "832*480"}, {"size": "480x832"}, False),
        ({"duration": 8}, {"seconds": "8"}, True),
        ({"duration": 8}, {"seconds": "9"}, False),
        ({"seconds": "8"}, {"seconds": "8.0"}, True),
        ({"seconds": "8", "seed": 7}, {"seconds": "8"}, False),
    ],
    ids=repr,
)
def test_a_list_may_word_length_and_size_otherwise(
    fields: dict[str, Any], listed: dict[str, Any], is_found: bool
) -> None:
    lost, made = replace(LOST, request={**LOST.request, "fields": fields}), replace(MADE, **listed)
    assert found_again(lost, [made]) == (made if is_found else None)


def test_a_video_of_a_record_that_was_replaced_is_not_the_lost_one() -> None:
    below = replace(LOST, phase="created", claim_id="old", video_id="v1")
    assert found_again(LOST.over(below), [MADE]) is None


@pytest.fixture
def finding(generate: Generate) -> Generate:
    """Make a generate operator whose retry looks for a lost create."""
    return lambda directives, **arguments: generate(directives, on_lost_create="find", **arguments)


def test_a_retry_goes_on_with_the_video_that_the_gateway_lists(
    finding: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.WisdomGateError, match="looks for it") as caught:
        finding("create=lost").execute(context())
    assert not isinstance(caught.value, errors.AirflowFailException)
    stored = finding("create=lost").execute(context())
    (video,) = sandbox.videos()
    assert (stored["video_id"], local.read("cat.mp4"), sandbox.counts()["create_requests"]) == (video["id"], whole(), 1)


def test_a_list_is_read_to_its_end(
    finding: Generate, local: LocalPlace, sandbox: Sandbox, hook: WisdomGateHook, context: Any
) -> None:
    with pytest.raises(errors.WisdomGateError, match="looks for it"):
        finding("create=lost").execute(context())
    for number in range(25):  # more than a page
        hook.create_video("any", f"another cat, number {number}")
    stored = finding("create=lost").execute(context())
    assert (stored["video_id"], len(hook.list_videos())) == (sandbox.videos()[0]["id"], 26)


def test_a_lost_create_that_made_nothing_stays_lost(
    finding: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    for _ in range(2):
        with pytest.raises(errors.WisdomGateError):
            finding("create=500").execute(context())
    with pytest.raises(errors.LostCreateError):
        finding("create=500").execute(context())
    found = Destination(local.uri("cat.mp4")).read()
    assert (found and found.phase, sandbox.counts()["create_requests"]) == ("creating", 1)


def test_a_list_that_fails_for_now_is_asked_for_again_by_a_retry(
    finding: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    with pytest.raises(errors.WisdomGateError, match="looks for it"):
        finding("create=lost").execute(context())
    sandbox.burst(500, 60, method="GET")
    with pytest.raises(errors.GatewayFaultError, match="A retry looks for the lost create") as caught:
        finding("create=lost").execute(context())
    assert not isinstance(caught.value, errors.AirflowFailException)
    sandbox.burst(500, 0, method="GET")
    finding("create=lost").execute(context())
    assert (local.read("cat.mp4"), sandbox.counts()["create_requests"]) == (whole(), 1)


def test_of_two_lost_creates_alike_none_is_taken_for_the_other(
    finding: Generate, local: LocalPlace, sandbox: Sandbox, context: Any
) -> None:
    for name in ("cat.mp4", "other.mp4"):
        with pytest.raises(errors.WisdomGateError, match="looks for it"):
            finding("create=lost", destination=local.uri(name)).execute(context())
    with pytest.raises(errors.LostCreateError):
        finding("create=lost").execute(context())
    assert sandbox.counts()["create_requests"] == 2


def test_a_record_that_changed_while_the_list_was_read_is_searched_for_again(local: LocalPlace) -> None:
    """Its owner says meanwhile when it gave up: what was made long after is another one's [sim]."""
    destination = Destination(local.uri("cat.mp4"))
    lost = replace(LOST, uri=destination.uri, claim_seconds=0.0)
    put_manifest(lost)
    seen: list[Manifest | None] = []

    def list_videos() -> list[Video]:
        seen.append(destination.read())
        destination.update(lambda found: rules.record_loss(found, lost, NOW + 5))
        return [MADE] if len(seen) == 1 else []

    with pytest.raises(errors.LostCreateError):
        ClipTask(destination, Terms(on_lost_create="find")).begin(lambda: WANTED, list_videos)
    assert ([record and record.lost_at for record in seen], destination.read()) == (
        [None, NOW + 5],
        replace(lost, lost_at=NOW + 5),
    )


def test_a_claim_that_was_given_back_while_the_list_was_read_is_not_called_lost(local: LocalPlace) -> None:
    """Its create made nothing, as its owner has learnt meanwhile: the destination is free [sim]."""
    destination = Destination(local.uri("cat.mp4"))
    lost = replace(LOST, uri=destination.uri, claim_seconds=0.0)
    put_manifest(lost)

    def list_videos() -> list[Video]:
        destination.update(lambda found: rules.release_claim(found, lost))
        return []

    task = ClipTask(destination, Terms(on_lost_create="find"))
    step = task.begin(lambda: WANTED, list_videos)
    assert (type(step), task.mine.claim_id != lost.claim_id, destination.read()) == (Claim, True, task.mine)
