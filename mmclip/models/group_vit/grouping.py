"""Grouping: image tokens are assigned to groups, each group becomes one token."""

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import nn


def gumbel_noise(like: torch.Tensor) -> torch.Tensor:
    """Samples of the Gumbel(0, 1) distribution in the shape of ``like``."""
    return -torch.empty_like(like).exponential_().log()


def straight_through(soft: torch.Tensor, dim: int) -> torch.Tensor:
    """One-hot arg-max of ``soft`` along ``dim``, with the gradient of ``soft``."""
    best = soft.argmax(dim, keepdim=True)
    hard = torch.zeros_like(soft).scatter_(dim, best, 1.0)
    return hard - soft.detach() + soft if soft.requires_grad else hard


class TokenMixer(Mlp):
    """A two-layer perceptron over the token axis: (B, n, C) -> (B, m, C).

    Args:
        tokens: n.
        hidden: Width of the hidden layer.
        out_tokens: m.
    """

    def __init__(self, tokens: int, hidden: int, out_tokens: int) -> None:
        super().__init__(tokens, hidden, out_tokens)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class CrossAttention(nn.Module):
    """Multi-head attention of queries (B, m, C) to keys (B, L, C) -> (B, m, C).

    Args:
        dim: C.
        num_heads: Heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'num_heads: {num_heads} does not divide the width {dim}')
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.proj = nn.Linear(dim, dim)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        out = F.scaled_dot_product_attention(
            self._heads(self.q_proj(query)),
            self._heads(self.k_proj(key)),
            self._heads(self.v_proj(key)),
        )
        return self.proj(out.transpose(1, 2).flatten(2))


class CrossAttentionBlock(nn.Module):
    """Groups look at the image: y = p + attention(p; x), y + MLP(norm(y)), norm.

    Source: the official code; unlike a usual block, neither p nor x is normalized in front of the
    attention here, and there is a norm at the end.

    Args:
        dim: C.
        num_heads: Heads.
        mlp_ratio: Hidden width of the perceptron as a multiple of C.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.attn = CrossAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.norm_post = nn.LayerNorm(dim)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """(B, m, C), (B, L, C) -> (B, m, C)."""
        x = query + self.attn(query, key)
        return self.norm_post(x + self.mlp(self.norm2(x)))


class AssignAttention(nn.Module):
    r"""Assigns each of L image tokens to one of m groups and averages the tokens of a group.

    .. math:: A = \mathrm{onehot}(\arg\max_m (q k^\top / \sqrt C + gumbel)), \quad
              out = W \Big( \frac{A v}{\sum_L A + \epsilon} \Big)

    The softmax runs over the GROUPS, and there is one head. In training Gumbel noise is added and
    the one-hot assignment has the gradient of the softmax (straight-through). With the official
    ``eps`` of 1 a group of n tokens gets their sum divided by n + 1, and an empty one 0.

    Source: GroupViT, equations 3 to 6 (the paper has no eps).

    Args:
        dim: C.
        hard: One-hot assignment, else the softmax itself.
        gumbel: Noise in training.
        gumbel_tau: Divides the noisy logits.
        sum_assign: Sum the tokens of a group instead of averaging.
        assign_eps: Added to the number of tokens of a group.
    """

    def __init__(
        self,
        dim: int,
        *,
        hard: bool = True,
        gumbel: bool = True,
        gumbel_tau: float = 1.0,
        sum_assign: bool = False,
        assign_eps: float = 1.0,
    ) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.proj = nn.Linear(dim, dim)
        self.scale = dim**-0.5
        self.hard, self.gumbel, self.gumbel_tau = hard, gumbel, gumbel_tau
        self.sum_assign, self.assign_eps = sum_assign, assign_eps

    def forward(
        self, query: torch.Tensor, key: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """New tokens, the assignment that made them, and the softmax without noise.

        Shapes:
            query (B, m, C), key (B, L, C) -> (B, m, C), (B, m, L) and (B, m, L), float32.
        """
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(key)
        # Half precision would blur the choice and could not count more than 256 tokens.
        logits = (q @ k.transpose(1, 2)).float() * self.scale
        soft = logits.softmax(1)
        assignment = soft
        if self.training and self.gumbel:
            assignment = ((logits + gumbel_noise(logits)) / self.gumbel_tau).softmax(1)
        if self.hard:
            assignment = straight_through(assignment, 1)
        weights = assignment
        if not self.sum_assign:
            weights = assignment / (assignment.sum(2, keepdim=True) + self.assign_eps)
        return self.proj(weights.to(v.dtype) @ v), assignment, soft


class GroupingBlock(nn.Module):
    """Makes m new tokens out of L image tokens, steered by n group tokens.

    Source: GroupViT, figure 2 right; the official code.

    Args:
        dim: C.
        out_dim: Width of the new tokens.
        num_heads: Heads of the cross attention.
        num_group_tokens: n.
        num_output_groups: m.
        assign: Arguments of :class:`AssignAttention`.

    Shapes:
        image tokens (B, L, C), group tokens (B, n, C) -> new tokens (B, m, out_dim), assignment and
        softmax (B, m, L).
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        *,
        num_heads: int,
        num_group_tokens: int,
        num_output_groups: int,
        **assign: bool | float,
    ) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(dim)
        self.mixer = TokenMixer(num_group_tokens, dim // 2, num_output_groups)
        self.norm_post_tokens = nn.LayerNorm(dim)
        self.norm_x = nn.LayerNorm(dim)
        self.cross = CrossAttentionBlock(dim, num_heads)
        self.assign = AssignAttention(dim, **assign)
        self.norm_new_x = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim, out_dim)
        self.reduction = nn.Identity()
        if out_dim != dim:
            self.reduction = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, out_dim, bias=False))

    def project(self, group_tokens: torch.Tensor) -> torch.Tensor:
        """(B, n, C) group tokens -> (B, m, C)."""
        return self.norm_post_tokens(self.mixer(self.norm_tokens(group_tokens)))

    def forward(
        self, x: torch.Tensor, group_tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.norm_x(x)
        groups = self.cross(self.project(group_tokens), x)
        new, assignment, soft = self.assign(groups, x)
        new = new + groups
        return self.reduction(new) + self.mlp(self.norm_new_x(new)), assignment, soft
