"""Losses and gradients of two processes are those of one on the joined batch."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from forked import run_ranks
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from safetensors.torch import load_file, save_file

from mmclip import config_path
from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of
from mmclip.vocabulary.vocabulary import Vocabulary

NAMES = ['cat', 'dog', 'red car', 'tree']
# Boxes of objects, proposals and regions of the teacher of each image: as unequal as can be.
COUNTS = [(2, 6, 3), (0, 9, 1)]


class Heads(torch.nn.Module):
    """A RoI head with distillation and masks, and an RPN with frozen norms."""

    def __init__(self, image_branch: bool) -> None:
        super().__init__()
        cfg = Config.fromfile(config_path('vild/mini/vild_text_r18_mini.py')).model
        head = cfg.roi_head
        head.bbox_head.classifier.update(
            classes=NAMES, text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip')
        )
        head.bbox_head.image_branch = image_branch
        head.update(
            type='mmclip.ViLDRoIHead',
            loss_distill=dict(type='mmclip.L1DistillLoss'),
            mask_roi_extractor=head.bbox_roi_extractor.copy(),
            mask_head=dict(
                type='mmclip.ViLDMaskHead',
                num_convs=1,
                in_channels=64,
                conv_out_channels=8,
                num_classes=len(NAMES),
                loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True),
            ),
            train_cfg=Config(dict(cfg.train_cfg.rcnn, mask_size=14)),
            test_cfg=cfg.test_cfg.rcnn,
        )
        torch.manual_seed(0)
        self.roi_head = MODELS.build(head)
        (classifier,) = classifiers_of(self)
        rows = F.normalize(torch.randn(classifier.embeddings.shape), dim=1)
        classifier._install(Vocabulary(classifier.class_names, rows), of_words=True)
        rpn = dict(cfg.rpn_head, type='mmclip.SepBNRPNHead', norm_cfg=dict(type='BN'), num_convs=1)
        # Too many anchors to be sampled would be drawn at random.
        train_cfg = Config(cfg.train_cfg.rpn)
        train_cfg.sampler.num = 100_000
        self.rpn_head = MODELS.build(dict(rpn, train_cfg=train_cfg, test_cfg=cfg.test_cfg.rpn))
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()

    def forward(self, data: dict) -> dict[str, torch.Tensor]:
        losses = self.roi_head.loss(data['x'], data['proposals'], data['samples'])
        maps = self.rpn_head(data['x'])
        truth = [sample.gt_instances for sample in data['samples']]
        metas = [sample.metainfo for sample in data['samples']]
        losses |= self.rpn_head.loss_by_feat(*maps, batch_gt_instances=truth, batch_img_metas=metas)
        losses.pop('acc', None)
        return {k: sum(v) if isinstance(v, list) else v for k, v in losses.items()}


def make_batch(levels: int, images: list[int]) -> dict:
    data = dict(x=[], proposals=[], samples=[])
    for index in images:
        g = torch.Generator().manual_seed(index)
        objects, proposals, regions = COUNTS[index]

        def boxes(count, g=g):
            corner = torch.rand(count, 2, generator=g) * 60
            return torch.cat([corner, corner + 20 + torch.rand(count, 2, generator=g) * 40], 1)

        sample = DetDataSample(metainfo=dict(img_shape=(128, 128), pad_shape=(128, 128)))
        truth = boxes(objects)
        masks = (torch.rand(objects, 128, 128, generator=g) > 0.5).numpy().astype(np.uint8)
        sample.gt_instances = InstanceData(
            bboxes=truth,
            labels=torch.arange(objects),
            masks=BitmapMasks(masks, 128, 128),
        )
        sample.ignored_instances = InstanceData(bboxes=boxes(0), labels=torch.arange(0))
        sample.distill_instances = InstanceData(
            bboxes=boxes(regions),
            embeddings=F.normalize(torch.randn(regions, 128, generator=g), dim=1),
            valid=torch.ones(regions, dtype=torch.bool),
        )
        near = torch.cat([truth + torch.randn(objects, 4, generator=g), boxes(proposals)])
        data['samples'].append(sample)
        data['proposals'].append(InstanceData(bboxes=near, scores=torch.ones(len(near))))
        data['x'].append([torch.randn(1, 64, 32 >> k, 32 >> k, generator=g) for k in range(levels)])
    data['x'] = tuple(torch.cat(maps) for maps in zip(*data['x'], strict=True))
    return data


def run(rank: int | None, image_branch: bool) -> dict[str, torch.Tensor]:
    """Losses, and gradients as they are when the optimizer sees them."""
    init_default_scope('mmdet')
    model = heads = Heads(image_branch)
    if rank is not None:
        model = MMDistributedDataParallel(heads)
    levels = heads.rpn_head.prior_generator.num_levels
    losses = model(make_batch(levels, [0, 1] if rank is None else [rank]))
    sum(losses.values()).backward()
    gradients = {f'grad/{k}': p.grad for k, p in heads.named_parameters() if p.grad is not None}
    return {k: v.detach().clone() for k, v in losses.items()} | gradients


def run_rank(rank: int, folder: Path, image_branch: bool) -> None:
    """What each process of the test does."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    save_file(run(rank, image_branch), folder / f'rank{rank}.safetensors')
    dist.destroy_process_group()


@pytest.mark.parametrize('image_branch', [False, True])
def test_given_regions_two_processes_are_one_batch(tmp_path, image_branch):
    run_ranks(__file__, tmp_path, image_branch)
    whole = run(None, image_branch)
    parts = [load_file(tmp_path / f'rank{rank}.safetensors') for rank in range(2)]
    assert {'loss_cls', 'loss_bbox', 'loss_distill', 'loss_mask', 'loss_rpn_cls'} <= set(whole)
    assert parts[1]['loss_mask'] == 0 and parts[0]['loss_mask'] > 0, 'one has no object'
    for name, value in whole.items():
        mean = (parts[0][name] + parts[1][name]) / 2
        bound = 1e-6 + 1e-5 * value.abs().max()
        assert (mean - value).abs().max() <= bound, name


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == 'True')
