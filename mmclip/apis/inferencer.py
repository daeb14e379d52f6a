"""Any words on any image, with a trained open-vocabulary model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, VISUALIZERS, DefaultScope
from mmengine.structures import BaseDataElement

from mmclip.apis.images import ImageInput, list_images, output_names, read_image
from mmclip.config_file import read_config
from mmclip.distributed import job_device
from mmclip.io.atomic import atomic_file
from mmclip.io.checkpoint import read_checkpoint
from mmclip.io.strict_loading import load_weights
from mmclip.registry import INFERENCERS
from mmclip.text.class_names import class_names
from mmclip.text.dataset_meta import classes_of, one_meta


@dataclass(frozen=True)
class Task:
    """What differs between the hosts.

    Args:
        load: Transform that takes an image out of ``results['img']``.
        visualizer: Config of the host's visualizer.
        finish: Keeps what scores high enough and names it: (sample, names, score_thr) -> sample.
        pads: Whether the host makes images of several sizes one batch.
    """

    load: str
    visualizer: dict[str, Any]
    finish: Callable[[BaseDataElement, Sequence[str], float], BaseDataElement]
    pads: bool


def _finish_detection(
    sample: BaseDataElement, names: Sequence[str], score_thr: float
) -> BaseDataElement:
    instances = sample.pred_instances
    sample.pred_instances = instances[instances.scores >= score_thr]  # leaves NaN scores out
    labels = sample.pred_instances.labels.tolist()
    sample.pred_instances.label_names = [names[label] for label in labels]
    return sample


def _finish_segmentation(
    sample: BaseDataElement, names: Sequence[str], score_thr: float
) -> BaseDataElement:
    """Every pixel has a word; ``score_thr`` has no meaning."""
    sample.set_metainfo(dict(label_names=tuple(names)))
    return sample


# By the `default_scope` of a config.
TASKS = {
    'mmdet': Task(
        load='mmdet.LoadImageFromNDArray',
        visualizer=dict(type='mmclip.WordVisualizer', name='mmclip_inferencer'),
        finish=_finish_detection,
        pads=True,
    ),
    'mmseg': Task(
        load='mmseg.LoadImageFromNDArray',
        visualizer=dict(type='mmclip.WordMaskVisualizer', name='mmclip_inferencer_masks'),
        finish=_finish_segmentation,
        pads=False,
    ),
}
# Transforms of a test pipeline that need annotations.
_NEEDS_TRUTH = ('LoadAnnotations', 'LoadPanopticAnnotations', 'LoadProposals', 'ProposalsFromGT')
_NEEDS_TRUTH += ('LoadSegMap',)


@INFERENCERS.register_module()
class OpenVocabInferencer:
    """Finds what words say in images, and draws it::

        detect = OpenVocabInferencer('vild/mini/vild_text_r18_mini.py', 'work_dirs/demo/last.pth')
        results = detect('image.png', classes=['striped red star', 'blue ring'], out_dir='out')
        print(results[0].pred_instances.label_names)

    The image goes through the test pipeline of the config. Any host can be added to ``TASKS``.

    Args:
        config: A config file, or the name of one of mmclip's.
        checkpoint: Weights; the classes of the dataset they were trained on are the default ones,
            those of a mixture of datasets joined.
        device: By default the accelerator if there is one.
        allow_mismatch: Whether to go on with a checkpoint that does not fit the model.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ValueError: If the checkpoint is not of this model, the config is of no known host, or
            there is no such device.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        allow_mismatch: bool = False,
    ) -> None:
        self.config = config if isinstance(config, Config) else read_config(config)
        scope = self.config.get('default_scope')
        if scope not in TASKS:
            raise ValueError(
                f'default_scope={scope!r} of the config is no host that can be drawn; known are '
                f'{sorted(TASKS)}'
            )
        self.task = TASKS[scope]
        self._scope = scope
        self.device = job_device(device)
        with self._host():
            self.model = revert_sync_batchnorm(MODELS.build(self.config.model))
            if not hasattr(self.model, 'set_classes'):
                raise ValueError(
                    f'{type(self.model).__name__} has no set_classes(): it is not an '
                    'open-vocabulary model'
                )
            self.default_classes = load_checkpoint(
                self.model, checkpoint, allow_mismatch=allow_mismatch
            )
            self.pipeline = Compose(self._pipeline())
            self.visualizer = VISUALIZERS.build(self.task.visualizer)
        self.model.to(self.device).eval()

    @torch.no_grad()
    def __call__(
        self,
        inputs: ImageInput | Sequence[ImageInput],
        classes: str | Sequence[str] | None = None,
        prompts: str | Sequence[str] | None = None,
        examples: Mapping[str, Any] | str | Path | None = None,
        out_dir: str | Path | None = None,
        score_thr: float = 0.3,
        batch_size: int = 1,
    ) -> list[BaseDataElement]:
        """The host's data samples, one per image, on the CPU, with ``label_names``.

        Args:
            inputs: An image file, a folder of them, a BGR array, or a list of such.
            classes: Words to look for, or the name of a known vocabulary such as ``'lvis_v1'``. By
                default the keys of ``examples`` or, without them, the checkpoint's own classes.
            prompts: Sentences around the words; None keeps the present ones.
            examples: Images that stand for classes, ``{name: [image, ...]}`` or a json file.
            out_dir: Folder for the drawn images, PNG files; ``sample.drawn`` is their path.
            score_thr: What scores lower is in no result and no image.
            batch_size: Images at once.

        Raises:
            FileNotFoundError, ValueError: Missing or unreadable images; bad words or examples.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size} must be at least 1')
        images = list_images(inputs)
        targets: Sequence[Path | None] = [None] * len(images)
        if out_dir is not None:
            targets = output_names(images, Path(out_dir))
        with self._host():
            names = self.set_classes(classes, prompts, examples)
            results: list[BaseDataElement] = []
            for start in range(0, len(images), batch_size):
                batch = slice(start, start + batch_size)
                arrays = [read_image(image) for image in images[batch]]
                samples = self._predict(arrays, images[batch])
                for array, sample, target in zip(arrays, samples, targets[batch], strict=True):
                    results.append(self.task.finish(sample.cpu(), names, score_thr))
                    if target is not None:
                        self.draw(array, results[-1], target)
        return results

    def set_classes(
        self,
        classes: str | Sequence[str] | None = None,
        prompts: str | Sequence[str] | None = None,
        examples: Mapping[str, Any] | str | Path | None = None,
    ) -> tuple[str, ...]:
        """Gives the model its words, see :meth:`__call__`; returns them."""
        if classes is None:
            classes = tuple(examples) if isinstance(examples, Mapping) else self.default_classes
        names = class_names(classes)
        self.model.set_classes(names, prompts, examples)
        return names

    def draw(self, image: np.ndarray, sample: BaseDataElement, target: Path) -> None:
        """Draws a result on its BGR image and writes it to ``target``."""
        with atomic_file(target, keep_suffix=True) as partial:
            self.visualizer.add_datasample(
                target.stem,
                image[:, :, ::-1],
                sample,
                draw_gt=False,
                pred_score_thr=-1.0,  # `finish` has applied the caller's
                out_file=str(partial),
            )
        sample.set_metainfo(dict(drawn=str(target)))

    def _predict(
        self, arrays: Sequence[np.ndarray], images: Sequence[Path | np.ndarray]
    ) -> list[BaseDataElement]:
        data = [self.pipeline(dict(img=array, img_id=i)) for i, array in enumerate(arrays)]
        samples = []
        for _, batch in groupby(data, lambda row: self.task.pads or row['inputs'].shape):
            samples += self.model.test_step(pseudo_collate(list(batch)))
        for sample, image in zip(samples, images, strict=True):
            path = str(image) if isinstance(image, Path) else None
            sample.set_metainfo(dict(img_path=path))
        return samples

    def _pipeline(self) -> list[dict]:
        """The config's test pipeline, for images in memory and without annotations."""
        if not self.config.get('test_dataloader'):
            raise ValueError('the config has no test_dataloader, whose pipeline is used')
        dataset = self.config.test_dataloader.dataset
        while 'pipeline' not in dataset and 'dataset' in dataset:
            dataset = dataset.dataset
        kept = [t for t in dataset.pipeline if _bare_type(t) not in _NEEDS_TRUTH]
        if not kept or not _bare_type(kept[0]).startswith('LoadImage'):
            raise ValueError(
                'the test pipeline of the config must begin with LoadImageFromFile, it is '
                f'{[t["type"] for t in dataset.pipeline]}'
            )
        return [dict(type=self.task.load), *kept[1:]]

    @contextmanager
    def _host(self) -> Iterator[None]:
        """Unscoped names are the host's, here and nowhere else."""
        with DefaultScope.overwrite_default_scope(self._scope):
            yield


def load_checkpoint(
    model: torch.nn.Module, checkpoint: str | Path, *, allow_mismatch: bool = False
) -> tuple[str, ...]:
    """Loads a checkpoint without running its pickle; the classes that it was trained with.

    Embeddings of words may be missing, as in a converted checkpoint: ``set_classes`` makes them.

    Raises:
        FileNotFoundError, ValueError: as :func:`mmclip.io.strict_loading.load_weights`.
    """
    path = Path(checkpoint)
    if not path.exists():
        raise FileNotFoundError(
            f'checkpoint={str(checkpoint)!r} does not exist; tools/train.py writes checkpoints '
            'into its --work-dir, `make demo` into work_dirs/demo'
        )
    load_weights(model, checkpoint, allow_mismatch=allow_mismatch)
    content = read_checkpoint(path)
    meta = content.get('meta') if isinstance(content, dict) else None
    dataset_meta = one_meta(meta.get('dataset_meta') if isinstance(meta, dict) else None)
    classes = classes_of(dataset_meta)
    if classes and hasattr(model, 'set_novel_classes'):  # an ensemble scores those otherwise
        model.set_novel_classes(dataset_meta.get('novel', ()))
    return classes or tuple(model.class_names)


def _bare_type(transform: Mapping[str, Any]) -> str:
    return str(transform['type']).rpartition('.')[2]
