"""What tests/backfill.py and tests/e2e.py run: one clip a day, and many at once."""

import os
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

# It has ended, so that nothing but a backfill makes a run.
DAYS = {"start_date": datetime(2026, 1, 1), "end_date": datetime(2026, 3, 1)}

with DAG("one_clip_a_day", schedule="@daily", catchup=False, **DAYS) as daily:
    WisdomGateGenerateVideoOperator(
        task_id="generate", prompt="the clip of {{ ds }}", destination="daily/{{ ds }}.mp4", **CLIP
    )

with DAG("many_clips", schedule=None, catchup=False, max_active_tasks=100) as many:
    WisdomGateGenerateVideoOperator.partial(task_id="generate", **CLIP).expand(
        prompt=[f"clip {number} of many" for number in range(int(os.environ.get("E2E_CLIPS", "1")))]
    )
