"""CLIP4Clip: towers, heads, losses, ranks, sampling, optimizer and checkpoints."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
from torch import multiprocessing

from mmclip import config_path
from mmclip.clip.dense_features import vit_project
from mmclip.clip.loading import clip_tokenizer
from mmclip.datasets.transforms.text_video import cut_frames, frames_by_second
from mmclip.datasets.transforms.video import FrameResizeCrop
from mmclip.engine.param_group_rules import RegexOptimWrapperConstructor
from mmclip.evaluation.video_ranks import (
    MatrixScores,
    group_scores,
    rank_summary,
    text_ranks,
    video_ranks,
)
from mmclip.models.clip4clip.convert import convert
from mmclip.models.clip4clip.freeze import frozen_names
from mmclip.models.clip4clip.loss import symmetric_cross_entropy
from mmclip.models.clip4clip.retriever import CLIP4Clip, video_text_preprocessor
from mmclip.registry import MODELS
from parity.adapters._clip_towers import architecture
from parity.adapters._processes import start_method
from parity.case import Case, Comparison, compare_keys

HEADS = {
    'meanP': 'mmclip.MeanPHead',
    'seqLSTM': 'mmclip.SeqLSTMHead',
    'seqTransf': 'mmclip.SeqTransfHead',
    'tightTransf': 'mmclip.TightTransfHead',
}


def head_config(name: str, config: dict, rows: int) -> dict:
    """Config of a head with the sizes of a fixture; ``rows`` of its position table."""
    settings = dict(type=HEADS[name])
    if name in ('seqTransf', 'tightTransf'):
        settings.update(
            layers=config['cross_num_hidden_layers'], heads=config.get('heads'), max_frames=rows
        )
    if name == 'tightTransf':
        settings['dropout'] = config.get('dropout', 0.1)
    return settings


def table_rows(state: dict) -> int:
    """Rows of the position table in a fixture; any number where none is read."""
    names = ('frame_position_embeddings.weight', 'cross.embeddings.position_embeddings.weight')
    return next((len(state[name]) for name in names if name in state), 1)


def model_of(case: Case, **more) -> CLIP4Clip:
    """The model of a fixture that holds towers."""
    config = case.config
    model = CLIP4Clip(
        model=architecture(config),
        max_words=config['max_words'],
        linear_patch=config.get('linear_patch', '2d'),
        **more,
    )
    # A fixture of the image tower alone has no text tower.
    result = model.load_state_dict(convert(case.state), strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    lacking = [k for k in result.missing_keys if not k.startswith('clip.') or '.visual.' in k]
    assert not lacking, lacking
    model.is_filled = True
    return model.eval()


def head_of(case: Case) -> torch.nn.Module:
    """The head of a fixture without towers, in eval mode."""
    config = case.config
    name = config.get('sim_header') or case.name.removeprefix('sim_')
    settings = head_config(name, config, table_rows(case.state))
    head = MODELS.build(dict(settings, embed_dim=config['hidden']))
    weights = convert(case.state)
    head.load_state_dict(
        {k.removeprefix('sim_head.'): v for k, v in weights.items() if k.startswith('sim_head.')}
    )
    return head.eval()


# -- towers ----------------------------------------------------------------------------------------


@torch.no_grad()
def towers(case: Case) -> dict:
    model = model_of(case)
    frames, ids = case.inputs['frames'], case.inputs['input_ids']
    clip = model.clip
    hidden = clip.visual.transformer(clip.visual._embeds(frames))
    x = clip.token_embedding(ids) + clip.positional_embedding[: ids.shape[1]]
    mask = clip.attn_mask[: ids.shape[1], : ids.shape[1]]
    text = clip.ln_final(clip.transformer(x, attn_mask=mask)) @ clip.text_projection
    features, _ = model.encode_frames(frames[:, None])
    with torch.enable_grad():
        trained = model.encode_texts(ids)
    torch.testing.assert_close(trained, model.encode_texts(ids), atol=1e-5, rtol=1e-5)
    return dict(
        frame_features=features[:, 0],
        frame_hidden=vit_project(clip.visual, hidden),
        text_features=trained,
        text_hidden=text,
    )


@torch.no_grad()
def tower_3d(case: Case) -> dict:
    model, video = model_of(case), case.inputs['video']
    patches = model.patch_3d(video.transpose(1, 2)).transpose(1, 2).flatten(0, 1)
    from mmclip.models.clip4clip.frame_tower import _tokens

    hidden = model.clip.visual.transformer(_tokens(model.clip.visual, patches))
    hidden = vit_project(model.clip.visual, hidden).unflatten(0, video.shape[:2])
    # Padding has features of its own in the fixture, so every frame counts as real here.
    return dict(frame_features=model.encode_frames(video)[0], frame_hidden=hidden)


# -- heads and losses ------------------------------------------------------------------------------


@torch.no_grad()
def similarity(case: Case) -> dict:
    head, inputs = head_of(case), case.inputs
    frames, mask, texts = inputs['frames'], inputs['video_mask'].bool(), inputs['text'][:, 0]
    if not head.is_loose:
        with torch.enable_grad():
            slow = head(texts, frames, mask)
        fast = head(texts, frames, mask)
        torch.testing.assert_close(slow, fast, atol=1e-5, rtol=1e-5)
        first = texts[:1].expand(len(frames), -1)
        hidden = head.hidden(first, frames, mask)
        pooled = head.gelu(head.pooler['dense'](head.pooler['ln_pool'](hidden[:, 0])))
        return dict(logits=fast, pooled_text0=pooled, cross_hidden_text0=hidden[-1])
    scale = case.state['clip.logit_scale'].exp()
    ours = dict(logits=scale * F.normalize(texts, dim=-1) @ head(frames, mask).T)
    if 'frames_after_head' in case.outputs:
        ours['frames_after_head'] = head.sequence(frames, mask)
    return ours


def layer_norm(case: Case) -> dict:
    config, state, x = case.config, case.state, case.inputs['x']
    settings = dict(type=HEADS['seqTransf'], embed_dim=config['dim'], layers=1, heads=1)
    norm = MODELS.build(settings).blocks[0].ln_1
    assert norm.eps == config['eps_new_modules']
    norm.load_state_dict(state)
    tower = dict(embed_dim=8, image_resolution=8, vision_layers=1, vision_width=64, patch=8)
    tower |= dict(context_length=8, vocab=8, text_width=64, text_layers=1)
    eps = CLIP4Clip(model=architecture(tower), max_words=8).clip.visual.ln_pre.eps
    return dict(
        temporal_ln=norm(x),
        clip_ln=F.layer_norm(x, x.shape[-1:], state['weight'], state['bias'], eps),
    )


def loss(case: Case) -> dict:
    logits = case.inputs['sim_matrix'].clone().requires_grad_()
    total = symmetric_cross_entropy(logits)
    total.backward()
    own = torch.arange(len(logits))
    with torch.no_grad():
        return dict(
            loss=total,
            grad_sim=logits.grad,
            loss_t2v=F.cross_entropy(logits, own),
            loss_v2t=F.cross_entropy(logits.T, own),
        )


def train_loss(case: Case) -> dict:
    config, inputs = case.config, case.inputs
    head = head_config(config['sim_header'], config, table_rows(case.state))
    model = model_of(case, sim_head=head).train()
    frames, mask = model.encode_frames(
        dict(frames=inputs['video'][:, 0, :, 0], mask=inputs['video_mask'][:, 0])
    )
    texts = model.encode_texts(inputs['input_ids'])
    total = model.loss_of_features(texts, frames, mask)['loss_retrieval']
    total.backward()
    own = dict(model.named_parameters())
    ours = dict(loss=total)
    for key in case.outputs:
        if key.startswith('grad.'):
            official = key.removeprefix('grad.')
            probe = {official: case.outputs[key]}
            if official.startswith('frame_position'):  # read where there are blocks beside it
                probe |= {k: v for k, v in case.state.items() if k.startswith('transformerClip.')}
            ours[key] = own[next(iter(convert(probe)))].grad
    return ours


def _rank(rank: int, folder: str, case: Case) -> None:
    """One of the processes of a ``dist2`` fixture, with ``gather='official'``."""
    torch.set_num_threads(1)
    world = case.config['world_size']
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world
    )
    head = head_of(case)
    module = MODELS.build(dict(type='mmclip.VideoTextLoss', gather='official'))
    frames = case.inputs[f'rank{rank}.frames'].requires_grad_()
    texts = case.inputs[f'rank{rank}.text'][:, 0].requires_grad_()
    mask = case.inputs[f'rank{rank}.video_mask'].bool()
    log_scale = case.state['clip.logit_scale'].requires_grad_()
    logits: list[torch.Tensor] = []

    # The logits are seen where they become a loss.
    import mmclip.models.clip4clip.loss as loss_module

    def seen(matrix: torch.Tensor) -> torch.Tensor:
        logits.append(matrix.detach())
        return symmetric_cross_entropy(matrix)

    loss_module.symmetric_cross_entropy = seen
    if head.is_loose:
        total = module.loose(F.normalize(texts, dim=-1), head(frames, mask), log_scale.exp())
    else:
        total = module.tight(head.all_pairs, texts, frames, mask)
    total.backward()
    ours = dict(loss=total.detach(), logits=logits[0], grad_frames=frames.grad)
    ours |= dict(grad_text=texts.grad[:, None])
    if log_scale.grad is not None:
        ours['grad_logit_scale'] = log_scale.grad
    torch.save(ours, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def two_ranks(case: Case) -> dict:
    world = case.config['world_size']
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.start_processes(
            _rank, (folder, case), nprocs=world, start_method=start_method()
        )
        parts = [torch.load(Path(folder, f'{rank}.pt')) for rank in range(world)]
    return {f'rank{rank}.{k}': v for rank, part in enumerate(parts) for k, v in part.items()}


# -- metrics ---------------------------------------------------------------------------------------


def _summary(way: str, ranks: torch.Tensor, lower: bool = False) -> dict:
    found = rank_summary(ranks, (1, 5, 10), lower_median=lower)
    names = {'R@1': 'R1', 'R@5': 'R5', 'R@10': 'R10', 'MdR': 'MedianR', 'MnR': 'MeanR'}
    return {f'{way}.{names[k]}': torch.tensor(v, dtype=torch.double) for k, v in found.items()}


def metrics_single(case: Case) -> dict:
    matrix = case.inputs['sim_matrix']
    scores, owner = MatrixScores(matrix), torch.arange(len(matrix))
    ranks = dict(t2v=text_ranks(scores, owner), v2t=video_ranks(scores, owner))
    ours = {f'{way}.cols': value for way, value in ranks.items()}
    for way, value in ranks.items():
        ours |= _summary(way, value)
    return ours


def metrics_multi(case: Case) -> dict:
    matrix, ends = case.inputs['sim_matrix'], case.inputs['cut_off_points']
    counts = torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype))
    owner = torch.arange(len(counts)).repeat_interleave(counts)
    scores = MatrixScores(matrix)
    to_videos, to_texts = text_ranks(scores, owner), video_ranks(scores, owner)
    return {
        **_summary('t2v', to_videos, lower=True),
        't2v.Std_Rank': to_videos.double().std(correction=0),
        **_summary('v2t', to_texts),
        'v2t.cols': to_texts,
        'v2t_sim': group_scores(matrix, owner, len(counts)).T.double(),
    }


# -- data ------------------------------------------------------------------------------------------


def preprocess(case: Case) -> dict:
    step = FrameResizeCrop(size=case.config['size'])
    frames = step(dict(imgs=[case.inputs['frame_rgb_uint8'].numpy()]))['imgs']
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    preprocessor = MODELS.build(video_text_preprocessor('ViT-B-32-quickgelu'))
    return dict(tensor=preprocessor(dict(inputs=[video]))['inputs']['frames'][0, 0])


def frame_sampling(case: Case) -> list[Comparison]:
    facts, compared = case.sidecar, []
    for i, row in enumerate(facts['extract']):
        numbers = frames_by_second(
            row['frame_count'],
            row['fps'],
            row['sample_fp'],
            start=row['start_time'],
            end=row['end_time'],
        )
        compared.append(Comparison(f'extract {i}', numbers.tolist(), row['decoded_frame_indices']))
    for i, row in enumerate(facts['slice']):
        places = cut_frames(row['num_sampled'], row['max_frames'], row['name'])
        compared += [
            Comparison(f'slice {i}', places.tolist(), row['indices']),
            Comparison(f'slice {i} mask', len(places), row['mask_len']),
        ]
    # Officially the last sentence of a video brings its frames; here a video is one sample.
    keep = facts['keep']
    counts = torch.tensor(keep['captions_per_video'])
    owner = torch.arange(len(counts)).repeat_interleave(counts)
    last = (torch.diff(owner, append=torch.tensor([-1])) != 0).nonzero()[:, 0]
    size = keep['batch_size']
    rows = [[int(n) % size for n in last if n // size == b] for b in range(len(keep['rows']))]
    compared.append(Comparison('keep', rows, keep['rows']))
    compared.append(Comparison('videos encoded', len(last), len(counts)))
    return compared


def tokenize(case: Case) -> list[Comparison]:
    compared, tokenizer = [], clip_tokenizer('ViT-B-32-quickgelu')
    for i, row in enumerate(case.sidecar['rows']):
        ids = tokenizer([row['text']], row['max_words'])[0]
        compared += [
            Comparison(f'ids {i}', ids.tolist(), row['input_ids']),
            Comparison(f'mask {i}', (ids != 0).int().tolist(), row['mask']),
        ]
    return compared


# -- optimizer -------------------------------------------------------------------------------------


def bert_adam(case: Case) -> dict:
    facts, inputs = case.config, case.inputs
    names = sorted(
        (name for name in inputs if name.startswith('param')), key=lambda n: int(n[len('param') :])
    )
    weights = [torch.nn.Parameter(inputs[name].clone()) for name in names]
    groups = [
        dict(params=[weight], lr=lr, weight_decay=decay)
        for weight, lr, decay in zip(
            weights, facts['lr_groups'], facts['weight_decay'], strict=True
        )
    ]
    optimizer = OPTIMIZERS.build(
        dict(
            type='mmclip.BertAdam',
            params=groups,
            lr=facts['lr'],
            betas=(facts['b1'], facts['b2']),
            eps=facts['e'],
            max_grad_norm=facts['max_grad_norm'],
        )
    )
    total = facts['t_total']
    scheduler = PARAM_SCHEDULERS.build(
        dict(
            type='mmclip.WarmupCosineLR',
            optimizer=optimizer,
            total=total,
            warmup=facts['warmup'] * total,
            start_factor=0.0,
            end_factor=0.0,
            delay=0,
            by_epoch=False,
        )
    )
    ours, factors = {}, []
    for step, flat in enumerate(inputs['grads'], start=1):
        factors.append(optimizer.param_groups[0]['lr'] / facts['lr_groups'][0])
        parts = flat.split([weight.numel() for weight in weights])
        for weight, part in zip(weights, parts, strict=True):
            weight.grad = part.view_as(weight).clone()
        optimizer.step()
        scheduler.step()
        for number, weight in enumerate(weights):
            ours[f'step{step:02}.param{number}'] = weight.detach().clone()
    return {**ours, 'lr_factor': torch.tensor(factors, dtype=torch.double)}


def meta_model(name: str, **more) -> CLIP4Clip:
    """The model of our config for an official variant, ``'vitb32_meanP_3d'``."""
    size, head, patch = name.split('_')
    letter, number = size.removeprefix('vit')[0].upper(), size.removeprefix('vit')[1:]
    config = Config.fromfile(
        config_path(f'clip4clip/clip4clip_vit_b32_{head.lower()}_msrvtt_9k.py')
    ).model
    config.update(model=f'ViT-{letter}-{number}-quickgelu', linear_patch=patch, **more)
    with torch.device('meta'):
        return MODELS.build(config)


def param_groups(case: Case) -> list[Comparison]:
    facts, compared = case.sidecar, []
    official = Config.fromfile(config_path('_base_/schedules/clip4clip_official_5e.py'))
    settings = official.optim_wrapper
    rate, decay = settings.optimizer.lr, settings.optimizer.weight_decay
    for name, reference in facts['groups'].items():
        model = meta_model(name)
        constructor = RegexOptimWrapperConstructor(
            dict(type='OptimWrapper', optimizer=settings.optimizer), settings.paramwise_cfg
        )
        ours: dict[str, list[str]] = {}
        for group in constructor.groups(model):
            kind = 'decay' if group['weight_decay'] == decay else 'nodecay'
            kind += '_new' if group['lr'] == rate else '_clip'
            ours[kind] = group['names']
        # Ours under the official names of the new modules, without the table that nobody reads.
        for kind in ('decay_new', 'nodecay_new'):
            names = [n for n in reference[kind] if not n.startswith('... ')]
            probe = {n: torch.empty(0) for n in names}
            probe |= {'clip.logit_scale': torch.empty(0)}
            found = [n for n in convert(probe) if n != 'clip.logit_scale']
            compared.append(Comparison(f'{name} {kind}', sorted(ours.get(kind, [])), sorted(found)))
        for kind in ('decay_clip', 'nodecay_clip'):
            compared.append(Comparison(f'{name} {kind}', len(ours[kind]), reference[kind]))
        listed = [n for n in reference['decayed_clip_non_matrix'] if not n.startswith('... ')]
        compared.append(
            Comparison(f'{name} norms', [], sorted(set(listed) - set(ours['decay_clip'])))
        )
    for name, reference in facts['freeze'].items():
        variant, number = name.split('_freeze')
        official = dict(official_3d_freeze=True) if variant.endswith('3d') else {}
        model = meta_model(variant, freeze_layer_num=int(number), **official)
        frozen = [
            n
            for n, p in model.clip.named_parameters()
            # The 2D patches are not used beside 3D ones.
            if not p.requires_grad
            and not (model.patch_3d is not None and n == 'visual.conv1.weight')
        ]
        if model.patch_3d is None:
            expected = frozen_names([n for n, _ in model.clip.named_parameters()], int(number))
            assert frozen == expected
        blocks = [n.split('.resblocks.') for n in frozen if '.resblocks.' in n]
        numbered = {f'{tower}.{rest.split(".")[0]}' for tower, rest in blocks}
        compared += [
            Comparison(f'{name} number', len(frozen), reference['n_frozen']),
            Comparison(
                f'{name} names',
                sorted(n for n in frozen if '.resblocks.' not in n),
                sorted(reference['frozen']),
            ),
            Comparison(f'{name} blocks', sorted(numbered), sorted(reference['frozen_blocks'])),
        ]
    return compared


def init_map(case: Case) -> list[Comparison]:
    """What starts from which weight of CLIP, on one with a text block more than the heads have."""
    compared = []
    numbers = [
        int(key.split('.resblocks.')[1].split('.')[0])
        for keys in case.sidecar['maps'].values()
        for key in keys
        if '.resblocks.' in key
    ]
    layers = 1 + max(numbers)
    tower = dict(embed_dim=64, image_resolution=16, vision_layers=1, vision_width=64, patch=8)
    tower |= dict(context_length=77, vocab=49408, text_width=64, text_layers=layers + 1)
    for variant, reference in case.sidecar['maps'].items():
        name, patch = variant.split('_')
        torch.manual_seed(0)
        head = head_config(name, dict(cross_num_hidden_layers=layers), 77)
        model = CLIP4Clip(model=architecture(tower), sim_head=head, linear_patch=patch)
        random = {k: v.clone() for k, v in model.state_dict().items()}
        model.init_weights()
        clip, own = model.clip.state_dict(), model.state_dict()
        reads = any(k.startswith('transformerClip.') for k in reference)
        named = {k: v for k, v in reference.items()
                 if reads or k != 'frame_position_embeddings.weight'}  # fmt: skip
        ours = {}
        for official, source in named.items():
            probe = {official: torch.empty(0)}
            if reads:
                probe |= {'transformerClip.resblocks.9.x': torch.empty(0)}
            key = next(iter(convert(probe)))
            value = own[key]
            if source in clip:
                ours[official] = source if torch.equal(value, clip[source]) else 'another'
            elif official.endswith('conv2.weight'):
                center = torch.zeros_like(value)
                center[:, :, 1] = clip['visual.conv1.weight']
                ours[official] = source if torch.equal(value, center) else 'another'
            else:
                assert source.startswith('random'), source
                assert torch.equal(value, random[key])
                fits = {
                    'ones': bool(value.eq(1).all()),
                    'zeros': bool(value.eq(0).all()),
                    'normal(0, 0.02)': 0.01 < float(value.square().mean().sqrt()) < 0.03,
                    'PyTorch nn.LSTM default': float(value.abs().max())
                    <= value.shape[0] ** -0.5 * 2,
                }
                ours[official] = source if fits[source.removeprefix('random: ')] else 'another'
        compared.append(Comparison(variant, ours, named))
        new = {k for k in own if not k.startswith('clip.')}
        compared.append(Comparison(f'{variant}: all', len(new), len(named)))
    return compared


# -- checkpoints -----------------------------------------------------------------------------------


def full_keys(case: Case) -> list[Comparison]:
    """An official checkpoint is the model of our config."""
    logging.disable(logging.INFO)
    model = meta_model(case.name.removeprefix('full_keys_'))
    logging.disable(logging.NOTSET)
    return compare_keys(convert(case.key_state()), model)


ADAPTERS: dict[str, Callable] = {
    'towers_2d': towers,
    'tower_3d': tower_3d,
    'sim_*': similarity,
    'layernorm_eps': layer_norm,
    'loss_symmetric_ce': loss,
    'train_loss_*': train_loss,
    'dist2_*': two_ranks,
    'metrics_single_*': metrics_single,
    'metrics_multi_*': metrics_multi,
    'preprocess': preprocess,
    'frame_sampling': frame_sampling,
    'tokenize': tokenize,
    'bert_adam': bert_adam,
    'param_groups_and_freeze': param_groups,
    'init_map': init_map,
    'full_keys_*': full_keys,
}
