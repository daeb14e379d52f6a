"""What holds for every method: mixed precision on a CPU, a batch of one, pickles, states."""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine import Config
from mmengine.dataset import Compose
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner.amp import autocast
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmclip import config_path
from mmclip.clip import contrastive_loss
from mmclip.engine.bfloat16 import BFloat16OptimWrapper
from mmclip.registry import MODELS
from mmclip.text.captions import class_caption
from mmclip.vocabulary.classifier import classifiers_of

SIDE = 64
NAMES = ['cat', 'dog', 'red car', 'tree']
META = dict(
    img_shape=(SIDE, SIDE),
    ori_shape=(SIDE, SIDE),
    pad_shape=(SIDE, SIDE),
    batch_input_shape=(SIDE, SIDE),
    scale_factor=(1.0, 1.0),
)


def wordless(index: int) -> DetDataSample:
    """As :func:`detected`, for detectors that read no text with an image."""
    sample = detected(index)
    sample.set_metainfo(dict(text=None))
    return sample


def detected(index: int) -> DetDataSample:
    """Two objects with masks, the words that GLIP reads, the regions that ViLD distills."""
    caption = class_caption(NAMES)
    spans = [[list(piece) for piece in pieces] for pieces in caption.spans]
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    masks[0, 8:40, 8:40] = masks[1, 4:30, 20:60] = 1
    boxes = torch.tensor([[8.0, 8, 40, 40], [20, 4, 60, 30]])
    return DetDataSample(
        metainfo=META
        | dict(
            text=caption.text,
            phrase_spans=spans,
            phrase_labels=[0, 1, 2, 3],
            text_type='det',
            maskable_spans=[piece for pieces in spans for piece in pieces],
        ),
        gt_instances=InstanceData(
            bboxes=boxes,
            labels=torch.tensor([0, 1]),
            masks=BitmapMasks(masks.numpy(), SIDE, SIDE),
        ),
        ignored_instances=InstanceData(bboxes=boxes[:0], labels=torch.zeros(0, dtype=torch.long)),
        distill_instances=InstanceData(
            bboxes=boxes + 3, embeddings=torch.randn(2, 128), valid=torch.ones(2).bool()
        ),
    )


def segmented(index: int) -> SegDataSample:
    masks = PixelData(data=torch.randint(0, 4, (1, SIDE, SIDE)))
    return SegDataSample(metainfo=META, gt_sem_seg=masks)


def with_meta(**fields: Any) -> Callable[[int], BaseDataElement]:
    return lambda index: BaseDataElement(metainfo=META | fields)


def with_data(**fields: Any) -> Callable[[int], BaseDataElement]:
    return lambda index: BaseDataElement(metainfo=META, **fields)


def images(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randint(0, 255, (*shape, 3, SIDE, SIDE), dtype=torch.uint8)


LABEL = torch.tensor([1])
TEXTS = ['a red star', 'red', 'star', 'red']
# Config: sample of a training, sample of a test, inputs, settings.
METHODS = {
    'vild/mini/vild_text_r18_mini.py': (wordless, wordless, images(), {}),
    'vild/mini/vild_ensemble_r18_mini.py': (wordless, wordless, images(), {}),
    'glip/mini/glip_t_mini.py': (detected, detected, images(), {}),
    'glipv2/mini/glipv2_mini.py': (detected, detected, images(), {}),
    'lseg/mini/lseg_r18_mini.py': (segmented, segmented, images(), {}),
    'group_vit/mini/group_vit_one_stage_mini.py': (
        with_meta(texts=TEXTS),
        segmented,
        images(),
        {},
    ),
    'action_clip/mini/action_clip_transf_mini.py': (
        with_data(gt_label=LABEL),
        with_data(gt_label=LABEL),
        images(2),
        {'model.num_frames': 2},
    ),
    'clip4clip/mini/clip4clip_seqtransf_mini.py': (
        with_data(texts=['a video']),
        with_data(texts=['a video', 'a film']),
        images(2),
        {},
    ),
    'clip4clip/mini/clip4clip_tighttransf_mini.py': (
        with_data(texts=['a video']),
        with_data(texts=['a video', 'a film']),
        images(2),
        {},
    ),
    'clip_zero_shot/mini/clip_contrastive_mini.py': (with_meta(text='a star'), None, images(), {}),
    'clip_zero_shot/mini/clip_zero_shot_mini.py': (
        None,
        with_data(gt_label=LABEL),
        images(),
        {},
    ),
    'clip_zero_shot/mini/linear_probe_mini.py': (
        with_data(gt_label=LABEL),
        with_data(gt_label=LABEL),
        images(),
        {},
    ),
}
TRAINED = [name for name, (train, *_) in METHODS.items() if train is not None]


def build(name: str) -> torch.nn.Module:
    """The model of a mini config, as it is built: nothing is filled."""
    cfg = Config.fromfile(config_path(name))
    cfg.merge_from_dict(METHODS[name][3])
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def filled(name: str) -> torch.nn.Module:
    model = build(name)
    model.init_weights()
    if hasattr(model, 'set_classes') and 'linear' not in name:
        model.set_classes(NAMES)
    return model


def train_step(
    model: torch.nn.Module, name: str, count: int, wrapper: type[OptimWrapper]
) -> dict[str, float]:
    sample, _, inputs, _ = METHODS[name]
    torch.manual_seed(1)
    data = dict(
        inputs=[inputs() for _ in range(count)], data_samples=[sample(i) for i in range(count)]
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    logs = model.train().train_step(data, wrapper(optimizer=optimizer))
    return {key: float(value) for key, value in logs.items()}


def test_step(model: torch.nn.Module, name: str) -> list:
    _, sample, inputs, _ = METHODS[name]
    torch.manual_seed(2)
    with torch.no_grad():
        return model.eval().test_step(dict(inputs=[inputs()], data_samples=[sample(0)]))


test_step.__test__ = False


# -- mixed precision ------------------------------------------------------------------------------


@pytest.mark.parametrize('name', METHODS)
def test_bfloat16_on_a_cpu(name):
    model = filled(name)
    if name in TRAINED:
        state = {key: value.clone() for key, value in model.state_dict().items()}
        expected = train_step(model, name, 2, OptimWrapper)
        model.load_state_dict(state)
        logs = train_step(model, name, 2, BFloat16OptimWrapper)
        assert all(p.dtype == torch.float32 for p in model.parameters())
        for key in ('loss', 'loss_mask', 'loss_distill', 'loss_rpn_bbox'):
            if key in expected:
                assert logs[key] == pytest.approx(expected[key], rel=0.1), key
    if METHODS[name][1] is not None:
        with autocast(dtype=torch.bfloat16):
            assert len(test_step(model, name)) == 1


# -- a batch of one -------------------------------------------------------------------------------


@pytest.fixture
def said(monkeypatch) -> Iterator[list[str]]:
    lines = []
    contrastive_loss.warn_of_lone_sample.cache_clear()
    monkeypatch.setattr(
        contrastive_loss,
        'print_log',
        lambda line, logger, level: lines.append(line) if level == logging.WARNING else None,
    )
    yield lines
    contrastive_loss.warn_of_lone_sample.cache_clear()


@pytest.mark.parametrize('name', TRAINED)
def test_a_batch_of_one_trains_or_says_why_not(name, said):
    model = filled(name)
    refused = pytest.raises(
        ValueError,
        match='a batch of one image: .* train_dataloader.batch_size to 2 .*drop_last=True',
    )
    with refused if 'group_vit' in name else nullcontext():
        loss = train_step(model, name, 1, OptimWrapper)['loss']
    if name.split('/')[0] in ('action_clip', 'clip4clip') or 'contrastive' in name:
        assert loss == pytest.approx(0, abs=1e-6)
        (line,) = said
        assert 'a batch of one sample: its contrastive loss is 0' in line
        assert 'train_dataloader.batch_size' in line and 'train_dataloader.drop_last=True' in line
        train_step(model, name, 1, OptimWrapper)
        assert len(said) == 1, 'it is said once'
    elif 'group_vit' not in name:
        assert loss > 0 and not said


@pytest.mark.parametrize('name', [name for name in TRAINED if 'group_vit' not in name])
def test_two_samples_are_no_reason_to_warn(name, said):
    train_step(filled(name), name, 2, OptimWrapper)
    assert not said


# -- states and pickles ---------------------------------------------------------------------------


@pytest.mark.parametrize('name', METHODS)
def test_the_state_of_a_model_that_was_only_built_loads(name):
    model = build(name)
    other = build(name)
    assert not any(classifier.is_filled for classifier in classifiers_of(model))
    other.load_state_dict(model.state_dict())
    for classifier in classifiers_of(other):
        assert not classifier.is_filled
    other.init_weights()
    if hasattr(other, 'set_classes') and 'linear' not in name:
        other.set_classes(NAMES)
    assert all(classifier.is_filled for classifier in classifiers_of(other))
    # What is there is not lost for what is not.
    rows = [classifier.embeddings.clone() for classifier in classifiers_of(other)]
    other.load_state_dict(model.state_dict())
    for classifier, own in zip(classifiers_of(other), rows, strict=True):
        assert classifier.is_filled and torch.equal(classifier.embeddings, own)


@pytest.mark.parametrize('name', METHODS)
def test_models_pickle(name):
    model = filled(name)
    copy = pickle.loads(pickle.dumps(model))
    for key, value in model.state_dict().items():
        assert torch.equal(copy.state_dict()[key], value), key
    if METHODS[name][1] is not None:
        test_step(copy, name)


def pipelines(node: Any) -> Iterator[list]:
    """Every pipeline below a part of a config."""
    if isinstance(node, dict):
        if isinstance(node.get('pipeline'), list):
            yield node['pipeline']
        for value in node.values():
            yield from pipelines(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from pipelines(value)


@pytest.mark.parametrize(
    'name', [*METHODS, 'group_vit/mini/group_vit_two_stage_mini_colors_textures.py']
)
def test_pipelines_pickle(name):
    cfg = Config.fromfile(config_path(name))
    init_default_scope(cfg.default_scope)
    count = 0
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for steps in pipelines(cfg.get(loader)):
            # The store of a teacher's regions is a folder that is read when it is opened.
            steps = [step for step in steps if 'TeacherEmbeddings' not in step['type']]
            copy = pickle.loads(pickle.dumps(Compose(steps)))
            count += len(copy.transforms) == len(steps)
    assert count >= 1
