"""What the official code has beside GLIP: FiLM, fixed token outputs, MDETR's contrastive loss."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toy_glip import build, image, sample

from mmclip import config_path
from mmclip.models.glip.film import coordinates
from mmclip.registry import MODELS


def neck(**settings):
    torch.manual_seed(0)
    fusion = dict(kind='FILM', embed_dim=6, num_levels=2, dropout=0.0) | settings
    config = dict(type='mmclip.DeepFusionNeck', channels=4, text_dim=5, num_blocks=1, fusion=fusion)
    return MODELS.build(config)


def test_film_is_its_formula_and_reads_no_padding():
    tower = neck().eval()
    film = tower.blocks[0].fusion
    maps = [torch.randn(2, 4, 3, 2), torch.randn(2, 4, 2, 2)]
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]], dtype=torch.bool)
    hidden = torch.randn(2, 3, 5)
    found, text = tower(maps, dict(hidden=hidden, mask=mask))
    assert text['hidden'] is hidden
    words = film.mapping(torch.stack([hidden[0].mean(0), hidden[1, 0]]))
    for level, (x, y) in enumerate(zip(maps, found, strict=True)):
        for index in range(2):
            joined = torch.cat([x[index], coordinates(*x.shape[2:], x)])
            gamma = film.gamma[level](words[index]).tanh()[:, None, None]
            beta = film.beta[level](words[index]).tanh()[:, None, None]
            expected = film.joint[level]((gamma * joined + beta).relu()[None])[0]
            torch.testing.assert_close(y[index], expected)


def test_coordinates_of_a_square_map():
    found = coordinates(2, 2, torch.zeros(1))
    assert found[:, 1, 0].tolist() == [0, -1, 1, 0, 0.5, -0.5, 0.5, 0.5]


def test_film_wants_as_many_maps_as_levels():
    with pytest.raises(ValueError, match='num_levels: 3, but there are 2 maps'):
        neck(num_levels=3).eval()(
            [torch.randn(1, 4, 2, 2)] * 2,
            dict(hidden=torch.randn(1, 3, 5), mask=torch.ones(1, 3, dtype=torch.bool)),
        )


def test_fixed_tokens_do_not_read_the_words():
    layer = MODELS.build(dict(type='mmclip.FixedTokenAlignment', channels=4, max_tokens=6))
    places = torch.randn(2, 7, 4)
    found = [layer(places, layer.project(torch.randn(2, 5, 3))) for _ in range(2)]
    assert found[0].shape == (2, 7, 5) and torch.equal(*found)
    assert abs(found[0].mean().item() + math.log(99)) < 0.1
    with pytest.raises(ValueError, match='max_tokens: 6, but the text has 7 tokens'):
        layer.project(torch.randn(2, 7, 3))


def test_contrastive_loss_is_its_formula():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 4, 3).double(), torch.zeros(2, 4, 3)
    targets[0, 1, :2] = targets[0, 3, 1] = targets[1, 2, 2] = 1
    expected = 0.0
    for rows, wanted in ((logits, targets), (logits.transpose(1, 2), targets.transpose(1, 2))):
        for one, goal in zip(rows.flatten(0, 1), wanted.flatten(0, 1), strict=True):
            if goal.any():
                expected += float(one.logsumexp(0) - one[goal > 0].mean()) / 2
    loss = MODELS.build(dict(type='mmclip.ContrastiveTokenLoss', loss_weight=2.0))
    assert float(loss(logits, targets, avg_factor=4.0)) == pytest.approx(expected / 2, rel=1e-5)
    # Padding counts as nothing, wherever it points.
    longer = torch.cat([logits, torch.full((2, 4, 2), 9.0).double()], 2)
    pad = torch.cat([targets, torch.ones(2, 4, 2)], 2)
    mask = torch.tensor([[1, 1, 1, 0, 0]] * 2, dtype=torch.bool)
    assert float(loss(longer, pad, mask, avg_factor=4.0)) == pytest.approx(expected / 2, rel=1e-5)


def trained(leaf):
    """Losses of a small GLIP with the head of a leaf, and its parameters without a gradient."""
    config = Config.fromfile(config_path(f'glip/glip_c_swin-t_o365_goldg_{leaf}.py'))
    head = {name: config.model.bbox_head.get(name) for name in ('alignment', 'contrast')}
    model = build(bbox_head=dict(type='mmclip.GLIPHead', channels=16, **head)).train()
    losses = model.loss(image(), [sample(['cat', 'red car'], [(4, 4, 36, 30)], [1])])
    sum(losses.values()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None and 'backbone' not in n]
    return losses, silent, config.get('find_unused_parameters', False)


def test_the_contrastive_leaf_trains_cosines_and_scores_others():
    losses, silent, _ = trained('contrastive')
    assert losses['loss_contrast'] > 0 and losses['loss_token'] > 0 and not silent


def test_the_leaf_with_fixed_tokens_says_that_some_parameters_are_not_read():
    losses, silent, unused = trained('fixed_tokens')
    assert 'loss_contrast' not in losses and silent and unused


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (dict(loss_contrast=dict(type='mmclip.ContrastiveTokenLoss')), 'set contrast'),
        (dict(loss_token=dict(type='mmclip.TokenFocalLoss', version='softmax')), 'no_object'),
    ],
)
def test_a_loss_without_its_logits_or_its_targets_is_an_error(settings, words):
    with pytest.raises(ValueError, match=words):
        build(bbox_head=dict(type='mmclip.GLIPHead', channels=16) | settings)


@pytest.mark.parametrize('folder', ['glip', 'glipv2'])
def test_leaves_of_lvis_and_flickr_leave_boxes_as_the_official_evaluation_takes_them(folder):
    leaves = Path(config_path('glip/mini/glip_b_mini.py')).parents[2] / folder
    paths = [path for kind in ('lvis', 'flickr') for path in leaves.glob(f'*{kind}*.py')]
    assert len(paths) >= 3
    for path in paths:
        assert Config.fromfile(path).model.test_cfg.get('inclusive'), path.name
