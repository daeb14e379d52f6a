"""ActionCLIP: towers, visual prompts, loss, scores, sampling, schedule and checkpoints."""

import logging
import math
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.datasets.transforms import processing
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from mmclip import config_path
from mmclip.clip.loading import clip_preprocess, clip_tokenizer
from mmclip.datasets.transforms.video import (
    FrameResizeCrop,
    middle_frames,
    random_frames,
    segment_ticks,
)
from mmclip.models.action_clip.convert import convert
from mmclip.models.action_clip.frame_prompts import temporal_shift
from mmclip.models.action_clip.loss import MultiPositiveKLLoss, multi_positive_kl, positives
from mmclip.models.action_clip.recognizer import ActionCLIPRecognizer, class_scores
from mmclip.models.action_clip.text_prompts import action_prompts
from mmclip.registry import MODELS
from parity.adapters._clip_towers import architecture
from parity.case import Case, Comparison, compare_keys

HEADS = {
    'meanP': 'mmclip.ActionMeanP',
    'Conv_1D': 'mmclip.ActionConv1D',
    'LSTM': 'mmclip.ActionLSTM',
    'Transf': 'mmclip.ActionTransf',
    'Transf_cls': 'mmclip.ActionTransfCls',
}


def head_config(name: str, config: dict, official: bool = True) -> dict:
    """Config of a head with the sizes of a fixture."""
    settings = dict(type=HEADS[name])
    if name == 'Conv_1D':
        settings['official_view'] = official
    if name in ('Transf', 'Transf_cls'):
        settings['layers'] = config['layers']
    if name == 'Transf':
        settings['max_frames'] = config['context_length']
        settings['heads'] = config.get('heads')
    if name == 'Transf_cls':
        settings.update(heads=config.get('heads') or 8, hidden_dim=config.get('ffn') or 2048)
    return settings


def model_of(case: Case, **more) -> ActionCLIPRecognizer:
    """The model of a fixture; what the fixture has no weights for stays random."""
    config = case.config
    model = ActionCLIPRecognizer(
        model=architecture(config), num_frames=config.get('T', 1), prompts='name', **more
    )
    state = case.state
    if any(name.startswith('clip.') for name in state):
        state = {
            k.removeprefix('clip.') if k.startswith('clip.') else k: v for k, v in state.items()
        }
    weights = convert(state)
    result = model.load_state_dict(weights, strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    lacking = [k for k in result.missing_keys if not k.startswith(('text.', 'logit_scale'))]
    assert not lacking, lacking
    model.is_filled = True
    return model.eval()


@torch.no_grad()
def towers(case: Case) -> dict:
    model = model_of(case)
    frames, ids = case.inputs['frames'], case.inputs['input_ids']
    return dict(
        frame_features=model.video.frame_features(frames[:, None])[:, 0],
        text_features=model.text(ids),
    )


@torch.no_grad()
def joint(case: Case) -> dict:
    model = model_of(case, pre_prompt='joint')
    frames = case.inputs['frames'].unflatten(0, (-1, case.config['T']))
    return dict(video_features=model.video(frames))


@torch.no_grad()
def shift(case: Case) -> dict:
    count, n_div = case.config['T'], case.config['n_div']
    model = model_of(case, in_prompt='shift', shift_div=n_div)
    frames = case.inputs['frames'].unflatten(0, (-1, count))
    tokens = case.inputs['shift_in'].transpose(0, 1).unflatten(0, (-1, count))  # (B, T, 1 + N, C)
    return dict(
        frame_features=model.video.frame_features(frames).flatten(0, 1),
        shift_out=temporal_shift(tokens, n_div).flatten(0, 1).transpose(0, 1),
    )


def head(case: Case) -> dict:
    name, config = case.name.removeprefix('postnet_'), case.config
    module = MODELS.build(
        dict(
            head_config(name, config),
            embed_dim=config['embed_dim'],
            num_frames=config['T'],
        )
    )
    ours = {}
    if name == 'Conv_1D':
        ours['init_shift_weight'] = module.conv.weight.detach().clone()
    if case.state:
        weights = convert({f'fusion.{k}': v for k, v in case.state.items()})
        module.load_state_dict(
            {k.removeprefix('video.post_prompt.'): v for k, v in weights.items()}
        )
    module.eval()
    frames = case.inputs['frame_features'].clone().requires_grad_()
    ours['video_features'] = module(frames)
    ours['video_features'].backward(case.inputs['grad_output'])
    ours['grad_input'] = frames.grad
    return ours


def layer_norm(case: Case) -> dict:
    config, state, x = case.config, case.state, case.inputs['x']
    module = MODELS.build(
        dict(type=HEADS['Transf'], embed_dim=config['dim'], num_frames=1, layers=1, heads=1)
    )
    norm = module.blocks[0].ln_1
    assert norm.eps == config['eps_new_modules']
    norm.load_state_dict(state)
    tower = architecture(
        dict(embed_dim=8, image_resolution=8, vision_layers=1, vision_width=64, patch=8)
        | dict(context_length=4, vocab=8, text_width=64, text_layers=1)
    )
    eps = ActionCLIPRecognizer(model=tower, num_frames=1).video.visual.ln_pre.eps
    return dict(
        temporal_ln=norm(x),
        clip_ln=F.layer_norm(x, x.shape[-1:], state['weight'], state['bias'], eps),
    )


def loss(case: Case) -> dict:
    inputs = {k: v.clone() for k, v in case.inputs.items()}
    videos = inputs['video_features'].requires_grad_()
    texts = inputs['text_features'].requires_grad_()
    log_scale = inputs['log_logit_scale'].requires_grad_()
    labels = inputs['labels']
    module = MultiPositiveKLLoss()
    v, t = F.normalize(videos, dim=-1), F.normalize(texts, dim=-1)
    total = module(v, t, log_scale.exp(), labels, labels)
    total.backward()
    with torch.no_grad():
        logits, positive = log_scale.exp() * v @ t.T, positives(labels, labels)
        return dict(
            logits_per_video=logits,
            target=(module.sharpness * positive).softmax(1),
            loss=total,
            loss_video=multi_positive_kl(logits, positive),
            loss_text=multi_positive_kl(logits.T, positive.T),
            grad_video=videos.grad,
            grad_text=texts.grad,
            grad_log_logit_scale=log_scale.grad,
        )


def train_loss(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    name = config['sim_header']
    model = model_of(case, post_prompt=head_config(name, config))
    images, labels = inputs['images'], inputs['labels']
    frames = images.unflatten(1, (config['T'], 3))
    features = model.video(frames)
    texts = F.normalize(model.text(inputs['input_ids']), dim=-1)
    videos = F.normalize(features, dim=-1)
    total = model.loss_module(videos, texts, model.logit_scale.exp(), labels, labels)
    total.backward()
    own = dict(model.named_parameters())
    ours = dict(loss=total, video_features=features)
    for key in case.outputs:
        if key.startswith('grad.'):
            official = key.removeprefix('grad.').removeprefix('clip.')
            # A table that is read is told from one that is not by the blocks beside it.
            probe = {official: case.outputs[key]}
            if official.startswith('fusion.frame'):
                probe |= {k: v for k, v in case.state.items() if '.transformer.resblocks.' in k
                          and k.startswith('fusion.')}  # fmt: skip
            ours[key] = own[next(iter(convert(probe)))].grad
    return ours


def scores(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    texts = F.normalize(inputs['text_features'], dim=-1)
    texts = texts.unflatten(0, (config['num_prompts'], config['num_classes']))
    ours = class_scores(F.normalize(inputs['video_features'], dim=-1)[:, None], texts)
    return dict(
        scores=ours,
        top1=ours.topk(case.outputs['top1'].shape[1], 1).indices,
        top5=ours.topk(case.outputs['top5'].shape[1], 1).indices,
    )


def transform_test(case: Case) -> dict:
    config = case.config
    step = FrameResizeCrop(size=config['input_size'], short_side=config['scale_size'])
    frames = step(dict(imgs=list(case.inputs['frames_rgb_uint8'].numpy())))['imgs']
    settings = clip_preprocess('ViT-B-32-quickgelu')
    preprocessor = MODELS.build(
        dict(
            type='mmaction.ActionDataPreprocessor',
            mean=[255 * v for v in settings['mean']],
            std=[255 * v for v in settings['std']],
        )
    )
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    return dict(tensor=preprocessor.preprocess([video], None)[0][0].flatten(0, 1))


def text_prompts(case: Case) -> list[Comparison]:
    facts = case.sidecar
    prompts = action_prompts('action_clip_16')
    rows = zip(*map(prompts.format, facts['classes']), strict=True)
    ids = clip_tokenizer('ViT-B-32-quickgelu')([text for row in rows for text in row])
    return [
        Comparison('templates', len(prompts.templates), facts['num_text_aug']),
        Comparison('tokens', [[i for i in row if i] for row in ids.tolist()], facts['tokens']),
    ]


def frame_indices(case: Case) -> list[Comparison]:
    compared = []
    for row in case.sidecar['rows']:
        frames, count = row['num_frames'], row['num_segments']
        name = f'{frames} frames, {count} segments'
        compared.append(
            Comparison(f'{name}: middle', (middle_frames(frames, count) + 1).tolist(), row['val'])
        )
        ticks = segment_ticks(frames, count)
        compared.append(Comparison(f'{name}: ticks', ticks.tolist(), row['ticks']))
        random = np.random.RandomState(row['train_seed'])
        drawn = random_frames(frames, count, random)
        official = np.array(row['train']) - 1
        if frames <= count:  # all of them and repeats, in order
            for numbers in (drawn, official):
                assert (np.diff(numbers) >= 0).all() and set(numbers) == set(range(frames))
        else:
            for numbers in (drawn, official):
                assert ((numbers >= ticks[:-1]) & (numbers < ticks[1:])).all()
        compared.append(Comparison(f'{name}: number', len(drawn), len(official)))
    return compared


def multiscale_crop(case: Case) -> list[Comparison]:
    """What the host's transform of our configs may draw."""
    pipeline = Config.fromfile(
        config_path('action_clip/action_clip_vit_b32_transf_8f_k400.py')
    ).train_dataloader.dataset.pipeline
    settings = next(dict(s) for s in pipeline if s['type'] == 'mmaction.MultiScaleCrop')
    settings.pop('type')
    compared = []
    for index, row in enumerate(case.sidecar['rows']):
        width, height = row['image']
        settings['input_size'] = row['input_size']
        crop = processing.MultiScaleCrop(**settings)
        offered = []

        def choose(options: list, offered: list = offered) -> list:
            offered.append([list(option) for option in options])
            return options[1 if len(offered) == 1 else 0]

        with mock.patch.object(processing.random, 'choice', choose):
            crop(dict(imgs=[np.zeros((height, width, 3), np.uint8)], img_shape=(height, width)))
        size = row['input_size']
        pairs = [[size if abs(side - size) < 3 else side for side in pair] for pair in offered[0]]
        compared += [
            Comparison(f'pairs {index}', pairs, row['crop_pairs_wh']),
            Comparison(f'offsets {index}', offered[1], row['offsets_of_first_pair']),
        ]
    return compared


def rates(schedulers: list[dict], optimizer: torch.optim.Optimizer, epochs: int, steps: int):
    """Rates of all groups at the start of every iteration."""
    built = [
        PARAM_SCHEDULERS.get(settings['type']).build_iter_from_epoch(
            optimizer=optimizer,
            epoch_length=steps,
            **{k: v for k, v in settings.items() if k not in ('type', 'convert_to_iter_based')},
        )
        for settings in schedulers
    ]
    rows = []
    for _ in range(epochs * steps):
        rows.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return rows


def lr_schedule(case: Case) -> list[Comparison]:
    facts, steps = case.sidecar, 100
    config = Config.fromfile(config_path('action_clip/action_clip_vit_b32_transf_8f_k400.py'))
    with torch.device('meta'):
        model = MODELS.build(config.model)
    # Mixed precision asks for an accelerator; the groups are the same without.
    settings = dict(type='OptimWrapper', optimizer=config.optim_wrapper.optimizer)
    ratios = {'video.visual': facts['ratio'], 'video.post_prompt': facts['f_ratio']}
    settings['paramwise_cfg'] = dict(
        custom_keys={name: dict(lr_mult=ratio) for name, ratio in ratios.items()}
    )
    shipped = config.optim_wrapper.paramwise_cfg.custom_keys
    assert shipped.keys() == ratios.keys()
    settings['optimizer']['lr'] = base_rate(facts)
    logging.disable(logging.INFO)  # a line for every parameter
    wrapper = build_optim_wrapper(model, settings)
    logging.disable(logging.NOTSET)
    groups = wrapper.optimizer.param_groups
    assert {group['weight_decay'] for group in groups} == {0.2}
    assert {tuple(group['betas']) for group in groups} == {(0.9, 0.98)}
    rate = {id(p): group['lr'] for group in groups for p in group['params']}
    named = {name: rate[id(p)] for name, p in model.named_parameters()}
    assert len(named) == len(rate)
    base = [
        {v for k, v in named.items() if k.startswith(start)}
        for start in (('text.', 'logit_scale'), 'video.visual.', 'video.post_prompt.')
    ]
    assert all(len(values) == 1 for values in base), base
    base = [values.pop() for values in base]

    multistep = facts['multistep_settings']
    compared = []
    for name, own in (
        ('cosine', dict(warmup=facts['warmup'])),
        ('multistep', dict(warmup=multistep['warmup'], milestones=multistep['milestones'])),
    ):
        # The multistep rows may go on beyond the cosine's end.
        last = max(facts['epochs'], *(row['epoch'] + 1 for row in facts[name]))
        total = facts['epochs'] if name == 'cosine' else last
        schedule = dict(type='mmclip.WarmupDecayLR', total=total, **own)
        weights = [torch.nn.Parameter(torch.zeros(1)) for _ in base]
        pairs = zip(weights, base, strict=True)
        optimizer = torch.optim.SGD([dict(params=[w], lr=rate) for w, rate in pairs])
        rows = rates([schedule], optimizer, math.ceil(last), steps)
        compared += [
            Comparison(f'{name} {row["epoch"]}', rows[round(row['epoch'] * steps)], row['lr'])
            for row in facts[name]
        ]
    return compared


def base_rate(facts: dict) -> float:
    """The rate of the first group: given, or read off a row of the linear warm-up."""
    if 'lr' in facts:
        return facts['lr']
    for row in facts['cosine']:
        if 0 < row['epoch'] <= facts['warmup']:
            return row['lr'][0] * facts['warmup'] / row['epoch']
    raise ValueError('the sidecar gives neither lr nor a row of the warm-up')


# -- checkpoints -----------------------------------------------------------------------------------


def clip_keys(case: Case) -> list[Comparison]:
    """CLIP's part of an official checkpoint is the model of our config but for its head."""
    name = {
        'vitb16': 'action_clip_vit_b16_transf_8f_k400.py',
        'vitb32': 'action_clip_vit_b32_transf_8f_k400.py',
        'vitb32_tsm': 'action_clip_vit_b32_shift_8f_k400.py',
        'vitb32_joint8': 'action_clip_vit_b32_joint_8f_k400.py',
    }[case.name.removeprefix('full_keys_clip_')]
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(config_path(f'action_clip/{name}')).model)
    own = {k: v for k, v in model.state_dict().items() if '.post_prompt.' not in k}
    return compare_keys(convert(case.key_state()), own)


def fusion_keys(case: Case) -> list[Comparison]:
    """The head's part is the head of our config."""
    name = case.name.removeprefix('full_keys_fusion_').removesuffix('_T8')
    leaf = name.lower().replace('conv_1d', 'conv1d')
    with torch.device('meta'):
        model = MODELS.build(
            Config.fromfile(config_path(f'action_clip/action_clip_vit_b32_{leaf}_8f_k400.py')).model
        )
    own = {k: v for k, v in model.state_dict().items() if '.post_prompt.' in k}
    return compare_keys(convert(case.key_state()), own)


def port_keys(case: Case) -> list[Comparison]:
    """MMAction2's port is the whole model, with a position table of T rows."""
    frames = int(case.name.rpartition('_T')[2])
    config = Config.fromfile(config_path('action_clip/action_clip_vit_b32_transf_8f_k400.py')).model
    config.post_prompt.max_frames = frames
    with torch.device('meta'):
        model = MODELS.build(config)
    return compare_keys(convert(case.key_state()), model)


ADAPTERS: dict[str, Callable] = {
    'towers': towers,
    'prenet_joint': joint,
    'innet_tsm': shift,
    'postnet_*': head,
    'layernorm_eps': layer_norm,
    'loss_kl': loss,
    'train_loss_*': train_loss,
    'zero_shot_scores': scores,
    'transform_test': transform_test,
    'text_prompts': text_prompts,
    'frame_indices': frame_indices,
    'multiscale_crop': multiscale_crop,
    'lr_schedule': lr_schedule,
    'full_keys_clip_*': clip_keys,
    'full_keys_fusion_*': fusion_keys,
    'full_keys_mmaction2_port_*': port_keys,
}
