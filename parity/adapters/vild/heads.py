"""Adapters of ViLD's box head and mask head."""

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import nn

from mmclip.models.vild.convert import convert
from mmclip.registry import MODELS
from mmclip.text.class_names import class_names
from mmclip.vocabulary.vocabulary import Vocabulary
from parity.adapters.vild.shared import (
    YX,
    background_first,
    is_double,
    load,
    model_config,
    names,
    nchw,
    novel_of,
    set_norms,
)
from parity.case import Case


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


def install(head: nn.Module, kernel: torch.Tensor) -> None:
    """Another vocabulary: the columns of an official text kernel (D, K)."""
    rows = F.normalize(kernel.t(), dim=1)
    head.classifier._install(Vocabulary(class_names(names(len(rows))), rows), of_words=True)


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


ADAPTERS = {
    'rcnn_head_*': rcnn_head,
    'mask_head': mask_head,
}
