"""Official CLIP checkpoints -> open_clip's names, which are ours."""

import torch

from mmclip.clip.config import clip_config_of
from mmclip.clip.layouts import to_open_clip
from mmclip.clip.loading import build_clip


def convert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenAI's, open_clip's or Hugging Face's CLIP weights in open_clip's layout, float32.

    Source: OpenAI's keys are open_clip's after three integers are dropped; Hugging Face splits q, k
    and v and stores the projections transposed.

    Args:
        state: Tensors by name, as :func:`mmclip.io.checkpoint.read_state_dict` gives them.

    Raises:
        ValueError: no CLIP, or not all of one, or more than one: what is missing and what is left
            over is listed.
    """
    converted = to_open_clip(state)
    # Heads have no weights of their own, so any number of them serves for the list of keys.
    with torch.device('meta'):
        clip = build_clip(clip_config_of(converted, vision_heads=1, text_heads=1))
    own = {name: value.shape for name, value in clip.state_dict().items()}
    missing = sorted(own.keys() - converted.keys())
    left = sorted(converted.keys() - own.keys())
    left += sorted(k for k in own.keys() & converted.keys() if own[k] != converted[k].shape)
    if missing or left:
        raise ValueError(
            f'state: {len(missing)} keys of the CLIP are missing ({", ".join(missing[:5])}), '
            f'{len(left)} are left over or have another shape ({", ".join(left[:5])})'
        )
    return converted
