"""Finds videos of a store by sentences, or by other videos.

    python tools/search_videos.py features/mini configs/clip4clip/mini/clip4clip_meanp_mini.py \\
        work_dirs/clip4clip_meanp_mini/iter_400.pth --text "a striped red star is moving left"

The search is exact and reads the store block by block, so its memory does not grow with it: up to
some million vectors that is a matter of seconds. --faiss builds an index once, keeps it in the
store's folder and searches that (`pip install faiss-cpu`, or mmclip[search]): 'Flat' is exact,
'IVF4096,Flat' and the like are approximate. --out writes a line of json per query.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from mmclip import user_errors
from mmclip.apis.video_search import VideoSearcher, list_videos
from mmclip.io.atomic import atomic_file
from mmclip.io.records import existing_file, read_lines
from mmclip.models.clip4clip.search import exact_search, index_search, load_index
from mmclip.stores.video_features import FeatureStore


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('store', type=Path, help='folder made by tools/extract_video_features.py')
    add('config', help='as there')
    add('checkpoint', help='as there')
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument('--text', nargs='+', help='sentences')
    query.add_argument('--text-file', type=Path, help='a sentence per line')
    query.add_argument('--video', help='videos like these: folder, .txt list or a video')
    add('--topk', type=int, default=10)
    add('--rows', type=int, default=65536, help='vectors in memory at once')
    add('--faiss', metavar='FACTORY', help="an index instead, e.g. 'IVF4096,Flat'")
    add('--probes', type=int, help='cells of such an index that are looked into (default: 32)')
    add('--out', type=Path, help='a file for the results, a line of json per query')
    add(
        '--allow-mismatch',
        action='store_true',
        help='go on with a checkpoint that lacks weights of the model or has others',
    )
    add('--device', help='default: the accelerator, if any')
    return parser.parse_args(arguments)


def _queries(options: argparse.Namespace, searcher: VideoSearcher) -> tuple[list[str], object]:
    if options.video:
        names = list_videos(options.video)
        return names, searcher.videos(names, strict=True)[0]
    if options.text_file:
        path = existing_file(options.text_file, '--text-file', '')
        names = [line for _, line in read_lines(path, f'--text-file: {path}')]
    else:
        names = options.text
    if not names:
        raise ValueError('--text: there is no sentence')
    return names, searcher.texts(names)


def main(arguments: list[str] | None = None) -> list[dict]:
    options = parse(arguments)
    store = FeatureStore(options.store)
    searcher = VideoSearcher(
        options.config, options.checkpoint, options.device, options.allow_mismatch
    )
    identity = searcher.identity()
    differ = [key for key in ('weights', 'model') if identity[key] != store.meta[key]]
    if differ:
        raise ValueError(
            f'store: {options.store} was made with other {" and ".join(differ)} than '
            f'{options.checkpoint} of {options.config}; their vectors have nothing to do with each '
            'other'
        )
    names, queries = _queries(options, searcher)
    if options.probes is not None and not options.faiss:
        raise ValueError('--probes: the exact search has no cells; give --faiss')
    started = time.perf_counter()
    if options.faiss:
        scores, rows = index_search(
            load_index(store, options.faiss), queries, options.topk, probes=options.probes
        )
    else:
        scores, rows = exact_search(
            store, queries.to(searcher.device), options.topk, rows=options.rows
        )
    spent = time.perf_counter() - started
    found = []
    for name, own, places in zip(names, scores.tolist(), rows.tolist(), strict=True):
        hits = [
            dict(video=store.names[place], score=round(score, 6))
            for score, place in zip(own, places, strict=True)
            if place >= 0
        ]
        found.append(dict(query=name, videos=hits))
    if options.out:
        with atomic_file(options.out) as partial:
            partial.write_text(''.join(json.dumps(row) + '\n' for row in found))
    else:
        for row in found:
            print(row['query'])
            for hit in row['videos']:
                print(f'  {hit["score"]:.4f}  {hit["video"]}')
    print(f'{len(names)} queries in {len(store)} videos: {spent:.3f} s', file=sys.stderr)
    return found


if __name__ == '__main__':
    user_errors.run(main)
