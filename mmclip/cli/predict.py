"""Draws any words on any images.

    python tools/demo.py image.png vild/mini/vild_text_r18_mini.py work_dirs/demo/iter_1200.pth \
        --classes 'striped red star, blue ring'

A PointCLIP config takes point clouds: ``mug.ply point_clip/….py none --up z``.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine import Config
from mmengine.structures import BaseDataElement

from mmclip import user_errors
from mmclip.apis import OpenVocabInferencer
from mmclip.apis.images import output_names, read_image
from mmclip.apis.point_clouds import (
    classify_cloud,
    is_point_config,
    list_clouds,
    load_cloud_model,
)
from mmclip.config_file import read_config
from mmclip.io.atomic import write_image
from mmclip.text.class_names import ENDINGS, class_names, known_vocabularies, names_of_file
from mmclip.visualization import montage
from mmclip.visualization.group_maps import draw_groups
from mmclip.visualization.word_masks import words_in


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'images', nargs='+', help='files or folders of images, for PointCLIP of clouds'
    )
    parser.add_argument('config', help="a config file, or the name of one of mmclip's")
    parser.add_argument('checkpoint', help="weights of the config; for PointCLIP also 'none'")
    parser.add_argument(
        '--classes',
        help="words to look for, 'a,b,c', a file of them (.txt, one per line), or a known "
        f'vocabulary ({", ".join(known_vocabularies())}); by default the classes '
        'that the checkpoint was trained on',
    )
    parser.add_argument('--prompts', help="template set, or a sentence such as 'a photo of a {}'")
    parser.add_argument(
        '--examples',
        nargs='+',
        metavar='NAME=IMAGE,...',
        help='images that stand for classes, or one json file of such lists',
    )
    parser.add_argument('--out-dir', default='work_dirs/images', help='folder for PNG files')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score that is drawn')
    parser.add_argument(
        '--bg-thresh',
        type=float,
        help='GroupViT: what no word names better is the background, the first of the words',
    )
    parser.add_argument(
        '--groups',
        action='store_true',
        help='GroupViT: also an image NAME_groups.png of its groups',
    )
    parser.add_argument('--device', help="'cpu', 'cuda:1', ...; by default the accelerator")
    parser.add_argument(
        '--allow-mismatch',
        action='store_true',
        help='go on with a checkpoint that lacks weights of the model or has others',
    )
    parser.add_argument('--batch-size', type=int, default=1, help='images at once')
    parser.add_argument('--montage', metavar='FILE', help='all drawn images as one')
    parser.add_argument('--columns', type=int, default=3, help='images per row of the montage')
    parser.add_argument('--top-k', type=int, default=5, help='PointCLIP: classes that are told')
    parser.add_argument(
        '--up', default='y', help="PointCLIP: axis that is up in the cloud, 'y', 'z', '-z', ..."
    )
    parser.add_argument(
        '--num-points', type=int, help='PointCLIP: points of a cloud that are used; by default all'
    )
    return parser.parse_args(argv)


def read_classes(text: str | None) -> str | list[str] | None:
    """A known vocabulary's name, a file of names (.txt, .json, .csv), or words between commas."""
    if text is None or text in known_vocabularies():
        return text
    if text.endswith(ENDINGS):
        return list(names_of_file(text))
    return [word.strip() for word in text.split(',')]


def read_examples(entries: list[str] | None) -> dict[str, list[str]] | str | None:
    """A json file, or images per name."""
    if not entries:
        return None
    if len(entries) == 1 and '=' not in entries[0]:
        return entries[0]
    examples = {}
    for entry in entries:
        name, equals, images = entry.partition('=')
        if not equals or not name or not images:
            raise ValueError(f'--examples {entry!r} must be NAME=IMAGE,... or one json file')
        examples[name] = images.split(',')
    return examples


def found_in(sample: BaseDataElement) -> list[str]:
    """'2 x star' for boxes, 'star 12 %' for pixels."""
    if 'pred_sem_seg' in sample:
        labels = sample.pred_sem_seg.data[0].numpy()
        names = sample.label_names
        return [f'{names[i]} {100 * share:.0f} %' for i, share in words_in(labels, names)]
    words = Counter(sample.pred_instances.label_names).most_common()
    return [f'{n} x {word}' for word, n in words]


def set_grouping(model: Any, words: Sequence[str], args: argparse.Namespace) -> None:
    """Background threshold, and whole images where groups are asked for."""
    test_cfg = getattr(model, 'test_cfg', {})
    if (args.groups or args.bg_thresh is not None) and 'bg_thresh' not in test_cfg:
        raise ValueError('--bg-thresh and --groups are for GroupViT; this model has no groups')
    if args.bg_thresh is not None:
        if not 0 <= args.bg_thresh <= 1:
            raise ValueError(f'--bg-thresh {args.bg_thresh}: allowed are 0 (never) to 1')
        background = model.decode_head.background
        if words[0] != background:
            raise ValueError(
                f'--bg-thresh {args.bg_thresh}: the first word must be the background, e.g. '
                f"--classes '{background}, {words[0]}'"
            )
        test_cfg['bg_thresh'] = args.bg_thresh
    if args.groups:
        test_cfg['mode'] = 'whole'  # windows have groups of their own


def name_clouds(args: argparse.Namespace, config: Config) -> None:
    """Classes of point clouds, and an image of the views of each."""
    if args.groups or args.bg_thresh is not None:
        raise ValueError('--bg-thresh and --groups are for GroupViT; this model has no groups')
    clouds = list_clouds(args.images)
    targets = output_names(clouds, Path(args.out_dir))
    model = load_cloud_model(
        config, args.checkpoint, args.device, allow_mismatch=args.allow_mismatch
    )
    # The words are the same for all clouds: they are set with the first one.
    words = dict(
        classes=read_classes(args.classes),
        prompts=args.prompts,
        examples=read_examples(args.examples),
    )
    for cloud, target in zip(clouds, targets, strict=True):
        result = classify_cloud(
            model,
            cloud,
            top_k=args.top_k,
            up=args.up,
            num_points=args.num_points,
            out_file=target,
            **words,
        )
        words = {}
        found = zip(result.names, result.scores, strict=True)
        print(f'{target}:', ', '.join(f'{name} {100 * score:.0f} %' for name, score in found))
    if args.montage:
        drawn = [read_image(path) for path in targets]
        write_image(Path(args.montage), montage(drawn, columns=args.columns))
        print(f'{args.montage}: all of them')


def run(args: argparse.Namespace) -> None:
    config = read_config(args.config)
    if is_point_config(config):
        name_clouds(args, config)
        return
    examples = read_examples(args.examples)
    classes = read_classes(args.classes)
    detect = OpenVocabInferencer(
        config, args.checkpoint, args.device, allow_mismatch=args.allow_mismatch
    )
    words = class_names(classes) if classes is not None else detect.default_classes
    set_grouping(detect.model, words, args)
    results = detect(
        args.images,
        classes=classes,
        prompts=args.prompts,
        examples=examples,
        out_dir=args.out_dir,
        score_thr=args.score_thr,
        batch_size=args.batch_size,
    )
    for sample in results:
        print(f'{sample.drawn}:', ', '.join(found_in(sample)) or 'nothing')
        if args.groups:
            drawn = Path(sample.drawn)
            target = drawn.with_name(f'{drawn.stem}_groups.png')
            draw_groups(read_image(Path(sample.img_path)), sample, target)
            print(f'{target}: its groups')
    if args.montage:
        target = Path(args.montage)
        drawn = [read_image(Path(sample.drawn)) for sample in results]
        write_image(target, montage(drawn, columns=args.columns))
        print(f'{target}: all of them')


def main(argv: list[str] | None = None) -> None:
    run(parse_args(argv))


if __name__ == '__main__':
    user_errors.run(main)
