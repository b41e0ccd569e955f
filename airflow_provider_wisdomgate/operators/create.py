"""Asks for a video and returns its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_wisdomgate.foreign import printable
from airflow_provider_wisdomgate.operators.base import CreateArguments, before_the_create
from airflow_provider_wisdomgate.operators.help_text import shows_all_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@shows_all_arguments
class WisdomGateCreateVideoOperator(CreateArguments):
    """Asks for a video and returns its id. Costs money: a request that may have arrived is never sent again.

    A retry of this task asks for another video; :class:`WisdomGateGenerateVideoOperator` does not.
    """

    ui_color = "#f7e3d9"

    def execute(self, context: Context) -> str:
        """Return the video's id."""
        with before_the_create():
            call = self._call()
        video = self.hook.send_create(call)
        self.log.info("Video %s is %s", printable(video.id), printable(video.status))
        return video.id
