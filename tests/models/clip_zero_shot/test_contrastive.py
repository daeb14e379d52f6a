"""Contrastive training: exact text encoding, the loss of both towers, and runs that go on."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmclip import config_path
from mmclip.clip.causal_text import encode_tokens
from mmclip.clip.contrastive_loss import contrastive_loss
from mmclip.clip.loading import build_clip, clip_tokenizer
from mmclip.datasets.mini_world.make import make
from mmclip.io.checkpoint import read_state_dict
from mmclip.models.clip_zero_shot.contrastive import CLIPContrastive
from mmclip.registry import MODELS

CONFIGS = (
    'mini/clip_contrastive_mini.py',
    'mini/clip_contrastive_styles_mini.py',
    'clip_contrastive_vit_b32_cc3m.py',
)
TEXTS = ['a star', 'a photo of a dotted purple moon.', '', 'red ' * 100]
TINY_TOWER = dict(context_length=16, vocab_size=49408, width=32, heads=2, layers=2)
TINY = dict(
    embed_dim=16,
    vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16),
    text_cfg=TINY_TOWER,
)


def samples(texts: list[str]) -> list[BaseDataElement]:
    return [BaseDataElement(metainfo=dict(text=text)) for text in texts]


@pytest.fixture
def model() -> CLIPContrastive:
    torch.manual_seed(0)
    return CLIPContrastive(model=TINY, temperature=0.07)


@pytest.mark.parametrize(
    'config',
    [
        TINY,
        'mini_clip',
        {**TINY, 'custom_text': True},
        {**TINY, 'custom_text': True, 'text_cfg': {**TINY_TOWER, 'no_causal_mask': True}},
        {**TINY, 'custom_text': True, 'text_cfg': {**TINY_TOWER, 'proj_type': 'none', 'width': 16}},
    ],
    ids=['causal', 'mini_clip', 'custom causal', 'bidirectional', 'no projection'],
)
def test_text_features_are_the_towers_own_with_gradients(config):
    torch.manual_seed(0)
    clip = build_clip(config)
    ids = clip_tokenizer(config)(TEXTS)
    ours, theirs = encode_tokens(clip, ids), clip.encode_text(ids)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    embedding = getattr(clip, 'text', clip).token_embedding.weight
    (ours_gradient,) = torch.autograd.grad(ours.square().sum(), embedding)
    (theirs_gradient,) = torch.autograd.grad(theirs.square().sum(), embedding)
    assert ours_gradient.abs().sum() > 0
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-4, atol=1e-5)


def test_no_text_has_no_feature(model):
    features = encode_tokens(model.clip, torch.empty(0, 16, dtype=torch.long))
    assert features.shape == (0, 16)
    features.sum().backward()


def test_loss_is_that_of_the_normalized_features_and_reaches_both_towers(model):
    images = torch.randn(4, 3, 32, 32)
    losses = model(images, samples(TEXTS), mode='loss')
    image_features, texts = model(images, samples(TEXTS), mode='tensor')
    for features in (image_features, texts):
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(4))
    expected = contrastive_loss(image_features, texts, torch.tensor(1 / 0.07))
    torch.testing.assert_close(losses['loss_contrastive'], expected)
    total, logged = model.parse_losses(losses)
    torch.testing.assert_close(total, expected)  # the scale is only logged
    assert logged['logit_scale'].item() == pytest.approx(1 / 0.07)
    total.backward()
    for parameter in (
        model.clip.logit_scale,
        model.clip.visual.conv1.weight,
        model.clip.token_embedding.weight,
    ):
        assert parameter.grad.abs().sum() > 0


def test_equal_texts_are_masked_on_demand():
    torch.manual_seed(0)
    texts = ['a star', 'a moon', 'a star', 'a ring']
    model = CLIPContrastive(model=TINY, temperature=0.07, mask_equal_texts=True)
    inputs = torch.randn(4, 3, 32, 32)
    loss = model(inputs, samples(texts), mode='loss')['loss_contrastive']
    images, features = model(inputs, samples(texts), mode='tensor')
    scale = torch.tensor(1 / 0.07)
    torch.testing.assert_close(
        loss, contrastive_loss(images, features, scale, torch.tensor([0, 1, 0, 3]))
    )
    assert not torch.allclose(loss, contrastive_loss(images, features, scale))


def test_scale_stays_at_or_below_100_and_can_come_back(model):
    with torch.no_grad():
        model.clip.logit_scale.fill_(7.0)
    losses = model(torch.randn(4, 3, 32, 32), samples(TEXTS), mode='loss')
    assert losses['logit_scale'].item() == pytest.approx(100)
    assert model.clip.logit_scale.item() == pytest.approx(math.log(100))
    losses['loss_contrastive'].backward()
    assert model.clip.logit_scale.grad.abs() > 0


def test_half_precision_gives_the_loss_in_float32(model):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(torch.randn(4, 3, 32, 32), samples(TEXTS), mode='loss')
    assert losses['loss_contrastive'].dtype == torch.float32
    assert losses['loss_contrastive'].isfinite()


def test_bad_input(model):
    images = torch.randn(2, 3, 32, 32)
    with pytest.raises(ValueError, match="mode: 'predict'.*CLIPZeroShotClassifier"):
        model(images, samples(TEXTS[:2]), mode='predict')
    with pytest.raises(ValueError, match='has no text'):
        model(images, [BaseDataElement(), *samples(['a'])], mode='loss')
    with pytest.raises(ValueError, match='temperature: 0.001'):
        CLIPContrastive(model=TINY, temperature=0.001)


def test_overfits_four_pairs(model):
    images = torch.randn(4, 3, 32, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(40):
        loss = model(images, samples(TEXTS), mode='loss')['loss_contrastive']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1  # ln 4 = 1.39 at the start


@pytest.mark.parametrize('name', CONFIGS)
def test_gains_biases_and_scale_do_not_decay(name):
    config = Config.fromfile(config_path(f'clip_zero_shot/{name}'))
    decay = config.optim_wrapper.optimizer.weight_decay
    model = MODELS.build({**config.model, 'model': TINY, 'pretrained': None})
    settings = {**config.optim_wrapper, 'type': 'OptimWrapper'}
    settings.pop('dtype', None)
    optimizer = build_optim_wrapper(model, settings).optimizer
    of = {id(p): group['weight_decay'] for group in optimizer.param_groups for p in group['params']}
    for key, parameter in model.named_parameters():
        assert of[id(parameter)] == (decay if parameter.ndim > 1 else 0), key


def run(world: Path, work_dir: Path, start: Path | None = None) -> dict[str, torch.Tensor]:
    """Six iterations of the mini config on a small world, or what is left of them."""
    config = Config.fromfile(config_path('clip_zero_shot/mini/clip_contrastive_mini.py'))
    shards = f'{world}/captions/train-{{00000..00007}}.tar'
    config.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            resume=start is not None,
            load_from=start and str(start),
            experiment_name=work_dir.name,
            train_dataloader=dict(
                batch_size=40, dataset=dict(shards=shards, epoch_size=100, shuffle=50)
            ),
            train_cfg=dict(max_iters=6),
            default_hooks=dict(checkpoint=dict(interval=2)),
        )
    )
    Runner.from_cfg(config).train()
    return read_state_dict(work_dir / 'iter_6.pth')


@pytest.mark.slow
def test_trains_on_miniworld_and_goes_on_as_if_it_had_not_stopped(tmp_path):
    make(tmp_path, parts=['captions'], scale=0.02, report=lambda line: None)
    whole = run(tmp_path, tmp_path / 'whole')
    resumed = run(tmp_path, tmp_path / 'resumed', tmp_path / 'whole' / 'iter_4.pth')
    assert whole.keys() == resumed.keys()
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == []
    started = read_state_dict(tmp_path / 'whole' / 'iter_2.pth')
    assert not torch.equal(started['clip.text_projection'], whole['clip.text_projection'])


def test_chunks_have_the_gradients_of_the_whole_batch(model):
    texts = ['a star', 'two red stars', 'a moon', '', 'the sun']
    images = torch.randn(5, 3, 32, 32)

    def gradients(chunk_size):
        model.zero_grad()
        model.chunk_size = chunk_size
        loss = model(images, samples(texts), mode='loss')['loss_contrastive']
        loss.backward()
        return loss, *(p.grad for p in model.parameters())

    for whole, parts in zip(gradients(None), gradients(2), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=2e-5)


def test_chunks_of_a_tower_with_batch_norms_are_refused():
    model = CLIPContrastive(model='mini_clip', chunk_size=1).train()
    with pytest.raises(ValueError, match='is a batch norm, which needs the whole batch'):
        model(torch.randn(2, 3, 64, 64), samples(['a', 'b']), mode='loss')
