"""Name point clouds with a PointCLIP model, and show what each view says."""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.apis.inferencer import load_checkpoint
from mmclip.config_file import read_config
from mmclip.distributed import job_device
from mmclip.io.atomic import write_image
from mmclip.io.point_file import POINT_SUFFIXES, check_points, read_points
from mmclip.io.point_pose import check_axis, turn_up, unit_sphere
from mmclip.text.class_names import class_names
from mmclip.visualization.point_views import draw_point_views, near_is_bright
from mmclip.vocabulary.classifier import classifiers_of
from mmclip.vocabulary.point_exemplars import use_projector

Cloud = str | Path | np.ndarray | torch.Tensor


@dataclass(frozen=True)
class CloudResult:
    """What a model says of a cloud.

    Args:
        names: The ``top_k`` best classes, best first.
        scores: Theirs, 0 to 1.
        view_names: The best class of each view.
        view_scores: (V, K), each view's own score of each class, summing to 1 in a view.
        depth_maps: (V, H, W) float32: depths in the unit of the normalized cloud, 0 where there is
            no point; of a projector without ``depth_maps`` the first channel of its images.
        views: (V, H, W) uint8, the same to look at: near is bright.
        class_names: All K classes.
    """

    names: tuple[str, ...]
    scores: tuple[float, ...]
    view_names: tuple[str, ...]
    view_scores: np.ndarray
    depth_maps: np.ndarray
    views: np.ndarray
    class_names: tuple[str, ...]

    def draw(self, columns: int = 3) -> np.ndarray:
        """An RGB image of the views with their scores, and the result of all."""
        return draw_point_views(
            self.views,
            self.view_scores,
            self.names,
            self.scores,
            class_names=self.class_names,
            columns=columns,
        )


def list_clouds(inputs: str | Path | Sequence[str | Path]) -> list[Path]:
    """Files of point clouds in order; a folder stands for those in it, sorted by name.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: no cloud.
    """
    found: list[Path] = []
    for entry in [inputs] if isinstance(inputs, str | Path) else inputs:
        path = Path(entry)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in POINT_SUFFIXES)
            if not inside:
                raise ValueError(f'the folder {path} holds no cloud ({" ".join(POINT_SUFFIXES)})')
            found += inside
        elif not path.exists():
            raise FileNotFoundError(f'the point cloud {path} does not exist')
        else:
            found.append(path)
    if not found:
        raise ValueError('inputs is empty: give a point cloud, a folder, or a list of them')
    return found


def is_point_config(config: Config) -> bool:
    """Whether a config's model names point clouds: it has a projector."""
    return 'projector' in config.get('model', {})


def load_cloud_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    *,
    allow_mismatch: bool = False,
) -> nn.Module:
    """Build a PointCLIP model.

    Args:
        config: A config, its file, or the name of one of mmclip's.
        checkpoint: Weights; None or ``'none'``: those that the config names.
        device: By default the accelerator if there is one.
        allow_mismatch: Whether to go on with a checkpoint that does not fit.

    Raises:
        FileNotFoundError: no config or checkpoint.
        ValueError: the model has no projector, or the checkpoint is not its own.
    """
    config = config if isinstance(config, Config) else read_config(config)
    if not is_point_config(config):
        raise ValueError(
            f'config: its model {config.model.type} has no projector: it does not name point clouds'
        )
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmengine')):
        model = MODELS.build(config.model)
    if checkpoint is not None and str(checkpoint) != 'none':
        classes = load_checkpoint(model, checkpoint, allow_mismatch=allow_mismatch)
    else:
        if not hasattr(model, 'fill'):  # which the first prediction calls, without a log
            model.init_weights()
        classes = tuple(model.class_names)
    classes = classes or _classes_of_data(config)
    if classes and classes != tuple(model.class_names):
        model.set_classes(classes)
    return model.to(job_device(device)).eval()


def _classes_of_data(config: Config) -> tuple[str, ...]:
    """The classes that a config's test data name without being read."""
    dataset = (config.get('test_dataloader') or {}).get('dataset') or {}
    kind = str(dataset.get('type', '')).rpartition('.')[2]
    if kind in ('ModelNetH5', 'ModelNetFolder'):
        return class_names(f'modelnet{dataset.get("version", 40)}')
    if kind == 'ScanObjectNN':
        return class_names('scan_object_nn')
    classes = dataset.get('classes') or ()
    return class_names(classes) if classes and not str(classes).endswith('.json') else ()


def prepare_cloud(
    cloud: Cloud, *, up: str = 'y', num_points: int | None = None, normalize: bool = True
) -> np.ndarray:
    """Points with y up in the unit sphere: float32 (N, 3).

    Args:
        cloud: A file, see :func:`mmclip.io.point_file.read_points`, or (N, 3 or more) numbers.
        up: Axis that is up in the data: x, y, z, or one with a minus.
        num_points: As :func:`mmclip.io.point_file.read_points`, for files. Time grows with the
            points of all views; some 100 000 fill every pixel that a surface covers.
        normalize: Whether to center and scale.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.point_file.read_points`; another axis.
    """
    check_axis(up)
    if isinstance(cloud, str | Path):
        points = read_points(cloud, num_points)
    else:
        values = cloud.detach().cpu().numpy() if isinstance(cloud, torch.Tensor) else cloud
        points = check_points(np.asarray(values), 'cloud')
    points = unit_sphere(points) if normalize else points.astype(np.float32)
    return turn_up(points, up)


@torch.no_grad()
def classify_cloud(
    model: nn.Module | str | Path | Config,
    cloud: Cloud,
    *,
    checkpoint: str | Path | None = None,
    classes: str | Sequence[str] | None = None,
    prompts: str | Sequence[str] | None = None,
    examples: Mapping[str, Any] | str | Path | None = None,
    top_k: int = 5,
    up: str = 'y',
    num_points: int | None = None,
    normalize: bool = True,
    out_file: str | Path | None = None,
    device: str | None = None,
) -> CloudResult:
    """Name a point cloud::

        result = classify_cloud('point_clip/….py', 'mug.ply', classes=['mug', 'cone'], up='z')
        print(result.names[0], result.scores[0])

    The scores are the soft-max of all views' logits. Those of a view are its own: the soft-max of
    its share of the logits, or its probabilities if that is what the model fuses.

    Args:
        model: A PointCLIP model, or its config (file, or name of one of mmclip's), which is built
            at each call: give a model for several clouds, see :func:`load_cloud_model`.
        cloud: As :func:`prepare_cloud`.
        checkpoint, device: As :func:`load_cloud_model`, for a config.
        classes: Words, or the name of a known vocabulary; None: the keys of ``examples``, else the
            model's present ones.
        prompts: Sentences around the words; None keeps the present ones.
        examples: Images or point clouds that stand for classes; these are seen in the model's
            own views.
        top_k: Number of classes in ``names`` and ``scores``.
        up, num_points, normalize: As :func:`prepare_cloud`.
        out_file: An image file for the drawn views.

    Raises:
        FileNotFoundError, ValueError: no or a bad cloud, config or checkpoint; bad arguments; a
            model without classes.
    """
    if top_k < 1:
        raise ValueError(f'top_k: {top_k}; allowed are 1 and more')
    points = prepare_cloud(cloud, up=up, num_points=num_points, normalize=normalize)
    if not isinstance(model, nn.Module):
        model = load_cloud_model(model, checkpoint, device)
    if classes is None and isinstance(examples, Mapping):
        classes = tuple(examples)
    if classes is not None or examples or prompts is not None:
        for classifier in classifiers_of(model):
            if classifier.text_encoder is not None:
                use_projector(classifier.text_encoder, model.projector)
        words = class_names(classes if classes is not None else model.class_names)
        model.set_classes(words, prompts, examples)
    words = tuple(model.class_names)
    if not words:
        raise ValueError('classes: the model has none; name some, e.g. modelnet40')
    inputs = torch.from_numpy(np.ascontiguousarray(points))
    with _view_scores_on(model):
        sample = model.test_step(dict(inputs=[inputs], data_samples=[BaseDataElement()]))[0]
    scores = sample.pred_scores.float().cpu()
    best = scores.topk(min(top_k, len(words)))
    view_scores = view_probabilities(sample.view_scores.float().cpu().numpy())
    maps, views = _maps_of(model, inputs)
    result = CloudResult(
        names=tuple(words[k] for k in best.indices.tolist()),
        scores=tuple(best.values.tolist()),
        view_names=tuple(words[k] for k in view_scores.argmax(1).tolist()),
        view_scores=view_scores,
        depth_maps=maps,
        views=views,
        class_names=words,
    )
    if out_file is not None:
        write_image(out_file, result.draw()[:, :, ::-1])
    return result


def view_probabilities(view_scores: np.ndarray) -> np.ndarray:
    """Scores that sum to 1 in each view: (V, K) probabilities as they are, logits by soft-max."""
    sums = view_scores.sum(1, keepdims=True)
    if (view_scores >= 0).all() and np.allclose(sums, 1, atol=1e-3):
        return view_scores
    powers = np.exp(view_scores - view_scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@contextmanager
def _view_scores_on(model: nn.Module):
    """Predictions with ``view_scores``, which a model leaves out in the test of a dataset."""
    before = getattr(model, 'store_view_scores', None)
    model.store_view_scores = True
    try:
        yield
    finally:
        if before is not None:
            model.store_view_scores = before


def _maps_of(model: nn.Module, points: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Depth maps (V, H, W), and gray values of them to look at."""
    projector = model.projector
    device = next(iter([*model.parameters(), *model.buffers()]), torch.empty(0)).device
    batch = points[None].to(device)
    if hasattr(projector, 'depth_maps'):
        maps = projector.depth_maps(batch)[0].float().cpu().numpy()
        return maps, near_is_bright(maps)
    images = projector(batch)[0, :, 0].float().cpu().numpy()
    low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
    gray = (images - low) / np.where(high > low, high - low, 1)
    return images, np.round(255 * gray).astype(np.uint8)
