"""Official CLIP checkpoints -> open_clip's names, which are ours."""

import torch

from mmclip.models.common.clip_layouts import to_open_clip


def convert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenAI's, open_clip's or Hugging Face's CLIP weights in open_clip's layout, float32.

    Source: OpenAI's keys are open_clip's after three integers are dropped; Hugging Face splits q, k
    and v and stores the projections transposed.

    Args:
        state: Tensors by name, as :func:`mmclip.checkpoint.read_state_dict` gives them.

    Raises:
        ValueError: an unknown key, or the parts of an attention are incomplete.
    """
    return to_open_clip(state)
