"""The box head: logits, losses, base and novel classes, detections, big vocabularies."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import nn

META = dict(img_shape=(60, 80), scale_factor=(2.0, 2.0))
TEST_CFG = ConfigDict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20)


def rois(count: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 40
    size = torch.rand(count, 2, generator=generator) * 20 + 3
    return torch.cat([torch.zeros(count, 1), corner, corner + size], 1)


def features(count: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(count, 8, 3, 3, generator=torch.Generator().manual_seed(seed))


def targets(labels: list[int]):
    labels = torch.tensor(labels, dtype=torch.long)
    weights = torch.ones(len(labels))
    return labels, weights, torch.zeros(len(labels), 4), torch.ones(len(labels), 4)


def test_logits_are_cosines_over_the_temperature_with_the_background_last(make_head):
    head = make_head(temperature=0.1).eval()
    logits, deltas = head(features(5))
    hidden = head.shared_fcs[0](features(5).flatten(1)).relu()
    unit = F.normalize(head.fc_cls.projection(hidden), dim=1)
    rows = torch.cat(
        [head.classifier.embeddings, F.normalize(head.classifier.background, dim=0)[None]]
    )
    torch.testing.assert_close(logits, 10 * unit @ rows.t())
    assert logits.shape == (5, 7) and deltas.shape == (5, 4)


def test_no_closed_set_layer_is_made(make_head):
    head = make_head()
    shapes = [tuple(m.weight.shape) for m in head.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(128, 16), (4, 16), (16, 72)]


@pytest.mark.parametrize(('background', 'columns'), [('learned', 7), ('zero', 7), (None, 6)])
@pytest.mark.parametrize('sigmoid', [False, True])
def test_losses_of_every_kind_of_background(make_head, background, columns, sigmoid):
    head = make_head(
        background=background,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=sigmoid),
    )
    logits, deltas = head(features(4))
    assert logits.shape == (4, columns)
    labels, *rest = targets([0, 6, 3, 6])
    losses = head.loss(logits, deltas, rois(4), labels, *rest)
    if sigmoid:
        one_hot = F.one_hot(labels, 7)[:, :columns].float()
        expected = F.binary_cross_entropy_with_logits(logits, one_hot, reduction='sum') / 4
    elif background is None:
        expected = F.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    else:
        expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(losses['loss_cls'], expected)
    (losses['loss_cls'] + losses['loss_bbox']).backward()
    assert head.fc_cls.projection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('sigmoid', [False, True])
def test_excluded_novel_classes_are_as_if_they_did_not_exist(make_head, sigmoid):
    loss_cls = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=sigmoid)
    head = make_head(novel_classes=['tree', 'yak'], loss_cls=loss_cls)
    small = make_head(names=('cat', 'dog', 'red car', 'zebra'), loss_cls=loss_cls)
    logits = head(features(4))[0].detach().requires_grad_()
    loss = head.loss(logits, None, rois(4), *targets([0, 6, 4, 6]))['loss_cls']
    kept = logits[:, [0, 1, 2, 4, 6]]
    other = small.loss(kept, None, rois(4), *targets([0, 4, 3, 4]))['loss_cls']
    torch.testing.assert_close(loss, other)
    loss.backward()
    assert not logits.grad[:, [3, 5]].any() and logits.grad.isfinite().all()


def test_official_mask_leaves_novel_classes_in_the_partition_sum(make_head):
    head = make_head(novel_classes=['tree', 'yak'], novel_mask='official')
    logits = head(features(4))[0].detach()
    loss = head.loss(logits, None, rois(4), *targets([0, 6, 4, 6]))['loss_cls']
    masked = logits.clone()
    masked[:, [3, 5]] = 0
    torch.testing.assert_close(loss, F.cross_entropy(masked, torch.tensor([0, 6, 4, 6])))


def test_boxes_of_an_excluded_class_are_an_error_that_names_it(make_head):
    head = make_head(novel_classes=['tree'])
    with pytest.raises(ValueError, match="boxes of 'tree', a novel class"):
        head.loss(head(features(1))[0], None, rois(1), *targets([3]))


def test_bad_settings_name_what_is_allowed(make_head):
    with pytest.raises(ValueError, match="novel_mask: 'no' is none of 'exclude', 'official', None"):
        make_head(novel_mask='no')
    with pytest.raises(ValueError, match='unknown vocabulary'):
        make_head(novel_classes='lvis_v9')
    with pytest.raises(ValueError, match='set reg_class_agnostic=True'):
        make_head(reg_class_agnostic=False, class_chunk=2)


def test_set_classes_changes_the_number_of_classes_everywhere(make_head):
    head = make_head().eval()
    before, deltas_before = head(features(3))
    rows = dict(zip(head.class_names, head.classifier.embeddings, strict=True))
    head.classifier.set_classes(['zebra', 'cat'])
    assert head.num_classes == 2 and head.class_names == ('zebra', 'cat')
    torch.testing.assert_close(head.classifier.embeddings[1], rows['cat'])
    logits, deltas = head(features(3))
    torch.testing.assert_close(logits, before[:, [4, 0, 6]])
    torch.testing.assert_close(deltas, deltas_before)


@pytest.mark.parametrize('sigmoid', [False, True])
@pytest.mark.parametrize('background', ['learned', 'zero', None])
@pytest.mark.parametrize('extra', [{}, dict(per_proposal=True), dict(discard_background=True)])
def test_chunks_give_the_same_detections(make_head, sigmoid, background, extra):
    loss_cls = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=sigmoid)
    head = make_head(background=background, loss_cls=loss_cls, class_chunk=100).eval()
    chunked = make_head(background=background, loss_cls=loss_cls, class_chunk=4).eval()
    cfg = ConfigDict(TEST_CFG, **extra)
    results = []
    for one in (head, chunked):
        logits, deltas = one(features(30))
        results.append(one._predict_by_feat_single(rois(30), logits, deltas, META, True, cfg))
    assert chunked(features(2))[0].shape[1] in (128, 129)
    torch.testing.assert_close(results[0].scores, results[1].scores)
    torch.testing.assert_close(results[0].bboxes, results[1].bboxes)
    assert torch.equal(results[0].labels, results[1].labels)


def test_per_proposal_names_the_given_boxes_in_order(make_head):
    head = make_head().eval()
    logits, deltas = head(features(9))
    cfg = ConfigDict(TEST_CFG, per_proposal=True, score_thr=0.99)
    found = head._predict_by_feat_single(rois(9), logits, deltas, META, True, cfg)
    torch.testing.assert_close(found.bboxes, rois(9)[:, 1:] / 2)
    best, label = logits.softmax(1)[:, :6].max(1)
    torch.testing.assert_close(found.scores, best)
    assert torch.equal(found.labels, label)


def test_a_box_regressor_per_class(make_head):
    head = make_head(reg_class_agnostic=False).eval()
    logits, deltas = head(features(9))
    found = head._predict_by_feat_single(rois(9), logits, deltas, META, False, TEST_CFG)
    boxes = head.bbox_coder.decode(
        rois(9)[:, 1:].repeat_interleave(6, 0), deltas.view(-1, 4), max_shape=(60, 80)
    ).view(9, 6, 4)
    score, flat = logits.softmax(1)[:, :6].flatten().max(0)
    torch.testing.assert_close(found.scores[0], score)
    torch.testing.assert_close(found.bboxes[0], boxes[flat // 6, flat % 6])


def test_regions_that_reach_out_of_the_image_are_cut_without_a_regressor_too(make_head):
    head = make_head(with_reg=False).eval()
    outside = torch.tensor([[0.0, -5, -7, 30, 20], [0, 70, 50, 95, 66], [0, 1, 2, 3, 4]])
    boxes = head.boxes_of(outside, None, META, rescale=False)
    assert boxes.tolist() == [[0, 0, 30, 20], [70, 50, 80, 60], [1, 2, 3, 4]]


def test_raw_scores_for_test_time_augmentation(make_head):
    head = make_head().eval()
    logits, deltas = head(features(9))
    raw = head._predict_by_feat_single(rois(9), logits, deltas, META, False, None)
    assert raw.bboxes.shape == (9, 4)
    torch.testing.assert_close(raw.scores[:, :6], logits.softmax(1)[:, :6])
    assert raw.scores.shape == (9, 7)


def test_no_regions(make_head):
    head = make_head()
    logits, deltas = head(features(0).requires_grad_())
    assert logits.shape == (0, 7)
    losses = head.loss(logits, deltas, rois(0), *targets([]))
    sum(v.sum() for k, v in losses.items() if 'loss' in k).backward()
    head.eval()
    empty = head._predict_by_feat_single(rois(0), logits, deltas, META, False, TEST_CFG)
    assert empty.bboxes.shape == (0, 4) and empty.labels.shape == (0,)


def test_padded_regions_count_in_the_mean_only(make_head):
    head = make_head()
    logits = head(features(4))[0].detach()
    loss = head.loss(logits, None, rois(4), *targets([0, 6, -1, 2]))['loss_cls']
    kept = F.cross_entropy(logits[[0, 1, 3]], torch.tensor([0, 6, 2]), reduction='sum')
    torch.testing.assert_close(loss, kept / 4)


@pytest.mark.parametrize(('average', 'divisor'), [('sampled', 4), ('positive', 8)])
def test_what_the_box_loss_is_averaged_over(make_head, average, divisor):
    head = make_head(box_average=average)
    logits, deltas = head(features(4))
    labels, weights, goals, box_weights = targets([0, 6, 2, 6])
    loss = head.loss(logits, deltas, rois(4), labels, weights, goals + 1, box_weights)['loss_bbox']
    torch.testing.assert_close(loss, (deltas[[0, 2]] - 1).abs().sum() / divisor)


def test_without_a_class_loss(make_head):
    head = make_head(with_cls_loss=False)
    logits, deltas = head(features(4))
    assert set(head.loss(logits, deltas, rois(4), *targets([0, 6, 2, 6]))) == {'loss_bbox'}


def test_the_image_branch_is_a_trunk_of_its_own_and_the_scores_are_a_geometric_mean(make_head):
    head = make_head(image_branch=True, novel_classes=['tree', 'yak'], temperature=0.5).eval()
    logits, _ = head(features(5))
    text = head.fc_cls.logits(head.embed(features(5))[0]).softmax(1)[:, :6]
    image = head.embed_image(features(5))
    image = (F.normalize(image, dim=1) @ head.classifier.embeddings.t() / 0.5).softmax(1)
    share = torch.tensor([1, 1, 1, 2, 1, 2]) / 3
    ((_, scores),) = head.score_chunks(logits)()
    torch.testing.assert_close(scores, text ** (1 - share) * image**share)
    ((_, scores),) = head.score_chunks(logits, dict(ensemble=dict(fixed=0.25)))()
    torch.testing.assert_close(scores, text**0.75 * image**0.25)
    head.train()
    assert head(features(5))[0].shape == (5, 7)


def test_chunks_of_an_ensemble_give_the_same_scores(make_head):
    kwargs = dict(image_branch=True, novel_classes=['tree', 'yak'])
    whole, chunked = make_head(**kwargs).eval(), make_head(class_chunk=4, **kwargs).eval()
    ((_, expected),) = whole.score_chunks(whole(features(5))[0])()
    parts = [scores for _, scores in chunked.score_chunks(chunked(features(5))[0])()]
    assert [part.shape[1] for part in parts] == [4, 2]
    torch.testing.assert_close(torch.cat(parts, 1), expected)


@pytest.mark.parametrize('count', [0, 1, 2])
def test_batch_norms_stand_a_batch_of_no_or_one_region(make_head, count):
    norm = dict(type='BN', momentum=0.5)
    head = make_head(
        num_shared_convs=1,
        conv_out_channels=8,
        norm_cfg=norm,
        conv_cfg=dict(type='mmclip.BiasedConv2d'),
        fc_norm_cfg=dict(type='BN1d'),
    )
    assert head.shared_convs[0].conv.bias is not None
    assert isinstance(head.shared_fcs[0][1], nn.BatchNorm1d)
    logits, deltas = head(features(count))
    (logits.sum() + deltas.sum()).backward()
    moved = head.shared_convs[0].bn.running_mean
    assert moved.isfinite().all() and bool(moved.any()) == (count > 1)
    assert head.shared_fcs[0][1].training
