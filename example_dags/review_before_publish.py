"""A person looks at the clip in Airflow's own UI, and publishes it or says what another one should show. Airflow 3.1+.

The question waits on the "Required Actions" page and on the task's own page; the link in it opens the player.
"""

from airflow.providers.common.compat.sdk import DAG, Param, task
from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLEntryOperator

from airflow_provider_wisdomgate.links import player_url
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

CLIP = {"model": "sora-2", "seconds": 4, "size": "1280x720", "deferrable": True, "retries": 3}
WATCH = "[Watch the clip]({{ player_url(dag.dag_id, run_id, '%s', -1) }}) before you decide."


@task
def publish(clip: dict) -> str:
    print(f"Published: {clip['uri']} ({clip['duration']} s)")
    return clip["uri"]


with DAG("review_before_publish", schedule=None, user_defined_macros={"player_url": player_url}) as dag:
    first = WisdomGateGenerateVideoOperator(task_id="first", prompt="A paper boat sails down a rainy street", **CLIP)
    review = ApprovalOperator(task_id="review", subject="Publish this clip?", body=WATCH % "first")
    published = publish.override(task_id="publish")(first.output)

    # "Reject" skips what follows the question, and leaves no XCom. So the words are a question of their own, which is
    # asked only then.
    words = HITLEntryOperator(
        task_id="words",
        subject="What should another clip show?",
        params={"prompt": Param("", type="string")},
        trigger_rule="all_skipped",
    )
    second = WisdomGateGenerateVideoOperator(
        task_id="second", prompt="{{ ti.xcom_pull('words')['params_input']['prompt'] }}", **CLIP
    )
    review_second = ApprovalOperator(task_id="review_second", subject="Publish this one?", body=WATCH % "second")
    published_second = publish.override(task_id="publish_second")(second.output)

    first >> review >> published >> words >> second >> review_second >> published_second
