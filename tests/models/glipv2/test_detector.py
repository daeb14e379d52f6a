"""GLIPv2 as a whole: its losses, masks, words in the backbone, tuning, bad settings."""

import pytest
import torch
from toy_glipv2 import INTER, MASKS, MLM, SWIN, config, sample

from mmclip.models.glip.detector import GLIPDetector
from mmclip.models.glip.targets import AnchorTargets
from mmclip.models.glipv2.detector import count_words
from mmclip.registry import MODELS

LATE = dict(
    backbone=dict(type='mmclip.TextSwin', text_dim=12, max_tokens=16, **SWIN),
    fusion=dict(config()['fusion'], type='mmclip.TextConditionedNeck'),
)


def test_without_its_losses_it_is_glip(build, batch):
    ours = build()
    plain = config()
    plain['type'] = 'mmclip.GLIPDetector'
    plain['bbox_head']['type'] = 'mmclip.GLIPHead'
    glip = MODELS.build(plain)
    assert type(glip) is GLIPDetector
    glip.load_state_dict(ours.state_dict())
    losses, theirs = ours.loss(*batch), glip.loss(*batch)
    assert losses.keys() == theirs.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, theirs[name])
    for model in (ours, glip):
        model.eval()
    with torch.no_grad():
        found, same = (model.predict(*batch)[0].pred_instances for model in (ours, glip))
    torch.testing.assert_close(found.bboxes, same.bboxes)
    assert 'masks' not in found


@pytest.mark.parametrize('source', ['fpn', 'roi', 'c4'])
@pytest.mark.parametrize('text', ['pre_fusion', 'fused'])
def test_every_loss_reaches_every_part_that_it_should(build, batch, source, text):
    loss = dict(INTER['inter_image_loss'], source=source, text=text)
    if source == 'c4':
        loss['region_dim'] = 32
    model = build(head=MASKS, inter_image_loss=loss, **MLM)
    losses = model.loss(*batch)
    names = {'loss_token', 'loss_bbox', 'loss_centerness'}
    assert losses.keys() == names | {'loss_inter_image', 'loss_mlm', 'loss_mask'}
    assert all(torch.isfinite(value) and value > 0 for value in losses.values())
    losses['loss_inter_image'].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert any(name.startswith('text_encoder') for name in reached)
    assert any(name.startswith('backbone') for name in reached)
    assert any(name.startswith('neck') for name in reached) == (source != 'c4' or text == 'fused')
    assert any(name.startswith('fusion') for name in reached) == (text == 'fused')
    assert not any(name.startswith('bbox_head') for name in reached)


def test_labels_of_detection_reach_other_images_by_name(build):
    # 'dog' is class 1 of one dataset and class 0 of the other.
    names = ['cat', 'dog'], ['dog', 'tree']
    boxes = [(4, 4, 36, 30)], [(20, 20, 60, 60)]
    samples = [sample(names[0], boxes[0], [1]), sample(names[1], boxes[1], [0])]
    images = torch.randn(2, 3, 64, 64)
    found = {}
    model = build(**INTER)
    rows = model.inter_image_loss.rows
    model.inter_image_loss.rows = lambda *a: found.setdefault('rows', rows(*a))
    # Tokens: [CLS] cat . dog [SEP], [CLS] dog . tree [SEP]. By number 'tree' would be right.
    for by_name, expected in ((True, [3, 6]), (False, [3, 8])):
        model.inter_image_loss.by_name = by_name
        found.clear()
        model.loss(images, samples)
        (_, targets), _ = found['rows']
        assert targets[0].nonzero()[:, 0].tolist() == expected


def test_hidden_words_are_hidden_from_detection_too(build, batch):
    model = build(**MLM)
    seen = []
    model.text_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(1)
    model.loss(*batch)
    plain, _ = model.read_samples(batch[1])
    mask = model.text_encoder.tokenizer.mask_id
    assert (seen[0] == mask).any() and (seen[0] != plain.ids).any()
    assert (seen[0][:, 0] == plain.ids[:, 0]).all()  # [CLS] stays
    assert model.mlm_head.decoder.out_features == count_words(model.text_encoder) == 14


def test_images_without_objects_or_masks(build, batch):
    images, samples = batch
    empty = sample(['cat', 'dog'], [], [])
    model = build(head=MASKS, **INTER, **MLM)
    losses = model.loss(images, [empty, empty])
    assert losses['loss_inter_image'] == 0 and losses['loss_mask'] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.inter_image_loss.parameters())
    assert all(p.grad is not None for p in model.bbox_head.mask_head.parameters())
    bare = [sample(['cat'], [(4, 4, 36, 30)], [0]), samples[1]]
    assert model.loss(images, bare)['loss_mask'] > 0
    assert model.loss(images, [bare[0], bare[0]])['loss_mask'] == 0


def test_masks_are_learnt_from_the_phrase_of_each_box(build, batch):
    """A few steps on one batch: the left half of each box."""
    model = build(head=MASKS, tuning='masks')
    head = list(model.bbox_head.mask_head.parameters())
    optimizer = torch.optim.Adam(head, 0.02)
    losses = []
    for _ in range(60):
        (loss,) = model.loss(*batch).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 < 0.6 < losses[0]


def test_detections_have_masks_of_the_images_size(build, batch):
    model = build(head=MASKS)
    model.eval()
    with torch.no_grad():
        results = [result.clone() for result in model.predict(*batch)]
        canvas = model.predict(*batch, rescale=False)
    for result in results:
        found = result.pred_instances
        assert found.masks.shape == (5, 32, 48) and found.masks.dtype == torch.bool
        assert 'mask_probs' not in found
        # A mask stays inside of its box, up to the blur of one of 14 cells.
        for mask, box in zip(found.masks, found.bboxes, strict=True):
            rows, columns = mask.nonzero(as_tuple=True)
            if len(rows):
                assert columns.min() >= box[0].floor() - 3 and columns.max() <= box[2].ceil() + 3
    assert canvas[0].pred_instances.masks.shape == (5, 64, 64)


def test_masks_of_a_vocabulary_in_several_captions_are_those_of_one(build, batch):
    """With one class per caption, the mask of a detection is what its own caption gives."""
    model = build(head=MASKS)
    model.eval()
    images, _ = batch
    plain = [sample(['cat'], [], []) for _ in range(2)]
    for one in plain:
        for name in ('text', 'phrase_spans', 'phrase_labels', 'text_type', 'maskable_spans'):
            one.set_metainfo({name: None})
            delattr(one, name)
    model.test_cfg['chunk_size'] = 1
    model.test_cfg['max_total'] = -1
    model.set_classes(['cat', 'red car'])
    with torch.no_grad():
        together = model.predict(images, plain)[1].pred_instances
        model.set_classes(['red car'])
        alone = model.predict(images, plain)[1].pred_instances
    own = together[together.labels == 1]
    torch.testing.assert_close(own.bboxes, alone.bboxes)
    assert torch.equal(own.masks, alone.masks)
    assert len(together) == 10


def test_only_detections_that_may_stay_get_masks(build, batch):
    model = build(head=MASKS)
    model.eval()
    images, samples = batch
    plain = [type(samples[0])(metainfo=dict(samples[0].metainfo)) for _ in range(2)]
    for one in plain:
        for name in ('text', 'phrase_spans'):
            delattr(one, name)
    model.test_cfg['chunk_size'] = 1
    model.set_classes(['cat', 'dog', 'red car', 'tree'])
    counts = []
    forward = model.bbox_head.mask_head.phrase_logits
    model.bbox_head.mask_head.phrase_logits = lambda x, *a: (counts.append(len(x)), forward(x, *a))[
        1
    ]

    @torch.no_grad()
    def detect() -> list[tuple]:
        found = [one.pred_instances for one in model.predict(images, plain)]
        return [(one.bboxes, one.scores, one.labels, one.masks) for one in found]

    pruned = detect()
    assert counts == [5, 5]  # per image, of 4 captions with 5 detections each
    model.bbox_head._that_may_stay = lambda results, metas: results
    for ours, every in zip(pruned, detect(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, every, strict=True))
    assert counts == [5, 5, 20, 20]


def test_only_the_mask_head_is_trained(build, batch):
    model = build(head=MASKS, tuning='masks', **INTER, **MLM)
    model.train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith('bbox_head.mask_head') for name in trained)
    assert not model.backbone.training and model.bbox_head.mask_head.training
    losses = model.loss(*batch)
    assert losses.keys() == {'loss_mask'}
    losses['loss_mask'].backward()


def test_regions_for_masks_overlap_an_object(build):
    head = build(head=dict(MASKS, train_cfg=dict(mask_regions=2))).bbox_head
    truth = torch.tensor([[0.0, 0.0, 19.0, 19.0], [30.0, 30.0, 49.0, 49.0]])
    decoded = torch.tensor([[30.0, 30.0, 49.0, 44.0], [0.0, 0.0, 5.0, 5.0], [0.0, 0.0, 19.0, 19.0]])
    targets = AnchorTargets(torch.tensor([1, 0, -1]), decoded, torch.zeros(3))
    head.train_cfg['mask_regions'] = 9
    boxes, objects = head.mask_regions(decoded, targets, truth)
    assert objects.tolist() == [1, 0, 1]  # the second is too small, the third is nobody's
    torch.testing.assert_close(boxes, torch.cat([decoded[:1], truth]))
    head.train_cfg['mask_regions'] = 2
    assert len(head.mask_regions(decoded, targets, truth)[0]) == 2


def test_words_in_the_backbone(build, batch):
    loss = dict(INTER['inter_image_loss'], source='c4', region_dim=32)
    model = build(head=MASKS, inter_image_loss=loss, **LATE)
    sum(model.loss(*batch).values()).backward()
    unused = {name for name, p in model.named_parameters() if p.grad is None}
    assert not unused
    model.eval()
    images, samples = batch
    with torch.no_grad():
        before = model.predict(images, samples)[0].pred_instances
        # Another caption changes what the backbone sees.
        other = sample(['tree', 'a star'], [], [])
        after = model.predict(images, [other, other])[0].pred_instances
    assert (before.bboxes - after.bboxes).abs().max() > 1e-4
    state = model.state_dict()
    assert not any(name.startswith('fusion._owned') for name in state)
    assert sum(name.startswith('backbone.patch_embed') for name in state) == 4


def test_words_in_the_backbone_and_several_captions(build, batch):
    model = build(**LATE)
    model.eval()
    images, samples = batch
    calls = []
    model.backbone.patch_embed.register_forward_hook(lambda *_: calls.append(1))
    model.test_cfg['chunk_size'] = 1
    model.set_classes(['cat', 'dog', 'tree'])
    plain = [type(samples[0])(metainfo=dict(samples[0].metainfo)) for _ in range(2)]
    for one in plain:
        for name in ('text', 'phrase_spans'):
            delattr(one, name)
    with torch.no_grad():
        results = model.predict(images, plain)
    assert len(calls) == 1 and all(len(r.pred_instances) for r in results)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(mlm_head=dict(type='mmclip.MLMHead')), 'mask_tokens and mlm_head'),
        (dict(mask_tokens=dict(type='mmclip.MaskTokens')), 'mask_tokens and mlm_head'),
        (dict(head=dict(mask_head=MASKS['mask_head'])), 'mask_head and mask_roi_extractor'),
        (dict(tuning='masks'), "'masks' needs bbox_head.mask_head"),
        (dict(tuning='other'), "tuning: 'other'"),
        (
            dict(head=MASKS, fusion=dict(type='mmclip.DeepFusionNeck', channels=16, num_blocks=1)),
            'behind a fusion',
        ),
        (dict(inter_image_loss=dict(INTER['inter_image_loss'], source='c4')), 'region_dim'),
        (dict(**INTER, **LATE), "only 'c4'"),
    ],
)
def test_bad_settings(build, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
