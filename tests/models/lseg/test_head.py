"""LSegHead and the segmentor around it: words, folds, losses, evaluation, bad input."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmclip.models.dense.multi_scale import multi_scale_logits

NAMES = ('other', 'cat', 'red car', 'tree', 'zebra')


def maps(batch=2, size=8):
    torch.manual_seed(1)
    return [
        torch.randn(batch, c, size // s, size // s)
        for c, s in zip((4, 6, 8, 10), (1, 2, 4, 8), strict=True)
    ]


def sample(target, **meta):
    data = SegDataSample(metainfo=dict(img_shape=target.shape, ori_shape=target.shape, **meta))
    data.gt_sem_seg = PixelData(data=target[None])
    return data


def test_logits_are_upsampled_cosines_over_the_temperature(make_head):
    head = make_head()
    inputs = maps()
    pixels = head.conv_seg.embed(head.decoder(inputs))
    words = head.conv_seg.classifier.embeddings
    cosine = torch.einsum('bdhw,kd->bkhw', F.normalize(pixels, dim=1), words)
    expected = F.interpolate(cosine / 0.07, scale_factor=2, mode='bilinear', align_corners=True)
    torch.testing.assert_close(head(inputs), expected)
    assert head(inputs).shape == (2, 5, 32, 32)


def test_words_can_be_permuted_dropped_and_renamed(make_head):
    head = make_head()
    inputs = maps()
    logits = head(inputs)
    head.set_classes(['zebra', 'other', 'cat'])
    torch.testing.assert_close(head(inputs), logits[:, [4, 0, 1]])
    assert head.num_classes == head.out_channels == 3


def test_two_words_per_image(make_head):
    head = make_head(two_way=True)
    inputs = maps()
    both = head(inputs, head.pairs([dict(class_id=3), dict(class_id=0)]))
    every = head(inputs)
    torch.testing.assert_close(both[0], every[0, [0, 4]])
    torch.testing.assert_close(both[1], every[1, [0, 1]])
    assert head.num_classes == 2
    head.set_classes(NAMES[:3])
    assert head.num_classes == 2, 'two ways stay two ways'
    with pytest.raises(ValueError, match='class_id 3 is not in the list of 2'):
        head.pairs([dict(class_id=3)])
    with pytest.raises(ValueError, match='a.png names no class_id'):
        head.pairs([dict(img_path='a.png')])


def test_loss_is_the_cross_entropy_of_all_pixels_that_are_not_ignored(make_head):
    head = make_head()
    inputs = maps(batch=1)
    target = torch.randint(0, 5, (32, 32))
    target[:16] = 255
    loss = head.loss(inputs, [sample(target)], None)
    expected = F.cross_entropy(head(inputs), target[None], ignore_index=255)
    torch.testing.assert_close(loss['loss_ce'], expected)


def test_two_way_loss(make_head):
    head = make_head(two_way=True)
    inputs = maps()
    targets = torch.randint(0, 2, (2, 32, 32))
    samples = [sample(t, class_id=c) for t, c in zip(targets, (2, 1), strict=True)]
    loss = head.loss(inputs, samples, None)['loss_ce']
    logits = head(inputs, torch.tensor([[0, 3], [0, 2]]))
    torch.testing.assert_close(loss, F.cross_entropy(logits, targets))


@pytest.mark.parametrize('stride', [2, 4])
@pytest.mark.parametrize('block', [None, dict(kind='depthwise')])
def test_loss_at_some_of_the_pixels(make_head, stride, block):
    head = make_head(loss_stride=stride, head_block=block)
    inputs = maps(batch=1)
    target = torch.randint(0, 5, (32, 32))
    loss = head.loss(inputs, [sample(target)], None)['loss_ce']
    logits = head.coarse(inputs)[:, :, :: stride // 2, :: stride // 2]
    torch.testing.assert_close(loss, F.cross_entropy(logits, target[None, ::stride, ::stride]))
    assert head(inputs).shape == (1, 5, 32, 32)


def test_bad_loss_stride(make_head):
    with pytest.raises(ValueError, match='loss_stride: 3'):
        make_head(loss_stride=3)


def test_a_image_without_any_label_gives_a_loss_of_zero_with_backward(make_head):
    head = make_head()
    loss = head.loss(maps(batch=1), [sample(torch.full((32, 32), 255))], None)['loss_ce']
    assert float(loss) == 0
    loss.backward()
    assert float(head.conv_seg.projection.weight.grad.abs().max()) == 0


def test_head_block_and_early_fusion_are_switches(make_head):
    plain, fused = make_head(), make_head(early_fusion=dict(width=8, num_heads=2))
    inputs = maps()
    own = {k: v for k, v in plain.state_dict().items() if not k.endswith('.names')}
    fused.load_state_dict(own, strict=False)
    torch.testing.assert_close(fused(inputs), plain(inputs))  # the gate is shut at the start
    with torch.no_grad():
        fused.conv_seg.early_fusion.gate.fill_(1.0)
    open_gate = fused(inputs)
    assert not torch.allclose(open_gate, plain(inputs), atol=1e-3)
    fused.set_classes([NAMES[i] for i in (2, 0, 1, 4, 3)])
    torch.testing.assert_close(fused(inputs), open_gate[:, [2, 0, 1, 4, 3]])
    block = make_head(head_block=dict(kind='bottleneck', depth=2))
    assert block(inputs).shape == (2, 5, 32, 32)


def test_a_background_of_the_classifier_is_refused(make_head):
    with pytest.raises(ValueError, match='the background is a word of the list'):
        make_head(
            classifier=dict(
                type='mmclip.TextEmbeddingClassifier',
                classes=['a', 'b'],
                text_encoder=dict(type='mmclip.CLIPTextEncoder', model='mini_clip'),
                background='learned',
            )
        )


# -- the segmentor ------------------------------------------------------------------------------


def images(*sizes, **meta):
    inputs = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    samples = [
        SegDataSample(metainfo=dict(img_shape=s, ori_shape=s, img_path=f'{i}.png', **meta))
        for i, s in enumerate(sizes)
    ]
    return dict(inputs=inputs, data_samples=samples)


@torch.no_grad()
@pytest.mark.parametrize('size', [(64, 96), (50, 70), (5, 9)])
def test_predictions_have_the_size_of_the_image_even_below_a_patch(make_segmentor, size):
    model = make_segmentor().eval()
    result = model.test_step(images(size))[0]
    assert result.pred_sem_seg.data.shape == (1, *size)
    assert result.seg_logits.data.shape == (5, *size)


@torch.no_grad()
def test_set_classes_reaches_sliding_windows(make_segmentor):
    model = make_segmentor(test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32))).eval()
    model.set_classes(['cat', 'tree'])
    assert model.num_classes == model.out_channels == 2
    assert model.class_names == ('cat', 'tree')
    result = model.test_step(images((96, 96)))[0]
    assert result.seg_logits.data.shape == (2, 96, 96)


@torch.no_grad()
def test_one_word_alone_gets_every_pixel(make_segmentor):
    model = make_segmentor().eval()
    model.set_classes(['cat'])
    labels = model.test_step(images((64, 64)))[0].pred_sem_seg.data
    assert labels.dtype == torch.int64 and labels.shape == (1, 64, 64) and not labels.any()


@torch.no_grad()
def test_rescale_false_stays_in_the_frame_of_the_network(make_segmentor):
    model = make_segmentor(test_cfg=dict(mode='whole', rescale=False), head=dict(two_way=True))
    data = images((64, 64), class_id=1)
    data['data_samples'][0].set_metainfo(dict(ori_shape=(100, 300)))
    result = model.eval().test_step(data)[0]
    assert result.pred_sem_seg.data.shape == (1, 64, 64)
    assert result.seg_logits.data.shape == (2, 64, 64)


@torch.no_grad()
def test_multi_scale_at_one_scale_is_the_network_itself(make_segmentor):
    options = dict(base_size=64, crop_size=64, scales=[1.0])
    model = make_segmentor(test_cfg=dict(mode='multi_scale', flip=False, **options)).eval()
    whole = make_segmentor().eval()
    whole.load_state_dict(model.state_dict())
    data = images((64, 64))
    a, b = model.test_step(data)[0], whole.test_step(data)[0]
    torch.testing.assert_close(a.seg_logits.data, b.seg_logits.data)
    assert torch.equal(model._black(), torch.full((3,), -1.0))


def test_multi_scale_of_a_image_one_pixel_wide():
    def network(x):
        return x[:, :1]

    options = dict(base_size=64, crop_size=64, scales=[0.5, 1.0], flip=True, stride_rate=2 / 3)
    for size in ((1, 1000), (1000, 1)):
        logits = multi_scale_logits(
            network, torch.ones(1, 3, *size), fill=torch.zeros(3), **options
        )
        assert logits.shape == (1, 1, *size)


def test_multi_scale_adds_the_mirror_image_and_the_scales():
    def network(x):  # the column of a pixel is what a mirror changes
        return x[:, :1] * torch.arange(x.shape[3]).float()

    image = torch.ones(1, 3, 4, 4)
    options = dict(base_size=4, crop_size=4, fill=torch.zeros(3))
    once = multi_scale_logits(network, image, scales=[1.0], **options)
    torch.testing.assert_close(once, torch.full((1, 1, 4, 4), 3.0))
    twice = multi_scale_logits(network, image, scales=[1.0, 1.0], **options)
    torch.testing.assert_close(twice, 2 * once)
    with pytest.raises(ValueError, match='scales'):
        multi_scale_logits(network, image, scales=[], **options)
    for rate in (0.0, 1.5):  # for ever in one place; pixels that no window sees
        with pytest.raises(ValueError, match=f'stride_rate: {rate} moves windows'):
            multi_scale_logits(network, image, scales=[1.0], stride_rate=rate, **options)


def test_training_step_reaches_every_weight(make_segmentor):
    model = make_segmentor(
        head=dict(head_block=dict(kind='depthwise'), early_fusion={}), vit=dict(with_cp=True)
    )
    with torch.no_grad():
        model.decode_head.conv_seg.early_fusion.gate.fill_(0.5)
    data = images((64, 64), (64, 64))
    for data_sample in data['data_samples']:
        data_sample.gt_sem_seg = PixelData(data=torch.randint(0, 5, (1, 64, 64)))
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    losses['decode.loss_ce'].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_vocabulary_is_no_parameter(make_segmentor):
    names = [name for name, _ in make_segmentor().named_parameters()]
    assert not [name for name in names if 'classifier' in name], 'words must not be trained'


@torch.no_grad()
def test_rescale_false_leaves_the_padding_out_on_every_side(make_segmentor):
    model = make_segmentor(test_cfg=dict(mode='whole', rescale=False)).eval()
    logits = torch.randn(1, 5, 32, 48)
    meta = dict(ori_shape=(9, 9), img_shape=(32, 48), padding_size=[1, 2, 3, 4])
    (result,) = model.postprocess_result(logits, [SegDataSample(metainfo=meta)])
    inner = logits[0, :, 3:-4, 1:-2]  # left, right, top, bottom
    assert torch.equal(result.seg_logits.data, inner)
    assert torch.equal(result.pred_sem_seg.data[0], inner.argmax(0))
