"""Adapters of whole ViLD detectors: resized image, backbone, post-processing, checkpoints."""

import torch
import torch.nn.functional as F
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmclip.datasets.transforms.tf_resize import tf_resize
from mmclip.models.vild.convert import convert
from mmclip.registry import MODELS
from parity.adapters.vild.data import tf_variables
from parity.adapters.vild.heads import bare_head, box_head, mask_head_config
from parity.adapters.vild.regions import rpn_head
from parity.adapters.vild.shared import (
    YX,
    background_first,
    background_last,
    is_double,
    load,
    model_config,
    nchw,
    nhwc,
    novel_of,
    padded,
    rois_of,
    set_norms,
)
from parity.case import Case, Comparison, compare_keys

BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BLOCKS[152] = (3, 8, 36, 3)


def resize_jitter(case: Case) -> dict:
    config, image = case.config, case.inputs['image']
    mean, std = (torch.tensor(config[name]) for name in ('mean', 'std'))
    normalized = (image.float() / 255 - mean) / std
    out = {'normalised': normalized}
    desired = config['desired_size']
    for name, info in case.inputs.items():
        if name.endswith('_image_info'):
            original, _, scale, offset = info
            scaled = tuple((original * scale).round().int().tolist())
            top, left = offset.int().tolist()
            whole = torch.from_numpy(tf_resize(normalized.numpy(), scaled))
            cut = whole[top : top + desired[0], left : left + desired[1]]
            missing = [d - s for d, s in zip(desired, cut.shape[:2], strict=True)]
            padded = F.pad(cut, (0, 0, 0, missing[1], 0, missing[0]))
            out[name.replace('_image_info', '_image')] = padded
    return out


def backbone_config(config: dict) -> ConfigDict:
    """The official backbone; fixtures have narrower and shallower ones than the host knows."""
    cfg = model_config().backbone
    known = MODELS.get(cfg.type)
    depth = config['resnet_depth']
    divisor = config.get('resnet_width_divisor', config.get('width_divisor', 1))
    blocks = {depth: (Bottleneck, tuple(config.get('layers', BLOCKS.get(depth, ()))))}
    cfg.type = type('Narrow', (known,), dict(arch_settings=known.arch_settings | blocks))
    cfg.update(depth=depth, base_channels=64 // divisor, stem_channels=64 // divisor)
    set_norms(cfg, config)
    return cfg


def resnet(case: Case) -> dict:
    model = load(MODELS.build(backbone_config(case.config)), case.state, 'backbone.')
    with torch.no_grad():
        maps = model(nchw(case.inputs['image']))
    return {f'c{level}': nhwc(x) for level, x in enumerate(maps, 2)}


def detections_of(results: list, count: int) -> dict:
    """The official post-processing's outputs, empty slots filled as it fills them."""
    return {
        'detection_boxes': padded([r.bboxes[:, YX] for r in results], count, 0),
        'detection_scores': padded([r.scores for r in results], count, -1),
        'detection_classes': padded([r.labels.int() + 1 for r in results], count, 0),
        'num_detections': torch.tensor([len(r) for r in results]),
    }


def postprocess(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    head = bare_head(case).eval()
    logits = background_last(inputs['class_logits'])
    if head.image_branch:
        logits = torch.cat([inputs['distill_class_logits'], logits], -1)
    cfg = ConfigDict(
        score_thr=config['score_threshold'],
        nms=dict(type='nms', iou_threshold=config['nms_iou_threshold']),
        max_per_img=config['max_total_size'],
        per_class=config['pre_nms_num_boxes'],
        discard_background=config['discard_background'],
    )
    rois = rois_of(inputs['rois_yxyx']).unflatten(0, inputs['rois_yxyx'].shape[:2])
    deltas = inputs['box_outputs'][..., YX]
    metas = [dict(img_shape=tuple(s.flatten().tolist())) for s in inputs['image_shape']]
    found = head.predict_by_feat(rois, logits, deltas, metas, rcnn_test_cfg=cfg)
    raw = head.predict_by_feat(rois, logits, deltas, metas, rcnn_test_cfg=None)
    scores = [next(head.score_chunks(one, cfg)())[1] for one in logits]
    return detections_of(found, config['max_total_size']) | {
        'raw_boxes': torch.stack([r.bboxes[:, YX] for r in raw])[:, :, None],
        'raw_scores': torch.stack(scores),
    }


def detector_config(config: dict, classes: int, novel: list[str]) -> ConfigDict:
    double = is_double(config)
    cfg = model_config('vild_ensemble_r50_lvis_tf' if double else 'vild_r50_lvis_tf')
    low, high = config['levels']
    channels, levels = config['fpn_feat_dims'], range(low, high + 1)
    cfg.backbone = backbone_config(config)
    widths = [256 * 2**i // config.get('resnet_width_divisor', 1) for i in range(4)]
    cfg.neck.update(in_channels=widths, out_channels=channels, num_outs=len(levels))
    rpn = rpn_head(config, channels, levels)
    cfg.rpn_head = ConfigDict({k: v for k, v in rpn.items() if k not in ('train_cfg', 'test_cfg')})
    head = cfg.roi_head
    head.bbox_head = box_head(config, novel, classes=classes, width=channels)
    head.mask_head = mask_head_config(config, channels)
    head.mask_roi_extractor.roi_layer.output_size = config['mask_target_size'] // 2
    for extractor in (head.bbox_roi_extractor, head.mask_roi_extractor):
        extractor.update(out_channels=channels, featmap_strides=[2**level for level in levels])
        extractor.finest_scale = 56 * 2 ** (low - 2)
    set_norms(cfg.neck, config)
    cfg.test_cfg.rpn.update(
        nms_pre=config['test_rpn_pre_nms_top_k'],
        max_per_img=config['test_rpn_post_nms_top_k'],
        nms=dict(type='nms', iou_threshold=config['rpn_nms']),
    )
    cfg.test_cfg.rcnn.update(
        score_thr=config['score_threshold'],
        nms=dict(type='nms', iou_threshold=config['nms_iou_threshold']),
        max_per_img=config['max_total_size'],
        per_class=config['pre_nms_num_boxes'],
    )
    return cfg


@torch.no_grad()
def run_detector(case: Case, state: dict) -> dict:
    config = case.config
    classes = config['num_classes_incl_bg'] - 1
    cfg = detector_config(config, classes, novel_of(case.inputs['rare_mask']))
    model = MODELS.build(cfg)
    load(model, state)
    images = nchw(case.inputs['image'])
    shapes = [tuple(info[1].int().tolist()) for info in case.inputs['image_info']]
    samples = [DetDataSample(metainfo=dict(img_shape=shape)) for shape in shapes]
    x = model.extract_feat(images)
    found = model.rpn_head.predict(x, samples, rescale=False)
    rois = padded([one.bboxes for one in found], config['test_rpn_post_nms_top_k'], 0)[..., YX]
    found = [InstanceData(bboxes=one[:, YX]) for one in rois]
    shape = rois.shape[:2]
    head = model.roi_head
    embeddings, deltas = head.bbox_head.embed(
        head.bbox_roi_extractor(x[: head.bbox_roi_extractor.num_inputs], rois_of(rois))
    )
    out = {
        'rois_yxyx': rois,
        'box_outputs': deltas[:, YX].unflatten(0, shape),
        'class_outputs': background_first(head.bbox_head.fc_cls.logits(embeddings)).unflatten(
            0, shape
        ),
    }
    metas = [sample.metainfo for sample in samples]
    results = head.predict_bbox(x, metas, found, head.test_cfg)
    out |= detections_of(results, config['max_total_size'])
    if 'detection_masks' in case.outputs:
        kept = [r.bboxes for r in results]
        batch = torch.cat([torch.full((len(b), 1), float(i)) for i, b in enumerate(kept)])
        masks = head._mask_forward(x, torch.cat([batch, torch.cat(kept)], 1))['mask_preds']
        masks = masks[:, 0].sigmoid().split([len(b) for b in kept])
        out['detection_masks'] = padded(list(masks), config['max_total_size'], 0)
    if 'distill_class_outputs' in case.outputs:
        feats = head.bbox_roi_extractor(x[: head.bbox_roi_extractor.num_inputs], rois_of(rois))
        image = F.normalize(head.bbox_head.embed_image(feats), dim=1)
        logits = head.bbox_head.classifier.class_logits(image)
        out['distill_class_outputs'] = logits.unflatten(0, shape)
    return out


def detector(case: Case) -> dict:
    return run_detector(case, case.state)


def checkpoint_detector(case: Case) -> list[Comparison]:
    state, comparisons = tf_variables(case)
    ours = run_detector(case, state)
    return comparisons + [Comparison(n, v, case.outputs[n]) for n, v in ours.items()]


def full_keys(case: Case) -> list[Comparison]:
    name = case.name.removeprefix('full_keys_')  # vild_r50, vild_ensemble_r152, ...
    cfg = model_config(f'{name}_lvis')
    cfg.roi_head.bbox_head.classifier.classes = 'lvis_v1'  # as the dataset would
    with torch.device('meta'):
        model = MODELS.build(cfg)
    return compare_keys(convert(case.key_state()), model)


ADAPTERS = {
    'resize_jitter': resize_jitter,
    'resnet': resnet,
    'postprocess_*': postprocess,
    'detector_vild*': detector,
    'tf_ckpt_detector_vild*': checkpoint_detector,
    'full_keys_*': full_keys,
}
