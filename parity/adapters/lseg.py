"""LSeg: networks, head blocks, evaluation, augmentation, metrics and checkpoints."""

import hashlib
import logging
import re
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.optim import PolyLR, build_optim_wrapper
from mmseg.models.backbones.resnet import Bottleneck, ResNet

from mmclip import config_path
from mmclip.clip.causal_text import causal_tower, encode_causal
from mmclip.clip.config import clip_config_of
from mmclip.clip.dense_features import resize_position_embedding
from mmclip.clip.loading import build_clip
from mmclip.datasets.fold_benchmarks import BENCHMARKS, fold_classes
from mmclip.datasets.transforms.segmentation import RandomLongSideCrop, ShortSideCenterCrop, _crop
from mmclip.evaluation.fold_iou import fold_areas, fold_scores
from mmclip.evaluation.open_vocab_iou import class_areas, iou_scores
from mmclip.models.dense.multi_scale import multi_scale_logits
from mmclip.models.dense.open_vocab_segmentor import OpenVocabSegmentor
from mmclip.models.lseg.convert import clip_of, convert, new_name
from mmclip.models.lseg.head_block import HeadBlock
from mmclip.models.lseg.reassemble import Readout
from mmclip.registry import MODELS
from mmclip.text.class_names import class_names
from mmclip.vocabulary.classifier import _to_bytes
from parity.case import Case, Comparison, Measure, compare_keys

ARCH = {1: 'bottleneck', 2: 'depthwise'}
IGNORE = 255
BUFFERS = ('classifier.embeddings', 'classifier.names')


# -- the parts of a network that a fixture describes ----------------------------------------------


class SmallResNet(ResNet):
    """The host's ResNet with bottlenecks, of any depth."""

    arch_settings = dict(ResNet.arch_settings)


MODELS.register_module(module=SmallResNet)


def text_tower(case: Case) -> tuple[torch.nn.Module, dict]:
    """The fixture's CLIP; its image tower, which is not in the fixture, is a stand-in."""
    text = {k.removeprefix('clip_pretrained.'): v for k, v in case.state.items() if 'clip_' in k}
    stand_in = build_clip(
        dict(
            embed_dim=text['text_projection'].shape[1],
            vision_cfg=dict(image_size=8, layers=1, width=8, head_width=8, patch_size=8),
            text_cfg=dict(context_length=4, vocab_size=4, width=8, heads=1, layers=1),
        )
    )
    visual = {f'visual.{k}': v for k, v in stand_in.visual.state_dict().items()}
    weights = clip_of({**case.state, **{f'clip_pretrained.{k}': v for k, v in visual.items()}})
    config = clip_config_of(weights, vision_heads=1, text_heads=case.config['clip_text']['heads'])
    clip = build_clip(config)
    clip.load_state_dict(weights)
    return clip, config


def backbone_config(case: Case) -> dict:
    config = case.config
    if resnet := config.get('resnet'):
        SmallResNet.arch_settings[len(resnet['blocks'])] = (Bottleneck, tuple(resnet['blocks']))
        return dict(
            type='mmclip.SmallResNet',
            depth=len(resnet['blocks']),
            stem_channels=resnet['stem_width'],
            base_channels=resnet['stem_width'],
        )
    vit = config['vit']
    return dict(
        type='mmclip.DPTViT',
        model=dict(
            img_size=vit['pretrain_grid'] * vit['patch'],
            patch_size=vit['patch'],
            embed_dim=vit['embed_dim'],
            depth=vit['depth'],
            num_heads=vit['heads'],
            ln_eps=vit.get('ln_eps', 1e-6),
        ),
        out_indices=config['hooks'],
    )


def head_config(case: Case, clip_config: dict, labels: list[str], two_way: bool) -> dict:
    config, state = case.config, convert(case.state)
    reassemble, block = None, None
    levels = [f'decode_head.decoder.convs.{level}.weight' for level in range(4)]
    channels = [state[name].shape[1] for name in levels]
    if config.get('resnet'):
        in_channels = channels
    else:
        reassemble = dict(
            channels=channels, patch_size=config['vit']['patch'], readout=config['readout']
        )
        in_channels = [config['vit']['embed_dim']] * 4
    if config.get('arch_option'):
        block = dict(
            kind=ARCH[config['arch_option']],
            depth=config['block_depth'],
            activation=config['activation'],
        )
    return dict(
        type='mmclip.LSegHead',
        in_channels=in_channels,
        reassemble=reassemble,
        channels=config['features'],
        head_block=block,
        two_way=two_way,
        norm_cfg=dict(type='BN'),
        classifier=dict(
            type='mmclip.TextEmbeddingClassifier',
            classes=labels,
            text_encoder=dict(type='mmclip.CLIPTextEncoder', model=clip_config),
            background=None,
            temperature=1 / config.get('logit_scale', 1 / 0.07),
        ),
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
    )


def put_words(head: torch.nn.Module, names: list[str], features: torch.Tensor) -> None:
    """Give the head names with the fixture's own text features, by loading them."""
    classifier = head.conv_seg.classifier
    classifier.class_names = tuple(names)
    rows = F.normalize(features.float(), dim=1)
    classifier.load_state_dict(dict(embeddings=rows, names=_to_bytes(names)))


def lseg(case: Case, two_way: bool = False) -> tuple[OpenVocabSegmentor, torch.Tensor | list]:
    """The segmentor with converted weights, and the text features of its words."""
    clip, clip_config = text_tower(case)
    tokens = case.inputs['tokens'].long()
    if two_way:
        names = [case.config['background_word'], *case.config['labels']]
        # tokens[class] = (background, class)
        tokens = torch.cat([tokens[:1, 0], tokens[:, 1]])
    else:
        names = case.config['labels']
    features = encode_causal(causal_tower(clip), [tokens])[0]
    model = OpenVocabSegmentor(
        backbone=backbone_config(case),
        decode_head=head_config(case, clip_config, names, two_way),
        test_cfg=dict(mode='whole'),
    )
    state = convert(case.state)
    lacking = model.load_state_dict(state, strict=False)
    allowed = ('num_batches_tracked', *BUFFERS)
    missing = [name for name in lacking.missing_keys if not name.endswith(allowed)]
    if missing or lacking.unexpected_keys:
        raise ValueError(f'missing {missing}, left over {lacking.unexpected_keys}')
    put_words(model.decode_head, names, features)
    return model.eval(), features, clip


def loss_of(logits: torch.Tensor, target: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    target = target.long()
    target = torch.where(target < 0, IGNORE, target)
    return model.decode_head.loss_decode(logits, target, ignore_index=IGNORE)


def intermediates(model: OpenVocabSegmentor, image: torch.Tensor) -> dict:
    head = model.decode_head
    taps = model.extract_feat(image)
    maps = head.maps(taps)
    paths = head.decoder.paths(maps)
    ours = {f'layer_{level + 1}': value for level, value in enumerate(maps)}
    ours |= {f'path_{level + 1}': value for level, value in enumerate(paths)}
    ours['path_1_first'] = paths[0][:1]
    ours['image_features_sub'] = head.conv_seg.embed(paths[0])[:, :, ::8, ::8]
    low = head.conv_seg(paths[0])
    if head.head_block is not None:
        ours['logits_low'] = head.head_block(low)[:1]
    return ours, taps


@torch.no_grad()
def network(case: Case) -> dict:
    model, features, clip = lseg(case)
    image = case.inputs['image']
    ours, taps = intermediates(model, image)
    ours['out'] = model(image)
    ours['text_features'] = features
    if 'vit_final_norm' in case.outputs:
        patches, special = taps[-1]
        tokens = torch.cat([special, patches.flatten(2).transpose(1, 2)], 1)
        norm = [case.state[f'pretrained.model.norm.{part}'] for part in ('weight', 'bias')]
        eps = case.config['vit'].get('ln_eps', 1e-6)
        ours['vit_final_norm'] = F.layer_norm(tokens, tokens.shape[-1:], *norm, eps)
    if 'target' in case.inputs:
        ours['loss'] = loss_of(ours['out'], case.inputs['target'], model)
    if 'alt_tokens' in case.inputs:
        words = encode_causal(causal_tower(clip), [case.inputs['alt_tokens'].long()])[0]
        put_words(model.decode_head, case.config['alt_labels'], words)
        ours['out_alt_first'] = model(image[:1])
    return {name: value for name, value in ours.items() if name in case.outputs}


def train_step(case: Case) -> dict:
    model, _, _ = lseg(case)
    model.train()
    logits = model(case.inputs['image'])
    loss = loss_of(logits, case.inputs['target'], model)
    loss.backward()
    own = dict(model.named_parameters())
    ours = dict(out=logits, loss=loss)
    for name in case.outputs:
        if name.startswith('grad_'):
            official = name.removeprefix('grad_').replace('__', '.')
            target = new_name(official)
            # A part that nothing reads is not built; the official one's gradient is 0.
            ours[name] = (
                torch.zeros_like(case.outputs[name]) if target is None else own[target].grad
            )
        elif name.startswith('after__'):
            official = name.removeprefix('after__').replace('__', '.')
            ours[name] = model.state_dict()[new_name(official)]
    return ours


@torch.no_grad()
def zero_shot(case: Case) -> dict:
    model, _, _ = lseg(case, two_way=True)
    image = case.inputs['image']
    metas = [dict(class_id=int(index)) for index in case.inputs['class_index']]
    ours, taps = intermediates(model, image)
    out = model.decode_head(taps, model.decode_head.pairs(metas))
    ours |= dict(out=out, pred=out.argmax(1), loss=loss_of(out, case.inputs['target'], model))
    return {name: value for name, value in ours.items() if name in case.outputs}


# -- parts -------------------------------------------------------------------------------------


@torch.no_grad()
def readout_ops(case: Case) -> dict:
    tokens, ours = case.inputs['tokens'], {}
    for name in case.outputs:
        kind, _, start = name.rpartition('_start')
        readout = Readout(kind, tokens.shape[-1])
        if kind == 'project':
            prefix = f'{name}.project.0.'
            weights = {k: case.state[prefix + k] for k in ('weight', 'bias')}
            # Through the converter's rule for the first tap.
            official = 'pretrained.act_postprocess1.0.project.0.weight'
            assert new_name(official).endswith('readouts.0.project.weight')
            readout.project.load_state_dict(weights)
        ours[name] = readout(tokens[:, int(start) :], tokens[:, : int(start)])
    return ours


def pos_embed(case: Case) -> dict:
    ours = {}
    for name in case.outputs:
        height, width = map(int, name.removeprefix('grid_').split('x'))
        ours[name] = resize_position_embedding(
            case.inputs['pos_embed'][0], (height, width), mode='bilinear'
        )[None]
    return ours


@torch.no_grad()
def head_blocks(case: Case) -> dict:
    ours = {}
    for name in case.outputs:
        kind, activation, depth = name.split('_')
        block = HeadBlock(kind=kind, depth=int(depth.removeprefix('depth')), activation=activation)
        block.conv.load_state_dict(
            {k: case.state[f'{kind}.depthwise.depthwise.{k}'] for k in ('weight', 'bias')}
        )
        ours[name] = block(case.inputs['logits'])
    return ours


@torch.no_grad()
def multi_scale(case: Case) -> dict:
    state, config = case.state, case.config
    side = state['conv2.weight'].shape[-1] // 2

    def toy(x: torch.Tensor) -> torch.Tensor:
        x = F.conv2d(x, state['conv.weight'], state['conv.bias'], padding=1)
        return F.conv2d(x.tanh(), state['conv2.weight'], state['conv2.bias'], padding=side)

    scores = multi_scale_logits(
        toy,
        case.inputs['image'],
        base_size=config['base_size'],
        crop_size=config['crop_size'],
        scales=config['scales'],
        fill=torch.full((3,), config['pad_value']),
        flip=config['flip'],
        stride_rate=config['stride_rate'],
    )
    return dict(scores=scores)


def ade_transforms(case: Case) -> list[Measure | Comparison]:
    config, compared = case.config, []

    def sample(index: int, flip: bool = False) -> dict:
        # 0 means unlabeled: what LoadSegMap does with reduce_zero_label.
        mask = case.inputs[f'mask_{index}'].numpy().astype(np.int64) - 1
        results = dict(
            img=case.inputs[f'image_{index}'].numpy(),
            gt=np.where(mask < 0, IGNORE, mask).astype(np.uint8),
            seg_fields=['gt'],
            ignore_index=IGNORE,
        )
        if flip:
            results |= {k: np.ascontiguousarray(results[k][:, ::-1]) for k in ('img', 'gt')}
        return results

    def compare(results: dict, image: str, target: str) -> None:
        compared.append(Comparison(f'{image} (gray levels)', results['img'].astype(float),
                                   case.outputs[image].double()))  # fmt: skip
        gt = results['gt'].astype(np.int64)
        compared.append(Comparison(target, np.where(gt == IGNORE, -1, gt), case.outputs[target]))
        compared.append(Measure(image, 0.0, 0.0))

    for row in config['draws']:
        step = RandomLongSideCrop(base_size=config['base_size'], crop_size=config['crop_size'])
        results = sample(row['sample'], row['flip'])
        step.scale_and_pad(results, row['long_side'])
        _crop(results, row['x1'], row['y1'], config['crop_size'])
        name = f'{row["sample"]}_{row["draw"]}'
        compare(results, f'train_image_{name}', f'train_target_{name}')
    for name in case.outputs:
        if name.startswith('val_image_'):
            index = int(name.removeprefix('val_image_'))
            results = ShortSideCenterCrop(crop_size=config['crop_size'])(sample(index))
            compare(results, name, f'val_target_{index}')
    return compared


def ade_metric(case: Case) -> dict:
    prediction, target = case.inputs['logits'].argmax(1), case.inputs['target']
    areas = class_areas(prediction, target, case.config['num_classes'], -1)
    accuracy, iou = iou_scores(areas)
    inter, predicted, wanted = areas
    return dict(pix_acc=accuracy, miou=iou.mean(), inter=inter, union=predicted + wanted - inter)


def zs_metric(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    target = inputs['target'].long()
    if config['uses_ignore']:
        target = torch.where(inputs['ignore'] > 0, IGNORE, target)
    areas = [fold_areas(p, t) for p, t in zip(inputs['pred'], target, strict=True)]
    inter, union = (torch.stack(parts) for parts in zip(*areas, strict=True))
    sums = []
    for part in (inter, union):
        total = torch.zeros(2, config['num_classes'], dtype=torch.float64)
        flat = part.transpose(0, 1).flatten(1)
        sums.append(total.index_add(1, inputs['class_id'].flatten(), flat))
    miou, fb_iou = fold_scores(*sums, config['fold_class_ids'])
    benchmark = {'pascal': 'pascal5i', 'coco': 'coco20i'}[config['benchmark']]
    folds = [fold_classes(benchmark, fold, 'test') for fold in range(4)]
    if len(class_names(BENCHMARKS[benchmark].classes)) == config['num_classes']:
        assert config['fold_class_ids'] in folds
    return dict(
        area_inter=inter,
        area_union=union,
        inter_buf=sums[0],
        union_buf=sums[1],
        miou=miou,
        fb_iou=fb_iou,
    )


# -- values and keys -----------------------------------------------------------------------------


def label_facts(case: Case) -> list[Comparison]:
    facts = case.sidecar
    words = class_names('ade20k_official')
    ade = facts['ade20k_prompt_words']

    def digest(names: tuple[str, ...]) -> str:
        return hashlib.sha256('\n'.join(names).encode()).hexdigest()

    compared = [
        Comparison('ade20k words', list(words), ade['names']),
        Comparison('ade20k hash', digest(words), ade['sha256_of_newline_joined']),
        Comparison('ade20k twice', sorted({w for w in words if words.count(w) > 1}),
                   ade['duplicates']),
    ]  # fmt: skip
    for name, row in facts['fewshot_label_files'].items():
        key = next(k for k in BENCHMARKS if k.startswith(name))
        known = class_names(BENCHMARKS[key].classes)
        compared.append(Comparison(f'{name} count', len(known), row['count']))
        compared.append(Comparison(f'{name} hash', digest(known), row['sha256_of_newline_joined']))
        if 'names' in row:
            compared.append(Comparison(f'{name} words', list(known), row['names']))
    for name, folds in facts['folds'].items():
        key = next(k for k in BENCHMARKS if k.startswith(name))
        if name == 'fss':
            for part in ('train', 'val', 'test'):
                ids = fold_classes(key, None, part)
                compared.append(Comparison(f'fss {part}', [ids[0], ids[-1]], folds[f'{part}_ids']))
            continue
        for fold, row in folds.items():
            ids = fold_classes(key, int(fold), 'test')
            compared.append(Comparison(f'{name} fold {fold}', ids, row['test_class_ids']))
            if counts := BENCHMARKS[key].counts:
                theirs = (row['train_list_entries'], row['test_list_entries'])
                compared.append(Comparison(f'{name} lists {fold}', counts[int(fold)], theirs))
    for name in ('pascal', 'coco'):
        key = next(k for k in BENCHMARKS if k.startswith(name))
        compared.append(
            Comparison(f'{name} episodes', BENCHMARKS[key].episodes, facts['episodes'][name])
        )
    return compared


def optimizer_ade(case: Case) -> list[Comparison]:
    facts, row = case.sidecar, case.sidecar['config']
    config = Config.fromfile(config_path('lseg/lseg_vit_l16_ade20k.py'))
    with torch.device('meta'):
        model = MODELS.build(config.model)
    # The config is written for its own batch; the official rule is linear in it.
    batch = config.train_dataloader.batch_size
    config.optim_wrapper.optimizer.lr *= row['batch_size_per_gpu'] / batch
    logging.disable(logging.INFO)  # a line for every parameter
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    logging.disable(logging.NOTSET)
    rate = {id(p): g['lr'] for g in optimizer.param_groups for p in g['params']}
    rates = {name: rate.get(id(p)) for name, p in model.named_parameters()}
    settings = optimizer.param_groups[0]
    compared = [
        Comparison('momentum', settings['momentum'], row['momentum']),
        Comparison('weight decay', settings['weight_decay'], row['weight_decay']),
        Comparison('epochs', config.train_cfg.max_epochs, row['max_epochs']),
    ]
    used = set()
    for group, lr in (('lr_1x', row['lr_pretrained']), ('lr_10x', row['lr_scratch'])):
        names = [new_name(name) for name in facts['groups'][group]['names']]
        names = [name for name in names if name is not None]
        used.update(names)
        compared += [Comparison(f'rate of {name}', rates[name], lr) for name in names]
    compared.append(Comparison('optimised', sorted(rates), sorted(used)))

    schedule = dict(config.param_scheduler[0])
    assert schedule.pop('type') == 'PolyLR' and schedule.pop('by_epoch')
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=1.0)
    poly = PolyLR(sgd, by_epoch=True, **schedule)
    factors = {}
    for epoch in range(config.train_cfg.max_epochs):
        factors[str(epoch)] = sgd.param_groups[0]['lr']
        sgd.step()
        poly.step()
    tolerance = dict(rtol=1e-9, atol=1e-9)
    compared += [
        Comparison(f'epoch {epoch}', factors[epoch], factor, tolerance)
        for epoch, factor in facts['lr_factor_per_epoch'].items()
    ]
    return compared


FULL = {
    'ade_vitl16': 'lseg_vit_l16_ade20k.py',
    'ade_vitl16_bottleneck': 'lseg_vit_l16_ade20k_bottleneck.py',
    'ade_vitl16_depthwise': 'lseg_vit_l16_ade20k_depthwise.py',
    'ade_vitl16_rn50x16text': 'lseg_vit_l16_ade20k_rn50x16_text.py',
    'ade_vitb32': 'lseg_vit_b32_ade20k.py',
    'zs_vitl16': 'lseg_vit_l16_pascal5i_fold0.py',
    'zs_vitb32': 'lseg_vit_b32_pascal5i_fold0.py',
    'zs_rn101': 'lseg_r101_pascal5i_fold0.py',
}


def full_keys(case: Case) -> list[Comparison]:
    """The converted checkpoint fills the model of our config, and its CLIP one of open_clip's."""
    state = case.key_state()
    name = case.name.removeprefix('full_keys_')
    config = Config.fromfile(config_path(f'lseg/{FULL[name]}'))
    weights = clip_of(state)
    with torch.device('meta'):
        model = MODELS.build(config.model)
        clip = build_clip(clip_config_of(weights))
    own = {k: v for k, v in model.state_dict().items() if not k.endswith(BUFFERS)}
    # Nothing is lost on the way: what the converter leaves out is read by nothing.
    dropped = [key for key in state if 'clip_pretrained' not in key and new_name(key) is None]
    unread = re.compile(
        r'net\.(pretrained\.model\.(norm|head)|scratch\.refinenet4\.resConfUnit1)\..*'
    )
    return [
        *compare_keys(convert(state), own),
        *compare_keys(weights, clip),
        Comparison('dropped', [key for key in dropped if not unread.fullmatch(key)], []),
    ]


ADAPTERS: dict[str, Callable] = {
    'readout_ops': readout_ops,
    'pos_embed_resize': pos_embed,
    'head_blocks': head_blocks,
    'lseg_*': network,
    'lseg_train_step': train_step,
    'zs_vit*': zero_shot,
    'zs_resnet': zero_shot,
    'zs_metric_*': zs_metric,
    'ade_metric': ade_metric,
    'ade_transforms': ade_transforms,
    'multi_scale_eval_*': multi_scale,
    'label_facts': label_facts,
    'optimizer_ade': optimizer_ade,
    'full_keys_*': full_keys,
}
