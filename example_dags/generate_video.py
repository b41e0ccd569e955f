"""One clip: ask for a video, wait for it without holding a worker, keep it."""

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

with DAG("generate_video", schedule=None) as dag:
    WisdomGateGenerateVideoOperator(
        task_id="generate",
        model="sora-2",
        prompt="A paper boat sails down a rainy street",
        seconds=4,
        size="1280x720",
        destination="paper-boat/{{ run_id }}.mp4",
        deferrable=True,
        poll_interval=10,
    )
