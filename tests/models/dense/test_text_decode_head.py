"""TextDecodeHead: hosts' heads with words instead of their last convolution."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.structures import PixelData
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample

from mmclip import config_path
from mmclip.models.dense.early_fusion import EarlyFusion
from mmclip.registry import MODELS
from mmclip.vocabulary.classifier import classifiers_of

NAMES = ('other', 'cat', 'red car')
MULTIPLE = dict(in_channels=[4, 6, 8, 10], in_index=[0, 1, 2, 3], channels=8, dropout_ratio=0.0)
HEADS = {
    'UPerHead': dict(type='mmseg.UPerHead', pool_scales=(1, 2), **MULTIPLE),
    'SegformerHead': dict(type='mmseg.SegformerHead', **MULTIPLE),
    'FCNHead': dict(
        type='mmseg.FCNHead', in_channels=10, in_index=3, channels=8, num_convs=1, dropout_ratio=0.0
    ),
    'ASPPHead': dict(
        type='mmseg.ASPPHead', in_channels=10, in_index=3, channels=8, dilations=(1, 2)
    ),
}


def make(head, names=NAMES, **kwargs):
    torch.manual_seed(0)
    built = MODELS.build(
        dict(
            type='mmclip.TextDecodeHead',
            head=dict(HEADS.get(head, head)) if isinstance(head, str) else head,
            classifier=dict(
                type='mmclip.TextEmbeddingClassifier',
                classes=list(names),
                text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip'),
                background=None,
                temperature=0.07,
            ),
            **kwargs,
        )
    )
    rows = F.normalize(torch.randn(len(NAMES), 128), dim=1)
    for classifier in classifiers_of(built):
        classifier.text_encoder = None
        classifier.cache.put(NAMES, rows)
        classifier.set_classes(names)
    return built.eval()


def maps(batch=1):
    torch.manual_seed(1)
    return [torch.randn(batch, c, s, s) for c, s in zip((4, 6, 8, 10), (16, 8, 4, 2), strict=True)]


@pytest.mark.parametrize('kind', HEADS)
def test_any_head_scores_words_and_can_be_given_others(kind):
    head = make(kind)
    logits = head(maps())
    assert logits.shape[1] == 3 and logits.dtype == torch.float32
    assert float(logits.abs().max()) <= 1 / 0.07 + 1e-4, 'logits are cosines over 0.07'
    head.set_classes(['red car', 'other'])
    torch.testing.assert_close(head(maps()), logits[:, [2, 0]])
    assert head.num_classes == head.out_channels == 2


@pytest.mark.parametrize('kind', HEADS)
def test_the_hosts_convolution_is_gone_and_all_weights_are_used(kind):
    head = make(kind).train()
    assert 'head.conv_seg.weight' not in head.state_dict()
    head.init_weights()
    sample = SegDataSample(metainfo=dict(img_shape=(16, 16)))
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 16, 16)))
    other = SegDataSample(metainfo=dict(img_shape=(16, 16)))
    other.gt_sem_seg = PixelData(data=torch.full((1, 16, 16), 255))
    losses = head.loss(maps(batch=2), [sample, other], None)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_the_loss_may_look_at_the_middle_of_each_cell_only():
    head = make('FCNHead', loss_stride=4)
    sample = SegDataSample(metainfo=dict(img_shape=(8, 8)))
    mask = torch.full((1, 8, 8), 255)
    mask[0, 2::4, 2::4] = torch.tensor([[0, 1], [2, 1]])
    sample.gt_sem_seg = PixelData(data=mask)
    logits = head(maps())  # 2 x 2, as the cells
    loss = head.loss(maps(), [sample], None)['loss_ce']
    expected = F.cross_entropy(logits, mask[:, 2::4, 2::4])
    torch.testing.assert_close(loss, expected)
    assert sample.gt_sem_seg.shape == (8, 8), 'the sample is left alone'
    with pytest.raises(ValueError, match='loss_stride: 0'):
        make('FCNHead', loss_stride=0)


def test_predict_gives_logits_at_the_size_of_the_image():
    head = make('UPerHead')
    assert head.predict(maps(), [dict(img_shape=(31, 47))], None).shape == (1, 3, 31, 47)
    assert head.align_corners is False


def test_in_a_segmentor_with_auxiliary_head():
    classifier = dict(
        type='mmclip.TextEmbeddingClassifier',
        classes=list(NAMES),
        text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip'),
        background=None,
        temperature=0.07,
    )
    fcn = dict(HEADS['FCNHead'], in_channels=512)
    model = MODELS.build(
        dict(
            type='mmclip.OpenVocabSegmentor',
            backbone=dict(type='mmseg.ResNet', depth=18),
            decode_head=dict(type='mmclip.TextDecodeHead', head=fcn, classifier=classifier),
            auxiliary_head=dict(type='mmclip.TextDecodeHead', head=fcn, classifier=classifier),
            test_cfg=ConfigDict(mode='whole'),
        )
    )
    for one in classifiers_of(model):
        one.text_encoder = None
        rows = F.normalize(torch.eye(128)[: len(NAMES)], dim=1)
        one.cache.put(NAMES, rows)
    model.set_classes(['cat', 'other'])
    assert [len(one.class_names) for one in classifiers_of(model)] == [2, 2]
    assert model.out_channels == 2
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape[1] == 2
    model.set_classes(['cat'])
    labels = model.predict(torch.zeros(1, 3, 64, 64))[0].pred_sem_seg.data
    assert labels.dtype == torch.int64 and not labels.any(), 'one word alone gets every pixel'


def test_heads_that_end_otherwise_are_refused():
    mask_head = dict(
        type='mmseg.SegmenterMaskTransformerHead',
        in_channels=8,
        channels=8,
        num_layers=1,
        num_heads=1,
        embed_dims=8,
    )
    with pytest.raises(
        ValueError, match='SegmenterMaskTransformerHead names pixels by no conv_seg'
    ):
        make(mask_head)


# -- early fusion -------------------------------------------------------------------------------


def test_fusion_is_the_identity_at_the_start():
    fusion = EarlyFusion(channels=6, text_dim=5, width=8, num_heads=2)
    x = torch.randn(2, 6, 3, 4)
    assert torch.equal(fusion(x, torch.randn(7, 5)), x)
    fusion(x, torch.randn(7, 5)).sum().backward()
    assert float(fusion.gate.grad) != 0, 'a shut gate must be able to open'


def test_fusion_reads_the_words_in_any_order_and_each_pixel_alone():
    torch.manual_seed(0)
    fusion = EarlyFusion(channels=6, text_dim=5, width=8, num_heads=2)
    with torch.no_grad():
        fusion.gate.fill_(1)
    x, text = torch.randn(2, 6, 3, 4), torch.randn(7, 5)
    out = fusion(x, text)
    torch.testing.assert_close(fusion(x, text.flip(0)), out)
    torch.testing.assert_close(fusion(x[:, :, 1:2, 2:3], text), out[:, :, 1:2, 2:3])
    tokens = x.flatten(2).transpose(1, 2)
    torch.testing.assert_close(fusion(tokens, text), out.flatten(2).transpose(1, 2))


def test_fusion_in_closed_form():
    """One word: attention gives its value to every pixel."""
    fusion = EarlyFusion(channels=2, text_dim=2, width=2, num_heads=1)
    with torch.no_grad():
        fusion.gate.fill_(0.5)
        for layer in (fusion.value, fusion.output):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    x = torch.randn(1, 3, 2)
    expected = x + torch.tensor(0.5).tanh() * torch.tensor([3.0, -1.0])
    torch.testing.assert_close(fusion(x, torch.tensor([[3.0, -1.0]])), expected)
    with pytest.raises(ValueError, match='3 heads do not divide the width 8'):
        EarlyFusion(channels=2, text_dim=2, width=8, num_heads=3)


@pytest.mark.parametrize(
    ('leaf', 'host'),
    [
        ('text_fcn_r50_ade20k', 'fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py'),
        ('text_segformer_b0_ade20k', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
        ('text_upernet_r50_ade20k', 'upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'),
    ],
)
def test_full_size_leaves_have_the_heads_and_the_schedule_of_the_host(leaf, host):
    ours, theirs = Config.fromfile(config_path(f'lseg/{leaf}.py')), get_config(f'mmseg::{host}')
    for name in ('decode_head', 'auxiliary_head'):
        assert (name in ours.model) == (name in theirs.model)
        if name in ours.model:
            heads = (dict(ours.model[name].head, num_classes=150), theirs.model[name])
            shapes = [
                {k: v.shape for k, v in MMSEG_MODELS.build(head).state_dict().items()}
                for head in heads
            ]
            assert shapes[0] == shapes[1]
    assert ours.train_cfg.max_iters == theirs.train_cfg.max_iters
    assert ours.param_scheduler == theirs.param_scheduler
    wanted = theirs.optim_wrapper.optimizer
    assert all(ours.optim_wrapper.optimizer[key] == wanted[key] for key in ('lr', 'weight_decay'))
