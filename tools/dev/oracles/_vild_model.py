"""Adapters of ViLD's model side: heads, losses, boxes, whole detectors, DetPro's and BARON's
formulas.

The modules are built from ``configs/vild/*_tf.py``, the configs for converted official weights,
with the sizes of the fixture; weights go through ``mmclip.models.vild.convert``. Official tensors
are NHWC and yxyx with the background first; ours NCHW and xyxy with the background last.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.structures import DetDataSample
from mmengine import Config
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmclip import config_path
from mmclip.datasets.transforms.tf_resize import tf_resize_crop
from mmclip.models.common.box_coder import PlusOneBBoxCoder
from mmclip.models.common.class_names import class_names
from mmclip.models.common.vocabulary import Vocabulary
from mmclip.models.vild.convert import convert
from mmclip.models.vild.distill_loss import distance_to_teacher
from mmclip.models.vild.mask_head import targets_from_crops
from mmclip.models.vild.rpn_head import nonzero_huber
from mmclip.models.vild.scores import ensemble_scores
from mmclip.registry import MODELS, TASK_UTILS
from oracles._vild_data import jittered_boxes, tf_variables
from oracles.case import Case, Comparison, compare_keys

YX = [1, 0, 3, 2]  # swaps x and y of boxes and deltas, either way
BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BLOCKS[152] = (3, 8, 36, 3)


# -- layouts ------------------------------------------------------------------------------------


def nchw(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, -3).contiguous()


def nhwc(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-3, -1)


def background_first(x: torch.Tensor) -> torch.Tensor:
    return x.roll(1, -1)


def background_last(x: torch.Tensor) -> torch.Tensor:
    return x.roll(-1, -1)


def anchor_deltas(x: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 4 A), x and y swapped for each anchor; the same both ways."""
    return x.unflatten(-1, (-1, 4))[..., YX].flatten(-2)


def names(count: int) -> list[str]:
    return [f'class_{index}' for index in range(1, count + 1)]


def rois_of(boxes_yxyx: torch.Tensor) -> torch.Tensor:
    """(B, N, 4) yxyx -> (B N, 5)."""
    batch = torch.arange(len(boxes_yxyx)).repeat_interleave(boxes_yxyx.shape[1])
    return torch.cat([batch[:, None].float(), boxes_yxyx[..., YX].flatten(0, 1)], 1)


# -- building -----------------------------------------------------------------------------------


def model_config(name: str = 'vild_r50_lvis_tf') -> ConfigDict:
    init_default_scope('mmdet')
    return Config.fromfile(config_path(f'vild/{name}.py')).model


def is_double(config: dict) -> bool:
    return config.get('visual_feature_distill') == 'double_branch'


def set_norms(cfg: ConfigDict, config: dict) -> None:
    """Epsilon and momentum of the case, or no norms at all, in every part of a config."""
    for key, value in list(cfg.items()):
        if key.endswith('norm_cfg') and value is not None:
            if config.get('use_batch_norm', True):
                value.eps = config.get('bn_eps', value.eps)
                value.momentum = 1 - config.get('bn_momentum_tf', 1 - value.momentum)
            else:
                cfg[key] = None
        elif isinstance(value, dict):
            set_norms(value, config)


def box_head(
    config: dict, novel: list[str] | None = None, *, classes: int | None = None, width: int
) -> nn.Module:
    """The box head of the official config in the sizes of a case.

    Args:
        config: The case's.
        novel: Novel class names.
        classes: K; by default the config's.
        width: Channels of the RoI features.
    """
    full = model_config('vild_ensemble_r50_lvis_tf' if is_double(config) else 'vild_r50_lvis_tf')
    cfg = full.roi_head.bbox_head
    classes = config['num_classes_incl_bg'] - 1 if classes is None else classes
    dim = config.get('clip_dim', 4)
    encoder = dict(embed_dim=dim, vision_cfg=dict(layers=1, width=8, patch_size=8, image_size=16))
    encoder['text_cfg'] = dict(width=8, heads=1, layers=1)
    cfg.update(
        in_channels=width,
        conv_out_channels=config.get('num_filters', width),
        fc_out_channels=config.get('fc_dims', 4),
        num_shared_convs=config.get('num_convs', config.get('head_num_convs', 1)),
        num_shared_fcs=config.get('num_fcs', config.get('head_num_fcs', 1)),
        roi_feat_size=config.get('roi_size', 7),
        novel_classes=novel,
    )
    cfg.classifier.update(
        classes=names(classes),
        vocabulary_file=None,
        temperature=1 / config.get('temperature', 100.0),
        text_encoder=dict(type='mmclip.CLIPTextEncoder', model=encoder),
    )
    if 'bbox_weights' in config:
        cfg.bbox_coder.weights = config['bbox_weights']
    if 'frcnn_huber_delta' in config:  # the host's loss is divided by its beta
        delta = config['frcnn_huber_delta']
        cfg.loss_bbox.update(beta=delta, loss_weight=delta)
    set_norms(cfg, config)
    return cfg


def load(module: nn.Module, state: dict[str, torch.Tensor], prefix: str = '') -> nn.Module:
    """Load the converted weights below a prefix; nothing may be missing or left over."""
    own = {k.removeprefix(prefix): v for k, v in convert(state).items() if k.startswith(prefix)}
    module.load_state_dict(own, strict=True)
    module.eval()  # the host's ResNet returns None here
    return module


def novel_of(mask: torch.Tensor) -> list[str]:
    """Names whose entry of the official mask (background first, 1 = base) is 0."""
    return [f'class_{index}' for index in (mask == 0).nonzero()[:, 0].tolist()]


def install(head: nn.Module, kernel: torch.Tensor) -> None:
    """Another vocabulary: the columns of an official text kernel (D, K)."""
    rows = F.normalize(kernel.t(), dim=1)
    head.classifier._install(Vocabulary(class_names(names(len(rows))), rows), of_words=True)


# -- box head -----------------------------------------------------------------------------------


def rcnn_head(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    width = inputs['roi_features_eval'].shape[-1]
    head = MODELS.build(box_head(config, width=width))
    load(head, case.state, 'roi_head.bbox_head.')
    double = head.image_branch

    @torch.no_grad()
    def evaluate(prefix: str) -> dict[str, torch.Tensor]:
        features = inputs['roi_features_eval']
        shape = features.shape[:2]
        x = nchw(features.flatten(0, 1))
        embeddings, deltas = head.embed(x)
        out = {
            f'{prefix}eval_class_logits': background_first(head.fc_cls.logits(embeddings)),
            f'{prefix}eval_box': deltas[:, YX],
        }
        if double:
            image = F.normalize(head.embed_image(x), dim=1)
            out[f'{prefix}eval_distill_embedding'] = image
            out[f'{prefix}eval_distill_class_logits'] = head.classifier.class_logits(image)
            both = head(x)[0][:, : head.num_classes]
            assert torch.equal(both, out[f'{prefix}eval_distill_class_logits'])
        return {name: value.unflatten(0, shape) for name, value in out.items()}

    out = evaluate('')
    install(head, inputs['transfer_classifier_weight'])
    out |= evaluate('transfer_')
    install(head, inputs['classifier_weight'])

    features, count = inputs['roi_features_train'], config['max_distill_rois']
    batch, total = features.shape[:2]
    head.train()
    with torch.no_grad():
        if double:
            split = features[:, : total - count], features[:, total - count :]
            sampled, distilled = (nchw(part.flatten(0, 1)) for part in split)
            embeddings, deltas = head.embed(sampled)
            student = head.embed_image(distilled).unflatten(0, (batch, count))
            embeddings = embeddings.unflatten(0, (batch, -1))
            deltas = deltas.unflatten(0, (batch, -1))
        else:
            embeddings, deltas = head.embed(nchw(features.flatten(0, 1)))
            embeddings = embeddings.unflatten(0, (batch, total))
            deltas = deltas.unflatten(0, (batch, total))[:, : total - count]
            embeddings, student = embeddings.split([total - count, count], 1)
    out['train_class_logits'] = background_first(head.fc_cls.logits(embeddings))
    out['train_box'] = deltas[..., YX]
    out['train_distill_embedding'] = F.normalize(student, dim=-1)
    return out | norms_after(case, head, config)


def norms_after(case: Case, head: nn.Module, config: dict) -> dict:
    """Moving statistics after one step, under the official names.

    The official variance is the biased one; PyTorch's moving average takes the unbiased one, so the
    batch's variance is rescaled by (n - 1) / n, n values per channel.
    """
    before = {k.removeprefix('roi_head.bbox_head.'): v for k, v in convert(case.state).items()}
    after, out = head.state_dict(), {}
    wanted = [name for name in case.outputs if name.startswith('train_bn_after/')]
    momentum = 1 - config['bn_momentum_tf']
    scope = wanted[0].removeprefix('train_bn_after/').split('/batch_normalization')[0]
    renamed = _norm_names(config, scope)
    for name in wanted:
        norm, kind = name.removeprefix('train_bn_after/').rsplit('/', 1)
        ours = renamed[norm]
        key = f'{ours}.running_mean' if kind == 'moving_mean' else f'{ours}.running_var'
        value = after[key]
        if kind == 'moving_variance':
            features = case.inputs['roi_features_train']
            regions = features.shape[0] * _regions(ours, features.shape[1], config)
            count = regions * (config['roi_size'] ** 2 if 'convs' in ours else 1)
            batch = (value - (1 - momentum) * before[key]) / momentum
            value = (1 - momentum) * before[key] + momentum * batch * (count - 1) / count
        out[name] = value
    return out


def _regions(norm: str, total: int, config: dict) -> int:
    if not is_double(config):
        return total
    count = config['max_distill_rois']
    return count if norm.startswith('image') else total - count


def _norm_names(config: dict, scope: str) -> dict[str, str]:
    layers = [f'convs.{i}.bn' for i in range(config['num_convs'])]
    layers += [f'fcs.{i}.1' for i in range(config['num_fcs'])]
    trunks = ('shared', 'image') if is_double(config) else ('shared',)
    ours = [f'{trunk}_{layer}' for trunk in trunks for layer in layers]
    return {
        f'{scope}/batch_normalization' + (f'_{index}' if index else ''): name
        for index, name in enumerate(ours)
    }


def bare_head(case: Case, mask: str | None = 'official') -> nn.Module:
    """A head without weights of the fixture, for losses and post-processing."""
    config = dict(case.config)
    columns = (
        case.inputs['class_logits'] if 'class_logits' in case.inputs else case.inputs['logits']
    )
    config.setdefault('num_classes_incl_bg', columns.shape[-1])
    novel = novel_of(case.inputs['rare_mask']) if 'rare_mask' in case.inputs else None
    cfg = box_head(config, novel, width=4)
    cfg.novel_mask = mask
    return MODELS.build(cfg)


def class_loss(head: nn.Module, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Official logits (B, N, K + 1) and targets (0 background, -1 padding)."""
    labels = targets.flatten().long()
    labels = torch.where(labels == 0, head.num_classes, labels.clamp(min=0) - 1)
    labels = labels.where(targets.flatten() >= 0, -1)
    ours = background_last(logits).flatten(0, -2)
    rois, boxes = ours.new_zeros(len(ours), 5), ours.new_zeros(len(ours), 4)
    return head.loss(ours, None, rois, labels, rois[:, 0] + 1, boxes, boxes)['loss_cls']


def cls_loss(case: Case) -> dict:
    logits, targets = case.inputs['logits'], case.inputs['targets']
    out = {}
    for kind, name in (('official', 'masked'), (None, 'unmasked'), ('exclude', 'true_exclusion')):
        leaf = logits.clone().requires_grad_()
        loss = class_loss(bare_head(case, kind), leaf, targets)
        out[f'loss_{name}'] = loss
        if f'grad_{name}' in case.outputs:
            (out[f'grad_{name}'],) = torch.autograd.grad(loss, leaf)
    return out


# -- losses -------------------------------------------------------------------------------------


def losses(case: Case) -> dict:
    inputs, config = case.inputs, case.config
    head = bare_head(case)
    fast_class = class_loss(head, inputs['class_logits'], inputs['class_targets'])
    labels = inputs['class_targets'].flatten().long()
    labels = torch.where(labels == 0, head.num_classes, labels.clamp(min=0) - 1)
    labels = labels.where(inputs['class_targets'].flatten() >= 0, -1)
    deltas, goals = (
        inputs[f'box_{name}'][..., YX].flatten(0, 1) for name in ('outputs', 'targets')
    )
    weights = torch.ones(len(labels))
    rois = torch.zeros(len(labels), 5)
    head.with_cls_loss = False
    box = head.loss(None, deltas, rois, labels, weights, goals, torch.ones_like(goals))['loss_bbox']

    student = inputs['distill_embedding'].clone().requires_grad_()
    valid = inputs['distill_boxes_yxyx'].amax(-1) > 0
    distill = distance_to_teacher(student, inputs['teacher_embedding'], valid)
    (gradient,) = torch.autograd.grad(distill, student)

    rpn_score, rpn_box = _rpn_losses(inputs, config)
    mask = _mask_loss(inputs)
    total = rpn_score + rpn_box + fast_class + box + mask
    return {
        'fast_rcnn_class_loss': fast_class,
        'fast_rcnn_box_loss': box,
        'feat_distill_loss': distill,
        'grad_distill_embedding': gradient,
        'valid_roi_ratio': valid.float().mean(),
        'rpn_score_loss': rpn_score,
        'rpn_box_loss': rpn_box,
        'mask_loss': mask,
        'model_loss': total + config['feat_distill_weight'] * distill,
    }


def _rpn_losses(inputs: dict, config: dict) -> tuple[torch.Tensor, torch.Tensor]:
    levels = sorted(name.rsplit('_', 1)[1] for name in inputs if name.startswith('rpn_box_l'))
    anchors = inputs[f'rpn_score_{levels[0]}'].shape[-1]
    cfg = model_config().rpn_head
    cfg.anchor_generator.strides = cfg.anchor_generator.strides[: len(levels)]
    cfg.update(in_channels=4, feat_channels=4, huber_delta=config['rpn_huber_delta'])
    head = MODELS.build(cfg)
    assert head.num_base_priors == anchors
    batch = len(inputs[f'rpn_score_{levels[0]}'])
    average = batch * config['rpn_batch_size_per_im']
    score = box = torch.zeros(())
    for level in levels:
        target = inputs[f'rpn_score_target_{level}'].flatten().long()
        goals = anchor_deltas(inputs[f'rpn_box_target_{level}'])
        one_score, one_box = head.loss_by_feat_single(
            nchw(inputs[f'rpn_score_{level}']),
            nchw(anchor_deltas(inputs[f'rpn_box_{level}'])),
            None,
            (1 - target.clamp(min=0))[None],  # the host's foreground is class 0, background 1
            (target >= 0).float()[None],
            goals.reshape(1, -1, 4),
            None,
            avg_factor=average,
        )
        score, box = score + one_score, box + one_box
    check = nonzero_huber(torch.zeros(1, 4), torch.ones(1, 4), config['rpn_huber_delta'])
    assert check > 0
    return score, box


def _mask_loss(inputs: dict) -> torch.Tensor:
    cfg = model_config().roi_head.mask_head
    cfg.update(in_channels=4, conv_out_channels=4)
    head = MODELS.build(cfg)
    positive = inputs['mask_classes'].flatten() > 0
    logits = inputs['mask_logits'].flatten(0, 1)[positive][:, None]
    targets = inputs['mask_targets'].flatten(0, 1)[positive]
    return head.loss_mask(logits, targets, torch.zeros(len(logits), dtype=torch.long)).sum()


# -- boxes, RoIs, proposals ---------------------------------------------------------------------


def boxes(case: Case) -> dict:
    inputs = case.inputs
    height, width = inputs['clip_size'].tolist()
    free = PlusOneBBoxCoder(clip_border=False)
    weighted = PlusOneBBoxCoder(weights=(10, 10, 5, 5), clip_border=False)
    clipping = PlusOneBBoxCoder()
    anchors, targets = inputs['anchors'][:, YX], inputs['boxes'][:, YX]
    deltas = inputs['deltas'][:, YX]
    none = torch.zeros_like(deltas)
    out = {
        'encoded': weighted.encode(anchors, targets),
        'decoded_w1': free.decode(anchors, deltas),
        'decoded_w10_10_5_5': weighted.decode(anchors, deltas),
        'clipped': clipping.decode(targets, none, max_shape=(height, width)),
    }
    return {name: value[:, YX] for name, value in out.items()} | jittered_boxes(case)


def roi_align(case: Case) -> dict:
    out = {}
    for part in ('a', 'b'):
        low, high = case.config[f'{part}_levels']
        size = case.config[f'{part}_output_size']
        feats = [nchw(case.inputs[f'{part}_level{level}']) for level in range(low, high + 1)]
        extractor = MODELS.build(
            dict(
                type='mmclip.CentreRoIExtractor',
                roi_layer=dict(output_size=size),
                out_channels=feats[0].shape[1],
                featmap_strides=[2**level for level in range(low, high + 1)],
                # RoIs of this size and smaller belong to the first level.
                finest_scale=56 * 2 ** (low - 2),
            )
        )
        given = case.inputs[f'{part}_boxes_yxyx']
        rois = rois_of(given)
        levels = extractor.map_roi_levels(rois, len(feats)) + low
        out[f'{part}_levels'] = levels.view(given.shape[:2])
        out[f'{part}_out{size}'] = nhwc(extractor(feats, rois)).unflatten(0, given.shape[:2])
    return out


def rpn_head(config: dict, channels: int, levels: Sequence[int]) -> ConfigDict:
    cfg = model_config()
    head = cfg.rpn_head
    head.update(in_channels=channels, num_convs=config.get('rpn_num_convs', 2))
    head.feat_channels = config.get('rpn_num_filters', channels)
    ratios = config.get('aspect_ratios', [1.0, 2.0, 0.5])
    head.anchor_generator.update(
        scales=[config.get('anchor_size', 8)],
        ratios=[1 / ratio for ratio in ratios],  # the host's are height over width
        strides=[2**level for level in levels],
    )
    head.update(train_cfg=cfg.train_cfg.rpn, test_cfg=cfg.test_cfg.rpn, num_classes=1)
    set_norms(head, config)
    return head


def proposals(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    levels = sorted(int(name[-1]) for name in inputs if name.startswith('rpn_score_'))
    head = MODELS.build(rpn_head(config, 4, levels))
    scores = [nchw(inputs[f'rpn_score_{level}']) for level in levels]
    deltas = [nchw(anchor_deltas(inputs[f'rpn_box_{level}'])) for level in levels]
    metas = [dict(img_shape=tuple(shape.tolist())) for shape in inputs['image_shape']]
    out = {}
    for mode in ('test', 'train'):
        cfg = ConfigDict(
            head.test_cfg,
            nms_pre=config[f'{mode}_pre'],
            max_per_img=config[f'{mode}_post'],
            nms=dict(type='nms', iou_threshold=config['nms']),
        )
        found = head.predict_by_feat(scores, deltas, batch_img_metas=metas, cfg=cfg)
        count = config[f'{mode}_post']
        out[f'{mode}_rois_yxyx'] = _padded([one.bboxes[:, YX] for one in found], count, 0)
        out[f'{mode}_scores'] = _padded([one.scores for one in found], count, 0)
    return out


def fpn_rpn(case: Case) -> dict:
    config = case.config
    levels = range(config['min_level'], config['max_level'] + 1)
    inputs = [case.inputs[f'backbone_{level}'] for level in levels if level <= 5]
    neck = model_config().neck
    neck.update(
        in_channels=[x.shape[-1] for x in inputs],
        out_channels=config['fpn_feat_dims'],
        num_outs=len(levels),
    )
    set_norms(neck, config)
    neck = load(MODELS.build(neck), case.state, 'neck.')
    head = MODELS.build(rpn_head(config, config['fpn_feat_dims'], levels))
    load(head, case.state, 'rpn_head.')
    with torch.no_grad():
        maps = neck([nchw(x) for x in inputs])
        scores, deltas = head(maps)
    priors = head.prior_generator.grid_priors([x.shape[-2:] for x in maps], device='cpu')
    out = {}
    for index, level in enumerate(levels):
        out[f'fpn_{level}'] = nhwc(maps[index])
        out[f'rpn_score_{level}'] = nhwc(scores[index])
        out[f'rpn_box_{level}'] = anchor_deltas(nhwc(deltas[index]))
        out[f'anchors_{level}'] = priors[index][:, YX]
    return out


# -- backbone, mask head, pictures --------------------------------------------------------------


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


def mask_head_config(config: dict, channels: int) -> ConfigDict:
    cfg = model_config().roi_head.mask_head
    cfg.update(
        num_convs=config.get('num_convs', config.get('mask_num_convs')),
        in_channels=channels,
        conv_out_channels=config.get('num_filters', channels),
    )
    set_norms(cfg, config)
    return cfg


def mask_head(case: Case) -> dict:
    features = case.inputs['roi_features']
    head = MODELS.build(mask_head_config(case.config, features.shape[-1]))
    load(head, case.state, 'roi_head.mask_head.')
    with torch.no_grad():
        logits = head(nchw(features.flatten(0, 1)))
    return {'mask_logits': logits[:, 0].unflatten(0, features.shape[:2])}


def resize_jitter(case: Case) -> dict:
    config, image = case.config, case.inputs['image']
    mean, std = (torch.tensor(config[name]) for name in ('mean', 'std'))
    normalised = (image.float() / 255 - mean) / std
    out = {'normalised': normalised}
    desired = config['desired_size']
    for name, info in case.inputs.items():
        if name.endswith('_image_info'):
            original, _, scale, offset = info
            scaled = tuple((original * scale).round().int().tolist())
            cut = tf_resize_crop(
                normalised.numpy(), scaled, tuple(offset.int().tolist()), tuple(desired)
            )
            cut = torch.from_numpy(cut)
            missing = [d - s for d, s in zip(desired, cut.shape[:2], strict=True)]
            padded = F.pad(cut, (0, 0, 0, missing[1], 0, missing[0]))
            out[name.replace('_image_info', '_image')] = padded
    return out


# -- training targets ---------------------------------------------------------------------------


def roi_targets(case: Case) -> dict:
    cfg = model_config()
    assigner = TASK_UTILS.build(cfg.train_cfg.rcnn.assigner)
    coder = TASK_UTILS.build(cfg.roi_head.bbox_head.bbox_coder)
    rows = [
        targets_of_one({k: v[index] for k, v in case.inputs.items()}, case.config, assigner, coder)
        for index in range(len(case.inputs['proposals_yxyx']))
    ]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def targets_of_one(inputs: dict, config: dict, assigner: Any, coder: Any) -> dict:
    """The official output of one picture from the host's assigner; padded truth is left out.

    Sub-sampling is left out too. The official code keeps the row of the best box also for
    background (0 where nothing overlaps), and counts its index as 0.
    """
    given = inputs['gt_boxes_yxyx']
    real = (given >= 0).all(1)
    truth, classes = given[real][:, YX], inputs['gt_classes'][real].long()
    rois = torch.cat([inputs['proposals_yxyx'], given if config['mix_gt_boxes'] else given[:0]])
    found = assigner.assign(
        InstanceData(priors=rois[:, YX]), InstanceData(bboxes=truth, labels=classes)
    )
    positive = found.gt_inds > 0
    index = (found.gt_inds - 1).clamp(min=0)
    best = assigner.iou_calculator(rois[:, YX], truth).max(1)
    nearest = truth[best.indices] * (best.values > 0)[:, None]
    labels = torch.where(positive, found.labels, 0)
    deltas = coder.encode(rois[:, YX], truth[index]) * positive[:, None]
    count = config['num_mask_samples_per_image']
    chosen = positive.int().argsort(descending=True, stable=True)[:count]
    masks = targets_from_crops(
        inputs['gt_masks'][index[chosen]],
        truth[index[chosen]],
        rois[chosen][:, YX],
        config['mask_target_size'],
    )
    return {
        'rois': rois,
        'matched_boxes': nearest[:, YX],
        'matched_classes': labels,
        'matched_indices': index * positive,
        'box_targets': deltas[:, YX],
        'mask_rois': rois[chosen],
        'mask_classes': labels[chosen],
        'mask_targets': masks,
    }


# -- detections ---------------------------------------------------------------------------------


def _padded(rows: list[torch.Tensor], count: int, value: float) -> torch.Tensor:
    """Rows of different lengths, padded to ``count``."""
    return torch.stack(
        [torch.cat([row, row.new_full((count - len(row), *row.shape[1:]), value)]) for row in rows]
    )


def detections_of(results: list, count: int) -> dict:
    """The official post-processing's outputs, empty slots filled as it fills them."""
    return {
        'detection_boxes': _padded([r.bboxes[:, YX] for r in results], count, 0),
        'detection_scores': _padded([r.scores for r in results], count, -1),
        'detection_classes': _padded([r.labels.int() + 1 for r in results], count, 0),
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
    rois = _padded([one.bboxes for one in found], config['test_rpn_post_nms_top_k'], 0)[..., YX]
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
        out['detection_masks'] = _padded(list(masks), config['max_total_size'], 0)
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
    with torch.device('meta'):
        model = MODELS.build(model_config(f'{name}_lvis'))
    return compare_keys(convert(case.key_state()), model)


# -- peers --------------------------------------------------------------------------------------


def baron_ensemble(case: Case) -> dict:
    """BARON's geometric mean: here both branches know the background, a base class."""
    text, image = (case.inputs[f'{name}_logits'] for name in ('text', 'image'))
    factor = case.config['ensemble_factor']
    share = torch.where(case.inputs['is_base'] > 0, 1 - factor, factor)

    def chunks(logits: torch.Tensor) -> Any:
        return lambda: iter([(0, logits)])

    ((_, scores),) = ensemble_scores(chunks(text), chunks(image), None, share)()
    return {'scores': scores}


ADAPTERS = {
    'rcnn_head_*': rcnn_head,
    'cls_loss': cls_loss,
    'losses': losses,
    'postprocess_*': postprocess,
    'boxes': boxes,
    'roi_align': roi_align,
    'proposals': proposals,
    'fpn_rpn': fpn_rpn,
    'mask_head': mask_head,
    'resnet': resnet,
    'roi_targets': roi_targets,
    'resize_jitter': resize_jitter,
    'detector_vild*': detector,
    'tf_ckpt_detector_vild*': checkpoint_detector,
    'full_keys_*': full_keys,
    'baron_ensemble': baron_ensemble,
}
