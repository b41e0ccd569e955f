"""The default place of a clip: distinct for distinct ids, and the same in every release if the ids are ASCII."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wisdomgate.clips.names import default_name
from airflow_provider_wisdomgate.plugin.airflow_api import TaskRef
from airflow_provider_wisdomgate.plugin.run_api import Instance
from airflow_provider_wisdomgate.plugin.run_places import place_of

RUN = "manual__2026-01-01T00:00:00+00:00"
SAFE_RUN = "manual__2026-01-01T00_00_00_00_00"


@pytest.mark.parametrize(
    ("dag_id", "task_id", "map_index", "name"),
    [
        ("films", "cat", None, f"films/{SAFE_RUN}/cat.mp4"),
        ("films", "cat", -1, f"films/{SAFE_RUN}/cat.mp4"),
        ("films", "group.cat-1_a", 12, f"films/{SAFE_RUN}/group.cat-1_a-12.mp4"),
        ("my films", "a/b:c", 0, f"my_films/{SAFE_RUN}/a_b_c-0.mp4"),
        ("..", ".", None, f"__/{SAFE_RUN}/_.mp4"),
        ("films", "c" * 250, 0, f"films/{SAFE_RUN}/{'c' * 250}-0.mp4"),
    ],
)
def test_a_name_of_ascii_ids_is_the_one_of_every_earlier_release(
    dag_id: str, task_id: str, map_index: int | None, name: str
) -> None:
    assert default_name(dag_id, RUN, task_id, map_index) == name


def test_ids_in_another_script_keep_their_letters_apart() -> None:
    assert default_name("Füße", RUN, "猫", 3) == f"F__e-976502e2/{SAFE_RUN}/_-3-4f828208.mp4"
    assert default_name("films", RUN, "猫", None) != default_name("films", RUN, "犬", None)
    assert default_name("猫", RUN, "cat", None) != default_name("犬", RUN, "cat", None)
    assert default_name("films", "朝", "cat", None) != default_name("films", "夜", "cat", None)


@given(st.text(min_size=1, max_size=250), st.text(min_size=1, max_size=250))
def test_distinct_ids_that_are_not_ascii_have_distinct_names_that_a_folder_can_hold(one: str, other: str) -> None:
    one, other = f"{one[:249]}猫", f"{other[:249]}猫"
    names = [default_name("films", "run", task_id, 4).rpartition("/")[2] for task_id in (one, other)]
    assert (names[0] == names[1]) is (one == other)
    assert all(len(f"{name}.json") <= 255 and name.isascii() for name in names)


def test_the_page_of_a_run_looks_at_the_same_place() -> None:
    instance = Instance(TaskRef("Füße", RUN, "猫", 3), "success")
    assert place_of(instance, "/clips") == f"/clips/{default_name('Füße', RUN, '猫', 3)}"
