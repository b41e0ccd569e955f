"""One clip for each of many prompts, two of them paid for at a time."""

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

with DAG("generate_many_videos", schedule=None) as dag:

    @task
    def prompts() -> list[str]:
        return [f"A postcard from {city}, animated" for city in ("Lisbon", "Osaka", "Lima")]

    @task
    def report(clips: list[dict]) -> None:
        for clip in clips:
            print(f"{clip['uri']}: {clip['duration']} s, {clip['width']}x{clip['height']}")

    clips = WisdomGateGenerateVideoOperator.partial(
        task_id="generate",
        model="sora-2",
        seconds=4,
        size="1280x720",
        deferrable=True,
        max_active_tis_per_dagrun=2,
        retries=3,
    ).expand(prompt=prompts())
    report(clips.output)
