"""GroupViT: grouping, encoders, losses, zero-shot segmentation, texts, schedule and checkpoints."""

import hashlib
import logging
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmclip import config_path
from mmclip.clip.contrastive_loss import contrastive_loss
from mmclip.clip.tokenizer import CLIPTokenizer
from mmclip.models.group_vit import grouping as grouping_module
from mmclip.models.group_vit.convert import convert, new_name
from mmclip.models.group_vit.encoder import GroupViTBackbone
from mmclip.models.group_vit.grouping import AssignAttention, GroupingBlock
from mmclip.models.group_vit.losses import multi_label_loss
from mmclip.models.group_vit.segmentor import GroupViTSegmentor
from mmclip.models.group_vit.zero_shot import group_maps
from mmclip.registry import MODELS, PARAM_SCHEDULERS
from mmclip.text.class_names import class_names
from mmclip.text.phrases import noun_phrases, nouns
from mmclip.text.prompts import get_prompts, prompt_texts
from parity.case import Case, Comparison, Measure, compare_keys

LAYER = 'img_encoder.layers.0.'
ASSIGN = ('hard', 'gumbel', 'gumbel_tau', 'sum_assign', 'assign_eps')


# -- parts ----------------------------------------------------------------------------------------


def converted(case: Case, official: str, ours: str) -> dict[str, torch.Tensor]:
    """Weights of a part through the converter: of official names below ``official``."""
    stand_in = {'img_encoder.pos_embed': torch.zeros(1, 1, 1)}  # tells what kind of file it is
    state = convert({**stand_in, **{official + k: v for k, v in case.state.items()}})
    return {k.removeprefix(ours): v for k, v in state.items() if k.startswith(ours)}


@contextmanager
def noise_of(case: Case):
    """Draw the recorded Gumbel noise instead of new one, one tensor after the other."""
    recorded = [v for k, v in sorted(case.inputs.items()) if k.startswith('gumbel_noise')]
    noises = iter(noise[:, 0] for noise in recorded)
    with mock.patch.object(grouping_module, 'gumbel_noise', lambda like: next(noises)):
        yield


def gradients(case: Case, module: torch.nn.Module, prefix: str, inputs: dict) -> dict:
    """Recorded gradients of inputs and of weights.

    Args:
        prefix: Of the official names in the fixture, to make them whole.
        inputs: Name -> tensor with a gradient.
    """
    parameters, out = dict(module.named_parameters()), {}
    for name, value in case.outputs.items():
        if not name.startswith('grad_'):
            continue
        official = name.removeprefix('grad_').replace('__', '.')
        if official in inputs:
            gradient = inputs[official].grad
        else:
            whole = new_name(prefix + official)
            (own,) = [key for key in parameters if f'.{whole}'.endswith(f'.{key}')]
            gradient = parameters[own].grad
        out[name] = gradient.reshape(value.shape)
    return out


def assign(case: Case) -> dict:
    config = case.config
    module = AssignAttention(config['dim'], **{k: config[k] for k in ASSIGN if k in config})
    prefix = LAYER + 'downsample.assign.'
    module.load_state_dict(converted(case, prefix, 'backbone.stages.0.grouping.assign.'))
    module.train('_train' in case.name)
    inputs = {k: case.inputs[k].clone().requires_grad_() for k in ('query', 'key')}
    with noise_of(case):
        out, hard, soft = module(inputs['query'], inputs['key'])
    (out * case.inputs['loss_weight']).sum().backward()
    maps = dict(out=out, attn_hard=hard[:, None], attn_soft=soft[:, None])
    return {**maps, **gradients(case, module, prefix, inputs)}


@torch.no_grad()
def grouping_block(case: Case) -> dict:
    config = case.config
    module = GroupingBlock(
        config['dim'],
        config['out_dim'],
        num_heads=config['num_heads'],
        num_group_tokens=config['num_group_token'],
        num_output_groups=config['num_output_group'],
        **{k: config[k] for k in ASSIGN if k in config},
    ).eval()
    weights = converted(case, LAYER + 'downsample.', 'backbone.stages.0.grouping.')
    module.load_state_dict(weights)
    new, hard, soft = module(case.inputs['x'], case.inputs['group_tokens'])
    projected = module.project(case.inputs['group_tokens'])
    return dict(
        new_x=new,
        attn_hard=hard[:, None],
        attn_soft=soft[:, None],
        projected_group_tokens=projected,
        pre_assign=module.cross(projected, module.norm_x(case.inputs['x'])),
    )


def encoder_config(config: dict) -> dict:
    extra = ('type', 'image_hw', 'min_assign_margin', 'drop_path_rate_note')
    return dict(drop_path_rate=0.0) | {k: v for k, v in config.items() if k not in extra}


def build_encoder(case: Case) -> GroupViTBackbone:
    encoder = GroupViTBackbone(**encoder_config(case.config))
    encoder.load_state_dict(converted(case, 'img_encoder.', 'backbone.'))
    return encoder


@torch.no_grad()
def image_encoder(case: Case) -> dict:
    encoder, out = build_encoder(case).eval(), {}
    for name, image in case.inputs.items():
        size = name.removeprefix('image_')
        result = encoder(image)
        out[f'x_{size}'], out[f'feat_{size}'] = result.pooled, result.tokens
        for stage, (hard, soft) in enumerate(zip(result.hard, result.soft, strict=True)):
            out[f'attn_{stage}_hard_{size}'] = hard[:, None]
            out[f'attn_{stage}_soft_{size}'] = soft[:, None]
    return out


def image_encoder_train(case: Case) -> dict:
    encoder = build_encoder(case).train()
    with noise_of(case):
        pooled = encoder(case.inputs['image']).pooled
    (pooled * case.inputs['loss_weight']).sum().backward()
    return dict(x=pooled, **gradients(case, encoder, 'img_encoder.', {}))


# -- the whole model ------------------------------------------------------------------------------


def model_config(config: dict) -> dict:
    """Our config of a fixture's whole model."""
    text = {k: v for k, v in config['text_encoder'].items() if k != 'type'}
    return dict(
        type='mmclip.GroupViTSegmentor',
        backbone=dict(type='mmclip.GroupViTBackbone', **encoder_config(config['img_encoder'])),
        decode_head=dict(
            type='mmclip.GroupViTHead',
            in_channels=config['img_encoder']['embed_dim'],
            classes=['thing'],
            text=text,
            embed_dim=config['output_dim'],
            hidden=config['projector_hidden'],
            multi_label=config['multi_label'],
            multi_label_weight=config['multi_label_loss_weight'],
            share_temperature=config['share_temperature'],
            temperature=config['contrast_temperature'],
        ),
        train_cfg={},
        test_cfg=dict(mode='whole'),
    )


def build_model(case: Case) -> GroupViTSegmentor:
    """Our model with a fixture's weights; its text side may not be in the fixture."""
    model = MODELS.build(model_config(case.config.get('model', case.config)))
    missing, unexpected = model.load_state_dict(convert(case.state), strict=False)
    if unexpected or any('.text_' not in name for name in missing):
        raise ValueError(f'missing {missing}, left over {unexpected}')
    return model


@torch.no_grad()
def text_encoder(case: Case) -> dict:
    config = {k: v for k, v in case.config.items() if k != 'heads'}
    model = MODELS.build(
        dict(type='mmclip.GroupViTHead', in_channels=8, hidden=8, classes=['thing'], text=config)
    ).eval()
    tower = model.text_tower
    tower.load_state_dict(converted(case, 'text_encoder.', 'decode_head.text_tower.'))
    model.text_projector = torch.nn.Identity()
    return dict(x=model.encode_tokens(case.inputs['tokens']))


@torch.no_grad()
def model_eval(case: Case) -> dict:
    model, inputs = build_model(case).eval(), case.inputs
    head = model.decode_head
    grouping = model.extract_feat(inputs['image'])
    pooled = head.image_projector(grouping.pooled)
    multi = head.encode_tokens(inputs['text_multi'])
    # (classes, templates, T) in the fixture
    embeddings = head.encode_class_tokens(inputs['class_tokens'].transpose(0, 1))
    return dict(
        image_x=pooled,
        image_feat=head.image_projector(grouping.tokens),
        text_x=head.encode_tokens(inputs['text']),
        multi_text_x=multi[:, 0],
        multi_text_multi_label_x=multi[:, 1:],
        class_embedding=embeddings,
        zero_shot_logits=F.normalize(pooled, dim=1) @ embeddings.T,
    )


def model_train_losses(case: Case) -> dict:
    model = build_model(case).train()
    head = model.decode_head
    with noise_of(case):
        pooled = model.backbone(case.inputs['image']).pooled
    losses = head.losses(pooled, case.inputs['text_multi'])
    (losses['loss_contrastive'] + losses['loss_multi_label']).backward()
    out = dict(loss=losses['loss_contrastive'], multi_label_loss=losses['loss_multi_label'])
    out |= gradients(case, model, '', {})
    after = model.state_dict()
    for name in case.outputs:
        if name.startswith('after__'):
            out[name] = after[new_name(name.removeprefix('after__').replace('__', '.'))]
    return out


def losses(case: Case) -> dict:
    """Each rank's losses, with the features of all ranks in place of the gathered ones."""
    config, inputs = case.config, case.inputs
    world, batch = config['world_size'], config['batch_per_rank']
    leaves = {
        k: [row.clone().requires_grad_() for row in inputs[k]]
        for k in ('image_x', 'text_x', 'text_multi')
    }
    normed = {k: [F.normalize(row, dim=-1) for row in rows] for k, rows in leaves.items()}
    normed['text_multi'] = [row.flatten(0, 1) for row in normed['text_multi']]
    scales = [inputs['logit_scale'].clone().requires_grad_() for _ in range(world)]
    shared = config['share_temperature']
    ml_scales = scales
    if not shared:
        ml_scales = [
            inputs['multi_label_logit_scale'].clone().requires_grad_() for _ in range(world)
        ]

    def gathered(features: torch.Tensor) -> tuple[torch.Tensor, int]:
        for rows in normed.values():
            for rank, row in enumerate(rows):
                if row.shape == features.shape and torch.equal(row, features):
                    return torch.cat(rows), rank * len(row)
        raise AssertionError('features of no rank')

    head = MODELS.build(
        dict(
            type='mmclip.GroupViTHead',
            in_channels=8,
            hidden=8,
            classes=['a'],
            text=dict(width=8, layers=1),
        )
    )
    head.multi_label_logit_scale = None if shared else head.multi_label_logit_scale
    main, multi = [], []
    places = ('mmclip.clip.contrastive_loss', 'mmclip.models.group_vit.losses')
    with (
        mock.patch(f'{places[0]}.gather_with_grad', gathered),
        mock.patch(f'{places[1]}.gather_with_grad', gathered),
    ):
        for rank in range(world):
            del head.logit_scale
            head.logit_scale = scales[rank]
            if not shared:
                del head.multi_label_logit_scale
                head.multi_label_logit_scale = ml_scales[rank]
            images, texts = normed['image_x'][rank], normed['text_x'][rank]
            prompts = normed['text_multi'][rank].unflatten(0, (batch, -1))
            main.append(contrastive_loss(images, texts, head.scale()))
            multi.append(multi_label_loss(images, prompts, head.scale(multi_label=True)))
    (sum(main) + sum(multi)).backward()
    out = dict(loss=torch.stack(main), multi_label_loss=torch.stack(multi))
    out |= {f'grad_{k}': torch.stack([row.grad for row in rows]) for k, rows in leaves.items()}
    out['grad_logit_scale'] = torch.stack([s.grad for s in scales])
    if not shared:
        out['grad_multi_label_logit_scale'] = torch.stack([s.grad for s in ml_scales])
    return out


@torch.no_grad()
def segmentation(case: Case) -> list:
    model, config = build_model(case).eval(), case.config
    head, image, outputs = model.decode_head, case.inputs['image'], case.outputs
    words = [f'word {i}' for i in range(config['num_fg_classes'])]
    model.set_classes(['background', *words] if config['with_bg'] else words)
    head.embeddings = lambda: case.inputs['text_embedding']
    metas = [dict(ori_shape=image.shape[2:], img_shape=image.shape[2:])]
    model.test_cfg = Config(dict(mode='whole', bg_thresh=config['bg_thresh']))
    whole = model.inference(image, metas)
    model.test_cfg = Config(
        dict(
            mode='slide',
            bg_thresh=config['bg_thresh'],
            crop_size=config['slide_crop'],
            stride=config['slide_stride'],
        )
    )
    slide = model.inference(image, metas)
    grouping = model.extract_feat(image)
    result = [
        Comparison('image_x', head.image_projector(grouping.pooled), outputs['image_x']),
        Comparison('image_feat', head.image_projector(grouping.tokens), outputs['image_feat']),
    ]
    soft = grouping.soft
    for stage in range(len(soft)):
        grouping.soft = soft[: stage + 1]
        name = f'attn_map_{stage}'
        result.append(Comparison(name, group_maps(grouping).permute(0, 2, 3, 1), outputs[name]))
    for ours, logits, prediction in (
        (whole, 'seg_logits', 'pred'),
        (slide, 'seg_logits_slide', 'pred_slide'),
    ):
        # A pixel between two groups may go to either: then all its logits are the other group's.
        flipped = ((ours - outputs[logits]).abs() > 2e-5 + 2e-5 * outputs[logits].abs().max()).any(
            1
        )
        share = float(flipped.float().mean())
        result.append(Measure(f'{logits}: share of pixels', share, 0.002, covers=(logits,)))
        wrong = ours.argmax(1) != outputs[prediction]
        result.append(Measure(prediction, float(wrong.float().mean()), 0.002))
    return result


# -- values and checkpoints -----------------------------------------------------------------------


def names(case: Case) -> list:
    ours = {
        'pascal_voc': 'voc20_group_vit',
        'pascal_context': 'pascal_context59_group_vit',
        'coco_object': 'coco80',
    }
    result = []
    for dataset, content in case.sidecar.items():
        words = ['background', *class_names(ours[dataset])]
        result.append(Comparison(dataset, words, content['names']))
        result.append(Comparison(f'{dataset}: count', len(words), content['count']))
    return result


def _hash(lines: list[str]) -> str:
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def text_side(case: Case) -> list:
    content, result = case.sidecar, []
    sets = dict(full='imagenet_80', subset='group_vit_7', simple='single', identity='name')
    templates = {k: get_prompts(name).templates for k, name in sets.items()}
    for row in content['noun_prompting']:
        caption, words, tags = row['caption'], row['words'], row['pos_tags']
        found = nouns(words, tags)
        result += [
            Comparison(f'nouns {caption}', found, row['candidates_noun_mode']),
            Comparison(
                f'phrases {caption}',
                noun_phrases(words, tags, official=True),
                row['candidates_noun_phrase_mode'],
            ),
        ]
        for sample in row['samples']:
            for key, reference in sample.items():
                if key == 'numpy_seed':
                    continue
                kind, count = key.rsplit('_k', 1)
                rng = np.random.RandomState(sample['numpy_seed'])
                ours = prompt_texts(caption, found, int(count), templates[kind], rng)
                result.append(Comparison(f'{key} {caption}', ours, reference))
    tokenizer = CLIPTokenizer(context_length=content['config']['max_seq_len'], special='openai')
    rows = [(r['text'], r['ids']) for r in content['tokenization']]
    rows += [(r['prompt'], r['ids']) for r in content['class_prompts']]
    for row in content['class_prompts']:
        ours = get_prompts('single').format(row['name'])
        result.append(Comparison(f'prompt {row["name"]}', ours, [row['prompt']]))
    for text, ids in rows:
        ours = tokenizer([text])[0].tolist()
        padded = ids + [0] * (len(ours) - len(ids))
        result.append(Comparison(f'ids {text[:30]}', ours, padded))
    for kind, row in content['templates'].items():
        lines = list(templates[kind])
        result.append(Comparison(f'{kind}: count', len(lines), row['count']))
        result.append(Comparison(f'{kind}: hash', _hash(lines), row['sha256_of_newline_joined']))
    for kind, row in content['class_lists'].items():
        lines = list(class_names(kind))
        result.append(Comparison(f'{kind}: count', len(lines), row['count']))
        result.append(Comparison(f'{kind}: hash', _hash(lines), row['sha256_of_newline_joined']))
    return result


def lr_schedule(case: Case) -> list:
    config = case.config
    scale = config['batch_per_gpu'] * config['world_size'] / 4096
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=config['base_lr'] * scale)
    total = config['epochs'] * config['iters_per_epoch']
    settings = dict(
        type='mmclip.WarmupCosineLR',
        total=config['epochs'],
        warmup=config['warmup_epochs'],
        start_factor=config['warmup_lr'] / config['base_lr'],
        end_factor=config['min_lr'] / config['base_lr'],
        convert_to_iter_based=True,
    )
    scheduler = PARAM_SCHEDULERS.build(
        settings, default_args=dict(optimizer=optimizer, epoch_length=config['iters_per_epoch'])
    )
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return [Comparison('lr', rates, case.sidecar['lr_used_at_step'])]


def full_model(name: str) -> tuple[GroupViTSegmentor, Config]:
    config = Config.fromfile(config_path(f'group_vit/{name}.py'))
    with torch.device('meta'):
        return MODELS.build(config.model), config


LEAVES = {'gcc_yfcc': 'group_vit_gcc_yfcc', 'gcc_redcap': 'group_vit_gcc_redcaps'}


def _leaf(case: Case) -> str:
    return next(leaf for key, leaf in LEAVES.items() if key in case.name)


def full_keys(case: Case) -> list:
    return compare_keys(convert(case.key_state()), full_model(_leaf(case))[0])


def param_groups(case: Case) -> list:
    model, config = full_model(_leaf(case))
    settings = {
        k: v for k, v in config.optim_wrapper.items() if k in ('optimizer', 'paramwise_cfg')
    }
    logging.disable(logging.INFO)  # a line for every parameter
    wrapper = build_optim_wrapper(model, dict(type='OptimWrapper', **settings))
    logging.disable(logging.NOTSET)
    decay = {id(p): g['weight_decay'] for g in wrapper.optimizer.param_groups for p in g['params']}
    ours = {name: decay[id(p)] for name, p in model.named_parameters()}
    wanted = {new_name(n): 0.0 for n in case.sidecar['no_decay']}
    wanted |= {
        new_name(n): config.optim_wrapper.optimizer.weight_decay for n in case.sidecar['decay']
    }
    return [
        Comparison('weight decay', ours, wanted),
        Comparison('rate', config.optim_wrapper.optimizer.weight_decay, 0.05),
    ]


ADAPTERS = {
    'assign_*': assign,
    'grouping_block_*': grouping_block,
    'image_encoder_*': image_encoder,
    'image_encoder_*_train': image_encoder_train,
    'text_encoder': text_encoder,
    'model_eval': model_eval,
    'model_train_losses': model_train_losses,
    'losses_*': losses,
    'seg_*': segmentation,
    'class_names': names,
    'text_side': text_side,
    'lr_schedule': lr_schedule,
    'full_keys_*': full_keys,
    'param_groups_*': param_groups,
}
