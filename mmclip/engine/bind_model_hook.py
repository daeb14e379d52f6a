"""Lends metrics the model's way of scoring pairs."""

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmclip.registry import HOOKS


@HOOKS.register_module()
class BindModelHook(Hook):
    """Calls ``metric.bind(model)`` before validation and test, for metrics that have it.

    A metric sees a model's results, not the model; :class:`mmclip.VideoRetrieval` needs the tight
    head of CLIP4Clip to compare a text with a video. Loose heads need no hook.
    """

    def _bind(self, runner: Runner, evaluator: Evaluator) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for metric in evaluator.metrics:
            if hasattr(metric, 'bind'):
                metric.bind(model)

    def before_val(self, runner: Runner) -> None:
        self._bind(runner, runner.val_loop.evaluator)

    def before_test(self, runner: Runner) -> None:
        self._bind(runner, runner.test_loop.evaluator)
