"""What tests of the generate operator do again and again: defer it, and read the manifest that it wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support import LocalPlace

from airflow_provider_wisdomgate.clips.destination import Destination
from airflow_provider_wisdomgate.clips.manifest import Manifest
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

Generate = Callable[..., WisdomGateGenerateVideoOperator]


def deferred(operator: WisdomGateGenerateVideoOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(context)
    return deferral.value


def manifest_at(place: LocalPlace, name: str = "cat.mp4") -> Manifest:
    found = Destination(place.uri(name)).read()
    assert found is not None
    return found
