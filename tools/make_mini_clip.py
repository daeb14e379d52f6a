"""Turns a checkpoint of a mini CLIP's training into a weights file as the one that ships.

    python tools/make_mini_world.py --out data/mini_world
    python tools/train.py configs/clip_zero_shot/mini/clip_contrastive_mini.py
    python tools/make_mini_clip.py work_dirs/clip_contrastive_mini/iter_1000.pth

and for the second one, which has also seen drawings and distances,

    python tools/train.py configs/clip_zero_shot/mini/clip_contrastive_styles_mini.py
    python tools/make_mini_clip.py --name mini_clip_styles \\
        work_dirs/clip_contrastive_styles_mini/iter_ITERS.pth

Writes half precision weights and, beside them, a report of their accuracy on MiniWorld: top-1 among
all 384 names on base, novel and unseen things, named by words and by one example image each; of
mini_clip_styles also on held-out line drawings, silhouettes and distances.
The weights in the package, on which every figure of a mini config rests, change only with
--overwrite-shipped (for maintainers). Without a checkpoint --out or else the shipped file is
measured; the figures of the shipped one are printed only.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mmclip import user_errors
from mmclip.clip.loading import (
    ASSETS,
    MINI_CLIP,
    MINI_CLIP_STYLES,
    build_clip,
    clip_preprocess,
    clip_tokenizer,
)
from mmclip.datasets.mini_world.windows import BAND_EDGES, BANDS
from mmclip.datasets.mini_world.world import COLORS, SHAPES, SPLITS, TEXTURES
from mmclip.datasets.transforms.clip_image import resize_crop
from mmclip.io.checkpoint import read_checkpoint, read_state_dict, write_state_dict
from mmclip.io.image import open_image

TEMPLATE = 'a photo of a {}.'
SHIPPED = ASSETS / f'{MINI_CLIP}.safetensors'
OUT = Path(f'work_dirs/{MINI_CLIP}/{MINI_CLIP}.safetensors')
CONFIGS = {
    MINI_CLIP: 'mini/clip_contrastive_mini.py',
    MINI_CLIP_STYLES: 'mini/clip_contrastive_styles_mini.py',
}
DRAWING_TEMPLATES = {'lines': 'a drawing of a {}', 'silhouette': 'a silhouette of a {}'}
DISTANCE_TEMPLATES = (
    'this object is {}',
    'object, {}',
    'a photo of a object, {}.',
    'the object is {}',
    'there is a object, {}.',
)
PREFIX = 'clip.'  # of the open_clip model in mmclip.CLIPContrastive


def export(checkpoint: Path, out: Path, name: str) -> dict:
    """Write the CLIP of a training checkpoint, floats in half precision; say how it was trained."""
    state = {
        key.removeprefix(PREFIX): value.half() if value.is_floating_point() else value
        for key, value in read_state_dict(checkpoint).items()
        if key.startswith(PREFIX)
    }
    if not state:
        raise SystemExit(f'{checkpoint} holds no CLIP; it must come from mmclip.CLIPContrastive')
    write_state_dict(state, out)
    meta = dict(read_checkpoint(checkpoint).get('meta', {}))
    trained = {key: meta[key] for key in ('seed', 'iter') if key in meta}
    return dict(config=f'clip_zero_shot/{CONFIGS[name]}', **trained)


class Namer:
    """Features of images and words by one CLIP."""

    def __init__(self, weights: Path, model: str) -> None:
        self.clip = build_clip(model, str(weights))
        self.tokenizer = clip_tokenizer(model)
        settings = clip_preprocess(model)
        self.size = settings['size']
        self.mean, self.std = np.float32(settings['mean']), np.float32(settings['std'])

    @torch.no_grad()
    def images(self, files: list[Path]) -> torch.Tensor:
        """(N, D) L2-normalized."""
        pixels = np.stack([resize_crop(open_image(file), self.size) for file in files])
        pixels = torch.from_numpy((pixels / np.float32(255) - self.mean) / self.std)
        batches = pixels.permute(0, 3, 1, 2).split(256)
        return F.normalize(torch.cat([self.clip.encode_image(x) for x in batches]), dim=-1)

    @torch.no_grad()
    def words(self, names: list[str], template: str = TEMPLATE) -> torch.Tensor:
        """(K, D) L2-normalized."""
        ids = self.tokenizer([template.format(name) for name in names])
        return F.normalize(self.clip.encode_text(ids), dim=-1)


def accuracy(features: torch.Tensor, embeddings: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """Whether the nearest embedding is the right one, (N,) bool."""
    return (features @ embeddings.T).argmax(1) == torch.tensor(labels)


def measure(weights: Path, world: Path, model: str) -> dict:
    """Per cent right among all names, for each list of images and each split."""
    namer = Namer(weights, model)
    names = json.loads((world / 'classification/classes.json').read_text())['names']
    examples = json.loads((world / 'detection/examples.json').read_text())
    shown_examples = namer.images([world / 'detection' / examples[name][0] for name in names])
    vocabularies = {
        'sentence': namer.words(names),
        'bare name': namer.words(names, '{}'),
        'one example image': shown_examples,
    }
    kinds = {'texture': list(TEXTURES), 'color': list(COLORS), 'shape': list(SHAPES)}
    pairs = [f'{color} {shape}' for color in COLORS for shape in SHAPES]
    report: dict = {}
    for split in ('val', 'test'):
        with (world / f'classification/{split}.csv').open() as stream:
            rows = list(csv.DictReader(stream))
        features = namer.images([world / 'classification' / row['file'] for row in rows])
        labels = [names.index(row['name']) for row in rows]
        report[split] = {}
        for kind, embeddings in vocabularies.items():
            right = accuracy(features, embeddings, labels)
            groups = {g: torch.tensor([row['split'] == g for row in rows]) for g in SPLITS}
            if model != MINI_CLIP:
                groups['all'] = torch.ones(len(rows), dtype=torch.bool)
            report[split][kind] = {g: percent(right[mask]) for g, mask in groups.items()}
        words = [row['name'].split() for row in rows]
        parts = report[split]['single words'] = {}
        for place, (kind, known) in enumerate(kinds.items()):
            right = accuracy(features, namer.words(known), [known.index(w[place]) for w in words])
            parts[kind] = percent(right)
        labels = [pairs.index(' '.join(w[1:])) for w in words]
        parts['color and shape'] = percent(accuracy(features, namer.words(pairs), labels))
        if model == MINI_CLIP_STYLES:
            report[split] |= measure_styles(namer, world / 'styles', split)
    return report


def measure_styles(namer: Namer, styles: Path, split: str) -> dict:
    """Per cent of the held-out drawings and distances of part 'styles' that are named right."""
    with (styles / f'{split}.csv').open() as stream:
        rows = list(csv.DictReader(stream))
    features = namer.images([styles / row['file'] for row in rows])
    report: dict = {}
    for style, template in DRAWING_TEMPLATES.items():
        here = [i for i, row in enumerate(rows) if row['style'] == style]
        labels = [SHAPES.index(rows[i]['name']) for i in here]
        for key, words in ((style, template), (f"{style}, 'a {{}}'", 'a {}')):
            right = accuracy(features[here], namer.words(list(SHAPES), words), labels)
            report[key] = percent(right)
    here = [i for i, row in enumerate(rows) if row['style'] == 'window']
    bands = torch.tensor(np.digitize([float(rows[i]['distance']) for i in here], BAND_EDGES))
    names = [words[0] for words in BANDS]  # DepthCLIP's own
    embeddings = torch.stack([namer.words(names, t) for t in DISTANCE_TEMPLATES]).mean(0)
    told = (features[here] @ F.normalize(embeddings, dim=-1).T).argmax(1)
    counts = torch.bincount(bands, minlength=len(BANDS))
    report['distances'] = {
        'right': percent(told == bands),
        'at most one band off': percent((told - bands).abs() <= 1),
        'most frequent band': percent(bands == counts.argmax()),
        'windows per band': counts.tolist(),
        'right per band': [percent(told[bands == b] == b) for b in range(len(BANDS))],
    }
    return report


def percent(right: torch.Tensor) -> float:
    return round(100 * right.float().mean().item(), 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', type=Path, nargs='?', help='left out: measure what is there')
    parser.add_argument(
        '--name', choices=list(CONFIGS), default=MINI_CLIP, help='which one (%(default)s)'
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument('--out', type=Path, help=f'weights file; by default {OUT} for mini_clip')
    place.add_argument(
        '--overwrite-shipped',
        action='store_true',
        help='for maintainers: write the weights and the report that ship in the package',
    )
    parser.add_argument('--world', type=Path, default=Path('data/mini_world'), help='%(default)s')
    args = parser.parse_args()
    if not (args.world / 'classification').is_dir():
        parser.error(f'{args.world} holds no MiniWorld; make it: python tools/make_mini_world.py')
    if args.name == MINI_CLIP_STYLES and not (args.world / 'styles').is_dir():
        parser.error(f'{args.world} lacks styles; make it: python tools/make_mini_world.py')
    file = f'{args.name}.safetensors'
    shipped = SHIPPED.with_name(file)
    made = OUT.parents[1] / args.name / file
    out = args.out or (shipped if args.overwrite_shipped or not args.checkpoint else made)
    if args.out and out.resolve() in {
        SHIPPED.with_name(f'{n}.safetensors').resolve() for n in CONFIGS
    }:
        parser.error(f'--out {args.out} are the weights of the package: say --overwrite-shipped')
    report_file = out.with_name(f'{out.stem}_report.json')
    if args.checkpoint is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        trained = export(args.checkpoint, out, args.name)
    elif not out.is_file():
        parser.error(f'--out {out} does not exist; give a checkpoint to make it from')
    else:
        trained = json.loads(report_file.read_text())['trained'] if report_file.is_file() else {}
    megabytes = round(out.stat().st_size / 1e6, 2)
    report = dict(weights=out.name, megabytes=megabytes, trained=trained)
    report.update(measure(out, args.world, args.name))
    if out != shipped or args.overwrite_shipped:
        report_file.write_text(json.dumps(report, indent=1) + '\n')
    print(json.dumps(report, indent=1))


if __name__ == '__main__':
    user_errors.run(main)
