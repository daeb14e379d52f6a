"""MMEngine's FSDP strategy on current torch."""

from mmengine._strategy.fsdp import FSDP
from mmengine._strategy.fsdp import FSDPStrategy as MMEngineFSDPStrategy

from mmclip.registry import STRATEGIES


@STRATEGIES.register_module()
class FSDPStrategy(MMEngineFSDPStrategy):
    """MMEngine's ``FSDPStrategy``, whose checkpoints also load with torch >= 2.1.

    MMEngine 0.10.7 passes the arguments of ``optim_state_dict_to_load`` in the order of torch 2.0.
    ``tools/train.py`` and ``tools/test.py`` put this class where a config names MMEngine's.
    """

    def load_optim_state_dict(self, state_dict: dict) -> None:
        optimizer = self.optim_wrapper.optimizer
        self.optim_wrapper.load_state_dict(
            FSDP.optim_state_dict_to_load(self.model, optimizer, optim_state_dict=state_dict)
        )
