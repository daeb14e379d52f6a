"""The Swin with words in its last stage."""

import pytest
import torch
from mmdet.models.backbones import SwinTransformer

from mmclip.registry import MODELS

SIZES = dict(embed_dims=8, depths=(1, 1, 1, 2), num_heads=(1, 2, 2, 4), window_size=4)


def build(**settings) -> torch.nn.Module:
    torch.manual_seed(0)
    config = dict(type='mmclip.TextSwin', text_dim=10, max_tokens=6, **SIZES) | settings
    model = MODELS.build(config)
    model.init_weights()
    model.eval()
    return model


def text(tokens: int = 5) -> dict:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[1, 3:] = False
    return dict(hidden=torch.randn(2, tokens, 10, generator=generator), mask=mask, other='kept')


IMAGES = torch.randn(2, 3, 70, 90, generator=torch.Generator().manual_seed(2))


def run(model: torch.nn.Module, images: torch.Tensor, words: dict) -> tuple[list, dict]:
    """All maps, and the text."""
    *maps, x = model(images)
    last, words = model.read_words(x, words)
    return [*maps, last], words


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@torch.no_grad()
def test_words_reach_the_last_stage_and_the_image_reaches_words():
    model, words = build(), text()
    maps, answer = run(model, IMAGES, words)
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 18, 23), (16, 9, 12), (32, 5, 6), (64, 3, 3)]
    assert answer['other'] == 'kept' and answer['hidden'].shape == (2, 5, 10)
    changed = dict(words, hidden=words['hidden'].clone())
    changed['hidden'][0, 1] = words['hidden'][0, 2]
    other_maps, other = run(model, IMAGES, changed)
    assert [difference(a[0], b[0]) > 1e-6 for a, b in zip(maps, other_maps, strict=True)] == [
        False,
        False,
        False,
        True,
    ]
    assert difference(maps[3][1], other_maps[3][1]) == 0  # the other image has other words
    images = IMAGES.clone()
    images[0] = IMAGES[1]
    _, seen = run(model, images, words)
    assert difference(answer['hidden'][0], seen['hidden'][0]) > 1e-6
    assert difference(answer['hidden'][1], seen['hidden'][1]) == 0


@torch.no_grad()
def test_padding_is_not_looked_at():
    model, words = build(), text()
    maps, answer = run(model, IMAGES, words)
    changed = dict(words, hidden=words['hidden'].clone())
    changed['hidden'][1, 3:] = 7 * torch.randn(2, 10)
    other_maps, other = run(model, IMAGES, changed)
    assert difference(maps[3], other_maps[3]) == 0
    assert difference(answer['hidden'][1, :3], other['hidden'][1, :3]) == 0
    # Fewer padded columns are the same text.
    short = {k: v[1:, :3] for k, v in words.items() if k != 'other'}
    torch.testing.assert_close(run(model, IMAGES[1:], short)[0][3], maps[3][1:])


@torch.no_grad()
def test_without_influence_of_words_it_is_the_host_swin():
    model = build(drop_path_rate=0.0)
    host = SwinTransformer(**SIZES, drop_path_rate=0.0)
    host.eval()
    weights = host.state_dict()
    weights |= {name: value for name, value in model.state_dict().items() if name in weights}
    host.load_state_dict(weights)
    # Words that nobody looks at: their logits are minus infinity.
    for block in model.stages[-1].blocks:
        block.attn.w_msa.image_text_bias[0] = float('-inf')
    for ours, theirs in zip(run(model, IMAGES, text())[0], host(IMAGES), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_stochastic_depth_rises_over_all_blocks():
    model = build(drop_path_rate=0.4)
    rates = [b.attn.drop.drop_prob for stage in model.stages for b in stage.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    last = model.stages[-1].blocks
    assert [b.ffn_text.dropout_layer.drop_prob for b in last] == pytest.approx([0.3, 0.4])


def test_trains_with_checkpointing():
    grads = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, drop_path_rate=0.0)
        model.train()
        maps, answer = run(model, IMAGES, text())
        (maps[3].square().sum() + answer['hidden'].square().sum()).backward()
        grads.append({name: p.grad for name, p in model.named_parameters()})
    for name, value in grads[0].items():
        if name.startswith(('norm0', 'norm1', 'norm2')):  # outputs that the loss does not use
            assert value is None
        else:
            torch.testing.assert_close(value, grads[1][name], msg=name)


def test_too_long_a_text_is_an_error():
    with pytest.raises(ValueError, match='7 tokens.*6'):
        run(build(), IMAGES, text(7))


def test_the_last_stage_must_be_an_output():
    with pytest.raises(ValueError, match=r'out_indices: \(1, 2\)'):
        build(out_indices=(1, 2))
