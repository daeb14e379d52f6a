"""MMEngine's FSDP strategy on current torch."""

from typing import Any

from mmengine._strategy.fsdp import FSDP
from mmengine._strategy.fsdp import FSDPStrategy as MMEngineFSDPStrategy
from mmengine.device import get_device
from mmengine.registry import FUNCTIONS
from torch.distributed.fsdp import wrap

from mmclip.registry import STRATEGIES

# For configs: `auto_wrap_policy=dict(type='mmengine.size_based_auto_wrap_policy')`.
FUNCTIONS.register_module(module=wrap.size_based_auto_wrap_policy, force=True)


@STRATEGIES.register_module()
class FSDPStrategy(MMEngineFSDPStrategy):
    """MMEngine's ``FSDPStrategy`` with checkpoints that load with current torch, and on CPUs.

    MMEngine 0.10.7 passes the arguments of ``optim_state_dict_to_load`` in the order of torch 2.0,
    and torch crashes when it is asked to bring to the CPU what is there. ``tools/train.py`` and
    ``tools/test.py`` put this class where a config names MMEngine's.

    Args:
        state_dict_cfg: ``'full'``, or settings of torch's ``FULL_STATE_DICT``: one file of ordinary
            weights, which any number of processes can test or go on from.
        kwargs: MMEngine's.

    Raises:
        ValueError: another ``state_dict_cfg``. Its files hold objects of torch's process groups,
            which are not loaded (``weights_only``).
    """

    def __init__(self, *, state_dict_cfg: str | dict = 'full', **kwargs: Any) -> None:
        super().__init__(state_dict_cfg=state_dict_cfg, **kwargs)
        if not self._is_full_state_dict():
            raise ValueError(
                f"strategy.state_dict_cfg: {state_dict_cfg!r}; allowed are 'full' and settings "
                "with state_dict_type='FULL_STATE_DICT'"
            )
        if get_device() == 'cpu':
            for config in (self.state_dict_config, self.optim_state_dict_config):
                config.offload_to_cpu = False

    def load_optim_state_dict(self, state_dict: dict) -> None:
        optimizer = self.optim_wrapper.optimizer
        self.optim_wrapper.load_state_dict(
            FSDP.optim_state_dict_to_load(self.model, optimizer, optim_state_dict=state_dict)
        )
