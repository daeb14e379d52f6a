"""Gives the model the classes of the dataset before training, validation and testing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel, BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from mmclip.registry import HOOKS


@HOOKS.register_module()
class VocabularyHook(Hook):
    """Calls ``model.set_classes`` with the ``classes`` of the dataset's ``metainfo``.

    A model that asks the dataset which classes are novel (ViLD's ``set_novel_classes``) is told
    too.

    Args:
        prompts: Templates around the names; None keeps the model's own.
        examples: Images that stand for classes (name -> images, or a json file), see
            :func:`mmclip.vocabulary.exemplars.encode_examples`.
        shuffle_seed: A control: testing gives every class the embedding of another one, drawn by
            this seed. An open-vocabulary model must fail under it.
        shuffle_keep: Names that keep their place then: a background that no word stands for.
        train: Whether training has classes; a model that learns from captions has none.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self,
        *,
        prompts: str | Sequence[str] | None = None,
        examples: Mapping[str, Any] | str | Path | None = None,
        shuffle_seed: int | None = None,
        shuffle_keep: Sequence[str] = (),
        train: bool = True,
    ) -> None:
        self.prompts = prompts
        self.examples = examples
        self.shuffle_seed = shuffle_seed
        self.shuffle_keep = tuple(shuffle_keep)
        self.train = train

    def _set(self, runner: Runner, dataset: Any, *, shuffle: bool = False) -> None:
        meta = _common_meta(dataset)
        names = meta.get('classes')
        if names is None:
            raise ValueError(
                f'dataset: {type(dataset).__name__} names no classes in its metainfo; give '
                'metainfo=dict(classes=[...]) or take mmclip.VocabularyHook out of custom_hooks'
            )
        names = list(names)
        if shuffle and self.shuffle_seed is not None:
            places = [i for i, name in enumerate(names) if name not in self.shuffle_keep]
            moved = derangement(len(places), self.shuffle_seed)
            for place, name in zip(places, [names[places[i]] for i in moved], strict=True):
                names[place] = name
        # An averaged model (EMAHook) is a copy that must not fall behind.
        averaged = [hook.ema_model for hook in runner.hooks if hasattr(hook, 'ema_model')]
        for model in (runner.model, *averaged):
            while is_model_wrapper(model) or isinstance(model, BaseAveragedModel | BaseTTAModel):
                model = model.module
            model.set_classes(names, self.prompts, self.examples)
            if hasattr(model, 'set_novel_classes'):
                model.set_novel_classes(meta.get('novel', ()))

    def before_train(self, runner: Runner) -> None:
        if self.train:
            self._set(runner, runner.train_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        self._set(runner, runner.val_dataloader.dataset, shuffle=True)

    def before_test(self, runner: Runner) -> None:
        self._set(runner, runner.test_dataloader.dataset, shuffle=True)

    def after_val(self, runner: Runner) -> None:
        """Training goes on with the classes of its own dataset."""
        if self.train and isinstance(runner._train_loop, BaseLoop):
            self._set(runner, runner.train_dataloader.dataset)


def _common_meta(dataset: Any) -> dict[str, Any]:
    """The ``metainfo`` of a dataset, or what all parts of a mixture (MMDetection's list) say."""
    metas = getattr(dataset, 'metainfo', {})
    if not isinstance(metas, list):
        return metas
    for key in ('classes', 'novel'):
        said = [tuple(meta.get(key) or ()) for meta in metas]
        other = next((i for i, names in enumerate(said) if names != said[0]), None)
        if other is not None:
            raise ValueError(
                f'dataset: parts 0 and {other} of the mixture name different {key} ({said[0][:3]} '
                f'and {said[other][:3]}), but this model has one list for all; give each part the '
                'same categories, in the same order, and the same novel=[...]'
            )
    return metas[0]


def derangement(count: int, seed: int) -> list[int]:
    """A permutation that leaves nothing in its place, drawn by a seed.

    Raises:
        ValueError: fewer than two entries cannot be moved.
    """
    if count < 2:
        raise ValueError(f'shuffle_seed: {count} class cannot be shuffled')
    order = np.random.default_rng(seed).permutation(count)
    # Each entry takes the place of the next one in a random circle.
    result = np.empty(count, int)
    result[order] = np.roll(order, 1)
    return result.tolist()
