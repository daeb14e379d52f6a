"""Searches weights of PointCLIP's views before a test."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmclip.io.atomic import write_text
from mmclip.models.point_clip.view_weights import (
    ViewWeightResult,
    grid_of,
    search_coordinates,
    search_grid,
)
from mmclip.registry import HOOKS

METHODS = ('grid', 'coordinates')
FILE = 'view_weights.json'


@HOOKS.register_module()
class ViewWeightSearchHook(Hook):
    """Collects view scores of the validation split, searches weights, and tests with them.

    The config needs a ``val_dataloader`` with labels of the test's classes. The weights go to the
    log and to ``view_weights.json`` in the work dir.

    With ``official_search`` the weights are searched on the test's own labels, as in the official
    code; all results are then named ``..._official_search``, for they flatter.

    Source: official ``search_weights``, which tries all 4^V combinations.

    Args:
        method: ``'grid'``: every combination, the first strictly better one wins.
            ``'coordinates'``: coordinate ascent from several starts, for many views.
        choices: Weights that a view may have: ``'official'`` (0.25 to 1, which cannot drop a
            view), ``'drop'`` (0 to 1), numbers, or a list of numbers for each view.
        official_search: Whether to search on the test split.
        starts: Of ``'coordinates'``.

    Raises:
        ValueError: an unknown method or grid. When it runs: no ``val_dataloader``, other classes, a
            model without view scores.
    """

    # Before RuntimeInfoHook, which keeps the metrics under their names.
    priority = 'HIGHEST'

    def __init__(
        self,
        *,
        method: str = 'grid',
        choices: str | Sequence[float] = 'official',
        official_search: bool = False,
        starts: int = 8,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f'method: {method!r} is none of {METHODS}')
        nested = not isinstance(choices, str) and any(isinstance(c, list | tuple) for c in choices)
        grid_of(choices, len(choices) if nested else 1)
        self.method, self.choices = method, choices
        self.official_search = official_search
        self.starts = starts

    def before_test_epoch(self, runner: Runner) -> None:
        """Search; the classes of the test are set by then."""
        model = unwrapped(runner.model)
        if not hasattr(model, 'set_view_weights'):
            raise ValueError(
                f'model: {type(model).__name__} has no view weights; '
                'mmclip.ViewWeightSearchHook is for mmclip.PointCLIPClassifier'
            )
        loader = runner.test_dataloader if self.official_search else validation_loader(runner)
        scores, labels = collect(model, loader, model.view_scores)
        found = self._search(scores, labels)
        model.set_view_weights(found.weights)
        split = 'test' if self.official_search else 'validation'
        print_log(
            f'view weights {list(found.weights)}: {found.accuracy:.2f} % of {found.total} clouds '
            f'of the {split} split, {found.accuracy_uniform:.2f} % with equal weights '
            f'({found.combinations} combinations)',
            'current',
        )
        if is_main_process():
            self._write(Path(runner.work_dir) / FILE, found, split)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Name results that were searched for on the test labels."""
        if self.official_search and metrics:
            named = {f'{name}_official_search': value for name, value in metrics.items()}
            metrics.clear()
            metrics.update(named)

    def _search(self, scores: torch.Tensor, labels: torch.Tensor) -> ViewWeightResult:
        if not len(scores):
            raise ValueError('val_dataloader: not one cloud with a label to search weights on')
        if self.method == 'coordinates':
            return search_coordinates(scores, labels, choices=self.choices, starts=self.starts)
        columns = TextColumn('view weights'), BarColumn(), MofNCompleteColumn()
        console = Console(stderr=True)
        with Progress(
            *columns, TimeRemainingColumn(), console=console, disable=not is_main_process()
        ) as progress:
            bar = progress.add_task('', total=None)
            return search_grid(
                scores,
                labels,
                choices=self.choices,
                progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )

    def _write(self, path: Path, found: ViewWeightResult, split: str) -> None:
        content = dict(
            weights=list(found.weights),
            split=split,
            method=self.method,
            choices=self.choices if isinstance(self.choices, str) else list(self.choices),
            accuracy=found.accuracy,
            accuracy_uniform=found.accuracy_uniform,
            clouds=found.total,
            combinations=found.combinations,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content, indent=1) + '\n')


def unwrapped(model: Any) -> Any:
    """The model within wrappers for several processes."""
    while is_model_wrapper(model):
        model = model.module
    return model


def validation_loader(runner: Runner) -> Any:
    """A loader of the validation split, of the test's classes.

    Raises:
        ValueError: the config has none; it has other classes.
    """
    config = runner.cfg.get('val_dataloader')
    if config is None:
        raise ValueError(
            'val_dataloader: the config has none, and weights are searched on it; add one (a part '
            'of the training data), or set official_search=True of mmclip.ViewWeightSearchHook '
            'to search on the test labels'
        )
    seed = runner.seed if getattr(runner, 'seed', None) is not None else 0
    loader = runner.build_dataloader(config, seed=seed)
    names, wanted = (
        tuple(part.dataset.metainfo.get('classes', ())) for part in (loader, runner.test_dataloader)
    )
    if names != wanted:
        raise ValueError(
            f'val_dataloader: its dataset has {len(names)} classes {names[:3]}, the test '
            f'{len(wanted)} {wanted[:3]}; weights are searched on the same classes'
        )
    return loader


@torch.no_grad()
def collect(
    model: Any, loader: Any, scores_of: Callable[[Any], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (N, ...) and labels (N,) of a data loader, of all processes, on the CPU.

    Clouds without a label (below 0) are left out.

    Args:
        model: It preprocesses; what it lacks is filled.
        loader: Gives samples with ``gt_label``.
        scores_of: Inputs of B clouds -> (B, ...).

    Raises:
        ValueError: a sample without ``gt_label``.
    """
    model.eval()
    if hasattr(model, 'fill'):
        model.fill()
    rows: list[tuple[torch.Tensor, int]] = []
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        samples = data.get('data_samples') or []
        if any('gt_label' not in sample for sample in samples):
            raise ValueError('val_dataloader: a sample has no gt_label; the search needs labels')
        scores = scores_of(data['inputs']).float().cpu()
        labels = [int(sample.gt_label) for sample in samples]
        rows += zip(scores, labels, strict=True)
    gathered = [collect_results(rows, len(loader.dataset), 'cpu')]
    broadcast_object_list(gathered)
    kept = [(scores, label) for scores, label in gathered[0] if label >= 0]
    if not kept:
        return torch.zeros(0, 1, 1), torch.zeros(0, dtype=torch.int64)
    return torch.stack([scores for scores, _ in kept]), torch.tensor([label for _, label in kept])
