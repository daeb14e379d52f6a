"""The segmentor: training on texts, words, windows, groups, images of all sizes."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample

from mmclip.models.group_vit import grouping as grouping_module

PREPROCESSOR = dict(
    type='mmseg.SegDataPreProcessor',
    mean=[127.0] * 3,
    std=[60.0] * 3,
    size_divisor=1,
    test_cfg=dict(size_divisor=1),
)


def captioned(*texts: str) -> BaseDataElement:
    return BaseDataElement(metainfo=dict(texts=list(texts), img_path='x.jpg'))


def sample(height: int, width: int, **meta) -> SegDataSample:
    size = (height, width)
    metainfo = dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0] * 4)
    result = SegDataSample(metainfo=metainfo | meta)
    result.gt_sem_seg = PixelData(data=torch.zeros(1, *size, dtype=torch.long))
    return result


def batch(count: int = 4) -> dict:
    torch.manual_seed(1)
    texts = ['a cat', 'a dog', 'a cat on a mat', 'two dogs']
    return dict(
        inputs=torch.randn(count, 3, 32, 32),
        data_samples=[captioned(t, t.split()[-1], t.split()[0]) for t in texts[:count]],
    )


def test_training_gives_losses_and_a_gradient_for_every_weight(build):
    model = build().train()
    losses = model(**batch(), mode='loss')
    assert set(losses) == {'loss_contrastive', 'loss_multi_label', 'logit_scale'}
    (losses['loss_contrastive'] + losses['loss_multi_label']).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None]
    assert dead == []


@pytest.mark.parametrize('chunk_size', [1, 3])
def test_chunks_give_the_losses_and_gradients_of_the_whole_batch(build, monkeypatch, chunk_size):
    """With the same noise: batch norm of the projectors still sees the whole batch."""
    monkeypatch.setattr(grouping_module, 'gumbel_noise', torch.zeros_like)
    results = []
    for size in (None, chunk_size):
        model = build(train_cfg=dict(chunk_size=size), decode_head=dict(chunk_size=size)).train()
        losses = model(**batch(), mode='loss')
        (losses['loss_contrastive'] + losses['loss_multi_label']).backward()
        results.append((losses, {n: p.grad for n, p in model.named_parameters()}))
    (whole, reference), (chunked, gradients) = results
    for name in whole:
        torch.testing.assert_close(chunked[name], whole[name])
    for name in reference:
        scale = reference[name].abs().max().clamp(min=1)  # some are zero but for rounding
        assert (gradients[name] - reference[name]).abs().max() <= 2e-4 * scale, name
    assert max(float(g.abs().max()) for g in reference.values()) > 1


def test_no_noun_prompts(build):
    model = build(decode_head=dict(multi_label=0)).train()
    data = batch()
    data['data_samples'] = [captioned('a cat')] * 4
    losses = model(**data, mode='loss')
    assert set(losses) == {'loss_contrastive', 'logit_scale'}
    assert model.decode_head.multi_label_logit_scale is None


def test_ids_from_the_pipeline_are_those_of_the_head(build):
    model = build(backbone=dict(gumbel=False)).train()
    plain = model(**batch(), mode='loss')
    data = batch()
    head = model.decode_head
    for sample in data['data_samples']:
        sample.set_metainfo(dict(text_ids=head.tokenize(sample.texts).numpy()))
    head._tokenizer = None  # not asked again
    given = model(**data, mode='loss')
    assert head._tokenizer is None
    assert all(torch.equal(given[name], plain[name]) for name in plain)
    data['data_samples'][0].set_metainfo(dict(text_ids=np.zeros((3, 5), int)))
    with pytest.raises(ValueError, match='text_ids of 5 tokens'):
        model(**data, mode='loss')


@pytest.mark.parametrize('texts', [(), ('a cat',), ('a', 'b', 'c', 'd')])
def test_another_number_of_texts_is_an_error_that_names_the_transform(build, texts):
    data = dict(inputs=torch.zeros(1, 3, 32, 32), data_samples=[captioned(*texts)])
    with pytest.raises(ValueError, match=f'x.jpg has {len(texts)} texts.*NounPrompts'):
        build().train()(**data, mode='loss')


def test_scale_is_clamped_and_gets_no_gradient_beyond(build):
    head = build().decode_head
    assert head.scale().item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        head.logit_scale.fill_(6.0)
    scale = head.scale()
    scale.backward()
    assert scale.item() == 100 and head.logit_scale.grad.item() == 0
    assert build(decode_head=dict(share_temperature=True)).decode_head.scale(True) is not None


@torch.no_grad()
def test_words_follow_the_weights_and_the_list(build):
    model = build()
    head = model.decode_head
    assert head.words == ('cat', 'dog') and model.class_names == ('background', 'cat', 'dog')
    before = head.embeddings()
    assert head.embeddings() is before  # encoded once
    torch.testing.assert_close(before.norm(dim=1), torch.ones(2))

    head.text_projector.fc2.weight.mul_(-1)
    head.train().eval()  # training has changed the weights
    assert (head.embeddings() - before).abs().max() > 0.1
    model.load_state_dict(build().state_dict())
    torch.testing.assert_close(head.embeddings(), before)

    model.set_classes(['dog', 'cat'])
    assert not head.has_background and model.out_channels == 2
    torch.testing.assert_close(head.embeddings(), before.flip(0))
    model.set_classes(['cat'], prompts='a painting of a {}')
    assert (head.embeddings()[0] - before[0]).abs().max() > 1e-3
    assert head.prompts == 'a painting of a {}'


@torch.no_grad()
def test_embedding_is_the_mean_of_raw_features(build):
    head = build().decode_head
    sentences = ['a cat.', 'the cat!']
    raw = head.encode_tokens(head.tokenize(sentences)).mean(0)
    ours = head.encode_names(['cat'], ['a {}.', 'the {}!'])[0]
    torch.testing.assert_close(ours, raw / raw.norm())


@torch.no_grad()
def test_example_images_stand_for_words(build):
    model = build(decode_head=dict(classes=['cat', 'dog']))
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    model.set_classes(['cat', 'dog'], examples={'dog': [image]})
    embeddings = model.decode_head.embeddings()
    words = build(decode_head=dict(classes=['cat', 'dog'])).decode_head.embeddings()
    torch.testing.assert_close(embeddings[0], words[0])
    assert embeddings[1] @ words[1] < 0.999 and embeddings[1].norm().item() == pytest.approx(1)


@pytest.mark.parametrize('names', [['background'], ['cat', 'cat'], [], ['']])
def test_bad_words(build, names):
    model = build()
    with pytest.raises(ValueError, match='names|classes'):
        model.set_classes(names)
    assert model.class_names == ('background', 'cat', 'dog')


def test_predictions_are_the_best_class_of_each_pixel_s_group(build):
    model = build()
    data = [sample(40, 56), sample(40, 56)]
    results = model(torch.randn(2, 3, 40, 56), data, mode='predict')
    for result in results:
        assert result.pred_sem_seg.data.shape == (1, 40, 56)
        assert result.seg_logits.data.shape == (3, 40, 56)
        pairs = torch.stack([result.pred_groups.data, result.pred_sem_seg.data]).flatten(1).T
        groups = pairs[:, 0].unique()
        assert len(pairs.unique(dim=0)) == len(groups) <= 3  # one class per group


def test_results_are_in_the_size_of_the_original_image(build):
    model = build()
    data = [sample(64, 48, ori_shape=(130, 99), padding_size=[0, 8, 0, 16])]
    (result,) = model(torch.randn(1, 3, 80, 56), data, mode='predict')
    assert result.pred_sem_seg.data.shape == result.pred_groups.data.shape == (1, 130, 99)


@pytest.mark.parametrize(('direction', 'axis'), [('horizontal', 2), ('vertical', 1)])
def test_a_flipped_image_s_groups_are_flipped_back(build, direction, axis):
    model, image = build(), torch.randn(1, 3, 32, 32)
    (plain,) = model(image, [sample(32, 32)], mode='predict')
    flipped = sample(32, 32, flip=True, flip_direction=direction)
    (result,) = model(image, [flipped], mode='predict')
    assert torch.equal(result.pred_groups.data.flip(axis), plain.pred_groups.data)
    assert torch.equal(result.pred_sem_seg.data.flip(axis), plain.pred_sem_seg.data)
    assert not torch.equal(plain.pred_groups.data.flip(axis), plain.pred_groups.data)


@torch.no_grad()
def test_windows_are_averaged_and_encoded_once_each(build):
    model, seen = build(), []
    model.backbone.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0].shape[2:]))
    model.test_cfg = ConfigDict(mode='slide', crop_size=(32, 32), stride=(16, 16), bg_thresh=0.3)
    image = torch.randn(1, 3, 48, 32)
    (result,) = model(image, [sample(48, 32)], mode='predict')
    assert seen == [(32, 32)] * 2 and 'pred_groups' not in result
    top, bottom = (model.encode_decode(image[:, :, start : start + 32], []) for start in (0, 16))
    middle = (top[:, :, 16:] + bottom[:, :, :16]) / 2
    torch.testing.assert_close(result.seg_logits.data[None, :, 16:32], middle)


def test_threshold_decides_how_much_is_background(build):
    model, image = build(), torch.randn(1, 3, 64, 64)
    shares = []
    for threshold in (0.0, 0.3, 1.0):
        model.test_cfg = ConfigDict(mode='whole', bg_thresh=threshold)
        (result,) = model(image, [sample(64, 64)], mode='predict')
        shares.append(float((result.pred_sem_seg.data == 0).float().mean()))
    assert shares[0] == 0 and shares[0] <= shares[1] <= shares[2] < 1
    assert shares[2] > 0.2


def test_one_word_without_a_background_gets_every_pixel(build):
    model = build()
    model.set_classes(['cat'])
    (result,) = model(torch.randn(1, 3, 32, 32), [sample(32, 32)], mode='predict')
    assert result.pred_sem_seg.data.unique().tolist() == [0]


def test_without_groups_every_patch_is_named(build):
    plain = dict(depths=[2], num_heads=[2], num_group_tokens=[0], num_output_groups=[])
    model = build(backbone=plain)
    (result,) = model(torch.randn(1, 3, 32, 32), [sample(32, 32)], mode='predict')
    assert 'pred_groups' not in result
    patches = result.seg_logits.data.unflatten(2, (4, 8)).unflatten(1, (4, 8))
    assert (patches - patches[:, :, :1, :, :1]).abs().max() == 0


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'I;16'])
def test_images_of_other_modes_through_the_host_s_loader(build, tmp_path, mode):
    from mmcv.transforms import Compose
    from PIL import Image

    array = np.random.default_rng(0).integers(0, 255, (40, 48), dtype=np.uint8)
    if mode == 'RGBA':
        image = Image.fromarray(np.stack([array] * 4, 2), 'RGBA')
    elif mode == 'I;16':
        image = Image.fromarray(array.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(array)
    image.save(tmp_path / 'x.png')
    pipeline = Compose([dict(type='mmcv.LoadImageFromFile'), dict(type='mmseg.PackSegInputs')])
    data = pipeline(dict(img_path=str(tmp_path / 'x.png')))
    model = build(data_preprocessor=PREPROCESSOR)
    data = {key: [value] for key, value in data.items()}
    (result,) = model.test_step(data)
    assert result.pred_sem_seg.data.shape == (1, 40, 48)


def test_a_image_smaller_than_a_patch(build):
    with pytest.raises(ValueError, match='6 x 40 pixels are smaller than a patch of 8'):
        build()(torch.zeros(1, 3, 6, 40), [sample(6, 40)], mode='predict')


def test_early_fusion_starts_as_nothing_and_then_reads_the_words(build):
    plain, fused = build(), build(decode_head=dict(early_fusion=dict(width=8, num_heads=2)))
    fused.load_state_dict(plain.state_dict(), strict=False)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fused._forward(image), plain._forward(image))
        fused.decode_head.early_fusion.gate.fill_(2.0)
        among_two = fused._forward(image)[..., 1:]
        fused.set_classes(['background', 'dog', 'cat'])  # the order of the words does not matter
        torch.testing.assert_close(fused._forward(image)[..., 1:].flip(2), among_two)
        fused.set_classes(['background', 'cat', 'dog', 'cow'])
        assert (fused._forward(image)[..., 1:3] - among_two).abs().max() > 1e-4
    losses = fused.train()(**batch(), mode='loss')
    (losses['loss_contrastive'] + losses['loss_multi_label']).backward()
    assert fused.decode_head.early_fusion.gate.grad.abs() > 0


def test_operations_are_counted(build):
    from mmengine.analysis import get_model_complexity_info

    counted = get_model_complexity_info(build(), (3, 32, 32), show_table=False, show_arch=False)
    assert counted['flops'] > 0
