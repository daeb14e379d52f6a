"""What ViLD's adapters share: layouts of tensors, building from configs, loading of weights."""

import torch
from mmengine import Config
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from mmclip import config_path
from mmclip.models.vild.convert import convert

# Modules are built from ``configs/vild/*_tf.py``, the configs for converted official weights, with
# the sizes of the fixture; weights go through ``mmclip.models.vild.convert``. Official tensors are
# NHWC and yxyx with the background first; ours NCHW and xyxy with the background last.

YX = [1, 0, 3, 2]  # swaps x and y of boxes and deltas, either way


def nchw(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, -3).contiguous()


def nhwc(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-3, -1)


def background_first(x: torch.Tensor) -> torch.Tensor:
    return x.roll(1, -1)


def background_last(x: torch.Tensor) -> torch.Tensor:
    return x.roll(-1, -1)


def anchor_deltas(x: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 4 A), x and y swapped for each anchor; the same both ways."""
    return x.unflatten(-1, (-1, 4))[..., YX].flatten(-2)


def rois_of(boxes_yxyx: torch.Tensor) -> torch.Tensor:
    """(B, N, 4) yxyx -> (B N, 5)."""
    batch = torch.arange(len(boxes_yxyx)).repeat_interleave(boxes_yxyx.shape[1])
    return torch.cat([batch[:, None].float(), boxes_yxyx[..., YX].flatten(0, 1)], 1)


def padded(rows: list[torch.Tensor], count: int, value: float) -> torch.Tensor:
    """Rows of different lengths, padded to ``count``."""
    return torch.stack(
        [torch.cat([row, row.new_full((count - len(row), *row.shape[1:]), value)]) for row in rows]
    )


def names(count: int) -> list[str]:
    return [f'class_{index}' for index in range(1, count + 1)]


def novel_of(mask: torch.Tensor) -> list[str]:
    """Names whose entry of the official mask (background first, 1 = base) is 0."""
    return [f'class_{index}' for index in (mask == 0).nonzero()[:, 0].tolist()]


def model_config(name: str = 'vild_r50_lvis_tf') -> ConfigDict:
    init_default_scope('mmdet')
    return Config.fromfile(config_path(f'vild/{name}.py')).model


def is_double(config: dict) -> bool:
    return config.get('visual_feature_distill') == 'double_branch'


def set_norms(cfg: ConfigDict, config: dict) -> None:
    """Epsilon and momentum of the case, or no norms at all, in every part of a config."""
    for key, value in list(cfg.items()):
        if key.endswith('norm_cfg') and value is not None:
            if config.get('use_batch_norm', True):
                value.eps = config.get('bn_eps', value.eps)
                value.momentum = 1 - config.get('bn_momentum_tf', 1 - value.momentum)
            else:
                cfg[key] = None
        elif isinstance(value, dict):
            set_norms(value, config)


def load(module: nn.Module, state: dict[str, torch.Tensor], prefix: str = '') -> nn.Module:
    """Load the converted weights below a prefix; nothing may be missing or left over."""
    own = {k.removeprefix(prefix): v for k, v in convert(state).items() if k.startswith(prefix)}
    module.load_state_dict(own, strict=True)
    module.eval()  # the host's ResNet returns None here
    return module
