"""Compare a checkpoint with the model and the test data when it is loaded."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmclip.io.strict_loading import load_state
from mmclip.registry import HOOKS
from mmclip.text.dataset_meta import classes_of, one_meta

_EXAMPLES = 3
# What MMEngine reads from a checkpoint from which a run is resumed.
_RUN_STATE = ('meta', 'message_hub')


@HOOKS.register_module()
class CheckpointCheckHook(Hook):
    """Raises when a checkpoint is not of the model, and warns when its classes are not the data's.

    MMEngine loads what fits and logs the rest: metrics of a model that is partly or wholly random.

    - Testing, ``--resume`` and ``load_from`` raise for weights that are missing, left over or of
      other shapes. What the model makes itself is left out, see
      :func:`mmclip.io.strict_loading.load_state`.
    - Testing on other classes than those of the training data is what open-vocabulary models are
      for, and what a wrong ``test_dataloader`` looks like: it is a warning, before the test and
      again under the metrics.

    Args:
        allow_mismatch: Go on all the same and log a warning. ``--allow-mismatch`` sets it.
        new_modules: Modules (``'bbox_head.mask_head'``) that may differ when training starts from
            ``load_from``: new ones, or old ones that are dropped. Tests and ``--resume`` ask for
            them.
    """

    priority = 'VERY_HIGH'  # before EMAHook loads the same

    def __init__(self, *, allow_mismatch: bool = False, new_modules: Sequence[str] = ()) -> None:
        if isinstance(new_modules, str):
            raise ValueError(f'new_modules: {new_modules!r} must be a list of names of modules')
        self.allow_mismatch, self.new_modules = allow_mismatch, tuple(new_modules)
        self._trained_on: tuple[str, ...] = ()
        self._said: str | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: Any) -> None:
        source = runner._load_from or f'the newest checkpoint of {runner.work_dir}'
        if not isinstance(checkpoint, dict):
            raise ValueError(
                f'{source} is no checkpoint: it holds a {type(checkpoint).__name__} instead of '
                'named weights'
            )
        if runner._resume:
            self._check_run_state(source, checkpoint)
        meta = checkpoint.get('meta')
        dataset_meta = meta.get('dataset_meta') if isinstance(meta, dict) else None
        self._trained_on = classes_of(dataset_meta)
        if not hasattr(runner.model, 'load_checkpoint'):  # DeepSpeed's engine compares by itself
            self._check_weights(runner, source, checkpoint)
        if runner._resume:
            own = getattr(runner.train_dataloader.dataset, 'metainfo', None)
            if isinstance(own, list) and one_meta(own) == dataset_meta:
                meta['dataset_meta'] = own  # what MMEngine compares it with

    @staticmethod
    def _check_run_state(source: str, checkpoint: dict) -> None:
        meta = checkpoint.get('meta')
        lacking = [key for key in _RUN_STATE if not isinstance(checkpoint.get(key), dict)]
        if not lacking:
            lacking = [f'meta.{key}' for key in ('epoch', 'iter') if key not in meta]
        if lacking:
            raise ValueError(
                f'--resume: {source} holds weights, but no state of a run (no '
                f'{", ".join(lacking)}); start from these weights by --cfg-options '
                f'load_from={source}'
            )

    def _check_weights(self, runner: Runner, source: str, checkpoint: dict) -> None:
        state = checkpoint.get('state_dict', checkpoint)
        if not isinstance(state, dict):
            raise ValueError(f'{source}: its state_dict is a {type(state).__name__}, not a dict')
        mismatch = load_state(runner.model, state, resume=runner._resume)
        starts = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        if starts:
            mismatch = mismatch.without(self.new_modules)
        if not any(mismatch):
            return
        message = f'{source} does not fit the model: {mismatch}'
        if self.allow_mismatch:
            runner.logger.warning(message)
            return
        advice = ' If this is meant, go on with --allow-mismatch'
        if starts:
            advice += (
                ', or list the parts that start anew in '
                "default_hooks=dict(checkpoint_check=dict(new_modules=['…']))"
            )
        raise ValueError(f'{message}. Is it of another config?{advice}')

    def before_test(self, runner: Runner) -> None:
        tested = classes_of(getattr(runner.test_dataloader.dataset, 'metainfo', None))
        self._said = difference(self._trained_on, tested)
        if self._said:
            runner.logger.warning(self._said)

    def after_test(self, runner: Runner) -> None:
        if self._said:
            runner.logger.warning(f'To read the metrics above: {self._said}')


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:_EXAMPLES]) + ', …' * (len(names) > _EXAMPLES)


def difference(trained: Sequence[str], tested: Sequence[str]) -> str | None:
    """What to say about the classes of training and of testing; None if they are the same."""
    known = set(trained)
    new = [name for name in tested if name not in known]
    if not trained or not tested or (not new and len(trained) == len(tested)):
        return None
    said = (
        f'the checkpoint was trained on {len(trained)} classes ({_some(trained)}), the test data '
        f'(test_dataloader.dataset) has {len(tested)} ({_some(tested)}): '
    )
    if len(new) == len(tested):
        return f'{said}no class in common. Is it the data that you want to test on?'
    if not new:
        return f'{said}all of them were trained on'
    return f'{said}{len(new)} were not trained on ({_some(new)})'
