"""Assignment attention: hand-computed groups, its gradient, its noise."""

import math

import pytest
import torch
from torch import nn

from mmclip.models.group_vit import grouping
from mmclip.models.group_vit.grouping import AssignAttention, CrossAttention, straight_through


def plain(dim: int = 2, **options) -> AssignAttention:
    """All projections are the identity, the scale is 1."""
    attention = AssignAttention(dim, **options).eval()
    for layer in (attention.q_proj, attention.k_proj, attention.v_proj, attention.proj):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    attention.scale = 1.0
    return attention


QUERY = torch.eye(2)[None]  # two groups, along x and along y
KEY = torch.tensor([[[3.0, 0.0], [5.0, 1.0], [0.0, 2.0]]])


def test_a_group_of_n_tokens_gets_their_sum_over_n_plus_1():
    out, hard, soft = plain()(QUERY, KEY)
    torch.testing.assert_close(hard, torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]))
    torch.testing.assert_close(out[0], torch.tensor([[8 / 3, 1 / 3], [0.0, 1.0]]))
    first = 1 / (1 + math.exp(-3))  # softmax over the GROUPS of (3, 0)
    assert soft[0, :, 0].tolist() == pytest.approx([first, 1 - first])


def test_eps_sum_and_soft():
    mean, _, _ = plain(assign_eps=0.0)(QUERY, KEY)
    torch.testing.assert_close(mean[0], torch.tensor([[4.0, 0.5], [0.0, 2.0]]))
    total, _, _ = plain(sum_assign=True)(QUERY, KEY)
    torch.testing.assert_close(total[0], torch.tensor([[8.0, 1.0], [0.0, 2.0]]))
    out, assignment, soft = plain(hard=False, sum_assign=True)(QUERY, KEY)
    torch.testing.assert_close(assignment, soft)
    torch.testing.assert_close(out, soft @ KEY)


def test_an_empty_group_is_zero_and_not_nan():
    out, hard, _ = plain()(QUERY, KEY[:, :2])
    assert hard[0, 1].tolist() == [0, 0] and out[0, 1].tolist() == [0, 0]


def test_no_tokens_at_all():
    query = QUERY.clone().requires_grad_()
    out, hard, _ = plain()(query, torch.zeros(1, 0, 2))
    assert hard.shape == (1, 2, 0) and out.tolist() == [[[0, 0], [0, 0]]]
    out.sum().backward()
    assert torch.isfinite(query.grad).all()


def test_straight_through_is_hard_forward_and_soft_backward():
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0]], requires_grad=True)
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    hard = straight_through(logits.softmax(0), 0)
    torch.testing.assert_close(hard, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    (hard * weights).sum().backward()
    other = logits.detach().requires_grad_()
    (other.softmax(0) * weights).sum().backward()
    torch.testing.assert_close(logits.grad, other.grad)
    assert logits.grad.abs().min() > 0.1


def test_noise_only_in_training_and_only_if_asked_for(monkeypatch):
    # Noise of 10 on group 1 turns every token over.
    monkeypatch.setattr(
        grouping, 'gumbel_noise', lambda like: torch.tensor([[[0.0], [10.0]]]).expand_as(like)
    )
    hard = {
        (gumbel, training): plain(gumbel=gumbel).train(training)(QUERY, KEY)[1][0, 1].tolist()
        for gumbel in (True, False)
        for training in (True, False)
    }
    assert hard.pop((True, True)) == [1, 1, 1]
    assert all(row == [0, 0, 1] for row in hard.values())


def test_gumbel_noise_has_its_mean_and_deviation():
    torch.manual_seed(0)
    noise = grouping.gumbel_noise(torch.zeros(100_000))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)  # Euler's constant
    assert noise.std().item() == pytest.approx(math.pi / math.sqrt(6), abs=0.02)


def test_many_tokens_are_counted_in_float32_under_autocast():
    key = torch.tensor([[1.0, 0.0]]).expand(1, 300, 2)  # bfloat16 counts to 256 only
    with torch.autocast('cpu', torch.bfloat16):
        out, _, _ = plain(assign_eps=0.0)(QUERY, key)
    assert out[0, 0].tolist() == pytest.approx([1.0, 0.0], abs=5e-3)


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match='num_heads: 3'):
        CrossAttention(16, 3)
