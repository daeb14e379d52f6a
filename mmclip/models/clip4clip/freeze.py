"""Which weights of CLIP are trained."""

import re
from collections.abc import Iterable

from torch import nn

ALWAYS_TRAINED = ('ln_final', 'text_projection', 'logit_scale', 'visual.ln_post', 'visual.proj')
_BLOCK = re.compile(r'(?:visual\.)?transformer\.resblocks\.(\d+)\.')


def frozen_names(names: Iterable[str], layers: int) -> list[str]:
    """Names of CLIP's weights that ``freeze_layer_num`` freezes.

    Trained are, always, the last norms, the projections and the logit scale, and the blocks from
    number ``layers`` on; with -1 everything.

    Source: official ``CLIP4Clip.__init__``. There a slip leaves everything trained with the 3D
    patch embedding, whatever the number; here that embedding is trained and the rest frozen.

    Args:
        names: Of an open_clip model with a ViT; a text module of its own (``text.``) counts alike.
        layers: Blocks of either tower that are frozen; 0: patches, tokens and positions alone.
    """
    if layers < 0:
        return []

    def is_trained(name: str) -> bool:
        name = name.removeprefix('text.')
        block = _BLOCK.match(name)
        return name.startswith(ALWAYS_TRAINED) or (block and int(block[1]) >= layers)

    return [name for name in names if not is_trained(name)]


def freeze(clip: nn.Module, layers: int) -> None:
    """Freeze weights of a CLIP in place, as :func:`frozen_names`.

    Raises:
        ValueError: a tower without blocks that could be counted.
    """
    names = [name for name, _ in clip.named_parameters()]
    for tower, is_image in (('image', True), ('text', False)):
        own = (name for name in names if name.startswith('visual.') == is_image)
        if layers >= 0 and not any(_BLOCK.match(name.removeprefix('text.')) for name in own):
            raise ValueError(
                f'freeze_layer_num: {layers}, but the {tower} tower has no transformer.resblocks '
                "to count; allowed is -1, or a CLIP with open_clip's own towers"
            )
    frozen = set(frozen_names(names, layers))
    for name, parameter in clip.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
