from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.evaluation import AccMetric
from mmaction.structures import ActionDataSample
from mmengine import Config
from PIL import Image

from mmclip.clip.loading import build_clip
from mmclip.config_path import config_path
from mmclip.models.action_clip import recognizer
from mmclip.models.action_clip.recognizer import class_scores
from mmclip.registry import MODELS

NAMES = ('running', 'playing guitar', 'brush hair')
VARIANTS = (
    dict(),
    dict(pre_prompt='joint'),
    dict(in_prompt='shift'),
    dict(in_prompt='shift', shift_div=4, post_prompt=dict(type='mmclip.ActionLSTM')),
    dict(post_prompt=dict(type='mmclip.ActionConv1D')),
    dict(post_prompt=dict(type='mmclip.ActionTransf', layers=1)),
    dict(post_prompt=dict(type='mmclip.ActionTransfCls', layers=1, heads=2, hidden_dim=8)),
    dict(drop_out=0.2, with_cp=True),
    dict(fix_text=True),
)


@pytest.mark.parametrize('variant', VARIANTS)
def test_every_variant_trains_all_its_weights(make_model, variant, samples):
    model = make_model(**variant).train()
    losses = model(torch.randn(3, 4, 3, 16, 16), samples([0, 2, 2]), mode='loss')
    losses['loss_kl'].backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(p.grad is None for p in model.text.parameters()) == bool(variant.get('fix_text'))
    scores = model.eval()(torch.randn(2, 4, 3, 16, 16), mode='predict')
    assert scores[0].pred_score.shape == (3,)
    assert float(scores[1].pred_score.sum()) == pytest.approx(1, abs=1e-5)


def test_scores_average_probabilities_over_prompts_and_views():
    videos = F.normalize(torch.randn(2, 3, 6), dim=-1)
    texts = F.normalize(torch.randn(4, 5, 6), dim=-1)
    expected = torch.zeros(2, 5)
    for view in range(3):
        for prompt in range(4):
            expected += (100 * videos[:, view] @ texts[prompt].T).softmax(1) / 12
    torch.testing.assert_close(class_scores(videos, texts), expected)


def test_views_are_frames_in_a_row(make_model, samples):
    model = make_model().eval()
    frames = torch.randn(2, 12, 3, 16, 16)
    with torch.no_grad():
        features = model(frames)
        assert features.shape == (2, 3, 16)
        torch.testing.assert_close(features[:, 1:2], model(frames[:, 4:8]))
        torch.testing.assert_close(
            model.scores(frames),
            torch.stack([model.scores(part) for part in frames.split(4, 1)]).mean(0),
        )
    with pytest.raises(ValueError, match=r'views \* 4'):
        model(frames[:, :5])
    with pytest.raises(ValueError, match='training takes one'):
        model(frames, samples([0, 1]), mode='loss')


def test_sentences_are_encoded_once_until_weights_or_words_change(make_model, monkeypatch):
    model = make_model().eval()
    calls = []
    encode = model.text.encode_all
    monkeypatch.setattr(model.text, 'encode_all', lambda ids: calls.append(ids) or encode(ids))
    frames = torch.randn(1, 4, 3, 16, 16)
    model(frames, mode='predict')
    model(frames, mode='predict')
    model.set_classes(NAMES)  # the same ones
    model(frames, mode='predict')
    assert [tuple(ids.shape[:2]) for ids in calls] == [(16, 3)]
    model.set_classes(['skiing', 'surfing'], prompts=['a {}', '{}'])
    assert model(frames, mode='predict')[0].pred_score.shape == (2,)
    model.train().eval()
    model(frames, mode='predict')
    model.load_state_dict(model.state_dict())
    model(frames, mode='predict')
    assert len(calls) == 4


def words(model):
    """Features of all sentences as the tower makes them now."""
    ids = model.token_ids()
    with torch.no_grad():
        features = F.normalize(model.text(ids.flatten(0, 1)), dim=-1)
    return features.unflatten(0, ids.shape[:2])


@pytest.mark.parametrize('fix_text', [False, True])
def test_no_way_to_change_weights_leaves_old_features(make_model, samples, fix_text):
    model = make_model(fix_text=fix_text).eval()
    frames = torch.randn(2, 4, 3, 16, 16)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=5.0)

    def step():
        optimizer.zero_grad()
        model(frames, samples([0, 1]), mode='loss')['loss_kl'].backward()
        optimizer.step()

    def check():
        torch.testing.assert_close(model.text_features(), words(model), atol=1e-5, rtol=1e-5)

    before = model.text_features()
    step()  # in eval mode: norms frozen by hand, e.g.
    check()
    assert torch.equal(before, model.text_features()) == fix_text
    model.train()
    model.text_features()  # scores in training mode
    step()
    model.eval()
    check()
    with torch.no_grad():
        next(model.text.parameters()).mul_(1.5)
    check()


def test_dropout_of_training_stays_out_of_a_test(make_model):
    model = make_model().train()
    model.text.tower.ln_final.register_forward_hook(
        lambda module, args, out: F.dropout(out, 0.5, module.training)
    )
    model.text_features()
    model.text_features()
    assert not model.cache._entries
    model.eval()
    torch.testing.assert_close(model.text_features(), words(model), atol=1e-5, rtol=1e-5)


def test_images_as_arrays_can_be_given_twice_and_follow_the_image_tower(make_model):
    model = make_model(fix_text=True).eval()
    images = dict(running=[np.full((16, 16, 3), 99, np.uint8)])
    for examples in (images, dict(images), images, images):
        model.set_classes(NAMES, examples=examples)
    before = model.text_features()
    assert model.text_features() is model.text_features()
    with torch.no_grad():
        for weight in model.video.parameters():
            weight.add_(torch.randn_like(weight))
    after = model.text_features()
    assert not torch.allclose(before[:, 0], after[:, 0])
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert torch.equal(after[:, 1:], model._word_features()[:, 1:])
    assert not torch.allclose(after[:, 0], model._word_features()[:, 0])


def test_cached_features_are_those_of_training(make_model):
    model = make_model(prompts=['a {}', 'look, {}']).eval()
    ids = model.token_ids()
    assert ids.shape[:2] == (2, 3)
    features = F.normalize(model.text(ids.flatten(0, 1)), dim=-1).unflatten(0, (2, 3))
    torch.testing.assert_close(model.text_features(), features.detach(), atol=1e-5, rtol=1e-5)


def test_one_random_sentence_per_label_and_equal_ones_once(make_model, monkeypatch):
    model = make_model(prompts=['a {}', 'b {}']).train()
    labels = torch.tensor([1, 1, 1, 0, 1, 1, 1, 1])
    rows = []
    forward = model.text.forward
    monkeypatch.setattr(model.text, 'forward', lambda ids: rows.append(len(ids)) or forward(ids))
    torch.manual_seed(0)
    texts = model._sentences(labels)
    assert rows[0] <= 4
    own = F.normalize(forward(model.token_ids().flatten(0, 1)), dim=-1).unflatten(0, (2, 3))
    for text, label in zip(texts, labels, strict=True):
        assert min((text - own[p, label]).abs().max() for p in (0, 1)) < 1e-5
    assert len(torch.unique(texts.detach(), dim=0)) == rows[0] >= 3


def test_processes_of_one_seed_draw_the_sentences_of_the_joined_batch(make_model, monkeypatch):
    model = make_model(fix_text=True).train()
    labels = torch.arange(24) % 3

    def drawn(labels, rank, count):
        monkeypatch.setattr(recognizer, 'get_rank', lambda: rank)
        monkeypatch.setattr(recognizer, 'get_world_size', lambda: count)
        torch.manual_seed(0)
        return model._sentences(labels)

    parts = [drawn(labels, rank, 2) for rank in (0, 1)]
    assert not torch.equal(*parts)
    torch.testing.assert_close(torch.cat(parts), drawn(labels.repeat(2), 0, 1))


def test_processes_of_one_seed_speak_of_different_labels_of_a_video(
    make_model, samples, monkeypatch
):
    model = make_model(fix_text=True).train()
    hot = [[1.0, 0, 1]] * 32
    spoken = []
    monkeypatch.setattr(model, '_check_labels', spoken.append)
    for rank in (0, 1):
        monkeypatch.setattr(recognizer, 'get_rank', lambda rank=rank: rank)
        monkeypatch.setattr(recognizer, 'get_world_size', lambda: 2)
        torch.manual_seed(0)
        model(torch.randn(32, 4, 3, 16, 16), samples(hot), mode='loss')
    assert not torch.equal(*spoken)
    assert {0, 2} == set(torch.cat(spoken).tolist())


def test_fixed_text_gives_the_same_loss_as_trained_text(make_model, samples):
    losses = []
    for fix in (False, True):
        model = make_model(fix_text=fix).train()
        torch.manual_seed(1)
        frames = torch.randn(3, 4, 3, 16, 16)
        losses.append(float(model(frames, samples([0, 1, 1]), mode='loss')['loss_kl'].detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_several_labels(make_model, samples):
    model = make_model().train()
    hot = [[1.0, 0, 1], [0, 1.0, 0]]
    loss = model(torch.randn(2, 4, 3, 16, 16), samples(hot), mode='loss')['loss_kl']
    assert torch.isfinite(loss)
    for row in ([1.0, 1, 1], [0.0, 0, 0]):
        same = model(torch.randn(2, 4, 3, 16, 16), samples([row] * 2), mode='loss')['loss_kl']
        assert torch.isfinite(same)


def test_accumulated_gradients_are_told_in_full_size_trainings(make_model):
    assert make_model().compares_samples
    folder = Path(config_path('action_clip/action_clip_vit_b32_transf_8f_k400.py')).parent
    for path in folder.glob('action_clip_vit_*.py'):
        hooks = [hook.type for hook in Config.fromfile(path).default_hooks.values()]
        assert hooks.count('mmclip.ContrastiveBatchHook') == 1, path.name


def test_an_empty_batch(make_model):
    model = make_model().train()
    model(torch.zeros(0, 4, 3, 16, 16), [], mode='loss')['loss_kl'].backward()


def test_predicts_into_the_hosts_samples(make_model):
    sample = ActionDataSample().set_gt_label(1)
    out = make_model().eval()(torch.randn(1, 4, 3, 16, 16), [sample], mode='predict')
    assert out[0] is sample and out[0].pred_label.shape == (1,)
    metric = AccMetric()  # reads pred_score and gt_label
    metric.process({}, [out[0].to_dict()])
    assert metric.compute_metrics(metric.results)['top5'] == 1


def test_bad_input(make_model, samples):
    with pytest.raises(ValueError, match='goes with neither'):
        make_model(pre_prompt='joint', in_prompt='shift')
    with pytest.raises(ValueError, match='needs a CLIP ViT'):
        make_model(model='mini_clip', in_prompt='shift')
    for change in (
        dict(pre_prompt='before'),
        dict(in_prompt='twist'),
        dict(shift_div=1),
        dict(image_tower='imagenet'),
        dict(image_tower=dict(name='test_vit', pretrained=False, img_size=96)),
        dict(image_tower=dict(pretrained=False)),
        dict(text_tower='bert'),
        dict(text_tower=dict(name='nowhere', layers=2)),
        dict(text_tower=dict(config=dict(model_type='bert'))),
        dict(num_frames=0),
        dict(prompts='nonsense'),
    ):
        with pytest.raises(ValueError, match=next(iter(change))):
            make_model(**change)
    model = make_model(classes=None)
    with pytest.raises(ValueError, match='set_classes'):
        model.eval()(torch.zeros(1, 4, 3, 16, 16), mode='predict')
    model = make_model()
    with pytest.raises(ValueError, match='gt_label: 0 to 3'):
        model(torch.zeros(2, 4, 3, 16, 16), samples([0, 3]), mode='loss')
    with pytest.raises(ValueError, match='needs a gt_label'):
        model(torch.zeros(1, 4, 3, 16, 16), samples([[]]), mode='loss')
    with pytest.raises(ValueError, match='mode'):
        model(torch.zeros(1, 4, 3, 16, 16), mode='train')


def test_mini_clip_fills_both_towers_and_images_stand_for_words():
    model = MODELS.build(
        dict(
            type='mmclip.ActionCLIPRecognizer', model='mini_clip', pretrained='mini_clip',
            num_frames=2, classes=['a', 'b'],
        )
    ).eval()  # fmt: skip
    image = Image.new('RGB', (60, 48), (255, 0, 0))
    model.set_classes(['red', 'blue'], prompts=['{}', 'a {}'], examples=dict(red=[image]))
    model.init_weights()
    clip = build_clip('mini_clip', 'mini_clip').eval()
    torch.testing.assert_close(model.logit_scale.detach(), clip.logit_scale.detach().reshape(()))
    own = dict(model.text.tower.state_dict())
    torch.testing.assert_close(own['token_embedding.weight'], clip.token_embedding.weight.detach())
    frames = torch.randn(1, 2, 3, 48, 48)
    with torch.no_grad():
        expected = F.normalize(clip.encode_image(frames[0]).mean(0), dim=0)
        torch.testing.assert_close(model(frames)[0, 0], expected)
    features = model.text_features()
    torch.testing.assert_close(features[0, 0], features[1, 0])  # the image, in every template
    assert (features[0, 1] - features[1, 1]).abs().max() > 1e-3


def test_random_towers_stay_random():
    config = dict(
        type='mmclip.ActionCLIPRecognizer', model='mini_clip', pretrained='mini_clip', num_frames=2,
        classes=['a', 'b'],
    )  # fmt: skip
    filled = MODELS.build(config)
    filled.init_weights()
    model = MODELS.build({**config, 'text_tower': 'random'})
    before = model.text.tower.text_projection.detach().clone()
    model.init_weights()
    torch.testing.assert_close(model.text.tower.text_projection.detach(), before)
    assert float(model.logit_scale.detach().exp()) == pytest.approx(1 / 0.07, rel=1e-5)
    for (name, ours), theirs in zip(
        model.video.visual.state_dict().items(),
        filled.video.visual.state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, msg=name)
    model.train()
    model = MODELS.build({**config, 'norm_eval': True, 'image_tower': 'random'}).train()
    norms = [m for m in model.video.visual.modules() if 'BatchNorm' in type(m).__name__]
    assert norms and not any(m.training for m in norms)


def test_towers_of_timm_and_of_transformers(make_model, samples):
    bert = dict(
        name='nowhere', pretrained=False,
        config=dict(model_type='bert', hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=8, vocab_size=30),
    )  # fmt: skip
    model = make_model(text_tower=bert, image_tower=dict(name='test_vit', pretrained=False)).train()
    model._ids = torch.randint(1, 30, (16, 3, 5))
    frames = torch.randn(2, 4, 3, 160, 160)
    model(frames, samples([0, 2]), mode='loss')['loss_kl'].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    # Padding is not read.
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    torch.testing.assert_close(model.text.eval()(ids), model.text(ids[:, :3]))


@pytest.fixture(scope='module')
def tiny_bert(tmp_path_factory):
    """A folder as transformers writes it, and its model."""
    transformers = pytest.importorskip('transformers')
    folder = tmp_path_factory.mktemp('hub') / 'tiny-bert'
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'dog', 'runs']
    model = transformers.BertModel(
        transformers.BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
            vocab_size=len(words),
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    (folder / 'vocab.txt').write_text('\n'.join(words))
    transformers.BertTokenizer(str(folder / 'vocab.txt')).save_pretrained(folder)
    return folder, model.eval()


def test_transformers_weights_and_words_of_a_local_folder(make_model, tiny_bert):
    folder, theirs = tiny_bert
    model = make_model(text_tower=dict(name=str(folder))).eval()
    model.init_weights()
    ids = model.text.tokenize(['a dog', 'a dog runs', 'a cat'])
    assert ids.tolist() == [[2, 5, 6, 3, 0], [2, 5, 6, 7, 3], [2, 5, 1, 3, 0]]
    assert model.text.tower.tokenize(['dog ' * 99]).shape == (1, 77)
    with torch.no_grad():
        out = theirs(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state[:, 0]
        torch.testing.assert_close(model.text(ids), model.text.tower.projection(out))
    assert model(torch.randn(1, 4, 3, 16, 16), mode='predict')[0].pred_score.shape == (3,)


def test_transformers_of_another_architecture_are_named(make_model, tiny_bert):
    with pytest.raises(ValueError, match=r"text_tower\.config: 'roberta-base' is no local folder"):
        make_model(text_tower=dict(name='roberta-base'))
    small = dict(model_type='bert', hidden_size=4, num_attention_heads=2, num_hidden_layers=1)
    model = make_model(text_tower=dict(name=str(tiny_bert[0]), config=small))
    with pytest.raises(ValueError, match=r'text_tower\.config: the weights of .*tiny-bert'):
        model.init_weights()


def test_unimodal_baseline(samples, tiny_clip):
    config = dict(
        type='mmclip.UnimodalActionRecognizer', model=tiny_clip, num_frames=4, classes=list(NAMES)
    )
    model = MODELS.build(config).train()
    frames = torch.randn(2, 8, 3, 16, 16)
    model(frames[:, :4], samples([0, 2]), mode='loss')['loss_cls'].backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    with torch.no_grad():
        expected = torch.stack([model.logits(p)[:, 0].softmax(1) for p in frames.split(4, 1)])
        torch.testing.assert_close(model.scores(frames), expected.mean(0))
    model.set_classes(NAMES)
    for mode in ('loss', 'predict', 'tensor'):
        with pytest.raises(ValueError, match=r'inputs: .*expected \(B, views \* 4'):
            model(frames[:, :5], samples([0, 2]), mode=mode)
    with pytest.raises(ValueError, match='keeps its 3 classes'):
        model.set_classes(['x', 'y'])
    with pytest.raises(ValueError, match='prompts'):
        model.set_classes(NAMES, prompts=['a {}'])
    several = MODELS.build({**config, 'multi_label': True, 'classes': 3})
    hot = samples([[1.0, 0, 1], [0, 0, 1]])
    several(frames[:, :4], hot, mode='loss')['loss_cls'].backward()
    assert several.eval().scores(frames).shape == (2, 3)
    loss = MODELS.build(config)(torch.zeros(0, 4, 3, 16, 16), [], mode='loss')['loss_cls']
    loss.backward()
