"""Chunks give the gradients of the whole batch; accumulation over small batches does not."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmclip.clip.cached_gradients import in_chunks
from mmclip.clip.contrastive_loss import contrastive_loss


def towers(seed: int = 0) -> nn.ModuleDict:
    torch.manual_seed(seed)
    return nn.ModuleDict(
        dict(
            image=nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8)),
            text=nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 8)),
            norm=nn.BatchNorm1d(8),
        )
    ).double()


def gradients(model: nn.ModuleDict, images, texts, chunk_size) -> dict[str, torch.Tensor]:
    # The batch norm stands behind the chunks and sees the whole batch.
    features = model['norm'](in_chunks(model['image'], images, chunk_size))
    words = in_chunks(model['text'], texts, chunk_size)
    loss = contrastive_loss(
        F.normalize(features, dim=1), F.normalize(words, dim=1), torch.tensor(5.0)
    )
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()} | {'loss': loss.detach()}


@pytest.mark.parametrize('chunk_size', [1, 3, 5, 12, 100])
def test_same_gradients_as_the_whole_batch(chunk_size):
    model, images, texts = towers(), torch.randn(12, 6).double(), torch.randn(12, 5).double()
    whole = gradients(model, images, texts, None)
    chunks = gradients(model, images, texts, chunk_size)
    assert whole.keys() == chunks.keys()
    for name in whole:
        torch.testing.assert_close(chunks[name], whole[name], rtol=1e-5, atol=1e-7)


def test_accumulation_gives_others():
    model, images, texts = towers(), torch.randn(12, 6).double(), torch.randn(12, 5).double()
    whole = gradients(model, images, texts, None)
    parts = [
        gradients(model, i, t, None) for i, t in zip(images.split(6), texts.split(6), strict=True)
    ]
    accumulated = (parts[0]['image.0.weight'] + parts[1]['image.0.weight']) / 2
    assert (accumulated - whole['image.0.weight']).norm() > 0.1 * whole['image.0.weight'].norm()


def test_noise_is_drawn_again_as_it_was():
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))
            self.drawn: list[torch.Tensor] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            noise = torch.randn_like(x)
            self.drawn.append(noise)
            return self.weight**2 * x * noise

    torch.manual_seed(3)
    model, x = Noisy(), torch.randn(6, 2)
    in_chunks(model, x, 2).sum().backward()
    first, again = model.drawn[:3], model.drawn[3:]
    assert len(again) == 3
    expected = 2 * 2.0 * (x * torch.cat(first)).sum()
    assert model.weight.grad.item() == pytest.approx(expected.item(), rel=1e-5)
    # Backward goes through the chunks from the last to the first.
    assert all(torch.equal(a, b) for a, b in zip(first, again[::-1], strict=True))


def test_keeps_one_chunk_at_a_time():
    alive, most = 0, 0

    class Kept(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            nonlocal alive
            assert len(ctx.saved_tensors) == 1
            alive -= 1
            return g * 2

    def function(x: torch.Tensor) -> torch.Tensor:
        nonlocal alive, most
        if torch.is_grad_enabled() and computing_again:
            alive += 1
            most = max(most, alive)
        return Kept.apply(x)

    x = torch.randn(8, 2, requires_grad=True)
    computing_again = False
    out = in_chunks(function, x, 2)
    computing_again = True
    out.sum().backward()
    assert most == 1 and alive == 0
    torch.testing.assert_close(x.grad, torch.full_like(x, 2))


def test_without_gradients_and_empty():
    model, x = towers()['image'], torch.randn(5, 6).double()
    with torch.no_grad():
        torch.testing.assert_close(in_chunks(model, x, 2), model(x))
    out = in_chunks(model, x[:0], 2)
    out.sum().backward()
    assert out.shape == (0, 8) and model[0].weight.grad.abs().max() == 0


def test_bad_input():
    with pytest.raises(ValueError, match='chunk_size: 0'):
        in_chunks(nn.Identity(), torch.zeros(3, 2), 0)
    normed = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match="'1' is a batch norm"):
        in_chunks(normed, torch.zeros(3, 2), 1)
    assert in_chunks(normed.eval(), torch.zeros(3, 2), 1).shape == (3, 2)
