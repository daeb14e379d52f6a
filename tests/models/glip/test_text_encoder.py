"""Token encoders: masks, widths, weights; `bert_text` and `clip_text` compare with the official."""

import pytest
import torch
from safetensors.torch import save_file

from mmclip.clip.loading import build_clip, clip_tokenizer
from mmclip.models.glip.text_encoder import (
    BertTokenEncoder,
    CLIPTokenEncoder,
    bert_state,
    clip_token_state,
    resize_positions,
)
from mmclip.registry import MODELS

WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK] . dog star red'.split()
TINY = dict(
    hidden_size=24,
    num_attention_heads=3,
    intermediate_size=32,
    num_hidden_layers=2,
    vocab_size=len(WORDS),
    max_position_embeddings=20,
)
CLIP = dict(
    embed_dim=8,
    quick_gelu=True,
    vision_cfg={},
    text_cfg=dict(width=16, heads=2, layers=2, vocab_size=49408),
)


def bert(**settings):
    torch.manual_seed(0)
    words = dict(type='mmclip.BertTokens', source=WORDS)
    config = dict(type='mmclip.BertTokenEncoder', tokenizer=words, config=TINY, max_tokens=12)
    return MODELS.build(config | settings)


def clip(**settings):
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmclip.CLIPTokenEncoder', model=CLIP, max_tokens=12) | settings)


@pytest.mark.parametrize('make', [bert, clip])
def test_padding_changes_nothing(make):
    encoder = make().eval()
    with torch.no_grad():
        padded = encoder.encode(['red star', 'dog'])
        short = encoder.encode(['red star', 'dog'], pad=False)
        alone = encoder.encode(['dog'], pad=False)
    assert padded['hidden'].shape == (2, 12, encoder.embed_dim)
    assert padded['mask'].sum(1).tolist() == [4, 3]
    for key in ('hidden', 'embedded'):
        assert torch.allclose(
            padded[key][:, :4][short['mask']], short[key][short['mask']], atol=1e-6
        )
        assert torch.allclose(short[key][1, :3], alone[key][0], atol=1e-6)
    assert torch.allclose(padded['aggregate'], short['aggregate'], atol=1e-6)
    mean = alone['embedded'][0].mean(0)
    assert torch.allclose(alone['aggregate'][0], mean, atol=1e-6)


def test_berts_embedded_is_zero_at_padding_and_an_average_of_layers():
    plain, two = bert().eval(), bert(num_last_layers=2).eval()
    two.load_state_dict(plain.state_dict())
    batch = plain.tokenize(['red star'])
    with torch.no_grad():
        one, found = plain(batch.ids, batch.mask), two(batch.ids, batch.mask)
        layers = plain.bert(
            input_ids=batch.ids, attention_mask=batch.mask.long(), output_hidden_states=True
        ).hidden_states
    assert (one['embedded'][~batch.mask] == 0).all() and one['embedded'][batch.mask].ne(0).any()
    expected = (layers[-1] + layers[-2]) / 2 / 2 * batch.mask[..., None]
    assert torch.allclose(found['embedded'], expected, atol=1e-6)
    assert torch.equal(found['hidden'], one['hidden'])


@pytest.mark.parametrize('make', [bert, clip])
def test_gradients_reach_every_weight(make):
    for with_cp in (False, True):
        encoder = make(with_cp=with_cp)
        encoder.train()
        found = encoder.encode(['dog'], pad=False)
        found['hidden'].square().sum().backward()
        assert all(p.grad is not None for n, p in encoder.named_parameters() if 'type' not in n)


def test_a_causal_tower_is_clips_own():
    encoder = CLIPTokenEncoder(
        model='mini_clip', pretrained='mini_clip', max_tokens=77, causal=True, eps=1e-5
    ).eval()
    encoder.init_weights()
    model, text = build_clip('mini_clip', 'mini_clip'), 'a striped red star.'
    with torch.no_grad():
        last = encoder.encode([text], pad=False)['hidden'][0, -1] @ model.text_projection
        expected = model.encode_text(clip_tokenizer('mini_clip')([text]))[0]
    assert torch.allclose(last, expected, atol=1e-5)


def test_clip_weights_are_read_when_asked_and_positions_resized():
    encoder = CLIPTokenEncoder(model='mini_clip', pretrained='mini_clip', max_tokens=100)
    before = encoder.ln_final.weight.clone()
    encoder.init_weights()
    state = build_clip('mini_clip', 'mini_clip').state_dict()
    assert encoder.embed_dim == 64 and encoder.positional_embedding.shape == (100, 64)
    assert not torch.equal(encoder.ln_final.weight, before)
    assert torch.equal(encoder.ln_final.weight, state['ln_final.weight'])
    resized = resize_positions(state['positional_embedding'], 100)
    assert torch.allclose(encoder.positional_embedding, resized)


def test_resizing_positions():
    positions = torch.arange(8.0).reshape(4, 2)
    assert torch.equal(resize_positions(positions, 4), positions)
    # Half-pixel centers: 0, 0.25, 0.75 ... between the rows, the ends repeat.
    column = torch.tensor([0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6])
    assert torch.allclose(resize_positions(positions, 8)[:, 0], column)


def test_bert_weights_in_the_hubs_layout(tmp_path):
    source, target = bert(), bert(pretrained=str(tmp_path))
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    state = {f'bert.{name}': value for name, value in source.bert.state_dict().items()}
    state = {
        name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace(
            'LayerNorm.bias', 'LayerNorm.beta'
        ): value
        for name, value in state.items()
    }
    state |= {
        'cls.predictions.bias': torch.zeros(3),
        'bert.pooler.dense.weight': torch.zeros(3),
        'bert.embeddings.position_ids': torch.arange(3),
    }
    save_file(state, tmp_path / 'model.safetensors')
    target.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    assert set(bert_state(state)) == set(source.bert.state_dict())


def test_a_paper_size_bert_builds_without_files():
    with torch.device('meta'):
        encoder = BertTokenEncoder()
    count = sum(p.numel() for p in encoder.parameters())
    assert count == 108_891_648 and encoder.embed_dim == 768 and encoder.max_tokens == 256


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='num_last_layers: 3'):
        bert(num_last_layers=3)
    with pytest.raises(ValueError, match='max_tokens: 21'):
        bert(max_tokens=21)
    with pytest.raises(FileNotFoundError, match=r'holds none of model\.safetensors'):
        bert(pretrained=str(tmp_path)).init_weights()
    with pytest.raises(ValueError, match="another text tower than CLIP's own"):
        clip(model=dict(embed_dim=1, vision_cfg={}, text_cfg=dict(hf_model_name='x')))


def test_apart_every_class_has_the_feature_that_clip_has_for_its_name():
    model = dict(CLIP, vision_cfg=dict(image_size=8, layers=1, width=64, patch_size=4))
    torch.manual_seed(0)
    tower = build_clip(model, None).eval()
    encoder = clip(model=model, max_tokens=24, apart=True, eps=1e-5).eval()
    encoder.load_state_dict(clip_token_state(tower.state_dict(), 77))
    stop = encoder.tokenizer.backend.encode('.', add_special_tokens=False).ids
    assert stop[0] in encoder.tokenizer.stop_ids
    names = ['red star', 'dog', 'striped green house']
    with torch.no_grad():
        ids = clip_tokenizer(model)(names)
        expected = tower.encode_text(ids)
        batch = encoder.tokenize(['. '.join(names), names[1]])
        found = encoder(batch.ids, batch.mask)['hidden'] @ tower.text_projection
    # start, red star ., dog ., striped green house, end; the start token is a part of the first
    rows = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    torch.testing.assert_close(found[0, :10], expected[rows], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1, :3], expected[[1] * 3], rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', ['st.', 'wait...', 'hey!', '100%', 'dog,'])
def test_apart_punctuation_at_the_end_of_a_name_does_not_join_it_to_the_next(name):
    encoder = clip(max_tokens=24, apart=True).eval()
    with torch.no_grad():
        batch = encoder.tokenize([f'{name}. red star', 'red star'])
        found = encoder(batch.ids, batch.mask)['hidden']
    last = int(batch.mask[0].sum()) - 1
    torch.testing.assert_close(found[0, last], found[1, 3], rtol=0, atol=1e-5)
    assert (found[0, 1] - found[0, last]).abs().max() > 0.01


def test_apart_a_part_longer_than_clip_reads_repeats_the_last_position():
    encoder = clip(max_tokens=100, apart=True).eval()
    assert encoder.encode(['star ' * 98])['hidden'].isfinite().all()
