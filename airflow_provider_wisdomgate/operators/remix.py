"""Makes another version of a video: one durable task, like generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_wisdomgate.arguments import Text
from airflow_provider_wisdomgate.gateway.routes import Call
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.operators.durable import DurableVideoOperator
from airflow_provider_wisdomgate.operators.help_text import shows_all_arguments


@shows_all_arguments
class WisdomGateRemixVideoOperator(DurableVideoOperator):
    """Asks for another version of a finished video, waits for it and stores it. Costs like a create.

    As durable as :class:`WisdomGateGenerateVideoOperator`: a later try of the same remix goes on instead of paying
    again. A lost remix is not looked for in the gateway's list (``on_lost_create`` is ``fail`` or ``create``). The
    gateway must still have the source video.

    :param video_id: the finished video to start from. (templated)
    :param prompt: the text that describes the change. (templated)
    """

    template_fields: Sequence[str] = (
        "video_id",
        "prompt",
        "wisdomgate_conn_id",
        *DurableVideoOperator.template_fields,
    )
    ui_color = "#f0dcec"
    video_id = Text()

    def __init__(self, *, video_id: str, prompt: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.video_id = video_id
        self.prompt = prompt

    def _call(self) -> Call[Video]:
        return self.hook.remix_call(self.video_id, self.prompt)

    def _request(self, call: Call[Video]) -> dict[str, Any]:
        return {"remixed_from_video_id": self.video_id}
