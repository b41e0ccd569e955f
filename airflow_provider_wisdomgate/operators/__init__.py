"""The operators for DAG authors: create a video, download one, or generate or remix a clip in one durable task."""

from airflow_provider_wisdomgate.operators.base import WisdomGateBaseOperator
from airflow_provider_wisdomgate.operators.create import WisdomGateCreateVideoOperator
from airflow_provider_wisdomgate.operators.download import WisdomGateDownloadVideoOperator
from airflow_provider_wisdomgate.operators.generate import WisdomGateGenerateVideoOperator
from airflow_provider_wisdomgate.operators.remix import WisdomGateRemixVideoOperator

__all__ = [
    "WisdomGateBaseOperator",
    "WisdomGateCreateVideoOperator",
    "WisdomGateDownloadVideoOperator",
    "WisdomGateGenerateVideoOperator",
    "WisdomGateRemixVideoOperator",
]
