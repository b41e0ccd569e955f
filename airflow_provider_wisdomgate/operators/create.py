"""Asks for a video and returns its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_wisdomgate.operators.base import CreateArguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class WisdomGateCreateVideoOperator(CreateArguments):
    """Asks for a video and returns its id. Costs money, so nothing is ever sent twice that may have arrived.

    A retry of this task asks for another video; :class:`WisdomGateGenerateVideoOperator` does not. Takes the
    arguments of :class:`CreateArguments`.
    """

    ui_color = "#f7e3d9"

    def execute(self, context: Context) -> str:
        """Return the video's id."""
        video = self.hook.send_create(self._call())
        self.log.info("Video %s is %s", video.id, video.status)
        return video.id
