"""``@task.wisdomgate_video``: the function describes a video, the task makes and keeps it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    SET_DURING_EXECUTION,
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_wisdomgate import exceptions as errors
from airflow_provider_wisdomgate.operators import WisdomGateGenerateVideoOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wisdomgate.gateway.routes import Call
    from airflow_provider_wisdomgate.gateway.video import Video

# The keys of a returned dict that are arguments of the operator; everything else is one of its fields.
ARGUMENTS = ("model", "prompt", "seconds", "size", "input_reference", "destination")


class _WisdomGateVideoDecoratedOperator(DecoratedOperator, WisdomGateGenerateVideoOperator):
    """Generates the video that the decorated function describes."""

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *WisdomGateGenerateVideoOperator.template_fields,
    )
    custom_operator_name = "@task.wisdomgate_video"
    overwrite_rtif_after_execution = True
    _failure: Exception | None = None

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        model: Any = SET_DURING_EXECUTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            model=model,
            prompt=SET_DURING_EXECUTION,
            **kwargs,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function, then generate; the function is not called again when a deferred task resumes.

        If the function fails, its error is raised only if a request is to be sent: this run may have paid already.
        """
        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        # Rendered already are the task's own arguments. A function's result is data: it may be a user's text.
        try:
            self._take(self.python_callable(*self.op_args, **kwargs))
        except Exception as error:
            self._failure = error
        return WisdomGateGenerateVideoOperator.execute(self, context)

    def _call(self) -> Call[Video]:
        if self._failure is not None:
            raise self._failure
        return super()._call()

    def _take(self, answer: Any) -> None:
        if isinstance(answer, str):
            answer = {"prompt": answer}
        if not isinstance(answer, Mapping) or "prompt" not in answer:
            raise errors.ConfigurationError(
                f"The function of task {self.task_id!r} must return a prompt, or a dict with 'prompt' and other "
                f"fields, not {type(answer).__name__}."
            )
        fields = {name: value for name, value in answer.items() if name not in ARGUMENTS}
        for name in ARGUMENTS:
            if name in answer:
                setattr(self, name, answer[name])
        self.fields = {**(self.fields or {}), **fields} or None


def wisdomgate_video_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a task of a function that returns a prompt, or a dict with ``prompt``, other arguments and fields.

    :param kwargs: arguments of :class:`WisdomGateGenerateVideoOperator` (``model`` may come from the dict).

    A retry finds the clip of an earlier try only if the function returns the same again.
    """
    # The task returns the manifest, whatever the function's annotation is.
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=_WisdomGateVideoDecoratedOperator,
        **{"multiple_outputs": False, **kwargs},
    )
