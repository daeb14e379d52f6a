"""The contrastive loss: closed form, gradients, and two processes equal to one."""

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from forked import run_ranks
from safetensors.torch import load_file, save_file
from torch.nn.parallel import DistributedDataParallel

from mmclip.clip.contrastive_loss import ContrastiveLoss, contrastive_loss
from mmclip.registry import MODELS


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_two_orthogonal_pairs_have_the_closed_form():
    features = torch.eye(2)
    expected = math.log(1 + math.exp(-3))  # logits 3 and 0 in every row and column
    assert contrastive_loss(features, features, torch.tensor(3.0)).item() == pytest.approx(expected)
    swapped = contrastive_loss(features, features.flip(0), torch.tensor(3.0)).item()
    assert swapped == pytest.approx(3 + expected)


def test_equal_features_cannot_be_told_apart():
    features = unit(1, 8).expand(5, 8)
    loss = contrastive_loss(features, features, torch.tensor(20.0))
    assert loss.item() == pytest.approx(math.log(5), rel=1e-6)


def test_both_directions_count_the_same():
    images, texts, scale = unit(6, 16), unit(6, 16, seed=1), torch.tensor(7.0)
    one = contrastive_loss(images, texts, scale)
    torch.testing.assert_close(one, contrastive_loss(texts, images, scale))
    rows = F.cross_entropy(scale * images @ texts.T, torch.arange(6))
    columns = F.cross_entropy(scale * texts @ images.T, torch.arange(6))
    assert (rows - columns).abs() > 1e-3  # the symmetry is not that of the inputs
    torch.testing.assert_close(one, (rows + columns) / 2)


def test_gradients_are_right():
    images, texts = unit(4, 5).double(), unit(4, 5, seed=1).double()
    inputs = (images, texts, torch.tensor(5.0, dtype=torch.double))
    inputs = tuple(value.requires_grad_() for value in inputs)

    def loss(*values):  # the loss is computed in float32
        return contrastive_loss(*values).double()

    assert torch.autograd.gradcheck(loss, inputs, eps=1e-2, atol=2e-3, rtol=1e-2)


def test_reproduces_the_official_values_and_gradients(oracles):
    case = load_file(oracles / 'clip_zero_shot' / 'contrastive_loss.safetensors')
    images, texts, scale = (
        case[f'input/{name}'].requires_grad_()
        for name in ('image_features', 'text_features', 'logit_scale')
    )
    loss = contrastive_loss(images, texts, scale)
    loss.backward()
    for ours, name in (
        (loss, 'loss'),
        (images.grad, 'grad_image'),
        (texts.grad, 'grad_text'),
        (scale.grad, 'grad_logit_scale'),
    ):
        torch.testing.assert_close(ours, case[f'output/{name}'], rtol=1e-5, atol=1e-6)


def test_half_precision_features_are_compared_in_float32():
    images, texts = unit(8, 16), unit(8, 16, seed=1)
    exact = contrastive_loss(images, texts, torch.tensor(100.0))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        under_autocast = contrastive_loss(images, texts, torch.tensor(100.0))
    assert under_autocast.dtype == torch.float32
    torch.testing.assert_close(under_autocast, exact)


def test_an_empty_batch_gives_zero_and_zero_gradients():
    images, texts = torch.empty(0, 8, requires_grad=True), torch.empty(0, 8, requires_grad=True)
    scale = torch.tensor(10.0, requires_grad=True)
    loss = contrastive_loss(images, texts, scale)
    loss.backward()
    assert loss.item() == 0 and scale.grad.item() == 0
    assert images.grad.shape == (0, 8)


def test_unequal_shapes_are_an_error():
    with pytest.raises(ValueError, match=r'\(3, 8\).*\(4, 8\)'):
        contrastive_loss(unit(3, 8), unit(4, 8), torch.tensor(1.0))


def test_is_built_by_name_and_weighted():
    loss = MODELS.build(dict(type='mmclip.ContrastiveLoss', loss_weight=0.5))
    assert isinstance(loss, ContrastiveLoss)
    features, scale = torch.eye(3), torch.tensor(1.0)
    whole = contrastive_loss(features, features, scale)
    torch.testing.assert_close(loss(features, features, scale), whole / 2)


def test_pairs_with_the_same_text_are_no_negatives_of_each_other():
    features, scale = unit(4, 8), torch.tensor(3.0)
    texts = unit(4, 8, seed=1)
    texts[3] = texts[1]
    logits = scale * features @ texts.T
    rows = [[0, 1, 2, 3], [1, 0, 2], [2, 0, 1, 3], [3, 0, 2]]  # its own first, then its negatives
    to_texts = [-logits[i, row].log_softmax(0)[0] for i, row in enumerate(rows)]
    to_images = [-logits.T[i, row].log_softmax(0)[0] for i, row in enumerate(rows)]
    expected = (torch.stack(to_texts).mean() + torch.stack(to_images).mean()) / 2
    found = contrastive_loss(features, texts, scale, torch.tensor([7, -5, 9, -5]))
    torch.testing.assert_close(found, expected)
    distinct = contrastive_loss(features, texts, scale, torch.arange(4))
    torch.testing.assert_close(distinct, contrastive_loss(features, texts, scale))


def test_a_batch_of_one_text_has_no_negatives_and_finite_gradients():
    features = unit(3, 8).requires_grad_()
    texts = unit(1, 8, seed=1).expand(3, 8)
    loss = contrastive_loss(features, texts, torch.tensor(3.0), torch.zeros(3, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(loss, features)
    assert loss.item() == 0 and (gradient == 0).all()


class Towers(torch.nn.Module):
    """Two linear towers and a stored scale, as small as a CLIP can be."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text = torch.nn.Linear(6, 4), torch.nn.Linear(5, 4)
        self.log_scale = torch.nn.Parameter(torch.tensor(1.5))
        self.loss = ContrastiveLoss()

    def forward(
        self, images: torch.Tensor, texts: torch.Tensor, text_ids: torch.Tensor
    ) -> torch.Tensor:
        images = F.normalize(self.image(images), dim=-1)
        texts = F.normalize(self.text(texts), dim=-1)
        return self.loss(images, texts, self.log_scale.exp(), text_ids)


def run_rank(rank: int, folder: Path) -> None:
    """What each process of the test below does."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    pairs = load_file(folder / 'pairs.safetensors')
    model = DistributedDataParallel(Towers())
    loss = model(*(pairs[name].chunk(2)[rank] for name in ('images', 'texts', 'text_ids')))
    loss.backward()
    results = {name: parameter.grad for name, parameter in model.module.named_parameters()}
    save_file({'loss': loss.detach(), **results}, folder / f'rank{rank}.safetensors')
    dist.destroy_process_group()


def test_two_processes_equal_one_on_the_concatenated_batch(tmp_path):
    images, texts = unit(8, 6), unit(8, 5, seed=1)
    text_ids = torch.tensor([0, 1, 0, 2, 3, 1, 4, 5])  # repeated within and across processes
    pairs = dict(images=images, texts=texts, text_ids=text_ids)
    save_file(pairs, tmp_path / 'pairs.safetensors')
    single = Towers()
    loss = single(**pairs)
    loss.backward()

    run_ranks(__file__, tmp_path)
    results = [load_file(tmp_path / f'rank{rank}.safetensors') for rank in range(2)]
    losses = [result['loss'].item() for result in results]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)  # each computes its own rows
    assert sum(losses) / 2 == pytest.approx(loss.item(), rel=1e-6)
    for result in results:
        for name, parameter in single.named_parameters():
            torch.testing.assert_close(result[name], parameter.grad)


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), Path(sys.argv[2]))
