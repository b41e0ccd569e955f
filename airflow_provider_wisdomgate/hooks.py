"""The connection, and one thin method per call."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import requests
from airflow.providers.common.compat.sdk import BaseHook, conf

from airflow_provider_wisdomgate import DEFAULT_BASE_URL, DEFAULT_CONN_ID
from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.arguments import check_gateway, check_storing
from airflow_provider_wisdomgate.clips.download import MAX_BYTES
from airflow_provider_wisdomgate.clips.reference_image import read_references
from airflow_provider_wisdomgate.control import Control
from airflow_provider_wisdomgate.gateway import routes
from airflow_provider_wisdomgate.gateway.account import check_account, send_create
from airflow_provider_wisdomgate.gateway.client import Client
from airflow_provider_wisdomgate.gateway.connection import form_behaviour, form_widgets, read_settings
from airflow_provider_wisdomgate.gateway.content import Content, open_a_source
from airflow_provider_wisdomgate.gateway.pages import all_videos
from airflow_provider_wisdomgate.gateway.retry import ONCE, RetryPolicy
from airflow_provider_wisdomgate.gateway.settings import Settings
from airflow_provider_wisdomgate.gateway.transport import check_deferrable, configure
from airflow_provider_wisdomgate.gateway.video import Video
from airflow_provider_wisdomgate.ledger.destination import Destination, resolve_destination
from airflow_provider_wisdomgate.ledger.driver import GONE, ClipTask, StoredVideo
from airflow_provider_wisdomgate.ledger.rules import Claim, Done, IfExists, Terms, Wanted
from airflow_provider_wisdomgate.metrics import count
from airflow_provider_wisdomgate.polling.decisions import Ended, PollAgain, Wait, after_poll, first_poll, log_line

ID_REMEDY = "Give the id that a create returned."
# The pauses of a download by id until it gives content up that is not there.
CONTENT_GRACE = (1.0, 2.0, 4.0, 8.0, 16.0)


class WisdomGateHook(BaseHook):
    """Talks to a gateway that serves ``/v1/videos``.

    :param wisdomgate_conn_id: a connection of type ``wisdomgate``: host = base URL, password = API key, extras
        ``storage_path``, ``requests_per_minute``, ``timeout`` (seconds without a byte), ``min_balance``,
        ``create_as``, ``content_from``, ``upload_args``, and what an HTTP connection understands (proxies, verify,
        cert, headers).

    Every method raises the typed errors of :mod:`airflow_provider_wisdomgate.exceptions`.
    """

    conn_name_attr = "wisdomgate_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "wisdomgate"
    hook_name = "WisdomGate"
    default_host = DEFAULT_BASE_URL
    retry_policy = RetryPolicy()
    get_ui_field_behaviour = staticmethod(form_behaviour)
    get_connection_form_widgets = staticmethod(form_widgets)

    def __init__(self, wisdomgate_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wisdomgate_conn_id = wisdomgate_conn_id
        self._content: Content | None = None
        self._base_url: str | None = None  # where the videos are that this hook is asked for

    @cached_property
    def settings(self) -> Settings:
        """The connection's fields. Reading them sends nothing.

        :raises ConfigurationError: there is no such connection, or it has no key, or it leads elsewhere by now.
        """
        found = read_settings(self.wisdomgate_conn_id)
        check_gateway(self._base_url, found.base_url, self.wisdomgate_conn_id)
        self._base_url = found.base_url
        return found

    def get_conn(self) -> requests.Session:
        """Return a session with the connection's bearer auth, headers, proxies and certificates.

        It is not ``HttpHook``'s: importing that hook loads aiohttp, a fifth of a second in each process of a task.
        """
        session = requests.Session()
        configure(session, self.settings)
        return session

    @cached_property
    def client(self) -> Client:
        """The sync client of this hook's connection."""
        return Client(self.get_conn(), self.settings, self.retry_policy)

    def create_video(self, model: str, prompt: str, **fields: Any) -> Video:
        """Ask for a video. Costs money, so it is never sent again if it may have arrived.

        :param model: a model that the gateway serves.
        :param prompt: the text that describes the video.
        :param fields: ``seconds``, ``size``, ``input_reference`` (an image's path or URI, an https URL, a ``data:``
            URL, an object, or a list of these), other fields of the model.
        :raises LostCreateError: it may have arrived, but its answer did not.
        :raises BalanceTooLowError: the account has less than the connection's ``min_balance``; no create was sent.
        """
        if fields.get("seconds") is not None:
            fields["seconds"] = routes.seconds_text(fields["seconds"])
        return self.send_create(self.create_call(model, prompt, fields))

    def send_create(
        self,
        call: routes.Call[Video],
        min_balance: float | None = None,
        control: Control | None = None,
    ) -> Video:
        """Send a create or a remix, unless the account has less than ``min_balance``.

        :param min_balance: what the account must have; left out, the connection's ``min_balance``.
        :param control: see :meth:`gateway.client.Client.send`.
        :raises BalanceTooLowError: it has less; no create was sent.
        """
        return send_create(self.client, call, min_balance, control)

    def create_call(self, model: str, prompt: str, fields: Mapping[str, Any]) -> routes.Call[Video]:
        """Check a create's arguments and make its call. Sends nothing. ``seconds`` has the type that is given here."""
        options = dict(fields)
        given = options.pop("input_reference", None)
        model, prompt = routes.check_create(model, prompt, options)
        reference = None if given is None else read_references(given)
        call = routes.create_video(model, prompt, options, reference, create_as=self.settings.create_as)
        return replace(call, idempotency_key=uuid.uuid4().hex)

    def check_deferrable(self) -> None:
        """Refuse a connection that a deferred wait cannot use, before anything is sent.

        :raises ConfigurationError: its requests go through a SOCKS proxy.
        """
        check_deferrable(self.settings)

    def get_video(self, video_id: str) -> Video:
        """Poll a video once.

        :param video_id: the id that a create returned.
        :raises VideoNotFoundError: the gateway knows no such video.
        """
        call = routes.get_video(routes.check_text("video_id", video_id, ID_REMEDY))
        try:
            return self.client.send(call)
        except errors.AuthenticationError:
            self._forget_connection()
            return self.client.send(call)

    def wait_for_video(self, video_id: str, wait: Wait, control: Control | None = None) -> Ended:
        """Wait in this process until a video's wait is over, however it ends.

        :param control: asked while waiting; raises to stop.
        """
        control = control or Control()
        step: PollAgain | Ended = first_poll(wait, time.time(), random.random())
        while isinstance(step, PollAgain):
            control.sleep(step.delay)
            step = self.poll(video_id, step.wait)
        return step

    def poll(self, video_id: str, wait: Wait) -> PollAgain | Ended:
        """Poll a video once and decide what follows."""
        call = routes.get_video(routes.check_text("video_id", video_id, ID_REMEDY))
        seen: Video | errors.WisdomGateError
        count("polls")
        try:
            seen = self.client.send(call, ONCE)
        except errors.WisdomGateError as error:
            seen = error
            count("failed_polls")
            if isinstance(error, errors.AuthenticationError):
                self._forget_connection()
        now = time.time()
        if line := log_line(wait, seen, now):
            self.log.log(*line)
        return after_poll(wait, seen, now, random.random())

    def _forget_connection(self) -> None:
        """Read the connection again at the next call: somebody may have changed the key."""
        self.__dict__.pop("settings", None)
        if (old := self.__dict__.pop("client", None)) is not None:
            old.close()

    def list_videos(self) -> list[Video]:
        """List all videos, if the gateway can (WisdomGate does not document it).

        :raises UnexpectedReplyError: the list has too many pages; a part of it would look like all of it.
        """
        return all_videos(self.client.send)

    def remix_video(self, video_id: str, prompt: str) -> Video:
        """Ask for another version of a video. Costs like a create.

        :param video_id: the finished video to start from.
        :param prompt: the text that describes the change.
        :raises LostCreateError: it may have arrived, but its answer did not.
        :raises BalanceTooLowError: the account has less than the connection's ``min_balance``; no create was sent.
        """
        return self.send_create(self.remix_call(video_id, prompt))

    def remix_call(self, video_id: str, prompt: str) -> routes.Call[Video]:
        """Check a remix's arguments and make its call. Sends nothing."""
        video_id = routes.check_text("video_id", video_id, ID_REMEDY)
        prompt = routes.check_text("prompt", prompt, "Give the text that describes the change.")
        return replace(routes.remix_video(video_id, prompt), idempotency_key=uuid.uuid4().hex)

    def delete_video(self, video_id: str) -> None:
        """Delete a video at the gateway, if it can (WisdomGate does not document it).

        :param video_id: the id that a create returned.
        """
        self.client.send(routes.delete_video(routes.check_text("video_id", video_id, ID_REMEDY)))

    def delete_copy(self, video_id: str) -> None:
        """Delete the gateway's copy of a clip that is stored; if that fails, log a warning."""
        try:
            self.delete_video(video_id)
        except errors.WisdomGateError as error:
            self.log.warning("Video %s is stored, and could not be deleted at the gateway: %s", video_id, error)
        else:
            self.log.info("Video %s is stored, and deleted at the gateway", video_id)

    def get_balance(self) -> dict[str, Any]:
        """Return the account's balance as the gateway words it. Free."""
        return self.client.send(routes.get_balance())

    def download_video(
        self,
        video_id: str,
        destination: str | None = None,
        *,
        if_exists: IfExists = "skip",
        max_bytes: int = MAX_BYTES,
        made_by: Mapping[str, Any] | None = None,
        control: Control | None = None,
        delete_after_download: bool = False,
    ) -> StoredVideo:
        """Stream a finished video's content to storage, whole or not at all.

        :param video_id: the finished video.
        :param destination: URI or path; a relative one is below the storage path.
        :param if_exists: ``skip`` succeeds without a request if the clip of this video is there, ``replace``
            fetches it again, ``fail`` fails. ``skip`` and ``fail`` never touch another video's clip.
        :param max_bytes: refuse a larger clip, in bytes.
        :param made_by: recorded in the manifest: which task stored it.
        :param control: asked between chunks; raises to stop.
        :param delete_after_download: delete the video at the gateway once it is stored; a warning if that fails.
        :raises VideoNotReadyError: the video is not finished.
        :raises VideoExpiredError: it was made and is gone at the gateway.
        :raises DestinationTakenError: something else is at the destination.
        :raises ContentError: several downloads did not bring a whole video.
        :raises StorageError: the storage refused.
        """
        video_id = routes.check_text("video_id", video_id, ID_REMEDY)
        check_storing(if_exists, max_bytes, delete_after_download)
        target = Destination(resolve_destination(destination, self.storage_path), self.settings.upload_args)
        wanted = Wanted({"base_url": self.settings.base_url}, video_id=video_id)
        clip = ClipTask(target, Terms(made_by or {}, if_exists), control or Control(), max_bytes=max_bytes)
        step = clip.begin(lambda: wanted, wanted=wanted)
        if isinstance(step, Done):
            return step.found
        try:
            stored = self._download(clip)
        except errors.WisdomGateError:
            if isinstance(step, Claim):
                clip.release_claim()  # nothing was paid here, so nothing need be remembered
            raise
        if delete_after_download:
            self.delete_copy(video_id)
        return stored

    def _download(self, clip: ClipTask) -> StoredVideo:
        """Download a video whose id a user gave: content that is not there gets a short grace."""
        for delay in (*CONTENT_GRACE, None):
            try:
                return clip.download(None, self.open_content)
            except GONE as error:
                if delay is None or not isinstance(error, errors.ContentMissingError):
                    raise
            clip.control.sleep(delay)
        raise AssertionError  # the last delay is None

    @property
    def storage_path(self) -> str | None:
        """Where relative destinations go: the connection's ``storage_path``, else ``[wisdomgate] storage_path``."""
        return next(iter(self.storage_paths), None)

    @property
    def storage_paths(self) -> list[str]:
        """Return the connection's ``storage_path`` and the option, as far as they are set."""
        option = conf.get("wisdomgate", "storage_path", fallback=None)
        return [path for path in (self.settings.storage_path, option) if path]

    @contextmanager
    def open_content(
        self, video_id: str, offset: int = 0, validator: str | None = None, *, may_recreate: bool = False
    ) -> Iterator[Content]:
        """Open a video's content once, at the content route or at the clip's own address.

        See :func:`gateway.content.open_a_source` and :meth:`gateway.client.Client.content`.

        :param may_recreate: see :func:`gateway.video.failure_of`.
        """
        with ExitStack() as stack:

            def open_at(address: str | None = None) -> Content:
                return stack.enter_context(self.client.content(video_id, offset, validator, address))

            def get_video() -> Video:
                return self.get_video(video_id)  # which asks once more by itself if the key is refused

            def opened() -> Content:
                return open_a_source(self.settings.content_from, open_at, get_video, may_recreate=may_recreate)

            try:
                self._content = content = opened()
            except errors.AuthenticationError:
                self._forget_connection()
                self._content = content = opened()
            try:
                yield content
            finally:
                self._content = None

    def open_paid_content(
        self, video_id: str, offset: int = 0, validator: str | None = None
    ) -> AbstractContextManager[Content]:
        """Open the content of a video that the caller can create again if it failed."""
        return self.open_content(video_id, offset, validator, may_recreate=True)

    def interrupt(self) -> None:
        """End a read of content that waits for bytes; safe to call from a signal handler."""
        if self._content is not None:
            self._content.interrupt()

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the balance, or for the models if the gateway reports none. Free: one to three short requests."""
        try:
            return check_account(self.client)
        except errors.WisdomGateError as error:
            return False, str(error)
