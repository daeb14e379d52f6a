"""Makes the store of region embeddings that ViLD distils from.

Boxes come from a detector whose region proposal network knows base classes only::

    python tools/precompute_regions.py --ann data/lvis_v1/annotations/lvis_v1_train.json \\
        --images data/lvis_v1 --out data/regions/lvis_vitb32 \\
        --config configs/vild/vild_text_r50_lvis.py --checkpoint work_dirs/rpn/latest.pth \\
        --model ViT-B-32-quickgelu --pretrained openai

or from a file (--boxes): LVIS/COCO annotations or a list of COCO results (.json), or .npz /
.safetensors with image_ids (n,), offsets (n + 1,), boxes (R, 4) xyxy and scores (R,).

Each image's best --max-regions boxes are cut out at 1x and 1.5x and go through the image tower of
the teacher. Run the command in as many processes as you like (torchrun, srun, a Slurm array): shard
i belongs to process i mod all. A killed run goes on where it stopped. The bytes of the store depend
neither on the number of processes nor on interruptions. --dry-run prints how long and how large.
"""

import argparse
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmclip import user_errors
from mmclip.clip.loading import clip_preprocess
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.distributed import job_device, job_place
from mmclip.models.vild.crops import CropRule, encode_crops
from mmclip.models.vild.region_boxes import DetectorBoxes, FileBoxes
from mmclip.offline.precompute_regions import (
    BYTES_PER_REGION,
    images_hash,
    images_of,
    precompute,
    prepared,
    teacher_meta,
)
from mmclip.stores.regions import RegionStore, missing_shards, write_index, write_meta


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--ann', required=True, help='LVIS or COCO annotation file: which images')
    add('--images', required=True, help='folder of the images')
    add('--out', required=True, type=Path, help='folder of the store')
    add('--model', required=True, help='the teacher: open_clip name or mini_clip')
    add('--pretrained', required=True, help='open_clip tag, file, folder or mini_clip')
    source = parser.add_argument_group('boxes: a file, or a detector')
    source.add_argument('--boxes', help='file of boxes')
    source.add_argument('--allow-empty', action='store_true', help='images may lack in --boxes')
    source.add_argument('--config', help="config of a detector, a file or a name of mmclip's")
    source.add_argument('--checkpoint', help='its weights')
    source.add_argument(
        '--allow-mismatch',
        action='store_true',
        help='go on with a checkpoint that lacks weights of the model or has others',
    )
    source.add_argument('--output', choices=('auto', 'rpn', 'detections'), default='auto')
    add('--max-regions', type=int, default=300, help='per image, the best scored')
    add('--min-size', type=float, default=0, help='pixels that both sides must exceed')
    rule = parser.add_argument_group('crop rule')
    rule.add_argument('--resize', choices=('short_side', 'warp'), help="default: the teacher's")
    rule.add_argument('--border', choices=('pad', 'cut'), default='pad')
    rule.add_argument('--average', choices=('norm_sum_norm', 'raw_sum'), default='norm_sum_norm')
    rule.add_argument('--scales', type=float, nargs='+', default=(1.0, 1.5))
    add('--images-per-shard', type=int, default=200)
    add('--batch-size', type=int, default=128, help='regions at once; part of the fingerprint')
    add('--workers', type=int, default=2, help='processes that read and crop images')
    add('--threads', type=int, default=1, help="torch's on a CPU; one, so that bytes never differ")
    add(
        '--precision', choices=('fp32', 'fp16', 'bf16'), default='fp32', help="of the teacher's run"
    )
    add('--device', help='default: the GPU of this process, if any')
    add('--dry-run', action='store_true', help='print time and size, write nothing')
    options = parser.parse_args(arguments)
    detector = options.config and options.checkpoint
    if bool(options.boxes) == bool(detector):
        parser.error('give either --boxes FILE or both --config and --checkpoint')
    return options


def _box_source(options: argparse.Namespace, device: str) -> FileBoxes | DetectorBoxes:
    limits = dict(limit=options.max_regions, min_size=options.min_size)
    if options.boxes:
        return FileBoxes(options.boxes, allow_empty=options.allow_empty, **limits)
    return DetectorBoxes(
        options.config,
        options.checkpoint,
        device=device,
        output=options.output,
        allow_mismatch=options.allow_mismatch,
        **limits,
    )


def _size(count: float) -> str:
    for unit in ('B', 'kB', 'MB', 'GB'):
        if count < 1000:
            return f'{count:.1f} {unit}'
        count /= 1000
    return f'{count:.1f} TB'


def _time(seconds: float) -> str:
    return f'{seconds / 60:.1f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'


def dry_run(options, images, boxes, clip, rule, encoder, place) -> None:
    """Measure some images, print what all of them will take."""
    ids = [image.image_id for image in images]
    regions = boxes.count(ids)
    step = max(1, len(images) // 4)
    sample = images[::step][:4]
    measured, spent = 0, 0.0
    for index in range(len(sample)):
        started = time.perf_counter()
        crops = next(prepared(sample[index : index + 1], boxes, rule, 0))[2]
        if len(crops):
            encode_crops(clip, crops, rule, batch_size=options.batch_size * len(rule.scales))
        if index or len(sample) == 1:  # the first one warms up
            measured += len(crops)
            spent += time.perf_counter() - started
    size = regions * (BYTES_PER_REGION + 2 * encoder.embed_dim)
    most = '' if isinstance(boxes, FileBoxes) else 'at most '
    print(f'images  {len(images)}')
    print(f'regions   {most}{regions}, {most}{regions * len(rule.scales)} crops')
    print(f'size      {most}{_size(size)} in {options.shards} shards')
    if measured:
        rate = measured / spent
        print(f'rate      {rate:.0f} regions/s in one process without workers')
        seconds = regions / rate
        print(
            f'time      {_time(seconds)} in one process, {_time(seconds / place[1])} in {place[1]}'
        )


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    place = job_place()
    device = job_device(options.device)
    if device == 'cpu':
        torch.set_num_threads(options.threads)
    torch.backends.cudnn.deterministic = True
    images = images_of(options.ann, options.images)
    ids = [image.image_id for image in images]
    boxes = _box_source(options, device)
    boxes.check_images(ids)
    encoder = CLIPTextEncoder(model=options.model, pretrained=options.pretrained)
    preprocess = clip_preprocess(options.model, options.pretrained)
    squash = preprocess.pop('resize_mode') == 'squash'
    rule = CropRule(
        **preprocess,
        scales=tuple(options.scales),
        resize=options.resize or ('warp' if squash else 'short_side'),
        border=options.border,
        average=options.average,
    )
    options.shards = -(-len(images) // options.images_per_shard)
    meta = dict(
        teacher=teacher_meta(encoder),
        crop_rule=rule.to_dict(),
        boxes={
            **boxes.describe(),
            'max_regions': options.max_regions,
            'min_size': options.min_size,
        },
        images=dict(count=len(images), hash=images_hash(images)),
        images_per_shard=options.images_per_shard,
        shards=options.shards,
        embed_dim=encoder.embed_dim,
        batch_size=options.batch_size,
        precision=options.precision,
    )
    dtype = dict(fp32=torch.float32, fp16=torch.float16, bf16=torch.bfloat16)[options.precision]
    clip = encoder.clip.to(device, dtype).eval()
    if options.dry_run:
        dry_run(options, images, boxes, clip, rule, encoder, place)
        return
    meta = write_meta(options.out, meta)
    mine = [n for n in missing_shards(options.out, meta) if n % place[1] == place[0]]
    per_shard = options.images_per_shard
    waiting = sum(len(images[n * per_shard : (n + 1) * per_shard]) for n in mine)
    columns = (
        TextColumn('process {task.fields[rank]}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('images  {task.fields[rate]:.0f} regions/s  {task.fields[size]}  left'),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    started, done, written = time.perf_counter(), 0, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task('', total=waiting, rank=place[0], rate=0.0, size='0 B')

        def report(images: int, regions: int, size: int) -> None:
            nonlocal done, written
            done, written = done + regions, written + size
            rate = done / (time.perf_counter() - started)
            progress.update(bar, advance=images, rate=rate, size=_size(written))
            if not console.is_terminal:
                task = progress.tasks[0]
                passed = time.perf_counter() - started
                left = passed / task.completed * (task.total - task.completed)
                console.print(
                    f'process {place[0]}: {task.completed:.0f} of {task.total:.0f} images, '
                    f'{rate:.0f} regions/s, {_size(written)}, {left / 60:.1f} min left'
                )

        precompute(
            options.out,
            images,
            boxes,
            clip,
            rule,
            meta,
            batch=options.batch_size,
            workers=options.workers,
            place=place,
            report=report,
        )
    if write_index(options.out, meta):
        store = RegionStore(options.out)
        console.print(f'{options.out}: {len(store)} images, fingerprint {meta["fingerprint"]}')
    else:
        left = len(missing_shards(options.out, meta))
        console.print(f'{options.out}: {left} of {options.shards} shards are still to be made')


if __name__ == '__main__':
    user_errors.run(main)
