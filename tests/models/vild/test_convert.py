"""The converter: complete by the official key lists, and each layout by a computed example."""

import json

import pytest
import torch
import torch.nn.functional as F

from mmclip.models.vild.convert import convert, read, text_buffers

HEAD = 'frcnn_layer_0/fast_rcnn_head'
OURS = 'roi_head.bbox_head.'


@pytest.fixture(params=['vild_r50', 'vild_ensemble_r50', 'vild_ensemble_r152'])
def official(request, oracles):
    shapes = json.loads((oracles / 'vild' / f'full_keys_{request.param}.json').read_text())
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    return request.param, state


def test_every_official_variable_is_used(official):
    name, state = official
    out = convert(state)
    numbers = sum(value.numel() for value in state.values())
    extra = sum(v.numel() for k, v in out.items() if k.endswith(('_tracked', '.names')))
    assert sum(value.numel() for value in out.values()) - extra == numbers
    blocks = 36 if 'r152' in name else 6
    assert f'backbone.layer3.{blocks - 1}.conv3.weight' in out
    assert f'backbone.layer3.{blocks}.conv3.weight' not in out
    assert out['neck.fpn_convs.4.conv.weight'].shape == (256, 256, 3, 3)
    assert out[f'{OURS}shared_fcs.0.0.weight'].shape == (1024, 12544)
    assert out[f'{OURS}fc_cls.classifier.embeddings'].shape == (1203, 512)
    assert (f'{OURS}image_projection.weight' in out) == ('ensemble' in name)


def test_a_missing_variable_and_leftovers_are_named(official):
    _, state = official
    with pytest.raises(ValueError, match='left over: rpn_head/rpn-l9/kernel'):
        convert(state | {'rpn_head/rpn-l9/kernel': torch.zeros(1)})
    del state[
        'resnet50/batch_normalization_7/beta'
        if 'resnet50/conv2d/kernel' in state
        else 'resnet152/batch_normalization_7/beta'
    ]
    with pytest.raises(ValueError, match='lacks resnet.*batch_normalization_7/beta'):
        convert(state)


def test_a_foreign_state_is_refused():
    with pytest.raises(ValueError, match='left over: conv1.weight'):
        convert({'conv1.weight': torch.zeros(1)})


def box_head(roi=3, channels=4, width=5, dim=6, classes=2):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(shape, generator=generator)

    sizes = {'batch_normalization': channels, 'batch_normalization_1': width}
    state = {
        f'{HEAD}/{name}/{part}': rand(size)
        for name, size in sizes.items()
        for part in ('gamma', 'beta', 'moving_mean', 'moving_variance')
    }
    for name, (kernel, bias) in {
        'conv_0': ((3, 3, channels, channels), channels),
        'fc6': ((roi * roi * channels, width), width),
        'project-to-clip': ((width, dim), dim),
        'box-predict': ((width, 4), 4),
    }.items():
        state[f'{HEAD}/{name}/kernel'] = rand(*kernel)
        state[f'{HEAD}/{name}/bias'] = rand(bias)
    state[f'{HEAD}/class-predict/kernel'] = rand(dim, classes)
    state[f'{HEAD}/background-class-predict/kernel'] = rand(dim, 1)
    return state


def test_the_first_dense_layer_reads_channels_first():
    state = box_head()
    out = convert(state, names=['cat', 'dog'])
    roi = torch.rand(2, 3, 3, 4)  # N, h, w, c
    official = roi.flatten(1) @ state[f'{HEAD}/fc6/kernel'] + state[f'{HEAD}/fc6/bias']
    weight, bias = (out[f'{OURS}shared_fcs.0.0.{k}'] for k in ('weight', 'bias'))
    ours = F.linear(roi.permute(0, 3, 1, 2).flatten(1), weight, bias)
    torch.testing.assert_close(ours, official)


def test_boxes_text_and_background():
    state = box_head()
    out = convert(state, names=['cat', 'dog'])
    dy, dx, dh, dw = state[f'{HEAD}/box-predict/bias']
    assert out[f'{OURS}fc_reg.bias'].tolist() == [dx, dy, dw, dh]
    torch.testing.assert_close(
        out[f'{OURS}fc_cls.classifier.embeddings'],
        F.normalize(state[f'{HEAD}/class-predict/kernel'].T, dim=1),
    )
    names = out[f'{OURS}fc_cls.classifier.names']
    assert json.loads(bytes(names.tolist())) == ['cat', 'dog']
    background = state[f'{HEAD}/background-class-predict/kernel'][:, 0]
    assert torch.equal(out[f'{OURS}fc_cls.classifier.background'], background)
    with pytest.raises(ValueError, match='3 names for 2 rows'):
        convert(state, names=['a', 'b', 'c'])


def test_names_default_to_lvis_for_its_number_of_classes():
    names = json.loads(bytes(text_buffers(torch.rand(1203, 4))['names'].tolist()))
    assert names[0] == 'aerosol_can' and len(names) == 1203


def test_rpn_boxes_are_reordered_for_each_anchor():
    state = {
        'rpn_head/rpn/kernel': torch.zeros(3, 3, 2, 2),
        'rpn_head/rpn/bias': torch.zeros(2),
        'rpn_head/rpn-class/kernel': torch.zeros(1, 1, 2, 3),
        'rpn_head/rpn-class/bias': torch.zeros(3),
        'rpn_head/rpn-box/kernel': torch.zeros(1, 1, 2, 12),
        'rpn_head/rpn-box/bias': torch.arange(12.0),
    }
    out = convert(state)
    assert out['rpn_head.rpn_reg.bias'].tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]


def test_the_deconvolution_is_transposed(oracles):
    """On a 1x1 input a 2x2 stride-2 deconvolution is out[h, w, o] = sum_i x[i] k[h, w, o, i]."""
    state = {
        'mask_head/conv5-mask/kernel': torch.rand(2, 2, 3, 4),  # h, w, out, in
        'mask_head/conv5-mask/bias': torch.zeros(3),
        'mask_head/mask_fcn_logits/kernel': torch.rand(1, 1, 3, 1),
        'mask_head/mask_fcn_logits/bias': torch.zeros(1),
    }
    norm = {'gamma': 1, 'beta': 0, 'moving_mean': 0, 'moving_variance': 1}
    state |= {
        f'mask_head/batch_normalization/{part}': torch.full((3,), float(value))
        for part, value in norm.items()
    }
    weight = convert(state)['roi_head.mask_head.upsample.weight']
    x = torch.rand(1, 4, 1, 1)
    expected = torch.einsum('i,hwoi->ohw', x[0, :, 0, 0], state['mask_head/conv5-mask/kernel'])
    torch.testing.assert_close(F.conv_transpose2d(x, weight, stride=2)[0], expected)


def test_detpro(tmp_path):
    state = {
        'backbone.conv1.weight': torch.rand(1),
        'roi_head.projection.weight': torch.rand(4, 3),
        'roi_head.projection.bias': torch.rand(4),
        'roi_head.projection_for_image.weight': torch.rand(4, 3),
        'roi_head.bg_embedding.weight': torch.rand(4, 1),
        'roi_head.bg_embedding.bias': torch.rand(4),
        'roi_head.bbox_head.shared_convs_for_image.0.conv.weight': torch.rand(1),
        'roi_head.bbox_head.fc_reg.bias': torch.rand(4),
        'roi_head.mask_head.conv_logits.bias': torch.rand(1),
    }
    torch.save({'state_dict': state}, tmp_path / 'detpro.pth')
    out = convert(read(tmp_path / 'detpro.pth'), text_features=torch.rand(2, 4), names=['a', 'b'])
    assert set(out) == {
        'backbone.conv1.weight',
        f'{OURS}fc_cls.projection.weight',
        f'{OURS}fc_cls.projection.bias',
        f'{OURS}image_projection.weight',
        f'{OURS}fc_cls.classifier.background',
        f'{OURS}fc_cls.classifier.embeddings',
        f'{OURS}fc_cls.classifier.names',
        f'{OURS}image_convs.0.conv.weight',
        f'{OURS}fc_reg.bias',
        'roi_head.mask_head.conv_logits.bias',
    }
    background = state['roi_head.bg_embedding.weight'][:, 0] + state['roi_head.bg_embedding.bias']
    assert torch.equal(out[f'{OURS}fc_cls.classifier.background'], background)
    with pytest.raises(ValueError, match='left over: roi_head.prompt_learner.ctx'):
        convert(state | {'roi_head.prompt_learner.ctx': torch.zeros(1)})
