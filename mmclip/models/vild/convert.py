"""Official ViLD checkpoints (TensorFlow variables), and DetPro's, to the names of our modules.

The official names and what becomes of them (i convolution, l level, s stage, b block):

    resnetNN/conv2d_k, batch_normalization_k   backbone.{conv1,bn1,layer s.b.{conv,bn,downsample}}
    fpn/l2..l5, post_hoc_d2..d5, p6            neck.{lateral_convs,fpn_convs}.i.conv
    fpn/p2-bn..p6-bn                           neck.end_norms.l
    rpn_head/rpn, rpn-1                        rpn_head.rpn_conv.i
    rpn_head/rpn-lL-bn, rpn-lL-bn-1            rpn_head.rpn_norms.l.i
    rpn_head/rpn-class, rpn-box                rpn_head.rpn_cls, rpn_reg
    .../conv_i, fc6, fc7                       roi_head.bbox_head.shared_convs.i, shared_fcs.i
    .../distill_conv_i, distill_fc6, ..fc7     roi_head.bbox_head.image_convs.i, image_fcs.i
    .../project-to-clip                        roi_head.bbox_head.fc_cls.projection
    .../class-predict, background-..           ...fc_cls.classifier.{embeddings,background}
    .../distill-project-to-clip                roi_head.bbox_head.image_projection
    .../box-predict                            roi_head.bbox_head.fc_reg
    mask_head/mask-conv-li, conv5-mask         roi_head.mask_head.convs.i, upsample
    mask_head/mask_fcn_logits                  roi_head.mask_head.conv_logits

Layout: convolutions HWIO -> OIHW, the deconvolution HW-out-in -> in-out-HW, dense kernels
transposed, the first dense layer from (h, w, c) to (c, h, w) inputs, box outputs from
(dy, dx, dh, dw) to (dx, dy, dw, dh), also per anchor. The order of anchors is mmdet's with
ratios [1, 0.5, 2] (h / w).
Numbers of batch norms follow their creation: trunk convolutions, trunk dense layers, then the
distillation trunk's; in a residual block with a shortcut, the shortcut comes first. Biases of
convolutions in front of a batch norm are kept. All sizes are read from the state.
"""

import json
import os
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mmclip.io.checkpoint import read_state_dict
from mmclip.io.tf_checkpoint import is_tf_checkpoint, read_tf_checkpoint
from mmclip.models.vild.convert_detpro import convert_detpro, is_detpro
from mmclip.text.class_names import class_names

State = dict[str, torch.Tensor]
_YX_TO_XY = [1, 0, 3, 2]


class _Variables:
    """Variables below one scope; each may be taken once, the rest are the leftovers."""

    def __init__(self, state: State) -> None:
        self.left = dict(state)

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> torch.Tensor:
        if name not in self.left:
            raise ValueError(f'the official checkpoint lacks {name}')
        return self.left.pop(name)

    def matching(self, pattern: str) -> list[str]:
        """First groups of the names that fit, each once, in order."""
        found = (re.fullmatch(pattern, name) for name in self.left)
        return list(dict.fromkeys(match[1] for match in found if match))

    def conv(self, name: str) -> State:
        """Kernel HWIO -> OIHW, with the bias where there is one."""
        out = {'weight': self.take(f'{name}/kernel').permute(3, 2, 0, 1)}
        if f'{name}/bias' in self:
            out['bias'] = self.take(f'{name}/bias')
        return out

    def dense(self, name: str) -> State:
        return {'weight': self.take(f'{name}/kernel').T, 'bias': self.take(f'{name}/bias')}

    def norm(self, name: str) -> State:
        return {
            'weight': self.take(f'{name}/gamma'),
            'bias': self.take(f'{name}/beta'),
            'running_mean': self.take(f'{name}/moving_mean'),
            'running_var': self.take(f'{name}/moving_variance'),
            'num_batches_tracked': torch.tensor(0),
        }


def _put(out: State, name: str, part: State) -> None:
    out.update({f'{name}.{key}': value for key, value in part.items()})


def _numbered(base: str, number: int) -> str:
    return base if number == 0 else f'{base}_{number}'


def _backbone(state: _Variables, scope: str) -> State:
    """A bottleneck ResNet of any depth and width: its blocks are told by their 3x3 convolutions."""
    out: State = {}
    count = len(state.matching(rf'({scope}/conv2d(?:_\d+)?)/kernel'))
    kernels = [state.left[_numbered(f'{scope}/conv2d', k) + '/kernel'] for k in range(count)]

    def layer(number: int, conv: str, norm: str) -> None:
        _put(out, f'backbone.{conv}', state.conv(_numbered(f'{scope}/conv2d', number)))
        name = _numbered(f'{scope}/batch_normalization', number)
        _put(out, f'backbone.{norm}', state.norm(name))

    layer(0, 'conv1', 'bn1')
    number, stage, block = 1, 0, 0
    while number < count:
        middle = [k for k in (number + 1, number + 2) if k + 1 < count and len(kernels[k]) == 3]
        if not middle:
            raise ValueError(f'{scope}: convolution {number} starts no bottleneck block')
        if middle[0] == number + 2:  # a shortcut opens a stage
            stage, block = stage + 1, 0
            name = f'layer{stage}.0.downsample'
            layer(number, f'{name}.0', f'{name}.1')
            number += 1
        for index in range(3):
            name = f'layer{stage}.{block}'
            layer(number + index, f'{name}.conv{index + 1}', f'{name}.bn{index + 1}')
        number, block = number + 3, block + 1
    return out


def _neck(state: _Variables) -> State:
    out: State = {}
    lateral = sorted(map(int, state.matching(r'fpn/l(\d+)/kernel')))
    norms = sorted(map(int, state.matching(r'fpn/p(\d+)-bn/gamma')))
    extra = sorted(map(int, state.matching(r'fpn/p(\d+)/kernel')))
    for index, level in enumerate(lateral):
        _put(out, f'neck.lateral_convs.{index}.conv', state.conv(f'fpn/l{level}'))
        _put(out, f'neck.fpn_convs.{index}.conv', state.conv(f'fpn/post_hoc_d{level}'))
    for index, level in enumerate(extra, start=len(lateral)):
        _put(out, f'neck.fpn_convs.{index}.conv', state.conv(f'fpn/p{level}'))
    for index, level in enumerate(norms):
        _put(out, f'neck.end_norms.{index}', state.norm(f'fpn/p{level}-bn'))
    return out


def _boxes_xy(part: State) -> State:
    """Rows (dy, dx, dh, dw) of a box output, once per anchor, to (dx, dy, dw, dh)."""
    rows = len(part['bias'])
    order = torch.arange(rows).reshape(-1, 4)[:, _YX_TO_XY].flatten()
    return {name: value[order] for name, value in part.items()}


def _rpn(state: _Variables) -> State:
    out: State = {}
    convs = len(state.matching(r'rpn_head/(rpn(?:-\d+)?)/kernel'))
    levels = sorted(map(int, state.matching(r'rpn_head/rpn-l(\d+)-bn/gamma')))
    for index in range(convs):
        suffix = f'-{index}' if index else ''
        _put(out, f'rpn_head.rpn_conv.{index}', state.conv(f'rpn_head/rpn{suffix}'))
        for place, level in enumerate(levels):
            name = f'rpn_head/rpn-l{level}-bn{suffix}'
            _put(out, f'rpn_head.rpn_norms.{place}.{index}', state.norm(name))
    _put(out, 'rpn_head.rpn_cls', state.conv('rpn_head/rpn-class'))
    _put(out, 'rpn_head.rpn_reg', _boxes_xy(state.conv('rpn_head/rpn-box')))
    return out


def _trunk(state: _Variables, scope: str, prefix: str, ours: str, first_norm: int) -> State:
    """Convolutions and dense layers of one trunk, each with its batch norm."""
    out: State = {}
    convs = len(state.matching(rf'{scope}/({prefix}conv_\d+)/kernel'))
    dense = len(state.matching(rf'{scope}/({prefix}fc\d+)/kernel'))
    has_norm = f'{scope}/batch_normalization/gamma' in state or first_norm > 0
    for index in range(convs):
        conv = state.conv(f'{scope}/{prefix}conv_{index}')
        channels = len(conv['weight'])
        _put(out, f'{ours}_convs.{index}.conv', conv)
    for index in range(dense):
        layer = state.dense(f'{scope}/{prefix}fc{6 + index}')
        if index == 0 and convs:
            weight = layer['weight']  # (out, h*w*c)
            weight = weight.reshape(len(weight), -1, channels).transpose(1, 2)
            layer['weight'] = weight.reshape(len(weight), -1)
        _put(out, f'{ours}_fcs.{index}.0' if has_norm else f'{ours}_fcs.{index}', layer)
    for index in range(convs + dense if has_norm else 0):
        norm = state.norm(_numbered(f'{scope}/batch_normalization', first_norm + index))
        name = f'convs.{index}.bn' if index < convs else f'fcs.{index - convs}.1'
        _put(out, f'{ours}_{name}', norm)
    return out


def _box_head(state: _Variables, scope: str, names: Sequence[str] | None) -> State:
    ours = 'roi_head.bbox_head.'
    out = _trunk(state, scope, '', f'{ours}shared', 0)
    norms = sum(key.endswith('running_mean') for key in out)
    _put(out, f'{ours}fc_cls.projection', state.dense(f'{scope}/project-to-clip'))
    if f'{scope}/distill-project-to-clip/kernel' in state:
        out |= _trunk(state, scope, 'distill_', f'{ours}image', norms)
        name = f'{scope}/distill-project-to-clip'
        _put(out, f'{ours}image_projection', state.dense(name))
    _put(out, f'{ours}fc_reg', _boxes_xy(state.dense(f'{scope}/box-predict')))
    out[f'{ours}fc_cls.classifier.background'] = state.take(
        f'{scope}/background-class-predict/kernel'
    )[:, 0]
    text = state.take(f'{scope}/class-predict/kernel').T
    _put(out, f'{ours}fc_cls.classifier', text_buffers(text, names))
    return out


def _mask_head(state: _Variables) -> State:
    ours = 'roi_head.mask_head.'
    out: State = {}
    convs = len(state.matching(r'mask_head/mask-conv-l(\d+)/kernel'))
    for index in range(convs):
        _put(out, f'{ours}convs.{index}.conv', state.conv(f'mask_head/mask-conv-l{index}'))
        norm = state.norm(_numbered('mask_head/batch_normalization', index))
        _put(out, f'{ours}convs.{index}.bn', norm)
    _put(out, f'{ours}upsample', state.conv('mask_head/conv5-mask'))
    norm = state.norm(_numbered('mask_head/batch_normalization', convs))
    _put(out, f'{ours}upsample_norm', norm)
    _put(out, f'{ours}conv_logits', state.conv('mask_head/mask_fcn_logits'))
    return out


def text_buffers(raw_embeddings: torch.Tensor, names: Sequence[str] | None = None) -> State:
    """Buffers of the text classifier: embeddings (K, D), L2-normalized, and names as bytes.

    Args:
        raw_embeddings: (K, D), of any norm.
        names: K names; by default LVIS v1's if K is 1203, else ``class_1`` ...
    """
    count = len(raw_embeddings)
    if names is None and count == 1203:
        names = class_names('lvis_v1')
    elif names is None:
        names = [f'class_{index}' for index in range(1, count + 1)]
    if len(names) != count:
        raise ValueError(f'names: {len(names)} names for {count} rows of text embeddings')
    data = bytearray(json.dumps(list(names)).encode())
    return {
        'embeddings': F.normalize(raw_embeddings.float(), dim=1, eps=1e-8),
        'names': torch.frombuffer(data, dtype=torch.uint8).clone(),
    }


def read(path: str | os.PathLike) -> State:
    """The state of a TensorFlow checkpoint (prefix, folder, tar) or any other checkpoint file."""
    return read_tf_checkpoint(path) if is_tf_checkpoint(path) else read_state_dict(path)


def convert(
    state: State,
    *,
    names: Sequence[str] | None = None,
    text_features: torch.Tensor | None = None,
) -> State:
    """Our names and layouts for an official state, or for some of its parts.

    Every variable is used; optimizer slots are left out by :func:`read`.

    Args:
        state: Official TensorFlow variables, or DetPro's ``state_dict``.
        names: Class names of the text kernel; by default LVIS v1's if there are 1203 of them.
        text_features: (K, D), for DetPro, whose checkpoints do not hold the text matrix.

    Raises:
        ValueError: a variable is missing, some are left over (they are listed), or the state is
            of neither kind.
    """
    if is_detpro(state):
        out = convert_detpro(state)
        if text_features is not None:
            _put(out, 'roi_head.bbox_head.fc_cls.classifier', text_buffers(text_features, names))
        return out
    variables = _Variables(state)
    out = {}
    for scope in variables.matching(r'(resnet\d+)/conv2d/kernel'):
        out |= _backbone(variables, scope)
    if any(name.startswith('fpn/') for name in state):
        out |= _neck(variables)
    if any(name.startswith('rpn_head/') for name in state):
        out |= _rpn(variables)
    for scope in variables.matching(r'(.*fast_rcnn_head)/project-to-clip/kernel'):
        out |= _box_head(variables, scope, names)
    if any(name.startswith('mask_head/') for name in state):
        out |= _mask_head(variables)
    if variables.left or not out:
        left = sorted(variables.left)
        shown = ', '.join(left[:8]) + (' ...' if len(left) > 8 else '')
        raise ValueError(
            f'{len(left)} variables are left over: {shown or "none"}; expected the official '
            'TensorFlow names (resnet50/..., fpn/..., rpn_head/..., frcnn_layer_0/..., '
            "mask_head/...) or DetPro's (roi_head.projection ...)"
        )
    return {name: value.contiguous() for name, value in out.items()}
