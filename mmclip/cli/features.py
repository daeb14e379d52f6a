"""Makes a store of vectors of videos, for tools/search_videos.py.

    python tools/extract_video_features.py configs/clip4clip/mini/clip4clip_meanp_mini.py \\
        work_dirs/clip4clip_meanp_mini/iter_400.pth \\
        --videos data/mini_world/video/clips --out features/mini

--videos is a folder (with sub-folders), a .txt file with a path per line, or one video. Run the
command in as many processes as you like (torchrun, srun, a Slurm array): shard i belongs to process
i mod all. A run that was cut off goes on where it stopped. A video that cannot be read is told and
has no vector, unless --strict.
"""

import argparse
import time
from pathlib import Path

import torch

from mmclip import user_errors
from mmclip.apis.video_search import VideoSearcher, list_videos
from mmclip.distributed import job_device, job_place
from mmclip.stores.video_features import DTYPES, fill_store, missing_shards, open_store


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help="config file, or the name of one of mmclip's, of a loose CLIP4Clip")
    add('checkpoint', help="weights; 'none': those that the config names")
    add('--videos', required=True, help='folder, .txt list or a video')
    add('--out', required=True, type=Path, help='folder of the store')
    add('--dtype', choices=list(DTYPES), default='float32', help='of the vectors on disk')
    add('--videos-per-shard', type=int, default=512)
    add('--batch-size', type=int, default=16, help='videos at once')
    add('--workers', type=int, default=2, help='processes that decode')
    add('--device', help='default: the accelerator of this process, if any')
    add(
        '--allow-mismatch',
        action='store_true',
        help='go on with a checkpoint that lacks weights of the model or has others',
    )
    add('--strict', action='store_true', help='a video that cannot be read is an error')
    options = parser.parse_args(arguments)
    if min(options.videos_per_shard, options.batch_size) < 1 or options.workers < 0:
        parser.error('--videos-per-shard and --batch-size start at 1, --workers at 0')
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    place = job_place()
    videos = list_videos(options.videos)
    searcher = VideoSearcher(
        options.config, options.checkpoint, job_device(options.device), options.allow_mismatch
    )
    meta = dict(searcher.identity(), dtype=options.dtype)
    meta = open_store(options.out, videos, meta, per_shard=options.videos_per_shard)
    started, done, lost = time.perf_counter(), 0, 0

    def encode(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        return searcher.videos(
            videos[start:stop],
            batch=options.batch_size,
            workers=options.workers,
            strict=options.strict,
        )

    def report(count: int, broken: int) -> None:
        nonlocal done, lost
        done, lost = done + count, lost + broken
        rate = done / (time.perf_counter() - started)
        print(f'process {place[0]}: {done} videos, {rate:.1f} per second, {lost} unreadable')

    fill_store(options.out, meta, encode, place=place, report=report)
    left = len(missing_shards(options.out, meta))
    if left:
        print(f'{options.out}: {left} of {meta["shards"]} shards are still to be made')
    else:
        print(f'{options.out}: {meta["videos"]} videos, fingerprint {meta["fingerprint"]}')


if __name__ == '__main__':
    user_errors.run(main)
