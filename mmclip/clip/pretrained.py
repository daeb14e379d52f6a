"""Parts that start from pretrained weights, and parts that are not trained."""

from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm


class PretrainedMixin:
    """Loads pretrained weights once (:meth:`load_pretrained`), unless a checkpoint brings weights.

    ``pretrained_part`` names the part whose weights in a checkpoint count; a model to which that
    is too coarse sets ``is_filled`` itself.
    """

    is_filled = False
    pretrained_part: str | None = None

    def init_weights(self) -> None:
        """Load the pretrained weights, unless weights were loaded before."""
        if not self.is_filled:
            self.load_pretrained()
            self.is_filled = True

    def load_pretrained(self) -> None:
        """Load the weights, whatever was loaded before."""
        raise NotImplementedError

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        start = f'{prefix}{self.pretrained_part}.'
        self.is_filled = self.is_filled or any(name.startswith(start) for name in state_dict)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class FrozenMixin:
    """Keeps the part ``frozen_part`` in eval mode: all of it (``frozen``) or batch norms alone."""

    frozen_part: str
    frozen = False
    norm_eval = False

    def train(self, mode: bool = True) -> Any:
        """As any module's, but for what stays in eval mode (MMEngine calls it every epoch)."""
        super().train(mode)
        part = self.get_submodule(self.frozen_part)
        if self.frozen:
            part.eval()
        elif self.norm_eval:
            for module in part.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
