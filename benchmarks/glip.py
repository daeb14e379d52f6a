"""GLIP on a CPU: a long vocabulary on one image, the fusion block, a training step at full size.

    python benchmarks/glip.py                                   all of the following
    python benchmarks/glip.py vocabulary [--config glip/glip_b_swin-t_o365.py] [--side 800 1333]
    python benchmarks/glip.py fusion [--positions 22323] [--tokens 256]
    python benchmarks/glip.py step [--config glip/glip_b_swin-t_o365.py] [--side 800 1333]

Weights are random; times are single runs taken in turns, of which the median ratio is told.

vocabulary: LVIS's 1203 names on one image, in 31 captions of at most 40 classes. Ours encodes the
words once (they are kept for the next image: not counted), runs backbone and pyramid once per
image, and the rest per caption. Against it stands the loop that does everything for each caption,
with the same modules: `loop` with captions of the length they have, `padded` with captions of 256
tokens, as the official code's. Both are measured on `--captions` of the captions and multiplied
(every caption costs the loop the same; ours is measured with one and with all of these).
Acceptance (against `loop`): 1.3 times the speed with a fusion, 10 times without
(`--config glip/glip_a_swin-t_o365.py`).

fusion: the attention of one block against the official sequence of operations with explicit
products. Acceptance: equal to 1e-5, at most half the peak memory, no slower.

step: forward and backward pass of one image, its peak memory. Acceptance: at most 24 GB.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmclip import config_path
from mmclip.models.glip.bi_attention import BiAttention
from mmclip.registry import MODELS
from mmclip.text.captions import clean_name
from mmclip.text.class_names import class_names

PARTS = ('vocabulary', 'fusion', 'step')
CAPTIONS = 31
PIECE = 6  # letters: longer words are two or more tokens, as in BERT's vocabulary


def words_of(names: tuple[str, ...]) -> list[str]:
    """A vocabulary of word pieces in which names have about as many tokens as in BERT's."""
    words = {word for name in names for word in clean_name(name).lower().split()}
    pieces = {word[:PIECE] for word in words}
    pieces |= {'##' + word[i : i + PIECE] for word in words for i in range(PIECE, len(word), PIECE)}
    letters = [f'{start}{chr(i)}' for i in range(33, 127) for start in ('', '##')]
    return ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *sorted({*pieces, *letters})]


def build(config: str, names: tuple[str, ...]) -> nn.Module:
    cfg = Config.fromfile(config_path(config)).model
    init_default_scope('mmdet')
    cfg.text_encoder.tokenizer = dict(type='mmclip.BertTokens', source=words_of(names))
    cfg.test_cfg.update(chunk_size=40, max_per_img=300, max_total=-1, chunks_per_pass=1)
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


def sample(side: tuple[int, int]) -> DetDataSample:
    return DetDataSample(metainfo=dict(img_shape=side, scale_factor=(1.0, 1.0)))


def padded_side(side: tuple[int, int]) -> tuple[int, int]:
    return tuple(-(-length // 32) * 32 for length in side)


def peak_memory() -> float:
    """GB that this process has held at most (``ru_maxrss`` would count its parent's too)."""
    rows = Path('/proc/self/status').read_text().splitlines()
    return int(next(row for row in rows if row.startswith('VmHWM')).split()[1]) / 2**20


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@torch.no_grad()
def vocabulary(options: argparse.Namespace) -> bool:
    names = class_names('lvis_v1')
    model, side = build(options.config, names), tuple(options.side)
    image = torch.randn(1, 3, *padded_side(side))
    step = model.test_cfg['chunk_size']

    def ours(count: int) -> float:
        model.set_classes(names[: step * count])
        model.vocabulary.text(model.text_encoder)
        return timed(lambda: model.predict(image, [sample(side)]))

    def loop(pad: bool) -> float:
        tokenizer = model.text_encoder.tokenizer
        call = type(tokenizer).__call__
        if pad:
            model.fusion_text = None
            type(tokenizer).__call__ = lambda self, texts, length, pad=True: call(
                self, texts, length, True
            )
        try:
            model.set_classes(names[:step])
            model.vocabulary.captions  # noqa: B018  tokenized, not encoded
            if pad:
                model.vocabulary.passes = lambda text, count: [
                    (text, model.vocabulary.captions[2], model.vocabulary.captions[1])
                ]
            return timed(lambda: model.predict(image, [sample(side)]))
        finally:
            type(tokenizer).__call__ = call

    ratios: dict[str, list[float]] = dict(loop=[], padded=[])
    for number in range(options.rounds):
        one, some = ours(1), ours(options.captions)
        each = (some - one) / (options.captions - 1)
        total = one + (CAPTIONS - 1) * each
        for kind in ratios:
            ratios[kind].append(CAPTIONS * loop(kind == 'padded') / total)
        print(
            f'round {number}: ours {total:.1f} s an image, {each:.2f} s a caption more; loop '
            f'{ratios["loop"][-1]:.2f}, padded {ratios["padded"][-1]:.2f} times as long'
        )
    medians = {kind: statistics.median(values) for kind, values in ratios.items()}
    wanted = 1.3 if model.fusion.fuses else 10
    print(f'{options.config}: loop {medians["loop"]:.2f}, padded {medians["padded"]:.2f}', end='')
    print(f'; wanted: {wanted}')
    return medians['loop'] >= wanted


def fusion_parts(options: argparse.Namespace) -> tuple:
    torch.manual_seed(0)
    attention = BiAttention(vision_dim=256, text_dim=768).eval()
    v = torch.randn(1, options.positions, 256)
    words = torch.randn(1, options.tokens, 768)
    return attention, v, words, torch.ones(1, options.tokens, dtype=torch.bool)


def fusion_peak(options: argparse.Namespace, literally: bool, train: bool, queue: object) -> None:
    """In a process of its own: memory above what the inputs take, in GB."""
    attention, *inputs = fusion_parts(options)
    attention.train(train)
    call = attention._literally if literally else attention
    before = peak_memory()
    with torch.set_grad_enabled(train):
        out = call(*inputs)
        if train:
            sum(part.sum() for part in out).backward()
    queue.put(peak_memory() - before)


@torch.no_grad()
def fusion(options: argparse.Namespace) -> bool:
    attention, *inputs = fusion_parts(options)
    errors = [
        float((a - b).abs().max() / max(1, b.abs().max()))
        for a, b in zip(attention(*inputs), attention._literally(*inputs), strict=True)
    ]
    ratios = []
    for _ in range(options.rounds):
        ours = timed(lambda: attention(*inputs))
        ratios.append(timed(lambda: attention._literally(*inputs)) / ours)
    peaks, context = {}, multiprocessing.get_context('spawn')
    for train in (False, True):
        for literally in (False, True):
            queue = context.Queue()
            process = context.Process(target=fusion_peak, args=(options, literally, train, queue))
            process.start()
            peaks[train, literally] = queue.get()
            process.join()
    shares = {train: peaks[train, False] / peaks[train, True] for train in (False, True)}
    print(f'difference {max(errors):.1e}; explicit products {statistics.median(ratios):.2f} times')
    print('as long; memory GB, ours and explicit:')
    for train, name in ((False, 'test'), (True, 'training')):
        row = f'{peaks[train, False]:.2f}  {peaks[train, True]:.2f}  share {shares[train]:.2f}'
        print(f'  {name:<9} {row}')
    return max(errors) <= 1e-5 and max(shares.values()) <= 0.5 and statistics.median(ratios) >= 1


def step(options: argparse.Namespace) -> bool:
    names = class_names('coco80')
    model, side = build(options.config, names).train(), tuple(options.side)
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(20, 2, generator=generator) * 600
    one = sample(side)
    one.gt_instances = InstanceData(
        bboxes=torch.cat([corner, corner + 150], 1), labels=torch.arange(20)
    )
    model.test_cfg['chunk_size'] = -1
    model.set_classes(names)
    image = torch.randn(1, 3, *padded_side(side))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def run() -> None:
        losses = model.loss(image, [one])
        sum(losses.values()).backward()
        optimizer.step()
        print({name: round(float(value.detach()), 3) for name, value in losses.items()})

    seconds = timed(run)
    peak = peak_memory()
    print(f'{options.config}: one step of one image {seconds:.0f} s, peak {peak:.1f} GB')
    return peak <= 24


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('part', nargs='?', choices=PARTS, help='default: all')
    parser.add_argument('--config', default='glip/glip_b_swin-t_o365.py')
    parser.add_argument('--side', type=int, nargs=2, default=(800, 1333), help='height, width')
    parser.add_argument('--captions', type=int, default=3)
    parser.add_argument('--positions', type=int, default=22_323)
    parser.add_argument('--tokens', type=int, default=256)
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    if options.part is None:  # each in a process of its own, whose peak memory is measured
        command = [sys.executable, __file__]
        sys.exit(max([subprocess.call([*command, part, *sys.argv[1:]]) for part in PARTS]))
    sys.exit(not globals()[options.part](options))


if __name__ == '__main__':
    main()
