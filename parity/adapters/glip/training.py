"""Adapters of GLIP's checkpoints, rates, schedules and tunings."""

from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn
from torch.overrides import TorchFunctionMode

from mmclip import config_path
from mmclip.engine.param_group_rules import RegexOptimWrapperConstructor
from mmclip.models.glip.convert import convert
from mmclip.registry import MODELS
from parity.adapters.glip.detector import detector_config
from parity.adapters.glip.parts import TOWER
from parity.case import Case, Comparison


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
        large='glip_l_swin-l_four_ods_goldg_cap24m',
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
    for size, leaf in (
        ('tiny', 'glip_c_swin-t_o365_goldg'),
        ('large', 'glip_l_swin-l_four_ods_goldg_cap24m'),
    ):
        wrapper = Config.fromfile(config_path(f'glip/{leaf}.py')).optim_wrapper
        constructor = RegexOptimWrapperConstructor(
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


ADAPTERS = {
    'full_keys_*': full_keys,
    'optim_and_tuning': optim_and_tuning,
}
