"""GLIP: fusion, tower, head, losses, whole detectors, checkpoints; texts and data in _glip_data."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.structures import InstanceData
from torch import nn
from torch.overrides import TorchFunctionMode

from mmclip import config_path
from mmclip.engine.name_rules import NameRuleConstructor
from mmclip.models.common.box_coder import PlusOneBBoxCoder
from mmclip.models.glip.bi_attention import BiAttention
from mmclip.models.glip.convert import convert
from mmclip.models.glip.deform_conv import deform_conv
from mmclip.models.glip.dyconv import DyConv
from mmclip.models.glip.fpn import drop_block
from mmclip.models.glip.fusion import VisionLanguageFusion
from mmclip.models.glip.head import CODER, GLIPHead, inclusive
from mmclip.models.glip.losses import TokenFocalLoss
from mmclip.models.glip.neck import DeepFusionNeck
from mmclip.models.glip.post_process import phrase_scores
from mmclip.models.glip.targets import token_targets
from mmclip.models.glip.text_layer import BertFusionLayer, CLIPFusionLayer
from mmclip.registry import MODELS, TASK_UTILS
from oracles._glip_data import ADAPTERS as DATA
from oracles.case import Case, Comparison

TOWER = 'rpn.head.dyhead_tower.'
HEAD = 'rpn.head.'


def numbered(tensors: dict, name: str) -> tuple[torch.Tensor, ...]:
    """name.0, name.1, ..."""
    found = []
    while f'{name}.{len(found)}' in tensors:
        found.append(tensors[f'{name}.{len(found)}'])
    return tuple(found)


def renumbered(values: Sequence, name: str) -> dict:
    return {f'{name}.{number}': value for number, value in enumerate(values)}


def converted(state: dict, before: str, after: str) -> dict:
    """Weights of one part through the converter, without our prefix."""
    ours = convert({before + name: value for name, value in state.items()})
    return {name.removeprefix(after): value for name, value in ours.items()}


def load(module: nn.Module, state: dict, allowed: str = 'relative_position_index') -> nn.Module:
    """Everything is there but what the fixture leaves out; nothing is left over."""
    result = module.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if not name.endswith(allowed)]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    return module.eval()


# -- fusion -------------------------------------------------------------------------------------


@torch.no_grad()
def bi_attention(case: Case) -> dict:
    config, inputs, found = case.config, case.inputs, {}
    state = converted(case.state, TOWER + '0.b_attn.attn.', 'fusion.blocks.0.fusion.attention.')
    settings = dict(
        vision_dim=config['v_dim'],
        text_dim=config['l_dim'],
        embed_dim=config['embed_dim'],
        num_heads=config['num_heads'],
        chunk=7,  # several portions
    )
    factor = inputs['big_factor']
    for suffix, options, scale, mask in (
        ('', {}, 1, True),
        ('_nomask', {}, 1, False),
        ('_stable', dict(stable_softmax=True), 1, True),
        ('_big', {}, factor, True),
        ('_big_stable', dict(stable_softmax=True), factor, True),
        ('_big_noclamp', dict(clamp=False), factor, True),
    ):
        if f'v{suffix}' not in case.outputs:
            continue
        attention = load(BiAttention(**settings, **options), state)
        mask = inputs['mask'].bool() if mask else None
        found[f'v{suffix}'], found[f'l{suffix}'] = attention(inputs['v'] * scale, inputs['l'], mask)
    return found


@torch.no_grad()
def vlfuse(case: Case) -> dict:
    config = case.config
    state = converted(case.state, TOWER + '0.', 'fusion.blocks.0.fusion.')
    features = numbered(case.inputs, 'visual')
    fusion = VisionLanguageFusion(
        vision_dim=config['v_dim'],
        text_dim=config['l_dim'],
        kind=config['type'],
        embed_dim=config['embed_dim'],
        num_heads=config['num_heads'],
        separate=config['separate_bidirectional'],
        num_levels=len(features),
        renormalize=True,
        clamp=config['clamps'],
    )
    load(fusion, state)
    mask = case.inputs['masks'].bool()
    maps, hidden = fusion(features, case.inputs['hidden'], mask)
    return renumbered(maps, 'visual') | {'hidden': hidden}


@torch.no_grad()
def bert_fusion_layer(case: Case) -> dict:
    config, hidden = case.config, case.inputs['hidden']
    layer = BertFusionLayer(
        dim=config['hidden_size'],
        num_heads=config['num_attention_heads'],
        hidden_dim=config['intermediate_size'],
        eps=config['layer_norm_eps'],
    )
    load(layer, converted(case.state, TOWER + '0.', 'fusion.blocks.0.text_layer.'))
    return {
        'hidden': layer(hidden, case.inputs['masks'].bool()),
        'hidden_scaled_4e5': layer(hidden * 4e5),
    }


@torch.no_grad()
def clip_fusion_layer(case: Case) -> dict:
    layer = CLIPFusionLayer(dim=case.config['width'], num_heads=case.config['heads'])
    load(layer, converted(case.state, TOWER + '0.', 'fusion.blocks.0.text_layer.'))
    return {'hidden': layer(case.inputs['hidden'], case.inputs['masks'].bool())}


# -- DyHead -------------------------------------------------------------------------------------


def deformable(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    fixed = dict(padding=1, dilation=1, groups=1, deformable_groups=1)
    assert {name: config[name] for name in fixed} == fixed
    parts = (inputs[name] for name in ('x', 'offset', 'mask'))
    weights = case.state['weight'], case.state['bias']
    return {'out': deform_conv(*parts, *weights, config['stride'])}


def dyconv_block(config: dict) -> DyConv:
    return DyConv(
        channels=config['channels'],
        norm_groups=config['gn_groups'],
        deform=config['use_deform'],
        fuse=config['use_dyfuse'],
        dyrelu=config['use_dyrelu'],
    )


@torch.no_grad()
def dyconv(case: Case) -> dict:
    block = dyconv_block(case.config)
    load(block, converted(case.state, TOWER + '0.', 'fusion.blocks.0.dyconv.'))
    return renumbered(block(numbered(case.inputs, 'visual')), 'visual')


@torch.no_grad()
def dyrelu(case: Case) -> dict:
    act = DyConv(channels=case.config['inp']).act
    load(act, converted(case.state, TOWER + '0.relu.', 'fusion.blocks.0.dyconv.act.'))
    return {'out': act(case.inputs['x'])}


# -- head ---------------------------------------------------------------------------------------


def tower_and_head(config: dict, state: dict, blocks: int) -> tuple[DeepFusionNeck, GLIPHead]:
    """From the settings that the fixtures of towers share."""
    dims = dict(channels=config['channels'], text_dim=config['lang_dim'])
    fused_text = config.get('use_fused_features_dot_product', True)
    fusion = text = None
    if config.get('early_fuse_on', True):
        fusion = dict(embed_dim=config['embed_dim'], num_heads=config['num_heads'])
        text = dict(
            kind='bert', num_heads=config['bert_heads'], hidden_dim=config['bert_intermediate']
        )
    neck = DeepFusionNeck(
        **dims,
        num_blocks=blocks,
        fusion=fusion,
        text_layer=text,
        last_text_layer=fused_text,
        dyconv=dict(norm_groups=config['gn_groups']),
    )
    alignment = dict(type='mmclip.TokenAlignment')
    if config.get('head') == 'contrastive_align':
        weight = state['bbox_head.alignment.image_projection.weight']
        alignment = dict(type='mmclip.ContrastiveAlignment', hidden_dim=len(weight))
        dims['text_dim'] = config['channels']  # the fixture's words are resized already
    head = GLIPHead(**dims, fused_text=fused_text, alignment=alignment)
    both = nn.ModuleDict(dict(fusion=neck, bbox_head=head))
    load(both, {name: value for name, value in state.items() if name != 'prompt_offset'})
    return neck, head


def raw_outputs(boxes: object, logits: torch.Tensor, shapes: Sequence, name: str) -> dict:
    """Outputs of a head, level by level as the official code gives them."""
    found, start = {}, 0
    for number, ((height, width), size) in enumerate(zip(shapes, boxes.sizes, strict=True)):
        level = slice(start, start + size)
        found |= {
            f'bbox_reg.{number}': boxes.deltas[:, level]
            .transpose(1, 2)
            .unflatten(2, (height, width)),
            f'centerness.{number}': boxes.centerness[:, None, level].unflatten(2, (height, width)),
            f'{name}.{number}': logits[:, level],
        }
        start += size
    return found


def shapes_of(features: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    return [tuple(level.shape[2:]) for level in features]


@torch.no_grad()
def vldyhead(case: Case) -> dict:
    state = convert({HEAD + name: value for name, value in case.state.items()})
    neck, head = tower_and_head(case.config, state, case.config['num_convs'])
    text = dict(
        hidden=case.inputs['hidden'],
        embedded=case.inputs['embedded'],
        mask=case.inputs['masks'].bool(),
    )
    features = numbered(case.inputs, 'visual')
    maps, text = neck(features, text)
    boxes, logits = head(maps, text)
    name = next(key.rpartition('.')[0] for key in case.outputs if 'logits' in key)
    found = raw_outputs(boxes, logits, shapes_of(features), name)
    if 'proj_tokens' in case.outputs:
        found['proj_tokens'] = head.project(text)[0]
    return found


@torch.no_grad()
def prompt_tuning_offset(case: Case) -> dict:
    state = {'rpn.' + name.replace('[:16]', ''): value for name, value in case.state.items()}
    state = convert(state)
    neck, head = tower_and_head(case.config, state, case.config['num_convs'])
    rows = state['prompt_offset'][: case.inputs['hidden'].shape[1]]
    text = {name: case.inputs[name] + rows for name in ('hidden', 'embedded')}
    features = numbered(case.inputs, 'visual')
    boxes, logits = head(*neck(features, text | dict(mask=case.inputs['masks'].bool())))
    found = raw_outputs(boxes, logits, shapes_of(features), 'dot_product_logits')
    return {name: value for name, value in found.items() if name in case.outputs}


@torch.no_grad()
def alignment_logits(case: Case) -> dict:
    alignment = MODELS.build(
        dict(
            type='mmclip.TokenAlignment',
            channels=case.config['channels'],
            text_dim=case.config['lang_dim'],
        )
    )
    load(alignment, converted(case.state, HEAD, 'bbox_head.alignment.'))
    features = case.inputs['visual'].flatten(2).transpose(1, 2)
    words = alignment.project(case.inputs['embedding'])
    return {
        'logits': alignment(features, words),
        'logits_visual_x1e6': alignment(features * 1e6, words),
    }


def anchor_config(strides: Sequence[int], sizes: Sequence[int]) -> dict:
    return dict(
        type='mmdet.AnchorGenerator',
        strides=list(strides),
        base_sizes=list(sizes),
        ratios=[1.0],
        scales=[1.0],
        centers=[(stride / 2, stride / 2) for stride in strides],
    )


def small_head(strides: Sequence[int], sizes: Sequence[int], **settings: object) -> GLIPHead:
    return GLIPHead(
        channels=8, text_dim=8, anchor_generator=anchor_config(strides, sizes), **settings
    )


def anchors(case: Case) -> dict:
    config = case.config
    head = small_head(config['strides'], config['sizes'])
    sizes = [tuple(size) for size in case.inputs['feature_sizes'].tolist()]
    levels = [inclusive(level) for level in head.anchor_generator.grid_priors(sizes, device='cpu')]
    found = renumbered(levels, 'anchors')
    for image, (height, width) in enumerate(case.inputs['image_sizes'].tolist()):
        edge, limit = config['straddle_thresh'], torch.tensor([width, height])
        for number, level in enumerate(levels):
            inside = (level[:, :2] >= -edge).all(1) & (level[:, 2:] < limit + edge).all(1)
            found[f'visibility.{image}.{number}'] = inside
    return found


def box_coder(case: Case) -> dict:
    coder = PlusOneBBoxCoder(weights=case.config['weights'])
    inputs = case.inputs
    return {
        'encoded': coder.encode(inputs['anchors'], inputs['gt']),
        'decoded': coder.decode(inputs['anchors'], inputs['deltas']),
    }


def exclusive(boxes: torch.Tensor) -> torch.Tensor:
    """Official boxes in the host's convention."""
    return boxes + boxes.new_tensor([0.0, 0.0, 1.0, 1.0])


def truth(inputs: dict) -> list[InstanceData]:
    """Objects of the pictures, each of which has a phrase of its own in the fixture's map."""
    boxes, found, start = numbered(inputs, 'gt_boxes'), [], 0
    for one in boxes:
        labels = torch.arange(start, start + len(one))
        found.append(InstanceData(bboxes=exclusive(one), labels=labels))
        start += len(one)
    return found


def atss_targets(case: Case) -> dict:
    inputs, found, counts = case.inputs, {}, []
    head = small_head([8], [8])
    levels = list(numbered(inputs, 'anchors'))
    everything = torch.cat(levels)
    coder = TASK_UTILS.build(CODER)
    instances = truth(inputs)
    for number, (targets, one) in enumerate(
        zip(head.get_targets(levels, instances), instances, strict=True)
    ):
        labels = inputs[f'gt_labels.{number}']
        found[f'labels.{number}'] = torch.where(
            targets.positive, labels[targets.objects.clamp(min=0)], 0
        )
        # The official code encodes the boxes of the others too, by the first object.
        found[f'reg_targets.{number}'] = coder.encode(everything, targets.boxes)
        found[f'token_labels.{number}'] = token_targets(
            targets.objects, one.labels, inputs['positive_map'], no_object=True
        ) * _shares(targets, one, inputs['positive_map'])
        counts.append(int(targets.positive.sum()))
    return found | {'num_pos': torch.tensor(counts)}


def _shares(targets: object, one: InstanceData, maps: torch.Tensor) -> torch.Tensor:
    """The fixture's targets are still normalised; the loss makes them 0 or 1."""
    rows = maps[one.labels][targets.objects.clamp(min=0)]
    return torch.where(targets.positive[:, None] & (rows > 0), rows, 1.0)


def atss_losses(case: Case) -> dict:
    inputs, config = case.inputs, case.config
    reg, centerness, logits = (
        [level.clone().requires_grad_() for level in numbered(inputs, name)]
        for name in ('bbox_reg', 'centerness', 'dot_product_logits')
    )
    head = small_head(
        [8],
        [8],
        loss_token=dict(
            type='mmclip.TokenFocalLoss', alpha=config['token_alpha'], gamma=config['token_gamma']
        ),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=config['reg_loss_weight']),
        no_object=True,
    )
    boxes = boxes_of(inputs, reg, centerness)
    instances = truth(inputs)
    losses = head.loss_by_targets(
        boxes,
        torch.cat(logits, 1),
        inputs['text_mask'].bool(),
        head.get_targets(boxes.anchors, instances),
        instances,
        [inputs['positive_map']] * len(instances),
    )
    sum(losses.values()).backward()
    names = dict(loss_reg='loss_bbox', loss_centerness='loss_centerness')
    names['loss_dot_product_token'] = 'loss_token'
    found = {official: losses[ours] for official, ours in names.items()}
    for name, levels in dict(
        bbox_reg=reg, centerness=centerness, dot_product_logits=logits
    ).items():
        found |= renumbered([level.grad for level in levels], f'grad_{name}')
    return found


def boxes_of(inputs: dict, reg: Sequence, centerness: Sequence) -> object:
    from mmclip.models.glip.fusion import to_positions
    from mmclip.models.glip.head import Boxes

    return Boxes(
        torch.zeros(0),
        to_positions(reg),
        to_positions(centerness)[..., 0],
        list(numbered(inputs, 'anchors')),
    )


def token_focal_loss(case: Case) -> dict:
    inputs, found = case.inputs, {}
    for name in case.outputs:
        if name.endswith('_grad'):
            continue
        version, alpha, gamma, *rest = name.split('_')
        loss = TokenFocalLoss(
            alpha=float(alpha[1:]),
            gamma=float(gamma[1:]),
            version=version,
        )
        mask = inputs['text_mask'].bool()
        if rest == ['nomask']:
            mask = None
        logits = inputs['logits'].clone().requires_grad_()
        found[name] = loss(logits, inputs['targets'], mask)
        if f'{name}_grad' in case.outputs:
            found[f'{name}_grad'] = torch.autograd.grad(found[name], logits)[0]
    return found


def rows_of(label_to_tokens: dict, width: int, count: int | None = None) -> torch.Tensor:
    """(K, T) of the fixture's 1-based labels; by default only those that have tokens."""
    labels = range(1, count + 1) if count else sorted(map(int, label_to_tokens))
    rows = torch.zeros(len(labels), width)
    for place, label in enumerate(labels):
        rows[place, label_to_tokens.get(str(label), [])] = 1
    return rows


def score_aggregation(case: Case) -> dict:
    config, probs, found = case.config, case.inputs['token_probs'], {}
    for name in case.outputs:
        version, how = name.split('_')
        count = None if how == 'ONEHOT' else config[f'num_classes_{version}']
        rows = rows_of(config['label_to_tokens'], probs.shape[2], count)
        found[name] = torch.stack([phrase_scores(one, rows, how) for one in probs])
    return found


def by_score(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> dict:
    order = scores.argsort(descending=True, stable=True)
    return dict(boxes=boxes[order], scores=scores[order], labels=labels[order] + 1)


def postprocess(case: Case) -> dict:
    config, inputs, found = case.config, case.inputs, {}
    head = small_head(
        [8],
        [8],
        test_cfg=dict(
            score_thr=config['pre_nms_thresh'],
            nms_pre=config['pre_nms_top_n'],
            nms_iou=config['nms_thresh'],
            max_per_img=config['detections_per_img'],
            score_agg=config['score_agg'],
        ),
    )
    boxes = boxes_of(inputs, numbered(inputs, 'bbox_reg'), numbered(inputs, 'centerness'))
    logits = torch.cat(numbered(inputs, 'dot_product_logits'), 1)
    rows = rows_of(config['label_to_tokens'], logits.shape[2], config['num_classes'])
    metas = [dict(img_shape=tuple(shape)) for shape in inputs['image_sizes_hw'].tolist()]
    results = head.predict(boxes, logits, [rows] * len(metas), metas)
    for number, (result, meta) in enumerate(zip(results, metas, strict=True)):
        decoded = head.decode(boxes, meta['img_shape'], number)
        early = head.pre_nms(decoded, boxes.centerness[number], boxes.sizes, logits[number], rows)
        last = by_score(result.bboxes, result.scores, result.labels)
        for key in ('boxes', 'scores', 'labels'):
            found[f'detections.{number}.{key}'] = last[key]
            found[f'pre_nms.{number}.{key}'] = by_score(*early)[key]
    return found


# -- whole detectors ----------------------------------------------------------------------------


def swin_config(config: dict) -> dict:
    return dict(
        type='mmdet.SwinTransformer',
        embed_dims=config['embed_dim'],
        depths=config['depths'],
        num_heads=config['num_heads'],
        window_size=config['window_size'],
        drop_path_rate=0.0,
    )


def fpn_config(swin: dict, channels: int) -> dict:
    return dict(
        type='mmclip.DropBlockFPN',
        in_channels=swin['out_channels'][1:],
        out_channels=channels,
        num_outs=5,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
        drop_prob=0.0,
    )


@torch.no_grad()
def swin_fpn(case: Case) -> dict:
    config = case.config
    backbone = MODELS.build(swin_config(config) | dict(out_indices=(1, 2, 3)))
    neck = MODELS.build(fpn_config(config, config['fpn_channels']))
    state = convert({f'backbone.{name}': value for name, value in case.state.items()})
    both = nn.ModuleDict(dict(backbone=backbone, neck=neck))
    load(both, state)
    stages = backbone(case.inputs['image'])
    # Stride 4 has no norm of its own and is not used; the official list holds it as it is.
    first = first_stage(backbone, case.inputs['image'])
    body = renumbered([first, *stages], 'body')
    return body | renumbered(neck(stages), 'fpn')


def first_stage(backbone: nn.Module, image: torch.Tensor) -> torch.Tensor:
    x, shape = backbone.patch_embed(image)
    _, _, out, out_shape = backbone.stages[0](backbone.drop_after_pos(x), shape)
    return out.transpose(1, 2).unflatten(2, out_shape)


def fpn_dropblock(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    out = drop_block(inputs['x'], inputs['uniform'], config['drop_prob'], config['block_size'])
    return {'out': out}


def detector_config(config: dict) -> dict:
    bert, channels = config['bert'], config['fpn_channels']
    fused = config['variant'] != 'glip_a'
    return dict(
        type='mmclip.GLIP',
        backbone=swin_config(config['swin']) | dict(out_indices=(1, 2, 3)),
        neck=fpn_config(config['swin'], channels),
        text_encoder=dict(
            type='mmclip.BertTokenEncoder',
            tokenizer=dict(type='mmclip.BertTokens', source=config['tokenizer']['vocab']),
            config=dict(
                hidden_size=bert['hidden_size'],
                num_attention_heads=bert['heads'],
                intermediate_size=bert['intermediate'],
                num_hidden_layers=bert['layers'],
                max_position_embeddings=bert['max_position'],
                vocab_size=bert['vocab'],
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            max_tokens=config['max_query_len'],
        ),
        fusion=dict(
            type='mmclip.DeepFusionNeck',
            channels=channels,
            num_blocks=config['num_convs'],
            fusion=dict(
                embed_dim=config['fusion']['embed_dim'],
                num_heads=config['fusion']['heads'],
                dropout=0.0,
            )
            if fused
            else None,
            text_layer=dict(
                kind='bert',
                num_heads=bert['heads'],
                hidden_dim=bert['intermediate'],
                dropout=0.0,
            ),
            dyconv=dict(norm_groups=config['gn_groups']),
        ),
        bbox_head=dict(
            type='mmclip.GLIPHead',
            channels=channels,
            fused_text=fused,
            anchor_generator=anchor_config([8, 16, 32, 64, 128], config['anchor_sizes']),
        ),
        test_cfg=dict(max_per_img=config['detections_per_img']),
    )


def end_to_end(case: Case) -> dict | list:
    config, inputs = case.config, case.inputs
    model = MODELS.build(detector_config(config))
    load(model, convert(case.state))
    images, found = inputs['images'], {}
    shape = tuple(images.shape[2:])
    samples = []
    for text, spans, boxes in zip(
        config['captions'], config['spans'], numbered(inputs, 'gt_boxes'), strict=True
    ):
        # In the fixture each box has a phrase of its own.
        one = InstanceData(bboxes=exclusive(boxes), labels=torch.arange(len(boxes)))
        metainfo = dict(text=text, phrase_spans=spans, img_shape=shape, scale_factor=(1.0, 1.0))
        samples.append(DetDataSample(metainfo=metainfo, gt_instances=one))
    batch, maps = model.read_samples(samples)
    width = batch.ids.shape[1]
    checks = [Comparison('ids', batch.ids, inputs['train_input_ids'][:, :width])]
    for number, rows in enumerate(maps):
        reference = inputs[f'positive_maps.{number}'][:, :width] > 0
        checks.append(Comparison(f'map {number}', rows.int(), reference.int()))
    losses = model.train().loss(images, samples)
    sum(losses.values()).backward()
    found['losses.loss_cls'] = torch.zeros(())
    found['losses.loss_reg'] = losses['loss_bbox']
    found['losses.loss_centerness'] = losses['loss_centerness']
    found['losses.loss_dot_product_token'] = losses['loss_token']
    found |= gradients(case, model)
    found |= detections(case, model, images, shape)
    return checks + [Comparison(n, v, case.outputs[n]) for n, v in found.items()]


def gradients(case: Case, model: nn.Module) -> dict:
    """Gradients under the official names: which of ours is which, the converter says."""
    parameters, found = dict(model.named_parameters()), {}
    for name in case.outputs:
        if not name.startswith('grads.'):
            continue
        official = name.removeprefix('grads.')
        marker = {other: torch.empty(0) for other in case.state if 'b_attn' in other}
        (ours,) = set(convert(marker | {official: case.state[official]})) - (
            set(convert(marker)) if official not in marker else others(marker, official)
        )
        found[name] = parameters[ours].grad.reshape(case.outputs[name].shape)
    return found


def others(marker: dict, official: str) -> set:
    return set(convert({name: value for name, value in marker.items() if name != official}))


@torch.no_grad()
def detections(case: Case, model: nn.Module, images: torch.Tensor, shape: tuple) -> dict:
    config = case.config
    model.eval()
    query = config['test_query']
    model.set_classes(query.split('. '))
    texts, *_, batch = model.vocabulary.captions
    assert texts == [query]
    text = model.encode_text(batch.ids, batch.mask)
    width = case.outputs['lang_hidden'].shape[1]
    # The fixture shows some of the padding, which ours never has.
    padded = model.text_encoder.tokenizer([query], width, pad=True)
    full = model.encode_text(padded.ids, padded.mask)
    both = {name: value.expand(len(images), *value.shape[1:]) for name, value in full.items()}
    features, fused = model.fusion(model.extract_feat(images), both)
    boxes, logits = model.bbox_head(features, fused)
    found = raw_outputs(boxes, logits, shapes_of(features), 'dot_product_logits')
    found['lang_hidden'] = both['hidden']
    short = text['hidden'].shape[1]
    assert torch.allclose(text['hidden'], full['hidden'][:, :short], atol=1e-5)
    meta = dict(img_shape=shape, scale_factor=(1.0, 1.0))
    samples = [DetDataSample(metainfo=meta) for _ in images]
    for number, sample in enumerate(model.predict(images, samples)):
        one = sample.pred_instances
        ordered = by_score(inclusive(one.bboxes), one.scores, one.labels)
        found |= {f'detections.{number}.{key}': value for key, value in ordered.items()}
    return found


# -- training -----------------------------------------------------------------------------------


class NumbersOnCPU(TorchFunctionMode):
    """Beside ``torch.device('meta')``: what a constructor reads numbers from is real."""

    def __torch_function__(
        self, func: object, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs['device'] = 'cpu'
        return func(*args, **kwargs)


def full_keys(case: Case) -> list[Comparison]:
    names = dict(
        tiny_a='glip_a_swin-t_o365',
        tiny_b='glip_b_swin-t_o365',
        tiny_c='glip_c_swin-t_o365_goldg',
        tiny_o365_goldg_cc_sbu='glip_t_swin-t_cc3m_sbu',
        large='glip_l_swin-l',
    )
    name = names[case.name.removeprefix('full_keys_glip_')]
    with torch.device('meta'), NumbersOnCPU():
        model = MODELS.build(Config.fromfile(config_path(f'glip/{name}.py')).model)
    ours = {key: list(value.shape) for key, value in convert(case.key_state()).items()}
    wanted = {key: list(value.shape) for key, value in model.state_dict().items()}
    return [Comparison('keys', ours, wanted)]


def our_names(names: Sequence[str]) -> dict[str, str]:
    """Official name -> ours, by converting tensors that hold their numbers."""
    shape = (4, 4) if names else ()
    state = {name: torch.full(shape, float(number)) for number, name in enumerate(names)}
    flat = {
        k: v[0] if k.endswith('downsample.norm.weight') or k.endswith('norm.bias') else v
        for k, v in state.items()
    }
    flat = {k: v.flatten()[:1] if '.scales.' in k else v for k, v in flat.items()}
    return {names[int(value.flatten()[0])]: name for name, value in convert(flat).items()}


def count(names: Sequence[str], start: str) -> int:
    """How many numbered modules there are below ``start``."""
    return len({n.removeprefix(start).split('.')[0] for n in names if n.startswith(start)})


def named_model(names: Sequence[str], **options: object) -> nn.Module:
    """A small detector with the parameters of the fixture's."""
    swin = 'backbone.body.layers.'
    depths = [count(names, f'{swin}{i}.blocks.') for i in range(count(names, swin))]
    config = dict(
        variant='glip_c',
        fpn_channels=16,
        gn_groups=8,
        num_convs=count(names, f'{TOWER}') // 3,
        fusion=dict(heads=2, embed_dim=16),
        swin=dict(
            embed_dim=4,
            depths=depths,
            num_heads=[1] * len(depths),
            window_size=2,
            out_channels=[4 * 2**i for i in range(len(depths))],
        ),
        bert=dict(
            hidden_size=8,
            heads=2,
            intermediate=8,
            layers=count(names, 'language_backbone.body.model.encoder.layer.'),
            max_position=8,
            vocab=8,
        ),
        tokenizer=dict(vocab=['[PAD]']),
        max_query_len=8,
        anchor_sizes=[16, 32, 48, 64, 96],
        detections_per_img=1,
    )
    return MODELS.build(detector_config(config) | options)


def learning_rates(schedulers: Sequence[dict], schedule: dict, iters: Sequence[int]) -> list:
    """Rates at some iterations, by the schedule of the configs."""
    parameter = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=schedule['base_lr'])
    warmup, steps = (dict(one) for one in schedulers)
    warmup.update(end=schedule['warmup_iters'] + 1, start_factor=schedule['warmup_factor'])
    steps['milestones'] = [int(share * schedule['max_iter']) for share in schedule['steps']]
    steps['gamma'] = schedule['gamma']
    built = [PARAM_SCHEDULERS.build(dict(one, optimizer=optimizer)) for one in (warmup, steps)]
    rates = []
    for _ in range(max(iters) + 1):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return [rates[i] for i in iters]


def optim_and_tuning(case: Case) -> list[Comparison]:
    config = case.config
    names = config['param_names']
    ours, found = our_names(names), {}
    for size, leaf in (('tiny', 'glip_c_swin-t_o365_goldg'), ('large', 'glip_l_swin-l')):
        wrapper = Config.fromfile(config_path(f'glip/{leaf}.py')).optim_wrapper
        constructor = NameRuleConstructor(
            dict(optimizer=wrapper.optimizer), paramwise_cfg=wrapper.paramwise_cfg
        )
        rates = {
            name: (group['lr'], group['weight_decay'])
            for group in constructor.groups(named_model(names))
            for name in group['names']
        }
        found[f'lr_{size}'] = torch.tensor([rates[ours[name]][0] for name in names])
        found[f'wd_{size}'] = torch.tensor([rates[ours[name]][1] for name in names])
    iters = case.inputs['iters'].tolist()
    schedulers = Config.fromfile(config_path('_base_/schedules/glip.py')).param_scheduler
    found['schedule_lr'] = learning_rates(schedulers, config['schedule'], iters)
    comparisons = [Comparison(n, v, case.outputs[n]) for n, v in found.items()]
    modes = dict(
        full='full',
        linear_prob='linear',
        language_prompt_v1='prompt_v1',
        language_prompt_v2='prompt_v2',
        # The official code's v3 and v4 freeze the head after all: they are v1 and v2.
        language_prompt_v3='prompt_v1',
        language_prompt_v4='prompt_v2',
    )
    ours |= our_names(['rpn.tunable_linear.weight'])
    for official, tuning in modes.items():
        model = named_model(names, tuning=tuning, prompt_rows=8).train()
        trained = sorted(n for n, p in model.named_parameters() if p.requires_grad)
        wanted = sorted(ours[name] for name in config['trainable'][official])
        comparisons.append(Comparison(official, trained, wanted))
    return comparisons


ADAPTERS = DATA | {
    'optim_and_tuning': optim_and_tuning,
    'bi_attention': bi_attention,
    'vlfuse*': vlfuse,
    'bert_fusion_layer': bert_fusion_layer,
    'clip_fusion_layer': clip_fusion_layer,
    'dcn_*': deformable,
    'dyconv_*': dyconv,
    'dyrelu': dyrelu,
    'vldyhead_*': vldyhead,
    'alignment_logits': alignment_logits,
    'anchors_*': anchors,
    'box_coder': box_coder,
    'atss_targets': atss_targets,
    'atss_losses': atss_losses,
    'token_focal_loss': token_focal_loss,
    'score_aggregation': score_aggregation,
    'postprocess': postprocess,
    'prompt_tuning_offset': prompt_tuning_offset,
    'swin_fpn': swin_fpn,
    'fpn_dropblock': fpn_dropblock,
    'end2end_*': end_to_end,
    'full_keys_*': full_keys,
}
