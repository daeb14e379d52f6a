import math
import sys

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from forked import run_ranks

from mmclip.models.action_clip.loss import MultiPositiveKLLoss, multi_positive_kl, positives


def pairs(count=6, dim=5):
    generator = torch.Generator().manual_seed(0)
    videos, texts = torch.randn(2, count, dim, generator=generator)
    return F.normalize(videos, dim=1), F.normalize(texts, dim=1), torch.tensor([0, 2, 0, 1, 2, 2])


def test_target_gives_negatives_e_to_minus_ten_of_a_positive():
    # Two texts, one positive, logits 0: KL = sum p ln p + ln 2.
    p = 1 / (1 + math.exp(-10))
    expected = p * math.log(p) + (1 - p) * math.log(1 - p) + math.log(2)
    loss = multi_positive_kl(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert float(loss) == pytest.approx(expected, abs=1e-7)


def test_perfect_logits_cost_nothing_and_same_class_pairs_are_positives():
    labels = torch.tensor([0, 1, 0])
    positive = positives(labels, labels)
    assert positive.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert float(multi_positive_kl(10 * positive, positive)) == pytest.approx(0, abs=1e-6)


def test_several_labels_of_a_video():
    hot = torch.tensor([[1, 0, 1], [0, 1, 0]])
    assert positives(hot, torch.tensor([2, 1])).tolist() == [[1, 0], [0, 1]]
    assert positives(hot, torch.tensor([1, 0])).tolist() == [[0, 1], [1, 0]]


def test_without_repeated_labels_it_is_nearly_the_symmetric_cross_entropy():
    videos, texts, _ = pairs(4)
    labels = torch.arange(4)
    loss = MultiPositiveKLLoss(sharpness=40.0)(videos, texts, torch.tensor(7.0), labels, labels)
    logits = 7 * videos @ texts.T
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)


def test_an_empty_batch_has_a_gradient():
    videos = torch.zeros(0, 5, requires_grad=True)
    scale = torch.tensor(1.0, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    loss = MultiPositiveKLLoss()(videos, torch.zeros(0, 5), scale, none, none)
    loss.backward()
    assert float(loss) == 0 and float(scale.grad) == 0


@pytest.mark.parametrize(
    'change', [dict(texts=torch.zeros(5, 5)), dict(text_labels=torch.zeros(2)),
               dict(video_labels=torch.zeros(2))]
)  # fmt: skip
def test_shapes_that_do_not_fit(change):
    videos, texts, labels = pairs()
    arguments = dict(
        videos=videos, texts=texts, logit_scale=torch.tensor(1.0), video_labels=labels,
        text_labels=labels,
    )  # fmt: skip
    with pytest.raises(ValueError, match='shape|fit'):
        MultiPositiveKLLoss()(**{**arguments, **change})
    with pytest.raises(ValueError, match='sharpness: 0'):
        MultiPositiveKLLoss(sharpness=0)


def _gradients(videos, texts, labels, spoken):
    videos, texts = videos.clone().requires_grad_(), texts.clone().requires_grad_()
    scale = torch.tensor(5.0, requires_grad=True)
    loss = MultiPositiveKLLoss()(videos, texts, scale, labels, spoken)
    loss.backward()
    return loss.detach(), videos.grad, texts.grad, scale.grad


def batches():
    """One action per video; several of each, of which a sentence tells one."""
    videos, texts, labels = pairs()
    hot = F.one_hot(labels, 5).float()
    hot[0] = torch.ones(5)
    hot[-1] = 0  # a video without an action
    return (videos, texts, labels, labels), (videos, texts, hot, labels)


def run_rank(rank: int, folder: str) -> None:
    """What each process of the test below does."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    own = [_gradients(*(part.chunk(2)[rank] for part in batch)) for batch in batches()]
    torch.save(own, f'{folder}/{rank}.pt')
    dist.destroy_process_group()


def test_two_processes_give_the_loss_and_gradients_of_the_joined_batch(tmp_path):
    run_ranks(__file__, tmp_path)
    results = zip(*(torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1)), strict=True)
    for batch, parts in zip(batches(), results, strict=True):
        loss, videos, texts, scale = _gradients(*batch)
        assert float(parts[0][0]) != pytest.approx(float(parts[1][0]), rel=1e-3)
        assert float(sum(p[0] for p in parts) / 2) == pytest.approx(float(loss), abs=1e-6)
        # Gradients of the whole batch, once averaged over processes.
        torch.testing.assert_close(torch.cat([p[1] for p in parts]) / 2, videos, atol=1e-6, rtol=0)
        torch.testing.assert_close(torch.cat([p[2] for p in parts]) / 2, texts, atol=1e-6, rtol=0)
        assert float(sum(p[3] for p in parts) / 2) == pytest.approx(float(scale), abs=1e-6)


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), sys.argv[2])
