"""The deformable convolution of tensor operations: closed forms, MMCV's kernel, gradients."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import modulated_deform_conv2d

from mmclip.models.glip.deform_conv import deform_conv, widened


def parts(stride: int, side: int = 7, more: int = 0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, side, side + 1, generator=generator, dtype=torch.float64)
    size = (side - 1) // stride + 1 + more, side // stride + 1 + more
    offsets = 2 * torch.randn(2, 18, *size, generator=generator, dtype=torch.float64)
    masks = torch.rand(2, 9, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    return [part.requires_grad_() for part in (x, offsets, masks, weight, bias)]


@pytest.mark.parametrize('stride', [1, 2])
def test_without_offsets_it_is_a_convolution(stride):
    x, offsets, masks, weight, bias = parts(stride)
    found = deform_conv(x, offsets * 0, masks * 0 + 1, weight, bias, stride)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, stride, padding=1))


@pytest.mark.parametrize(('stride', 'more'), [(1, 0), (2, 0), (1, 3)])
def test_is_what_mmcv_computes_with_its_gradients(stride, more):
    tensors = [part.detach().float().requires_grad_() for part in parts(stride, more=more)]
    ours = deform_conv(*tensors, stride)
    theirs = modulated_deform_conv2d(*tensors, stride, 1, 1, 1, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    if more:  # MMCV's backward pass reads offsets at other places than its forward pass
        return
    weights = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, tensors, weights),
        torch.autograd.grad(theirs, tensors, weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_half_a_pixel_to_the_right_is_the_mean_of_two():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    offsets = torch.zeros(1, 18, 3, 4)
    offsets[:, 9] = 0.5  # x of the center tap
    weight = torch.zeros(1, 1, 3, 3)
    weight[..., 1, 1] = 1
    found = deform_conv(x, offsets, torch.ones(1, 9, 3, 4), weight, torch.zeros(1))
    wanted = x.clone()
    wanted[..., :3] += 0.5
    wanted[..., 3] /= 2  # half of it is outside
    torch.testing.assert_close(found, wanted)


def test_far_outside_is_zero_and_one_pixel_works():
    x, offsets, masks, weight, bias = parts(1)
    found = deform_conv(x, offsets * 0 + 1e4, masks, weight, bias)
    torch.testing.assert_close(found, bias.view(1, -1, 1, 1).expand_as(found))
    small = [x[..., :1, :1], offsets[..., :1, :1], masks[..., :1, :1], weight, bias]
    assert torch.autograd.gradcheck(lambda *p: deform_conv(*p), small, atol=1e-4)


def test_bfloat16_is_computed_wide():
    tensors = [part.detach().float() for part in parts(1)]
    with torch.autocast('cpu', torch.bfloat16):
        found = deform_conv(tensors[0].bfloat16(), *tensors[1:])
    assert found.dtype == torch.bfloat16
    wanted = deform_conv(tensors[0].bfloat16().float(), *tensors[1:])
    torch.testing.assert_close(found.float(), wanted, rtol=1e-2, atol=1e-1)


def test_accelerators_widen_bfloat16_only():
    kinds = [torch.bfloat16, torch.float16, torch.float32]
    found = widened(tuple(torch.zeros(1, dtype=kind) for kind in kinds), (torch.bfloat16,))
    assert [part.dtype for part in found] == [torch.float32, torch.float16, torch.float32]


@pytest.mark.skipif(not torch.cuda.is_available(), reason='MMCV has no such kernel on a GPU')
def test_bfloat16_on_a_gpu():
    tensors = [part.detach().float().cuda().requires_grad_() for part in parts(1)]
    wanted = deform_conv(*tensors)
    narrow = [tensors[0].bfloat16(), tensors[1].bfloat16(), *tensors[2:]]
    with torch.autocast('cuda', torch.bfloat16):
        found = deform_conv(*narrow)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=5e-2, atol=2e-1)
    found.sum().backward()
    assert all(torch.isfinite(part.grad).all() for part in tensors)
