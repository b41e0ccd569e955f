"""Stores a finished video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_wisdomgate.arguments import Text
from airflow_provider_wisdomgate.clips.download import MAX_BYTES
from airflow_provider_wisdomgate.gateway.routes import check_text
from airflow_provider_wisdomgate.ledger.destination import resolve_destination
from airflow_provider_wisdomgate.ledger.rules import IfExists
from airflow_provider_wisdomgate.links import WisdomGateVideoLink, tell_destination
from airflow_provider_wisdomgate.operators.base import TaskFacts, WisdomGateBaseOperator
from airflow_provider_wisdomgate.operators.help_text import shows_all_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@shows_all_arguments
class WisdomGateDownloadVideoOperator(WisdomGateBaseOperator):
    """Streams a finished video's content to storage, whole or not at all; returns the manifest as a plain dict.

    :param video_id: the video. (templated)
    :param destination: URI or path; a relative one is below the storage path. Left out:
        ``{dag_id}/{run_id}/{task_id}[-{map_index}].mp4``. (templated)
    :param if_exists: ``skip`` succeeds without a request if the clip of this video is there, ``replace`` fetches it
        again, ``fail`` fails. (templated)
    :param max_bytes: refuse a larger clip, in bytes.
    :param delete_after_download: delete the video at the gateway once its clip is stored; a warning if the
        gateway cannot.
    """

    template_fields: Sequence[str] = ("video_id", "destination", "if_exists", "wisdomgate_conn_id")
    ui_color = "#ddf0dc"
    video_id = Text()
    destination = Text()
    operator_extra_links = (WisdomGateVideoLink(),)

    def __init__(
        self,
        *,
        video_id: str,
        destination: str | None = None,
        if_exists: IfExists = "skip",
        max_bytes: int = MAX_BYTES,
        delete_after_download: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video_id = video_id
        self.destination = destination
        self.if_exists = if_exists
        self.max_bytes = max_bytes
        self.delete_after_download = delete_after_download

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the manifest."""
        check_text("video_id", self.video_id, "Give the id that a create returned.")
        facts = TaskFacts.of(context, self.retries)
        name = facts.name if self.destination is None else self.destination
        destination = resolve_destination(name, self.hook.storage_path)
        tell_destination(context, destination)
        stored = self.hook.download_video(
            self.video_id,
            destination,
            if_exists=self.if_exists,
            max_bytes=self.max_bytes,
            made_by=facts.made_by,
            control=self._stop,
            delete_after_download=self.delete_after_download,
        )
        return self._finish(context, stored)
