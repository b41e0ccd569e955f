"""What a DAG author imports: create a video, download one, or generate a clip in one durable task."""

from airflow_provider_wisdomgate.operators.generate import (
    WisdomGateBaseOperator,
    WisdomGateCreateVideoOperator,
    WisdomGateDownloadVideoOperator,
    WisdomGateGenerateVideoOperator,
)

__all__ = [
    "WisdomGateBaseOperator",
    "WisdomGateCreateVideoOperator",
    "WisdomGateDownloadVideoOperator",
    "WisdomGateGenerateVideoOperator",
]
