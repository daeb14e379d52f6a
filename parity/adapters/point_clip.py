"""PointCLIP: projections, adapter, both pipelines, weight search, schedule and checkpoints."""

import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import PARAM_SCHEDULERS

from mmclip.clip.config import clip_config_of
from mmclip.clip.layouts import to_open_clip
from mmclip.io.checkpoint import write_state_dict
from mmclip.models.point_clip.adapter import InterViewAdapter
from mmclip.models.point_clip.classifier import PointCLIPClassifier
from mmclip.models.point_clip.convert import adapter_name, convert, convert_clip
from mmclip.models.point_clip.loss import SmoothCELoss
from mmclip.models.point_clip.perspective import DepthAccumulator, PerspectiveDepthProjector
from mmclip.models.point_clip.realistic import RealisticDepthProjector
from mmclip.models.point_clip.view_weights import (
    official_grid,
    scores_of_features,
    search_grid,
)
from mmclip.registry import MODELS, TRANSFORMS
from parity.case import Case, Comparison, compare_keys

VIEWS = {'zs': 'zero_shot6', 'fs': 'few_shot10'}


def projector_settings(mode: str, config: dict, **options: object) -> dict:
    """Of the projector that the sidecar describes; its number of views must be the set's."""
    settings = dict(
        type='mmclip.PerspectiveDepthProjector',
        views=VIEWS[mode],
        resolution=config['resolution'],
        distance=-config['trans'],
        **options,
    )
    found = MODELS.build(settings).num_views
    if found != config['num_views']:
        raise ValueError(f'num_views: {config["num_views"]}, the official {mode} has {found}')
    return settings


def projection(case: Case) -> dict:
    config = case.config
    splat = (config['size_x'], config['size_y'])
    upsampled = next((name for name in case.outputs if name.startswith('upsampled_')), None)
    size = int(re.findall(r'\d+', upsampled)[0]) if upsampled else None
    settings = projector_settings(config['mode'], config, splat=splat, image_size=size)
    projector: PerspectiveDepthProjector = MODELS.build(settings)
    maps = projector.depth_maps(case.inputs['points']).flatten(0, 1)
    translation = torch.zeros(projector.num_views, 1, 3)
    translation[..., 2] = -projector.distance
    ours = dict(depth=maps, rot_mat=projector.rotations.mT, translation=translation)
    if upsampled:
        ours[upsampled] = projector.images(maps)[config['upsampled_views'], 0]
    return ours


def points2depth(case: Case) -> dict:
    points = case.inputs['points']
    size = (case.config['image_height'], case.config['image_width'])
    owners = torch.arange(len(points))[:, None].expand(points.shape[:2])
    ours = {}
    for name in case.outputs:
        splat = tuple(map(int, re.fullmatch(r'depth_size(\d+)x(\d+)', name).groups()))
        values, weights = torch.zeros(2, len(points) * size[0] * size[1])
        maps = DepthAccumulator(len(points), size, splat, values=values, weights=weights)
        maps.add(*points.unbind(-1), owners)
        maps.finish(None)
        ours[name] = values.reshape(len(points), *size)
    return ours


def realistic(case: Case) -> dict:
    config = case.config
    projector = RealisticDepthProjector(
        resolution=config['resolution'],
        depth=config['depth'],
        scale=config['obj_ratio'],
        depth_bias=config['depth_bias'],
        pool=(config['maxpoolz'], config['maxpoolxy']),
        pool_padding=(config['maxpoolpadz'], config['maxpoolpadxy']),
        gaussian=(config['convz'], config['convxy']),
        sigma=(config['convsigmaz'], config['convsigmaxy']),
        padding=(config['convpadz'], config['convpadxy']),
        background=config['bg_clr'],
        image_size=None,
    )
    if projector.num_views != config['num_views']:
        raise ValueError(f'num_views: {config["num_views"]}, officially {projector.num_views}')
    maps = projector.depth_maps(case.inputs['points']).flatten(0, 1)
    return dict(
        image_channel0=maps,
        gauss_kernel=projector.squeeze.kernel[None, None],
        rot_mat=projector.rotations.mT,
        rot_mat_bias=projector.tilts.mT,
    )


def build_adapter(config: dict, width: int) -> dict:
    return dict(
        type='mmclip.InterViewAdapter',
        ratio=config['adapter_ratio'],
        fusion_init=config['fusion_init'],
        dropout=config['dropout'],
        num_views=config['num_views'],
        embed_dim=width,
    )


def adapter(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    views = config['num_views']
    module: InterViewAdapter = MODELS.build(build_adapter(config, config['channel']))
    state = {k.removeprefix('adapter.'): v for k, v in convert(case.state).items()}
    module.load_state_dict(state)
    loss = SmoothCELoss(eps=config['label_smoothing_eps'])
    scale = float(inputs['log_logit_scale'].exp())

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        raw = module(inputs['view_features'].unflatten(0, (-1, views))).flatten(1)
        scores = scores_of_features(
            F.normalize(raw, dim=1), inputs['text_features'], num_views=views, logit_scale=scale
        )
        return raw, scores.sum(1)

    module.eval()
    ours = dict(zip(('eval_features', 'eval_logits'), run(), strict=True))
    module.train()
    ours |= zip(('train_features', 'train_logits'), run(), strict=True)
    ours['train_loss'] = loss(ours['train_logits'], inputs['labels'])
    ours['train_loss'].backward()
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    for name in case.outputs:
        kind, _, official = name.partition('/')
        if kind == 'grad':
            ours[name] = parameters[adapter_name(official)].grad
        elif kind == 'after_step_buffer':
            ours[name] = buffers[adapter_name(official)]
    return ours


def model(case: Case, mode: str, clip: dict, folder: str, **options: object) -> PointCLIPClassifier:
    """Our classifier with the case's CLIP, read from a file as a user's is."""
    architecture = clip_config_of(
        clip,
        vision_heads=case.config['clip'].get('vision_heads'),
        text_heads=case.config['clip']['transformer_heads'],
        quick_gelu=True,
    )
    file = Path(folder) / 'clip.safetensors'
    write_state_dict(clip, file)
    tower = dict(model=architecture, pretrained=str(file))
    built: PointCLIPClassifier = MODELS.build(
        dict(
            type='mmclip.PointCLIPClassifier',
            projector=projector_settings(
                mode, case.config, image_size=case.config['clip']['image_resolution']
            ),
            backbone=dict(type='mmclip.OpenCLIPBackbone', **tower),
            head=dict(
                type='mmclip.TextEmbeddingClassifier',
                text_encoder=dict(type='mmclip.CLIPTextEncoder', **tower),
                prompts=case.config['template'],
                background=None,
                temperature=float(torch.exp(-clip['logit_scale'].double())),
            ),
            **options,
        )
    )
    built.set_classes(case.config['classnames'])
    built.fill()
    return built


@torch.no_grad()
def zeroshot_pipeline(case: Case) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        built = model(case, 'zs', to_open_clip(case.state), folder).eval()
    points = case.inputs['points']
    texts = built.head.filled_embeddings() / math.sqrt(built.num_views)
    return {
        'logits': built(points),
        'view_features': built.view_features(points),
        'text_features_repeated_normalised': texts.repeat(1, built.num_views),
    }


def fewshot_pipeline(case: Case) -> dict:
    config, labels = case.config, case.inputs['labels']
    state = case.state
    clip = convert_clip(state)
    # The sidecar has no smoothing of its own: the official code has one only.
    settings = build_adapter(config, config['clip']['embed_dim'])
    with tempfile.TemporaryDirectory() as folder:
        built = model(case, 'fs', clip, folder, adapter=settings)
    left = built.load_state_dict(convert(state), strict=False)
    if left.unexpected_keys or any(
        k.startswith(('adapter', 'backbone')) for k in left.missing_keys
    ):
        raise ValueError(f'the converted state does not fit: {left}')
    points = case.inputs['points']
    with torch.no_grad():
        evaluated = built.eval()(points)
    logits = built.train()(points)
    loss = built.loss_module(logits, labels)
    loss.backward()
    parameters = dict(built.adapter.named_parameters())
    grads = {
        name: parameters[adapter_name(name.removeprefix('grad/adapter.'))].grad
        for name in case.outputs
        if name.startswith('grad/')
    }
    return dict(eval_logits=evaluated, train_logits=logits, train_loss=loss, **grads)


def view_weight_search(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    scores = scores_of_features(
        inputs['features'],
        inputs['text_features'],
        num_views=config['num_views'],
        logit_scale=float(inputs['log_logit_scale'].exp()),
    )
    grid = official_grid(config['search_time'], config['search_range'])
    found = search_grid(scores, inputs['labels'], choices=grid)
    # The official code prints two decimals.
    return dict(
        accuracy_before=round(found.accuracy_uniform, 2),
        accuracy_after=round(found.accuracy, 2),
        view_weights=[round(weight, 2) for weight in found.weights],
        num_improvements=found.improvements,
    )


def train_augment(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    transform = TRANSFORMS.build(
        dict(
            type='mmclip.RandomScaleShiftPoints',
            scale=config['scale_range'],
            shift=config['shift_range'],
        )
    )
    draws = {tuple(config[f'{name}_range']): inputs[name].numpy() for name in ('scale', 'shift')}
    # The draws are the fixture's; the ranges are checked by being asked for.
    generator = SimpleNamespace(uniform=lambda low, high, size: draws[low, high])
    with mock.patch.object(np.random.mtrand, '_rand', generator):
        out = transform(dict(points=inputs['points'].numpy()))
    return dict(points=torch.as_tensor(out['points']))


def lr_schedule(case: Case) -> list[Comparison]:
    config = case.config
    warmup, epochs = config['warmup_epoch'], config['max_epoch']
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=config['lr'])
    # MMEngine's constant ends with the step that restores the rate, which belongs to the cosine.
    factor = config['warmup_cons_lr'] / config['lr']
    settings = (
        dict(type='ConstantLR', factor=factor, end=warmup + 1),
        dict(type='CosineAnnealingLR', T_max=epochs, begin=warmup, end=warmup + epochs),
    )
    schedulers = [
        PARAM_SCHEDULERS.build(row, default_args=dict(optimizer=optimizer)) for row in settings
    ]
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return [Comparison('lr', rates, case.sidecar['lr_per_epoch'])]


def full_keys(case: Case) -> list[Comparison]:
    """The converted checkpoint fills our adapter, key by key and shape by shape."""
    converted = convert(case.key_state())
    views, width = case.key_shapes['fusion_ratio'][0], case.key_shapes['global_f.3.bias'][0]
    with torch.device('meta'):
        module = torch.nn.ModuleDict(
            dict(adapter=InterViewAdapter(num_views=views, embed_dim=width))
        )
    return compare_keys(converted, module)


ADAPTERS: dict[str, Callable] = {
    'projection_*': projection,
    'points2depth_edge': points2depth,
    'v2_realistic_projection': realistic,
    'adapter': adapter,
    'zeroshot_pipeline': zeroshot_pipeline,
    'fewshot_pipeline': fewshot_pipeline,
    'view_weight_search_*': view_weight_search,
    'train_augment': train_augment,
    'lr_schedule': lr_schedule,
    'full_keys_adapter_*': full_keys,
}
