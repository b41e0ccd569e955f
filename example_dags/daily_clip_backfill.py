"""One clip a day, named by its day and announced as an asset. A backfill pays for missing days only.

airflow backfill create --dag-id daily_clip_backfill --from-date 2026-01-01 --to-date 2026-01-31

Days that have a run already need --reprocess-behavior completed. A run by hand without a logical date makes the clip
of the day on which it runs.
"""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Asset, task

with DAG(
    "daily_clip_backfill",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=4,  # so many days are made at once
) as dag:

    @task.wisdomgate_video(
        model="sora-2",
        seconds=4,
        size="1280x720",
        deferrable=True,
        retries=3,
        outlets=[Asset("wisdomgate_daily_clip")],
    )
    def clip(data_interval_start: datetime | None = None, dag_run=None) -> dict:
        # The same for the same day, whenever it runs: a second backfill finds the clip there and asks for nothing.
        # On Airflow 3 a run by hand may have no data interval; its run_after is when it was triggered.
        day = f"{data_interval_start or dag_run.run_after:%Y-%m-%d}"
        return {"prompt": f"The harbour on {day}, seen from the lighthouse", "destination": f"harbour/{day}.mp4"}

    clip()
