"""The parts of the official architecture on cases worked out by hand, and their empty cases.

The official code's own numbers are in tests/parity.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from timm.layers.pool2d_same import MaxPool2dSame
from torch import nn

from mmclip.models.layers.box_coder import LegacyDeltaXYWHBBoxCoder
from mmclip.models.vild.layers import SameConv2d
from mmclip.models.vild.mask_head import targets_from_crops
from mmclip.models.vild.rpn_head import nonzero_huber
from mmclip.registry import MODELS


def test_same_convolution_and_pooling_sizes():
    conv = SameConv2d(1, 1, 3, stride=2, padding=1)
    for height, width in ((8, 7), (1, 2)):
        x = torch.randn(1, 1, height, width)
        assert (
            conv(x).shape[2:]
            == MaxPool2dSame(3, 2)(x).shape[2:]
            == (
                -(-height // 2),
                -(-width // 2),
            )
        )
    # Behind only: the first window starts at the first pixel.
    x = torch.arange(4.0).view(1, 1, 1, 4)
    assert MaxPool2dSame(3, 2)(x).flatten().tolist() == [2.0, 3.0]
    # The padding never wins, also among negative numbers.
    assert MaxPool2dSame(3, 2)(x - 9).flatten().tolist() == [-7.0, -6.0]


def test_box_coder_by_hand_and_round_trip():
    coder = LegacyDeltaXYWHBBoxCoder(weights=(10, 10, 5, 5))
    box, goal = torch.tensor([[0.0, 0.0, 9.0, 19.0]]), torch.tensor([[5.0, 0.0, 24.0, 19.0]])
    # width 10 -> 20, center 5 -> 15
    expected = torch.tensor([[10.0, 0.0, 5 * np.log(2.0), 0.0]], dtype=torch.float32)
    torch.testing.assert_close(coder.encode(box, goal), expected)
    torch.testing.assert_close(coder.decode(box, expected), goal)
    clipped = coder.decode(box, expected, max_shape=(16, 16))
    torch.testing.assert_close(clipped, torch.tensor([[5.0, 0.0, 15.0, 15.0]]))
    huge = coder.decode(box, torch.tensor([[0.0, 0.0, 1e4, -1e4]]))
    assert huge.isfinite().all() and huge[0, 2] - huge[0, 0] + 1 == pytest.approx(625)
    assert coder.decode(box[:0], expected[:0]).shape == (0, 4)


def test_huber_over_targets_that_are_not_zero():
    pred = torch.tensor([[0.5, 3.0, 7.0, 7.0]], requires_grad=True)
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    # 0.5 * 0.25 and 1 * (2 - 0.5), over two coordinates
    loss = nonzero_huber(pred, target, 1.0)
    torch.testing.assert_close(loss, torch.tensor((0.125 + 1.5) / 2))
    loss.backward()
    assert pred.grad[0, 2:].tolist() == [0.0, 0.0]
    assert nonzero_huber(pred, torch.zeros_like(target), 1.0) == 0


def test_one_sample_roi_align_equals_mmcvs_unless_the_roi_is_below_a_cell():
    extractor = MODELS.build(
        dict(
            type='mmclip.CenterRoIExtractor',
            roi_layer=dict(output_size=3),
            out_channels=2,
            featmap_strides=[4],
        )
    )
    x = torch.randn(2, 2, 12, 12)
    rois = torch.tensor([[0, 3.0, 5.0, 30.0, 41.0], [1, 8.0, 8.0, 12.5, 20.0]])
    theirs = RoIAlign(3, 0.25, sampling_ratio=1, aligned=False)
    torch.testing.assert_close(extractor((x,), rois), theirs(x, rois), rtol=1e-4, atol=1e-5)
    tiny = torch.tensor([[0, 8.0, 8.0, 9.0, 9.0]])
    assert not torch.allclose(extractor((x,), tiny), theirs(x, tiny), atol=1e-3)
    assert extractor((x,), rois[:0]).shape == (0, 2, 3, 3)


def test_targets_from_mask_crops_by_hand():
    crop = torch.zeros(1, 4, 4)
    crop[0, :, 2:] = 1
    box = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
    # Bin centers 1, 3, 5, 7 px are at 0.5, 1.5, 2.5, 3.5 of the crop's columns.
    whole = targets_from_crops(crop, box, box, 4)
    torch.testing.assert_close(whole[0, 0], torch.tensor([0.0, 0.5, 1.0, 0.5]))
    away = targets_from_crops(crop, box, box + 100, 4)
    assert not away.any()
    assert targets_from_crops(crop[:0], box[:0], box[:0], 4).shape == (0, 4, 4)


def mask_head(**kwargs) -> nn.Module:
    return MODELS.build(
        dict(
            type='mmclip.ViLDMaskHead',
            num_convs=1,
            in_channels=4,
            conv_out_channels=4,
            conv_cfg=dict(type='mmclip.BiasedConv2d'),
            norm_cfg=dict(type='BN'),
            loss_mask=dict(type='mmdet.CrossEntropyLoss', use_mask=True),
        )
        | kwargs
    )


def test_mask_head_is_class_agnostic_and_normed_behind_the_deconvolution():
    head = mask_head().eval()
    x = torch.randn(2, 4, 5, 5)
    inner = head.upsample(head.convs[0](x))
    expected = head.conv_logits(head.upsample_norm(inner).relu())
    torch.testing.assert_close(head(x), expected)
    assert head(x).shape == (2, 1, 10, 10)
    assert head(x[:0]).shape == (0, 1, 10, 10)
    assert not mask_head(norm_cfg=None).with_upsample_norm


class Sampled:
    """What the mask head reads of the host's sampling result."""

    def __init__(self, priors, indices, boxes) -> None:
        self.pos_priors, self.pos_assigned_gt_inds, self.pos_gt_bboxes = priors, indices, boxes


def test_official_mask_targets_come_from_crops_and_stand_no_object():
    head = mask_head(target_crop_size=16)
    masks = np.zeros((1, 32, 32), np.uint8)
    masks[0, 8:24, 8:16] = 1
    box = torch.tensor([[8.0, 8.0, 24.0, 24.0]])
    truth = InstanceData(masks=BitmapMasks(masks, 32, 32), bboxes=box)
    some = Sampled(box, torch.tensor([0]), box)
    none = Sampled(box[:0], torch.zeros(0, dtype=torch.long), box[:0])
    targets = head.get_targets([some, none], [truth, truth], ConfigDict(mask_size=4))
    assert targets.shape == (1, 4, 4)
    assert (targets[0, :, 0] == 1).all() and (targets[0, :, 3] == 0).all()


def test_levels_of_the_pyramid_are_normed_last_and_without_an_activation():
    neck = MODELS.build(
        dict(
            type='mmclip.EndNormFPN',
            in_channels=[4, 8],
            out_channels=6,
            num_outs=3,
            add_extra_convs='on_output',
            end_norm_cfg=dict(type='BN'),
        )
    ).train()
    maps = neck((torch.randn(2, 4, 16, 16), torch.randn(2, 8, 8, 8)))
    assert [x.shape[2] for x in maps] == [16, 8, 4]
    for x in maps:
        torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(6), atol=1e-5, rtol=0)
        assert (x < 0).any()


def test_rpn_norms_are_of_each_levels_own_and_convolutions_shared():
    head = MODELS.build(
        dict(
            type='mmclip.SepBNRPNHead',
            in_channels=4,
            feat_channels=4,
            num_convs=2,
            norm_cfg=dict(type='BN'),
            anchor_generator=dict(
                type='mmdet.AnchorGenerator', scales=[8], ratios=[1.0], strides=[4, 8]
            ),
            bbox_coder=dict(type='mmdet.DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
            loss_bbox=dict(type='mmdet.L1Loss'),
        )
    ).eval()
    x = torch.randn(1, 4, 6, 6)
    before = head((x, x))[0]
    torch.testing.assert_close(before[0], before[1])
    head.rpn_norms[1][0].bias.data += 1
    after = head((x, x))[0]
    torch.testing.assert_close(after[0], before[0])
    assert not torch.allclose(after[1], before[1])


@pytest.mark.parametrize('frozen', [False, True])
def test_clip_trunk_takes_the_weights_of_the_image_tower(frozen):
    from mmclip.clip.loading import build_clip

    trunk = MODELS.build(
        dict(type='mmclip.CLIPTrunk', model='mini_clip', pretrained='mini_clip', frozen=frozen)
    )
    trunk.init_weights()
    tower = build_clip('mini_clip', 'mini_clip').visual.trunk
    x = torch.randn(1, 3, 64, 64)
    maps = trunk.eval()(x)
    assert [m.shape[1] for m in maps] == list(trunk.out_channels) == [24, 48, 96, 192]
    assert [64 // m.shape[2] for m in maps] == [4, 8, 16, 32]
    with torch.no_grad():
        torch.testing.assert_close(maps[-1].detach(), tower.forward_features(x))
    trunk.train()
    norms = [m.training for m in trunk.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norms) != frozen and any(norms) != frozen
    assert any(p.requires_grad for p in trunk.parameters()) != frozen


def test_clip_trunk_of_clips_own_resnets(tmp_path):
    from mmclip.clip.loading import build_clip

    model = dict(
        embed_dim=16,
        vision_cfg=dict(image_size=64, layers=[1, 2, 1, 1], width=16, patch_size=None),
        text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=1, layers=1),
    )
    clip = build_clip(model)
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    trunk = MODELS.build(
        dict(type='mmclip.CLIPTrunk', model=model, pretrained=str(tmp_path / 'clip.pt'))
    )
    trunk.init_weights()
    assert trunk.out_channels == (64, 128, 256, 512)
    x = torch.randn(1, 3, 64, 64)
    maps = trunk.eval()(x)
    assert [64 // m.shape[2] for m in maps] == [4, 8, 16, 32]
    torch.testing.assert_close(clip.visual.attnpool(maps[-1]), clip.eval().visual(x))
    some = MODELS.build(dict(type='mmclip.CLIPTrunk', model='RN50', out_indices=(2, 3)))
    assert some.out_channels == (512, 1024)


def test_clip_trunk_says_what_it_cannot_take():
    with pytest.raises(ValueError, match='is a plain ViT'):
        MODELS.build(dict(type='mmclip.CLIPTrunk', model='ViT-B-32'))


def test_zero_embeddings_give_zero_logits_not_nan(make_head):
    head = make_head()
    logits = head.fc_cls.logits(torch.zeros(2, 128))
    torch.testing.assert_close(logits, torch.zeros(2, 7))
    assert F.softmax(logits, 1).isfinite().all()
