"""The multi-label loss: closed form, and two processes equal to one."""

import math

import pytest
import torch
import torch.nn.functional as F
from forked import run_ranks

from mmclip.models.group_vit.losses import multi_label_loss


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_closed_form():
    images = torch.eye(2)
    prompts = torch.eye(2)[:, None].expand(2, 3, 2)  # each image's prompts are the image
    loss = multi_label_loss(images, prompts, torch.tensor(4.0))
    # Among 6 prompts 3 are right, each with a target of 1/3; among 2 images 1 is right.
    to_texts = math.log(3 + 3 * math.exp(-4))
    to_images = math.log(1 + math.exp(-4))
    assert loss.item() == pytest.approx((to_texts + to_images) / 2, rel=1e-6)


def test_is_the_soft_cross_entropy():
    images, prompts = unit(4, 8), unit(4, 3, 8, seed=1)
    logits = 7 * images @ prompts.flatten(0, 1).T
    target = torch.eye(4).repeat_interleave(3, 1) / 3
    own = torch.arange(4).repeat_interleave(3)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(multi_label_loss(images, prompts, torch.tensor(7.0)), expected)


def test_an_empty_batch_has_a_gradient():
    images = torch.zeros(0, 8, requires_grad=True)
    loss = multi_label_loss(images, torch.zeros(0, 3, 8), torch.tensor(1.0))
    loss.backward()
    assert loss.item() == 0 and images.grad.shape == (0, 8)


def test_bad_shapes():
    with pytest.raises(ValueError, match=r'\(N, P, D\)'):
        multi_label_loss(unit(4, 8), unit(4, 8), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r'\(N, P, D\)'):
        multi_label_loss(unit(4, 8), unit(3, 2, 8), torch.tensor(1.0))


WORKER = """
import sys, torch, torch.distributed as dist, torch.nn.functional as F
from mmclip.models.group_vit.losses import multi_label_loss
rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
images, prompts = torch.load(out + '/inputs.pt')
images, prompts = (v[2 * rank : 2 * rank + 2].clone().requires_grad_() for v in (images, prompts))
loss = multi_label_loss(F.normalize(images, dim=-1), F.normalize(prompts, dim=-1), torch.tensor(9.))
loss.backward()
torch.save([loss.detach(), images.grad, prompts.grad], f'{out}/{rank}.pt')
dist.destroy_process_group()
"""


def test_two_processes_are_one_batch(tmp_path):
    images, prompts = torch.randn(4, 8), torch.randn(4, 3, 8)
    torch.save([images, prompts], tmp_path / 'inputs.pt')
    (tmp_path / 'worker.py').write_text(WORKER)
    run_ranks(tmp_path / 'worker.py', tmp_path / 'store', tmp_path)
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    images.requires_grad_(), prompts.requires_grad_()
    whole = multi_label_loss(
        F.normalize(images, dim=-1), F.normalize(prompts, dim=-1), torch.tensor(9.0)
    )
    whole.backward()
    torch.testing.assert_close((parts[0][0] + parts[1][0]) / 2, whole.detach())
    # DDP averages gradients over processes, so that of the mean is half of the sum.
    torch.testing.assert_close(torch.cat([p[1] for p in parts]) / 2, images.grad)
    torch.testing.assert_close(torch.cat([p[2] for p in parts]) / 2, prompts.grad)
