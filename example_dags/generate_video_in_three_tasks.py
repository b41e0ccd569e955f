"""The same in three tasks: create, wait, download. For when something belongs between them.

A retry of the create task alone pays again; the one-task operator in generate_video.py does not.
"""

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wisdomgate.operators import WisdomGateCreateVideoOperator, WisdomGateDownloadVideoOperator
from airflow_provider_wisdomgate.sensors import WisdomGateVideoSensor

with DAG("generate_video_in_three_tasks", schedule=None) as dag:
    create = WisdomGateCreateVideoOperator(
        task_id="create", model="sora-2", prompt="A lighthouse in a storm", seconds=4, size="1280x720"
    )
    wait = WisdomGateVideoSensor(task_id="wait", video_id=create.output, deferrable=True)
    download = WisdomGateDownloadVideoOperator(task_id="download", video_id=create.output)
    wait >> download
