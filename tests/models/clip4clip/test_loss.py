import sys

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from forked import run_ranks

from mmclip.models.clip4clip.loss import symmetric_cross_entropy
from mmclip.registry import MODELS

HEADS = {
    'meanP': dict(type='mmclip.MeanPHead'),
    'seqLSTM': dict(type='mmclip.SeqLSTMHead'),
    'seqTransf': dict(type='mmclip.SeqTransfHead', layers=1),
    'tightTransf': dict(type='mmclip.TightTransfHead', layers=1, dropout=0.0),
}
LENGTHS = torch.tensor([5, 2, 1, 3, 4, 2])


def test_symmetric_cross_entropy_by_hand():
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    rows = [-F.log_softmax(torch.tensor(r), 0)[i] for i, r in enumerate([[2.0, 0.0], [1.0, 1.0]])]
    columns = [
        -F.log_softmax(torch.tensor(c), 0)[i] for i, c in enumerate([[2.0, 1.0], [0.0, 1.0]])
    ]
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    torch.testing.assert_close(symmetric_cross_entropy(logits), expected)


def batch(first, last):
    """Texts, frames and mask of some of six pairs, padded to the longest among them."""
    generator = torch.Generator().manual_seed(0)
    texts, frames = (
        torch.randn(6, 16, generator=generator),
        torch.randn(6, 5, 16, generator=generator),
    )
    lengths = LENGTHS[first:last]
    count = int(lengths.max())
    mask = torch.arange(count) < lengths[:, None]
    frames = frames[first:last, :count] * mask[..., None]
    return texts[first:last].clone(), frames.clone(), mask


def step(name, gather, first, last):
    """Loss and gradients of some of the pairs."""
    torch.manual_seed(1)
    head = MODELS.build(dict(HEADS[name], embed_dim=16))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    module = MODELS.build(dict(type='mmclip.VideoTextLoss', gather=gather))
    texts, frames, mask = batch(first, last)
    texts.requires_grad_(), frames.requires_grad_()
    scale = torch.tensor(5.0, requires_grad=True)
    if head.is_loose:
        loss = module.loose(F.normalize(texts, dim=-1), head(frames, mask), scale)
    else:
        loss = module.tight(head.all_pairs, texts, frames, mask)
    loss.backward()
    weights = {k: p.grad for k, p in head.named_parameters() if p.grad is not None}
    padded = F.pad(frames.grad, (0, 0, 0, 5 - frames.shape[1]))
    return dict(
        loss=loss.detach(), texts=texts.grad, frames=padded, scale=scale.grad, weights=weights
    )


def run_rank(rank: int, folder: str) -> None:
    """What each process of the tests below does; their batches are of different lengths."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    found = {
        (name, gather): step(name, gather, 3 * rank, 3 * rank + 3)
        for name in HEADS
        for gather in ('exact', 'official')
    }
    torch.save(found, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    run_ranks(__file__, folder)
    return [torch.load(folder / f'{rank}.pt') for rank in range(2)]


@pytest.mark.parametrize('name', HEADS)
def test_two_processes_give_the_loss_and_gradients_of_the_joined_batch(ranks, name):
    joined = step(name, 'exact', 0, 6)
    parts = [rank[name, 'exact'] for rank in ranks]
    close = dict(atol=1e-6, rtol=1e-6)
    assert abs(float(parts[0]['loss'] - parts[1]['loss'])) > 1e-3
    torch.testing.assert_close(sum(p['loss'] for p in parts) / 2, joined['loss'], **close)
    for key in ('texts', 'frames'):
        torch.testing.assert_close(torch.cat([p[key] for p in parts]) / 2, joined[key], **close)
    assert joined['texts'].abs().max() > 1e-3
    for key, expected in joined['weights'].items():  # averaged, as DDP does
        torch.testing.assert_close(sum(p['weights'][key] for p in parts) / 2, expected, **close)
    if name != 'tightTransf':
        torch.testing.assert_close(sum(p['scale'] for p in parts) / 2, joined['scale'], **close)


@pytest.mark.parametrize('name', HEADS)
def test_official_gathering_loses_what_others_ask(ranks, name):
    parts = [rank[name, 'official'] for rank in ranks]
    close = dict(atol=1e-6, rtol=1e-6)
    if name == 'tightTransf':  # each process by itself
        for i, part in enumerate(parts):
            alone = step(name, 'exact', 3 * i, 3 * i + 3)
            torch.testing.assert_close(part['loss'], alone['loss'], **close)
            torch.testing.assert_close(part['frames'], alone['frames'], **close)
        return
    joined = step(name, 'exact', 0, 6)
    for part in parts:  # the whole loss everywhere
        torch.testing.assert_close(part['loss'], joined['loss'], **close)
        torch.testing.assert_close(part['scale'], joined['scale'], **close)
    # Averaged, the towers' gradients are half of the joined batch's; the scale's is whole.
    torch.testing.assert_close(torch.cat([p['texts'] for p in parts]), joined['texts'], **close)
    torch.testing.assert_close(torch.cat([p['frames'] for p in parts]), joined['frames'], **close)


def test_an_empty_batch_has_a_gradient():
    module = MODELS.build(dict(type='mmclip.VideoTextLoss'))
    scale = torch.tensor(1.0, requires_grad=True)
    module.loose(torch.zeros(0, 4), torch.zeros(0, 4, requires_grad=True), scale).backward()
    assert float(scale.grad) == 0
    head = MODELS.build(dict(HEADS['tightTransf'], embed_dim=16))
    frames = torch.zeros(0, 0, 16, requires_grad=True)
    loss = module.tight(head.all_pairs, torch.zeros(0, 16), frames, torch.zeros(0, 0).bool())
    loss.backward()
    assert float(loss) == 0


def test_bad_settings_and_shapes():
    with pytest.raises(ValueError, match='gather'):
        MODELS.build(dict(type='mmclip.VideoTextLoss', gather='none'))
    module = MODELS.build(dict(type='mmclip.VideoTextLoss'))
    with pytest.raises(ValueError, match='same shape'):
        module.loose(torch.zeros(2, 4), torch.zeros(3, 4), torch.tensor(1.0))


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), sys.argv[2])
