"""DetPro's checkpoints of ViLD (mmdet 2.7) to the names of our modules.

    roi_head.projection                              roi_head.bbox_head.fc_cls.projection
    roi_head.bg_embedding.{weight,bias}              ...fc_cls.classifier.background
    roi_head.projection_for_image                    roi_head.bbox_head.image_projection
    roi_head.bbox_head.shared_{convs,fcs}_for_image  roi_head.bbox_head.image_{convs,fcs}

Everything else (backbone, neck, RPN, shared trunk, box regressor, mask head) keeps mmdet's name.
DetPro computes its background vector as Linear(1, D) of the number 1, that is weight + bias. The
text matrix is not in the checkpoint but in the file of the config's ``prompt_path``.
"""

import torch

_RENAMED = {
    'projection': 'bbox_head.fc_cls.projection',
    'projection_for_image': 'bbox_head.image_projection',
    'bbox_head.shared_convs_for_image': 'bbox_head.image_convs',
    'bbox_head.shared_fcs_for_image': 'bbox_head.image_fcs',
}
_KEPT_HEADS = ('bbox_head.shared_convs', 'bbox_head.shared_fcs', 'bbox_head.fc_reg', 'mask_head')
_KEPT = ('backbone', 'neck', 'rpn_head')


def _starts(name: str, prefix: str) -> bool:
    return name.startswith(f'{prefix}.')


def is_detpro(state: dict[str, torch.Tensor]) -> bool:
    """Whether these are the names of DetPro's detector, or of its region head alone."""
    return any(name.removeprefix('roi_head.') == 'projection.weight' for name in state)


def convert_detpro(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our names for DetPro's state; names of the region head may come without ``roi_head.``.

    Raises:
        ValueError: a tensor is missing, or names are left over (they are listed).
    """
    out, left, background = {}, [], {}
    for name, value in state.items():
        if any(_starts(name, prefix) for prefix in _KEPT):
            out[name] = value
            continue
        local = name.removeprefix('roi_head.')
        renamed = [old for old in _RENAMED if _starts(local, old)]
        if _starts(local, 'bg_embedding'):
            background[local.removeprefix('bg_embedding.')] = value
        elif renamed:
            out[f'roi_head.{_RENAMED[renamed[0]]}{local.removeprefix(renamed[0])}'] = value
        elif any(_starts(local, prefix) for prefix in _KEPT_HEADS):
            out[f'roi_head.{local}'] = value
        else:
            left.append(name)
    if left:
        shown = ', '.join(sorted(left)[:8]) + (' ...' if len(left) > 8 else '')
        raise ValueError(f'{len(left)} tensors of the DetPro checkpoint are left over: {shown}')
    if set(background) != {'weight', 'bias'}:
        raise ValueError('the DetPro checkpoint lacks bg_embedding.weight or bg_embedding.bias')
    vector = background['weight'][:, 0] + background['bias']
    out['roi_head.bbox_head.fc_cls.classifier.background'] = vector
    return out
