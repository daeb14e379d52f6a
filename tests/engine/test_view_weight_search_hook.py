"""The search before a test: on which split, under which names, and into which file."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from mmclip.engine.view_weight_search_hook import ViewWeightSearchHook, collect
from mmclip.models.point_clip.classifier import PointCLIPClassifier
from mmclip.registry import MODELS


@DATASETS.register_module()
class TwoViewClouds(BaseDataset):
    """The class is where the cloud lies along x; which view sees it depends on the split."""

    METAINFO = dict(classes=('left', 'right'))

    def __init__(self, *, view: int, classes=('left', 'right'), **kwargs) -> None:
        self.view = view
        super().__init__(metainfo=dict(classes=classes), **kwargs)

    def load_data_list(self) -> list[dict]:
        return [dict(gt_label=i % 2) for i in range(8)]

    def prepare_data(self, idx: int) -> dict:
        label = self.get_data_info(idx)['gt_label']
        points = torch.zeros(4, 3)
        points[:, self.view] = 2 * label - 1
        points[:, 1 - self.view] = 3 * (1 - 2 * label)  # louder, and wrong
        sample = BaseDataElement(gt_label=torch.tensor([label]))
        return dict(inputs=points, data_samples=sample)


@MODELS.register_module()
class CoordinateViews(PointCLIPClassifier):
    """View v scores by the sign of coordinate v: PointCLIP without a CLIP."""

    def __init__(self) -> None:
        super(PointCLIPClassifier, self).__init__(dict(type='mmclip.PointDataPreprocessor'))
        self.num_views, self.fuse, self.ensemble, self.store_view_scores = 2, 'cosine', None, False
        self.register_buffer('view_weights', torch.ones(2), persistent=False)
        self.layer = nn.Linear(1, 1)

    def fill(self) -> None:
        pass

    def set_classes(self, *_) -> None:
        pass

    def view_scores(self, inputs: torch.Tensor) -> torch.Tensor:
        values = inputs.mean(1)[:, :2]
        return torch.stack([-values, values], -1)


def runner_of(folder, hook: dict, **changes) -> Runner:
    loader = dict(
        batch_size=3,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='TwoViewClouds', view=0),
    )
    evaluator = dict(type='mmclip.TopKAccuracy', topk=1)
    config = dict(
        model=dict(type='mmclip.CoordinateViews'),
        work_dir=str(folder),
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=evaluator,
        test_dataloader=loader | dict(dataset=dict(type='TwoViewClouds', view=0)),
        test_cfg=dict(),
        test_evaluator=evaluator,
        custom_hooks=[dict(type='mmclip.VocabularyHook'), hook],
        default_scope='mmengine',
        experiment_name='search',
        log_level='WARNING',
    )
    return Runner.from_cfg(Config({**config, **changes}))


HOOK = dict(type='mmclip.ViewWeightSearchHook', choices='drop')


def test_weights_of_the_validation_split_are_tested(tmp_path):
    runner = runner_of(tmp_path, HOOK)
    assert runner.test() == {'accuracy/top1': 100.0}
    assert runner.model.view_weights.tolist() == [0.25, 0.0]
    written = json.loads((tmp_path / 'view_weights.json').read_text())
    assert written['weights'] == [0.25, 0.0] and written['split'] == 'validation'
    assert written['accuracy'] == 100 and written['accuracy_uniform'] == 0
    assert written['clouds'] == 8 and written['choices'] == 'drop'


def test_a_validation_split_that_misleads_is_believed(tmp_path):
    """The test's labels have no say."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='TwoViewClouds', view=1),
    )
    assert runner_of(tmp_path, HOOK, val_dataloader=loader).test() == {'accuracy/top1': 0.0}


def test_official_search_is_on_the_test_labels_and_named_so(tmp_path):
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='TwoViewClouds', view=1),
    )
    runner = runner_of(tmp_path, HOOK | dict(official_search=True), val_dataloader=loader)
    assert runner.test() == {'accuracy/top1_official_search': 100.0}
    assert runner.message_hub.get_scalar('test/accuracy/top1_official_search').current() == 100
    assert 'test/accuracy/top1' not in runner.message_hub.log_scalars
    assert json.loads((tmp_path / 'view_weights.json').read_text())['split'] == 'test'


def test_a_grid_of_its_own_for_each_view(tmp_path):
    runner = runner_of(tmp_path, HOOK | dict(choices=[[0.75], [1.0, 0.5, 0.2]]))
    assert runner.test() == {'accuracy/top1': 100.0}
    assert runner.model.view_weights.tolist() == pytest.approx([0.75, 0.2])


def test_coordinate_ascent(tmp_path):
    hook = HOOK | dict(method='coordinates', starts=2)
    assert runner_of(tmp_path, hook).test() == {'accuracy/top1': 100.0}


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match="method: 'random'"):
        ViewWeightSearchHook(method='random')
    with pytest.raises(ValueError, match="unknown grid 'fine'"):
        ViewWeightSearchHook(choices='fine')
    none = dict(val_dataloader=None, val_cfg=None, val_evaluator=None)
    with pytest.raises(ValueError, match='val_dataloader: the config has none.*official_search'):
        runner_of(tmp_path, HOOK, **none).test()
    other = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='TwoViewClouds', view=0, classes=('a', 'b', 'c')),
    )
    with pytest.raises(ValueError, match='val_dataloader: its dataset has 3 classes'):
        runner_of(tmp_path, HOOK, val_dataloader=other).test()
    with pytest.raises(ValueError, match='Linear has no view weights'):
        ViewWeightSearchHook().before_test_epoch(SimpleNamespace(model=nn.Linear(1, 1)))


def test_clouds_without_label_are_left_out():
    model = CoordinateViews()
    samples = [BaseDataElement(gt_label=torch.tensor([label])) for label in (1, -1)]
    batches = [dict(inputs=[torch.ones(3, 3)] * 2, data_samples=samples)]

    class Loader(list):
        dataset = (0, 1)

    scores, labels = collect(model, Loader(batches), model.view_scores)
    assert scores.shape == (1, 2, 2) and labels.tolist() == [1]
    with pytest.raises(ValueError, match='no gt_label'):
        batches[0]['data_samples'] = [BaseDataElement()] * 2
        collect(model, Loader(batches), model.view_scores)
