"""GroupViT's image encoder against transformers': time and memory at 448 x 448.

    python benchmarks/group_vit.py [--size 448] [--batch 1] [--rounds 9]

Both have the same random weights; the position table of 224 pixels is resized once and loaded into
both, since transformers' model takes one size only. Their times are measured in turns, and the
median of the ratios is printed, then the peak of memory of each in a process of its own, and the
largest difference of the outputs (on an image without ties in its assignments).

Acceptance: 1.3 times the throughput, or an account of the floor that forbids it; no more memory.
``--floor`` prints what the matrix products alone take, which both share.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import GroupViTConfig, GroupViTModel

from mmclip.models.group_vit.convert import convert
from mmclip.models.group_vit.encoder import GroupViTBackbone


def resize_table(table: torch.Tensor, grid: int) -> torch.Tensor:
    """(1, N, C) position embedding of a square grid for another one."""
    side = round(table.shape[1] ** 0.5)
    table = table.transpose(1, 2).unflatten(2, (side, side))
    return F.interpolate(table, (grid, grid), mode='bicubic').flatten(2).transpose(1, 2)


def build(size: int) -> tuple[torch.nn.Module, GroupViTBackbone]:
    """transformers' vision tower and ours, with the same weights."""
    torch.manual_seed(0)
    config = GroupViTConfig(vision_config=dict(image_size=size))
    theirs = GroupViTModel(config).eval()
    table = resize_table(torch.randn(1, 196, 384) * 0.02, size // 16)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.05)
        theirs.vision_model.embeddings.position_embeddings.copy_(table)
    ours = GroupViTBackbone(img_size=size).eval()
    weights = convert(theirs.state_dict())
    prefix = 'backbone.'
    ours.load_state_dict(
        {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    )
    return theirs.vision_model, ours


@torch.no_grad()
def seconds(run, images: torch.Tensor) -> float:
    start = time.perf_counter()
    run(images)
    return time.perf_counter() - start


@torch.no_grad()
def floor(size: int, batch: int) -> float:
    """Seconds of the encoder's matrix products and attention alone, without anything else."""
    patches = (size // 16) ** 2
    lengths = [patches + 64] * 6 + [64 + 8] * 3 + [8] * 3
    weights = [torch.randn(n, 384) for n in (1152, 384, 1536)] + [torch.randn(384, 1536)]
    jobs = [(torch.randn(batch * n, 384), torch.randn(batch * n, 1536)) for n in lengths]
    heads = [torch.randn(batch, 6, n, 64) for n in lengths]
    start = time.perf_counter()
    for (narrow, wide), head in zip(jobs, heads, strict=True):
        for weight in weights[:3]:
            F.linear(narrow, weight)
        F.linear(wide, weights[3])
        F.scaled_dot_product_attention(head, head, head)
    return time.perf_counter() - start


def high_water() -> float:
    """MiB of memory that this process has held at most."""
    status = Path('/proc/self/status').read_text()
    return float(status.split('VmHWM:')[1].split()[0]) / 1024


def memory_of(which: str, size: int, batch: int) -> float:
    """Peak of memory in MiB of one model in a process of its own."""
    command = [sys.executable, __file__, '--size', str(size), '--batch', str(batch)]
    # Freed tensors go back to the system at once, so that the high-water mark tells.
    environment = {**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '0'}
    output = subprocess.run(
        [*command, '--memory', which], capture_output=True, text=True, check=True, env=environment
    )
    return float(output.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=448, help='side of the image in pixels')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--floor', action='store_true', help='also the matrix products alone')
    parser.add_argument('--memory', choices=('theirs', 'ours'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    theirs, ours = build(options.size)
    images = torch.randn(options.batch, 3, options.size, options.size)
    if options.memory:
        model = theirs if options.memory == 'theirs' else ours
        del theirs, ours
        seconds(model, images)  # what is set up once
        Path('/proc/self/clear_refs').write_text('5')  # the high-water mark starts anew
        before = high_water()
        seconds(model, images)
        print(high_water() - before)
        return
    with torch.no_grad():
        expected, got = theirs(images), ours(images)
    difference = float((got.tokens - expected.last_hidden_state).abs().max())
    runs = [(seconds(theirs, images), seconds(ours, images)) for _ in range(options.rounds + 1)][1:]
    ratio = statistics.median(a / b for a, b in runs)
    a, b = (1000 * statistics.median(column) for column in zip(*runs, strict=True))
    print(f'{options.size} px, batch {options.batch}, {torch.get_num_threads()} threads')
    print(f'transformers {a:.0f} ms   mmclip {b:.0f} ms   throughput x {ratio:.2f}')
    if options.floor:
        times = [floor(options.size, options.batch) for _ in range(options.rounds + 1)][1:]
        print(f'matrix products and attention alone {1000 * statistics.median(times):.0f} ms')
    print(f'largest difference of the tokens {difference:.1e}')
    memory = {which: memory_of(which, options.size, options.batch) for which in ('theirs', 'ours')}
    print(f'memory beyond the models: {memory["theirs"]:.0f} MiB and {memory["ours"]:.0f} MiB')


if __name__ == '__main__':
    main()
