"""Rates and decays by rules over the names of parameters, of which several may hold at once."""

import re
from collections.abc import Sequence

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from mmclip.registry import OPTIM_WRAPPER_CONSTRUCTORS

_FACTORS = ('lr_mult', 'decay_mult')
# What DDP, FSDP, activation checkpointing and torch.compile put into names.
_WRAPPERS = re.compile(
    r'^module\.|(?<![^.])_(fsdp_wrapped_module|checkpoint_wrapped_module|orig_mod)\.'
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class RegexOptimWrapperConstructor:
    """A group of parameters per pair of rate and decay; factors of all fitting rules multiply.

    MMEngine's own constructor takes the first key that a name contains, so that it cannot say "a
    thousandth of the rate for the towers, and no decay for biases, those of the towers too"::

        optim_wrapper = dict(
            constructor='mmclip.RegexOptimWrapperConstructor',
            paramwise_cfg=dict(rules=[
                dict(pattern=r'^clip\\.', lr_mult=1e-3), dict(pattern='bias', decay_mult=0)]), ...)

    Args:
        optim_wrapper_cfg: Config of the wrapper, with ``optimizer`` (with ``lr``).
        paramwise_cfg: ``rules``: dicts of ``pattern``, a regular expression that is looked for in
            the name, and ``lr_mult`` or ``decay_mult``.

    Raises:
        ValueError: a rule without a pattern, with an unknown key, or (when the model is known) one
            that fits no parameter.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = dict(self.wrapper.pop('optimizer'))
        paramwise_cfg = dict(paramwise_cfg or {})
        self.rules: Sequence[dict] = [dict(rule) for rule in paramwise_cfg.pop('rules', ())]
        for rule in self.rules:
            unknown = rule.keys() - {'pattern', *_FACTORS}
            if unknown or 'pattern' not in rule:
                raise ValueError(
                    f'paramwise_cfg.rules: {rule}; each has a pattern and any of {_FACTORS}'
                )
        if paramwise_cfg:
            raise ValueError(f'paramwise_cfg: {sorted(paramwise_cfg)} unknown; allowed is rules')

    def groups(self, model: nn.Module) -> list[dict]:
        """Groups with ``params``, ``lr`` and ``weight_decay``, and ``names`` of the parameters.

        Raises:
            ValueError: a rule that fits no parameter.
        """
        lr, decay = self.optimizer['lr'], self.optimizer.get('weight_decay', 0)
        groups: dict[tuple[float, float], dict] = {}
        used = set()
        for wrapped_name, parameter in model.named_parameters():
            name = _WRAPPERS.sub('', wrapped_name)
            factors = dict.fromkeys(_FACTORS, 1.0)
            for number, rule in enumerate(self.rules):
                if re.search(rule['pattern'], name):
                    used.add(number)
                    for key in _FACTORS:
                        factors[key] *= rule.get(key, 1)
            key = lr * factors['lr_mult'], decay * factors['decay_mult']
            group = groups.setdefault(
                key, dict(params=[], lr=key[0], weight_decay=key[1], names=[])
            )
            group['params'].append(parameter)
            group['names'].append(name)
        unused = [rule['pattern'] for i, rule in enumerate(self.rules) if i not in used]
        if unused:
            raise ValueError(f'paramwise_cfg.rules: {unused} fit no name of a parameter')
        return list(groups.values())

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The wrapper around the optimizer of the groups."""
        groups = [{k: v for k, v in g.items() if k != 'names'} for g in self.groups(model)]
        optimizer = OPTIMIZERS.build(dict(self.optimizer, params=groups))
        return OPTIM_WRAPPERS.build(
            dict(self.wrapper, optimizer=optimizer), default_args=dict(type='OptimWrapper')
        )
