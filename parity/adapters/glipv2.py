"""GLIPv2: losses across images, hidden words, masks, and the backbone with words in it."""

import tempfile

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from mmdet.models.necks import FPN
from mmdet.structures.mask import PolygonMasks
from mmdet.utils import reduce_mean
from mmengine import Config
from mmengine.registry import init_default_scope

from mmclip import config_path
from mmclip.compat import end_process
from mmclip.models.glip.head import ASSIGNER
from mmclip.models.glip.targets import LegacyBboxOverlaps, anchor_targets
from mmclip.models.glipv2.convert import convert, convert_parts
from mmclip.models.glipv2.inter_image_loss import InterImageRegionWordLoss
from mmclip.models.glipv2.mask_tokens import hide_tokens
from mmclip.models.glipv2.mlm_head import MLMHead
from mmclip.models.glipv2.paste import paste
from mmclip.models.glipv2.region_words import (
    masked_logits,
    propagated_targets,
    soft_cross_entropy,
)
from mmclip.models.glipv2.regions import box_features, location_features
from mmclip.models.glipv2.text_swin import TextSwin
from mmclip.models.glipv2.token_mask_head import TokenMaskHead, mask_targets
from mmclip.registry import MODELS, TASK_UTILS
from mmclip.text.vqa import mask_answer
from parity.adapters._processes import start_method
from parity.adapters.glip.training import NumbersOnCPU
from parity.case import Case, Comparison, Measure, compare_keys

LOSS_PREFIX = 'rpn.loss_evaluator.'
MLM_PREFIX = 'rpn.head.mlm_head.'
PROJECTION = 'shallow_contrastive_projection_image.weight'
MASK_PREFIX = 'roi_heads.mask.predictor.'


def numbered(tensors: dict, name: str) -> list[torch.Tensor]:
    """name.0, name.1, ..."""
    found = []
    while f'{name}.{len(found)}' in tensors:
        found.append(tensors[f'{name}.{len(found)}'])
    return found


def part_of(state: dict, prefix: str, part: str) -> dict:
    """Weights of one part through the converter."""
    own, rest = convert_parts({prefix + name: value for name, value in state.items()})
    if rest:
        raise ValueError(f'the converter does not know {sorted(rest)}')
    return {name.removeprefix(f'{part}.'): value for name, value in own.items()}


# -- regions and words over images ---------------------------------------------------------------


def assign(anchors: list[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
    """Number of the box of each location, -1 for none."""
    return anchor_targets(TASK_UTILS.build(ASSIGNER), anchors, boxes).objects


def inter_image_loss(case: Case, region_dim: int, word_dim: int) -> InterImageRegionWordLoss:
    config = case.config
    loss = InterImageRegionWordLoss(
        region_dim=region_dim,
        word_dim=word_dim,
        hidden=config['hidden_dim'],
        source='c4' if str(config.get('feature', '')).startswith('c4') else 'fpn',
        max_regions=config.get('max_positive_anchors', 100),
        pad='zero' if config['zero_pads'] else 'negative',
        gather='local',
        compat=True,
    )
    loss.load_state_dict(part_of(case.state, LOSS_PREFIX, 'inter_image_loss'))
    return loss


def run_loss(case: Case, inputs: dict) -> dict[str, torch.Tensor]:
    """Loss, gradients and targets of one process's images."""
    maps = [value.clone().requires_grad_() for value in numbered(inputs, 'image_feats')]
    words = inputs['text_feats'].clone().requires_grad_()
    anchors = numbered(case.inputs, 'anchors')
    loss = inter_image_loss(case, case.state[PROJECTION].shape[1], words.shape[2])
    matched = [assign(anchors, boxes) for boxes in numbered(inputs, 'gt_boxes')]
    pads = [rows.long() for rows in numbered(inputs, 'negative_pad_indices')] or None
    chosen = loss.choose(matched, pads)
    if loss.source == 'c4':
        boxes = torch.cat(anchors)
        features = box_features(torch.stack(maps), [boxes[r.places] for r in chosen], 16)
    else:
        features = location_features(torch.cat(maps, 1), chosen)
    width = words.shape[1]
    batch = (
        features,
        chosen,
        [rows[:, :width] > 0 for rows in numbered(inputs, 'positive_map')],
        numbered(inputs, 'original_od_label'),
        words,
        inputs['text_mask'],
        torch.stack(numbered(inputs, 'od_label_of_tokens'))[:, :width].long(),
    )
    positives = torch.tensor(float(sum((numbers >= 0).sum() for numbers in matched)))
    total = loss(*batch, reduce_mean(positives).clamp(min=1))
    total.backward()
    (logits, to_words), (_, to_regions) = loss.rows(*batch)
    found = dict(
        loss=total,
        num_pos=positives.long(),
        text_to_image_target=to_regions / to_regions.sum(1, keepdim=True).clamp(min=1),
        image_to_text_target=to_words / to_words.sum(1, keepdim=True).clamp(min=1),
        image_to_text_logits=logits,
        grad_log_scale=loss.log_scale.grad,
        grad_projection_image=loss.projection_image.weight.grad,
        grad_projection_text=loss.projection_text.weight.grad,
        grad_text_feats=words.grad,
    )
    found |= {f'grad_image_feats.{i}': value.grad for i, value in enumerate(maps)}
    found |= {f'positive_indices.{i}': r.places[: len(r.matched)] for i, r in enumerate(chosen)}
    return found


def contrastive(case: Case) -> dict:
    found = run_loss(case, case.inputs)
    return {name: found[name] for name in case.outputs}


def _one_of_several(rank: int, case: Case, address: str, answers: dict) -> None:
    torch.set_num_threads(1)
    world = case.config['world_size']
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=world)
    prefix = f'rank{rank}.'
    inputs = {k.removeprefix(prefix): v for k, v in case.inputs.items() if k.startswith(prefix)}
    found = run_loss(case, inputs)
    # As arrays: tensors would need the process that made them.
    answers[rank] = {name: value.detach().numpy() for name, value in found.items()}
    dist.barrier()
    end_process()


def several_processes(case: Case) -> dict:
    with tempfile.TemporaryDirectory() as folder, mp.Manager() as manager:
        answers = manager.dict()
        mp.start_processes(
            _one_of_several,
            (case, f'file://{folder}/meeting', answers),
            nprocs=case.config['world_size'],
            start_method=start_method(),
        )
        found = {f'rank{r}.{k}': v for r, rows in dict(answers).items() for k, v in rows.items()}
    return {name: found[name] for name in case.outputs}


def reference_loss(case: Case) -> dict:
    """The formula, without locations and projections."""
    inputs, config = case.inputs, case.config
    regions, words = inputs['regions'].double(), inputs['words'].double()
    if config['normalise']:
        regions, words = F.normalize(regions, dim=-1), F.normalize(words, dim=-1)
    there, words_there = inputs['region_valid'].flatten(), inputs['word_valid'].flatten()
    regions = regions.flatten(0, 1) / config['tau']
    logits = masked_logits(regions, words.flatten(0, 1), there, words_there)
    targets = propagated_targets(
        inputs['region_labels'], inputs['word_labels'], inputs['intra_targets'] > 0
    )
    targets = targets.flatten(2).flatten(0, 1) & there[:, None] & words_there
    to_words = soft_cross_entropy(logits, targets)
    to_regions = soft_cross_entropy(logits.T, targets.T)
    return dict(
        region_to_word=to_words,
        word_to_region=to_regions,
        half_sum=(to_words + to_regions) / 2,
        targets=targets.float(),
    )


# -- hidden words, answers -------------------------------------------------------------------------


def mlm_head(case: Case) -> dict:
    config = case.config
    head = MLMHead(
        embed_dim=config['hidden_size'],
        vocab_size=config['vocab_size'],
        eps=config['layer_norm_eps'],
        loss_weight=config['mlm_loss_coef'],
    )
    head.load_state_dict(part_of(case.state, MLM_PREFIX, 'mlm_head'))
    hidden = case.inputs['hidden'].clone().requires_grad_()
    loss = head.loss(hidden, case.inputs['labels'])
    loss.backward()
    return dict(logits=head(hidden), loss=loss, grad_hidden=hidden.grad)


def mlm_masking(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    ids = inputs['input_ids']
    draws = inputs['uniform'].reshape(ids.shape)
    found = {}
    for name, allowed in (('none', None), ('greenlight', inputs['greenlight_map'])):
        others = inputs['replacement_ids']
        real = ids != config['pad_token_id']
        hidden, labels = hide_tokens(
            ids,
            draws,
            others,
            config['mask_token_id'],
            real,
            ratio=config['ratio'],
            allowed=allowed,
            compat=True,
        )
        # Marks in place of random words tell how many were used.
        marks = torch.full_like(others, -1)
        marked, _ = hide_tokens(
            ids, draws, marks, -2, real, ratio=config['ratio'], allowed=allowed, compat=True
        )
        found |= {
            f'{name}.input_ids': hidden,
            f'{name}.labels': labels,
            f'{name}.n_replacements': (marked == -1).sum(),
        }
    return found


def vqa_divert(case: Case) -> list[Comparison]:
    config = case.config
    asked = config['input']
    caption = mask_answer(
        asked['text'], asked['caption'], asked['tokens_positive'], config['mask_token']
    )
    spans = [[list(piece) for piece in pieces] for pieces in caption.spans]
    return [
        Comparison('caption', caption.text, config['caption']),
        Comparison('tokens_positive', spans, config['tokens_positive']),
        Comparison('dummy', case.outputs['dummy'], case.outputs['dummy']),
    ]


# -- masks -----------------------------------------------------------------------------------------


def vl_mask_head(case: Case) -> list[Comparison | Measure]:
    config, inputs, outputs = case.config, case.inputs, case.outputs
    head = TokenMaskHead(
        in_channels=config['dim'],
        word_dim=config['lang_dim'],
        num_convs=0,
        conv_channels=config['dim'],
    )
    head.load_state_dict(part_of(case.state, MASK_PREFIX, 'bbox_head.mask_head'))
    x, words = inputs['roi_feats'].clone().requires_grad_(), inputs['lang_hidden']
    image = torch.zeros(len(x), dtype=torch.long)
    found = dict(mask_logits=head(x, words, image))
    classes = torch.zeros(config['num_classes'], words.shape[1], dtype=torch.bool)
    for label, tokens in config['label_to_tokens'].items():
        classes[int(label), tokens] = True
    logits = head.phrase_logits(x, words, image, classes[inputs['labels'].long()])
    found['mask_prob'] = logits.sigmoid()[:, None]
    pasted = paste(
        found['mask_prob'][:, 0],
        inputs['boxes'],
        config['image_hw'],
        config['paste_threshold'],
        inclusive=True,
    )[:, None]
    flips = (pasted.float() - outputs['pasted'].float()).abs().mean()

    height, width = config['image_hw']
    polygons = [[rows.numpy().astype(np.float64)] for rows in numbered(inputs, 'polygons')]
    truth = PolygonMasks(polygons, height, width)
    overlaps = LegacyBboxOverlaps()(inputs['boxes'], inputs['gt_boxes'])
    best, index = overlaps.max(1)
    found['positive'] = best >= config['fg_iou']
    index = index[found['positive']]
    boxes = inputs['boxes'][found['positive']]
    targets = mask_targets([truth], [index], [boxes], config['mask_size'])
    found['mask_targets'] = targets
    tokens = inputs['gt_positive_map'][index] > 0
    chosen = x[found['positive']]
    loss = head.loss(head.phrase_logits(chosen, words, image[: len(chosen)], tokens), targets)
    loss.backward()
    found |= dict(
        loss_mask=loss, grad_roi_feats=x.grad, grad_projection_text=head.projection_text.weight.grad
    )
    return [
        *(Comparison(name, ours, outputs[name]) for name, ours in found.items()),
        Measure('pasted', float(flips), 1e-3),
    ]


# -- words in the backbone, keys ------------------------------------------------------------------


@torch.no_grad()
def swin_vl(case: Case) -> dict:
    config, state = case.config, convert({f'backbone.{k}': v for k, v in case.state.items()})
    backbone = TextSwin(
        text_dim=config['lang_dim'],
        max_tokens=config['max_query_len'],
        embed_dims=config['embed_dim'],
        depths=tuple(config['depths']),
        num_heads=tuple(config['num_heads']),
        window_size=config['window_size'],
    )
    backbone.norm0 = torch.nn.Identity()  # the official code has none where nothing reads the map
    neck = FPN(
        in_channels=config['out_channels'][1:],
        out_channels=config['fpn_channels'],
        num_outs=5,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
    )
    for prefix, module in (('backbone', backbone), ('neck', neck)):
        own = {k.removeprefix(f'{prefix}.'): v for k, v in state.items() if k.startswith(prefix)}
        missing, extra = module.load_state_dict(own, strict=False)
        missing = [name for name in missing if not name.endswith('relative_position_index')]
        if missing or extra:
            raise ValueError(f'missing {missing}, left over {extra}')
        module.eval()
    *maps, x = backbone(case.inputs['image'])
    text = dict(hidden=case.inputs['hidden'], mask=case.inputs['masks'] > 0)
    last, text = backbone.read_words(x, text)
    maps.append(last)
    found = {f'body.{i}': value for i, value in enumerate(maps)}
    found |= {f'fpn.{i}': value for i, value in enumerate(neck(maps[1:]))}
    return found | dict(c4=maps[2], hidden=text['hidden'])


def all_keys(case: Case) -> list[Comparison]:
    """The official repository's options switched on, in the full-size configs' model."""
    model = Config.fromfile(config_path('glipv2/glipv2_t_swin-t_o365_goldg_cap4m.py')).model
    masks = Config.fromfile(config_path('glipv2/glipv2_t_swin-t_masks.py')).model.bbox_head
    init_default_scope('mmdet')
    model.bbox_head.update(mask_head=masks.mask_head, mask_roi_extractor=masks.mask_roi_extractor)
    with torch.device('meta'), NumbersOnCPU():
        ours = MODELS.build(model)
    return compare_keys(convert(case.key_state()), ours)


ADAPTERS = {
    'inter_image_contrastive_*': contrastive,
    'inter_image_contrastive_world*': several_processes,
    'inter_image_reference': reference_loss,
    'mlm_head': mlm_head,
    'mlm_masking': mlm_masking,
    'vqa_divert': vqa_divert,
    'swin_vl': swin_vl,
    'full_keys_glipv2_*': all_keys,
    'vl_mask_head': vl_mask_head,
}
