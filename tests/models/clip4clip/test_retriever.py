import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.loading import build_clip
from mmclip.models.clip4clip.freeze import freeze, frozen_names
from mmclip.registry import MODELS

VARIANTS = (
    dict(),
    dict(linear_patch='3d'),
    dict(linear_patch='3d', patch_init='average', frame_chunk=2),
    dict(frame_chunk=2, with_cp=True),
    dict(freeze_layer_num=0),
    dict(freeze_layer_num=1, linear_patch='3d'),
    dict(max_words=None),
)
CAPTIONS = [['a cat runs'], ['two dogs play in the snow'], ['a man cooks']]


def inputs(lengths, size=16):
    torch.manual_seed(3)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    frames = torch.randn(len(lengths), max(lengths), 3, size, size) * mask[..., None, None, None]
    return dict(frames=frames, mask=mask)


@pytest.mark.parametrize('head', ['meanP', 'seqLSTM', 'seqTransf', 'tightTransf'])
@pytest.mark.parametrize('variant', VARIANTS)
def test_every_variant_trains_all_its_weights(make_model, samples, head, variant):
    model = make_model(head, **variant).train()
    losses = model(inputs([4, 2, 1]), samples(CAPTIONS), mode='loss')
    losses['loss_retrieval'].backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert torch.isfinite(losses['loss_retrieval'])


def test_the_loss_is_the_symmetric_cross_entropy_of_all_pairs(make_model, samples):
    for head in ('seqTransf', 'tightTransf'):
        model = make_model(head)
        data = inputs([4, 2, 1])
        loss = model(data, samples(CAPTIONS), mode='loss')['loss_retrieval']
        texts = model.encode_texts([own[0] for own in CAPTIONS])
        logits = model.similarity(texts, *model.encode_frames(data))
        own = torch.arange(3)
        expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        torch.testing.assert_close(loss, expected)


@torch.no_grad()
def test_towers_are_those_of_clip_and_padding_is_not_run(make_model):
    model = make_model().eval()
    data = inputs([4, 2, 0, 3])
    features, mask = model.encode_frames(data)
    expected = model.clip.encode_image(data['frames'].flatten(0, 1)).unflatten(0, (4, 4))
    torch.testing.assert_close(features, expected * mask[..., None], atol=1e-6, rtol=1e-5)
    seen = []
    model.clip.visual.register_forward_hook(lambda m, args, out: seen.append(len(args[0])))
    model.encode_frames(data)
    assert seen == [9]
    texts = ['a cat', 'a very long sentence about a dog that runs over a field']
    ids = model.tokenize(texts)
    assert ids.shape == (2, 32)
    torch.testing.assert_close(
        model.encode_texts(texts), model.clip.encode_text(F.pad(ids, (0, 45))), atol=1e-6, rtol=1e-5
    )


def test_chunks_and_checkpoints_change_no_gradient(make_model, samples):
    found = []
    for variant in (dict(), dict(frame_chunk=3), dict(with_cp=True)):
        for patch in ('2d', '3d'):
            model = make_model('meanP', linear_patch=patch, **variant).train()
            model(inputs([4, 2, 1]), samples(CAPTIONS), mode='loss')['loss_retrieval'].backward()
            found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    for other in found[2:]:
        same = found[0] if other.keys() == found[0].keys() else found[1]
        for name, gradient in same.items():
            torch.testing.assert_close(other[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@torch.no_grad()
def test_3d_patches_start_from_clips_and_padding_is_zero(make_model):
    flat = make_model().eval()
    flat.init_weights()
    video = make_model(linear_patch='3d').eval()
    video.init_weights()
    data = inputs([4, 2, 0])
    torch.testing.assert_close(flat.encode_frames(data)[0], video.encode_frames(data)[0])
    torch.nn.init.normal_(video.patch_3d.weight, std=0.1)
    changed = video.encode_frames(data)[0]
    # More padding than needed is nothing new: the kernel sees zeros behind the end anyway.
    longer = dict(
        frames=F.pad(data['frames'], (0, 0, 0, 0, 0, 0, 0, 2)), mask=F.pad(data['mask'], (0, 2))
    )
    torch.testing.assert_close(video.encode_frames(longer)[0][:, :4], changed)
    assert (changed - flat.encode_frames(data)[0]).abs().max() > 1e-3


def test_what_a_checkpoint_lacks_starts_from_its_clip(make_model):
    clip = {f'clip.{k}': v for k, v in build_clip(make_model().model).state_dict().items()}
    clip = {k: torch.randn_like(v) for k, v in clip.items()}
    model = make_model('seqTransf', linear_patch='3d')
    model.load_state_dict(clip, strict=False)
    assert model.is_filled
    torch.testing.assert_close(model.patch_3d.weight[:, :, 1], clip['clip.visual.conv1.weight'])
    own = model.sim_head
    torch.testing.assert_close(own.position_embedding.weight, clip['clip.positional_embedding'][:9])
    torch.testing.assert_close(
        own.blocks[1].attn.in_proj_weight, clip['clip.transformer.resblocks.1.attn.in_proj_weight']
    )
    # A whole checkpoint is left as it is.
    whole = {k: torch.randn_like(v) for k, v in model.state_dict().items()}
    other = make_model('seqTransf', linear_patch='3d')
    other.load_state_dict(whole)
    assert all(torch.equal(v, whole[k]) for k, v in other.state_dict().items())
    # Part of a CLIP fills nothing.
    lacking = make_model()
    lacking.load_state_dict({'clip.visual.proj': clip['clip.visual.proj']}, strict=False)
    assert not lacking.is_filled


def test_a_text_tower_of_another_width_starts_no_head(make_model, tiny_clip):
    wide = {**tiny_clip, 'text_cfg': dict(tiny_clip['text_cfg'], width=8)}
    model = make_model('seqTransf', model=wide)
    before = model.sim_head.position_embedding.weight.clone()
    model.init_weights()
    assert torch.equal(model.sim_head.position_embedding.weight, before)


def test_freezing(make_model, tiny_clip):
    names = [name for name, _ in make_model().clip.named_parameters()]
    assert frozen_names(names, -1) == []
    lowest = set(frozen_names(names, 0))
    assert lowest == {
        'positional_embedding', 'token_embedding.weight', 'visual.class_embedding',
        'visual.positional_embedding', 'visual.conv1.weight', 'visual.ln_pre.weight',
        'visual.ln_pre.bias',
    }  # fmt: skip
    extra = set(frozen_names(names, 1)) - lowest
    assert extra and all('transformer.resblocks.0.' in name for name in extra)
    kept = set(names) - set(frozen_names(names, 2))
    assert {name.split('.')[0] for name in kept} == {
        'visual', 'ln_final', 'text_projection', 'logit_scale',
    }  # fmt: skip
    apart = make_model(model={**tiny_clip, 'custom_text': True}, freeze_layer_num=1).clip
    assert {
        n.removeprefix('text.') for n, p in apart.named_parameters() if not p.requires_grad
    } == (lowest | extra)
    with pytest.raises(ValueError, match='freeze_layer_num: 1, but the text tower'):
        freeze(nn.ModuleDict(dict(visual=apart.visual, text=nn.Linear(2, 2))), 1)
    video = make_model(linear_patch='3d', freeze_layer_num=2)
    assert video.patch_3d.weight.requires_grad
    official = make_model(linear_patch='3d', freeze_layer_num=2, official_3d_freeze=True)
    frozen = [name for name, p in official.named_parameters() if not p.requires_grad]
    assert frozen == ['clip.visual.conv1.weight']  # which nothing reads
    with pytest.raises(ValueError, match='official_3d_freeze'):
        make_model(official_3d_freeze=True)


@torch.no_grad()
def test_predict_gives_what_the_metric_compares(make_model, samples):
    data = inputs([4, 2, 0])
    several = samples([['a cat', 'a kitten'], ['a dog'], ['a man cooks', 'a cook', 'food']])
    for head in ('seqLSTM', 'tightTransf'):
        model = make_model(head).eval()
        out = model(data, several, mode='predict')
        assert [sample.num_frames for sample in out] == [4, 2, 0]
        assert [len(sample.text_features) for sample in out] == [2, 1, 3]
        texts = model.encode_texts(['a cat', 'a kitten', 'a dog', 'a man cooks', 'a cook', 'food'])
        scores = model.similarity(texts, *model.encode_frames(data))
        if head == 'seqLSTM':
            ours = F.normalize(torch.cat([s.text_features for s in out]), dim=-1)
            ours = ours @ torch.stack([s.video_feature for s in out]).T
            torch.testing.assert_close(ours * model.clip.logit_scale.exp(), scores)
        else:
            torch.testing.assert_close(out[1].frame_features, model.encode_frames(data)[0][1, :2])
    assert make_model()(data).shape == (3, 16)
    assert make_model('tightTransf')(data['frames']).shape == (3, 4, 16)


def test_a_batch_without_any_frame_trains(make_model, samples):
    for head in ('meanP', 'seqLSTM', 'seqTransf', 'tightTransf'):
        for patch in ('2d', '3d'):
            model = make_model(head, linear_patch=patch).train()
            nothing = dict(frames=torch.zeros(2, 1, 3, 1, 1), mask=torch.zeros(2, 1).bool())
            loss = model(nothing, samples(CAPTIONS[:2]), mode='loss')['loss_retrieval']
            loss.backward()
            gradients = [p.grad for p in model.parameters() if p.requires_grad]
            assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    model = make_model()
    empty = dict(frames=torch.zeros(0, 0, 3, 1, 1), mask=torch.zeros(0, 0).bool())
    model(empty, [], mode='loss')['loss_retrieval'].backward()


def test_a_sentence_that_is_too_long_keeps_its_end(make_model, samples):
    model = make_model(max_words=8)
    ids = model.tokenize(['word ' * 50, 'a cat'])
    assert ids.shape == (2, 8)
    assert int(ids[0, -1]) == int(ids.max()) and int(ids[1, 3]) == int(ids.max())
    loss = model(inputs([2, 2]), samples([['word ' * 500], ['a cat']]), mode='loss')
    assert torch.isfinite(loss['loss_retrieval'])


def test_the_scale_is_kept_at_or_below_a_hundred(make_model, samples):
    model = make_model()
    model.is_filled = True
    model.clip.logit_scale.data.fill_(9.0)
    out = model(inputs([2, 2, 2]), samples(CAPTIONS), mode='loss')
    assert float(out['logit_scale']) == pytest.approx(100, rel=1e-5)
    assert float(model.clip.logit_scale) == pytest.approx(math.log(100))


def test_pretrained_weights_fill_both_towers():
    model = MODELS.build(dict(type='mmclip.CLIP4Clip', model='mini_clip', pretrained='mini_clip'))
    assert not model.is_filled
    model.eval()(torch.zeros(1, 2, 3, 48, 48))
    expected = build_clip('mini_clip', 'mini_clip').state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.clip.state_dict().items())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(linear_patch='4d'), 'linear_patch'),
        (dict(patch_init='average'), "needs linear_patch='3d'"),
        (dict(max_words=78), 'max_words: 78'),
        (dict(max_words=2), 'max_words: 2; .* takes 3 to 77'),
        (dict(model='mini_clip', linear_patch='3d'), 'needs a CLIP with a ViT'),
        (dict(model='mini_clip', freeze_layer_num=0), 'needs a CLIP with a ViT'),
    ],
)
def test_bad_settings(make_model, change, message):
    with pytest.raises(ValueError, match=message):
        make_model(**change)


@pytest.mark.parametrize('max_words', [3, 77, None])
def test_a_sentence_has_at_least_a_word_and_at_most_what_the_tower_takes(make_model, max_words):
    assert make_model(max_words=max_words).max_words == (max_words or 77)


def test_bad_inputs(make_model, samples):
    model = make_model()
    with pytest.raises(ValueError, match='mode'):
        model(inputs([1]), mode='test')
    with pytest.raises(ValueError, match='expected frames'):
        model(torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match='expected frames'):
        model(dict(frames=torch.zeros(1, 2, 3, 16, 16), mask=torch.ones(1, 3)))
    with pytest.raises(ValueError, match='needs texts'):
        model(inputs([1]), mode='loss')
    with pytest.raises(ValueError, match='one'):
        model(inputs([1]), samples([['a', 'b']]), mode='loss')


def test_preprocessing_pads_with_zeros_behind_the_frames(make_model):
    preprocessor = make_model().data_preprocessor
    videos = [torch.full((n, 3, 4, 4), 255, dtype=torch.uint8) for n in (1, 3)]
    videos.append(torch.zeros(0, 3, 1, 1, dtype=torch.uint8))
    data = preprocessor(dict(inputs=videos, data_samples=[]))['inputs']
    assert data['mask'].tolist() == [[True, False, False], [True] * 3, [False] * 3]
    frames = data['frames']
    expected = (1 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor(
        [0.26862954, 0.26130258, 0.27577711]
    )
    torch.testing.assert_close(frames[1, :, :, 0, 0], expected.expand(3, 3))
    assert frames[0, 1:].abs().max() == 0 and frames[2].abs().max() == 0
    nothing = preprocessor(dict(inputs=videos[2:], data_samples=[]))['inputs']
    assert nothing['frames'].shape == (1, 0, 3, 1, 1)
    with pytest.raises(ValueError, match='of one size'):
        preprocessor(dict(inputs=[torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 5, 5)]))
    with pytest.raises(ValueError, match='of one size'):
        preprocessor(dict(inputs=[torch.zeros(3, 4, 4)]))
