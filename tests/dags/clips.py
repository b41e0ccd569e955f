"""What tests/backfill.py runs: one clip a day."""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

CLIP = {
    "model": "any-model",
    "seconds": 1,
    "size": "64x48",
    "poll_interval": 4,
    "timeout": 900,
    "deferrable": True,
    "retries": 6,
    "retry_delay": timedelta(seconds=3),
}

with DAG("one_clip_a_day", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False) as daily:
    WisdomGateGenerateVideoOperator(
        task_id="generate", prompt="the clip of {{ ds }}", destination="daily/{{ ds }}.mp4", **CLIP
    )
