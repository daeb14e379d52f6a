"""Losses and gradients of two processes are those of one on the joined batch."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from forked import run_ranks
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
from toy_glipv2 import INTER, MASKS, build, sample

from mmclip.compat import end_process

# Images of each process: unequal numbers of objects, words and masks.
SHARES = [[0, 1], [2, 3]]


class Losses(torch.nn.Module):
    """The model without what is drawn: no hidden words, no random locations."""

    def __init__(self) -> None:
        super().__init__()
        init_default_scope('mmdet')
        loss = dict(INTER['inter_image_loss'], pad='zero')
        self.model = build(head=MASKS, inter_image_loss=loss)
        self.model.train()

    def forward(self, numbers: list[int]) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        images = torch.randn(4, 3, 64, 64, generator=generator)
        samples = [
            sample(['cat', 'dog', 'tree'], [(4, 4, 36, 30), (30, 30, 60, 62)], [0, 1], masks=True),
            sample(['a red star'], [(10, 20, 50, 52)], [0], det=False),
            sample(['dog', 'cat'], [(0, 0, 30, 40)], [1], masks=True),
            sample(['tree', 'car', 'cat', 'star'], [], []),
        ]
        return self.model.loss(images[numbers], [samples[i] for i in numbers])


def run_rank(rank: int, folder: Path) -> None:
    """What each process of the test below does."""
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    model = MMDistributedDataParallel(Losses(), device_ids=None)
    losses = torch.nn.parallel.DistributedDataParallel.forward(model, SHARES[rank])
    sum(losses.values()).backward()
    found = {name: value.detach() for name, value in losses.items()}
    found |= {f'grad.{n}': p.grad for n, p in model.module.model.named_parameters()}
    save_file(found, folder / f'rank{rank}.safetensors')
    end_process()


def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    single = Losses()
    losses = single([0, 1, 2, 3])
    sum(losses.values()).backward()
    run_ranks(__file__, tmp_path)
    results = [load_file(tmp_path / f'rank{rank}.safetensors') for rank in range(2)]
    for name, value in losses.items():
        both = [result[name].item() for result in results]
        assert both[0] != both[1], name
        torch.testing.assert_close(torch.tensor(sum(both) / 2), value.detach(), msg=name)
    for name, parameter in single.model.named_parameters():
        torch.testing.assert_close(
            results[0][f'grad.{name}'], parameter.grad, rtol=1e-4, atol=1e-5, msg=name
        )


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), Path(sys.argv[2]))
