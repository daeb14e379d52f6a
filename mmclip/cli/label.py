"""Labels image-caption pairs with boxes: a teacher grounds the noun phrases of their captions.

    python tools/pseudo_label.py configs/glip/glip_c_swin-t_o365_goldg.py glip_c.pth \\
        --shards 'data/cc3m/{00000..00331}.tar' --out data/cc3m_glip_c

Shards are WebDataset's: key.jpg and key.txt. For each, --out gets one ODVG file of the same name;
the images stay where they are, and ``mmclip.GroundingShards`` reads both. Kept are boxes with a
score above --min-score, and pairs that have one (GLIP: 0.5; 24 M pairs gave 78 M boxes).

Noun phrases come from NLTK's tagger if it is here with its data,

    pip install nltk
    python -m nltk.downloader -d data/nltk_data punkt_tab averaged_perceptron_tagger_eng
    export NLTK_DATA=data/nltk_data

otherwise from a list of words (--phrases).

Run the command in as many processes as you like (torchrun, srun, a Slurm array): shard i belongs
to process i mod all. A run that was cut off goes on with the shards that have no file. The bytes
depend neither on the number of processes nor on interruptions. At the end it says the rate and what
a million pairs cost; --dry-run 100 measures that and writes nothing. Shards that cannot be read to
their end get no file; the command goes on and ends with status 1.
"""

import argparse
import sys
from pathlib import Path

import torch

from mmclip import user_errors
from mmclip.datasets.captions import expand_shards
from mmclip.distributed import job_device, job_place
from mmclip.offline.pseudo_label import (
    Counts,
    Teacher,
    label_shard,
    label_shards,
    missing_shards,
    write_meta,
)
from mmclip.text.phrases import phrase_finder


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help="the teacher's config file, or the name of one of mmclip's")
    add('checkpoint', help='its weights')
    add('--shards', nargs='+', required=True, help='tar files; braces are expanded')
    add('--out', type=Path, required=True, help='folder of the ODVG files')
    add('--min-score', type=float, default=0.5, help='scores must exceed it')
    add(
        '--phrases',
        default='auto',
        help='nltk, word_list, a vocabulary of the package, a text file of words, or auto',
    )
    add('--batch-size', type=int, default=8, help='pairs at once; part of what makes the bytes')
    add('--workers', type=int, default=2, help='threads that prepare images')
    add('--threads', type=int, default=1, help="torch's on a CPU; one, so that bytes never differ")
    add('--device', help='default: the GPU of this process, if any')
    add(
        '--allow-mismatch',
        action='store_true',
        help='go on with a checkpoint that lacks weights of the model or has others',
    )
    add('--price', type=float, help='of an hour of one process, for the cost of a million pairs')
    add('--dry-run', type=int, metavar='PAIRS', help='label so many pairs and write nothing')
    options = parser.parse_args(arguments)
    if not 0 <= options.min_score < 1:
        parser.error(f'--min-score: {options.min_score}; allowed are 0 to below 1')
    for name in ('batch_size', 'workers', 'threads', 'dry_run'):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")}: {value}; allowed are 1 and more')
    return options


def summary(counts: Counts, processes: int, price: float | None) -> str:
    """What was found, at which rate, and what a million pairs take."""
    lines = [
        f'pairs     {counts.pairs}, {counts.labeled} with boxes, {counts.boxes} boxes; '
        f'{counts.without_phrase} without a phrase, {counts.broken} broken'
    ]
    if counts.pairs and counts.seconds:
        rate = counts.pairs / counts.seconds
        hours = 1e6 / rate / 3600
        lines.append(f'rate      {rate:.1f} pairs/s in this process')
        cost = '' if price is None else f', {hours * price:.2f} at {price:g} per process-hour'
        wall = f', {hours / processes:.1f} h in {processes} processes' if processes > 1 else ''
        lines.append(f'million   {hours:.1f} process-hours{wall}{cost}')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    place, device = job_place(), job_device(options.device)
    if device == 'cpu':
        torch.set_num_threads(options.threads)
    torch.backends.cudnn.deterministic = True
    shards = expand_shards(options.shards)
    find = phrase_finder(options.phrases)
    teacher = Teacher(
        options.config, options.checkpoint, device=device, allow_mismatch=options.allow_mismatch
    )
    settings = dict(min_score=options.min_score, batch=options.batch_size, workers=options.workers)
    if options.dry_run:
        _, counts = label_shard(shards[0], teacher, find, limit=options.dry_run, **settings)
        print(summary(counts, place[1], options.price))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    write_meta(
        options.out,
        dict(
            teacher=teacher.hash,
            phrases=find.name,
            min_score=options.min_score,
            batch_size=options.batch_size,
        ),
    )

    def report(shard: str, counts: Counts) -> None:
        rate = counts.pairs / max(counts.seconds, 1e-9)
        print(
            f'process {place[0]}: {Path(shard).name}: {counts.pairs} pairs, {counts.labeled} with '
            f'boxes, {rate:.1f} pairs/s',
            flush=True,
        )

    total = label_shards(options.out, shards, teacher, find, place=place, report=report, **settings)
    print(summary(total, place[1], options.price))
    left = len(missing_shards(options.out, shards))
    print(f'{options.out}: {len(shards) - left} of {len(shards)} shards are labeled')
    if total.damaged:
        sys.exit(f'pseudo_label: {total.damaged} shards are damaged, see above')


if __name__ == '__main__':
    user_errors.run(main)
