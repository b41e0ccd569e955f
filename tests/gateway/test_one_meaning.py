"""The same bytes have the same meaning for both clients, and a create's id is never lost. See raw_answers.py."""

from __future__ import annotations

import os
import random

import pytest
from raw_answers import pair, problems, table_problems

COUNT = 400


@pytest.mark.parametrize("is_quick", [False, True], ids=["HTTP", "TLS"])
def test_both_clients_make_the_same_of_each_odd_answer(is_quick: bool, ca_bundle: str) -> None:
    with pair(ca_bundle if is_quick else None) as both:
        assert table_problems(both, is_quick=is_quick) == []


def test_both_clients_make_the_same_of_any_answer() -> None:
    """``WISDOMGATE_ANSWERS_SEED`` makes the same ones again."""
    seed = int(os.environ.get("WISDOMGATE_ANSWERS_SEED") or random.randrange(10**6))
    with pair() as both:
        found = [(f"{seed}:{number}", *rest) for number, *rest in problems(both, seed, range(COUNT))]
    assert found == [], f"WISDOMGATE_ANSWERS_SEED={seed}"
