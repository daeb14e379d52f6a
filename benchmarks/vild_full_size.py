"""ViLD at the paper's size on a CPU: the official layout loads, and one training step fits memory.

    python benchmarks/vild_full_size.py --keys KEYS.json [--config vild/vild_r50_lvis.py]

KEYS.json gives the shape of every array of the official checkpoint: ``{name: [sizes]}``.

Made in a temporary folder: images and annotations in LVIS v1's format, a region store,
embeddings of the names, and a checkpoint with random weights under the official (TensorFlow)
names and shapes. Then:

1. the checkpoint goes through `tools/convert_checkpoint.py` into the model: no key may be missing
   or left over;
2. `tools/train.py` runs one step of `--config` on the images, at full size, with masks and 300
   regions each, and its peak memory is told.

Acceptance: nothing missing or left over; at most 24 GB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine import Config
from mmengine.registry import init_default_scope

from mmclip import config_path
from mmclip.io.checkpoint import read_state_dict
from mmclip.registry import MODELS
from mmclip.stores.regions import (
    Regions,
    shard_path,
    write_index,
    write_meta,
    write_shard,
)
from mmclip.text.class_names import class_names, novel_names
from mmclip.vocabulary.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
TEACHER = 'ViT-B-32-quickgelu'
SIZE = (640, 480)  # width, height
OBJECTS = 10
REGIONS = 300


def write_images(folder: Path, images: int) -> Path:
    """Noise with boxes in LVIS v1's layout; returns the annotation file."""
    generator = np.random.default_rng(0)
    names, novel = class_names('lvis_v1'), novel_names('lvis_v1')
    base = [k + 1 for k, name in enumerate(names) if name not in novel]
    categories = [
        dict(id=k + 1, name=name, frequency='r' if name in novel else 'f', image_count=9)
        for k, name in enumerate(names)
    ]
    records, annotations = [], []
    (folder / 'train2017').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    for index in range(images):
        file = f'train2017/{index + 1:012d}.jpg'
        pixels = generator.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        cv2.imwrite(str(folder / file), pixels)
        records.append(
            dict(
                id=index + 1,
                width=SIZE[0],
                height=SIZE[1],
                coco_url=f'http://images.cocodataset.org/{file}',
                neg_category_ids=[],
                not_exhaustive_category_ids=[],
            )
        )
        for _ in range(OBJECTS):
            x, y = generator.uniform(0, SIZE[0] - 220), generator.uniform(0, SIZE[1] - 220)
            w, h = generator.uniform(40, 200, 2)
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    category_id=int(generator.choice(base)),
                    bbox=[x, y, w, h],
                    area=w * h,
                    segmentation=[polygon],
                )
            )
    path = folder / 'annotations' / 'lvis_v1_train.json'
    path.write_text(
        json.dumps(dict(images=records, annotations=annotations, categories=categories))
    )
    return path


def write_store(folder: Path, images: int, dim: int) -> None:
    """A region store with random boxes and embeddings."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    side = torch.tensor(SIZE, dtype=torch.float)
    found = {}
    for index in range(images):
        corner = torch.rand(REGIONS, 2, generator=generator) * side * 0.6
        size = 32 + torch.rand(REGIONS, 2, generator=generator) * side * 0.3
        rows = F.normalize(torch.randn(REGIONS, dim, generator=generator), dim=1)
        boxes = torch.cat([corner, corner + size], 1)
        found[index + 1] = Regions(boxes, torch.ones(REGIONS), rows.half())
    teacher = dict(model=TEACHER, text_hash='', image_hash='')
    meta = write_meta(folder, dict(teacher=teacher, shards=1, embed_dim=dim))
    write_shard(shard_path(folder, 0, 1), found, meta['fingerprint'])
    write_index(folder, meta)


def load_official(keys: Path, config: str, folder: Path) -> Path:
    """Random weights under the official names, through the converter, into the model."""
    shapes = json.loads(keys.read_text())
    generator = torch.Generator().manual_seed(0)
    official = {k: 0.02 * torch.randn(v, generator=generator) for k, v in shapes.items()}
    for name in official:
        if name.endswith('moving_variance'):
            official[name] = 1 + official[name].abs()
    torch.save(official, folder / 'official.pth')
    target = folder / 'converted.pth'
    tool = [sys.executable, str(ROOT / 'tools' / 'convert_checkpoint.py'), 'vild']
    subprocess.run([*tool, str(folder / 'official.pth'), str(target)], check=True)
    model = MODELS.build(Config.fromfile(config_path(config)).model)
    model.load_state_dict(read_state_dict(target), strict=True)
    print(f'{config}: {len(shapes)} official arrays loaded, none missing, none left over')
    return target


def step(config: str, folder: Path, checkpoint: Path | None, images: int) -> float:
    """One step of `tools/train.py` in a process of its own; returns its peak memory in GB."""
    options = {
        'train_dataloader.dataset.data_root': folder / 'lvis',
        'train_dataloader.batch_size': images,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_cfg.max_iters': 1,
        'train_cfg.val_interval': 100,
        'val_dataloader': None,
        'val_evaluator': None,
        'val_cfg': None,
        'test_dataloader': None,
        'test_evaluator': None,
        'test_cfg': None,
        'model.backbone.init_cfg': None,
        'model.roi_head.bbox_head.classifier.vocabulary_file': folder / 'words.safetensors',
        'default_hooks.logger.interval': 1,
    }
    loaded = Config.fromfile(config_path(config))
    for number, transform in enumerate(loaded.train_dataloader.dataset.pipeline):
        if transform.type == 'mmclip.LoadTeacherEmbeddings':
            options[f'train_dataloader.dataset.pipeline.{number}.store'] = folder / 'regions'
    if checkpoint is not None:
        options['load_from'] = checkpoint
    words = [f'{key}={value}' for key, value in options.items()]
    tool = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config_path(config))]
    start = time.perf_counter()
    subprocess.run([*tool, '--work-dir', str(folder / 'work'), '--cfg-options', *words], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    seconds = time.perf_counter() - start
    print(f'{config}: one step on {images} images, {seconds:.0f} s, peak {peak:.1f} GB')
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='vild/vild_r50_lvis.py')
    parser.add_argument('--keys', type=Path, required=True, help='JSON: official names and shapes')
    parser.add_argument('--images', type=int, default=2)
    args = parser.parse_args()
    init_default_scope('mmdet')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / 'lvis', args.images)
        write_store(folder / 'regions', args.images, 512)
        names = class_names('lvis_v1')
        rows = F.normalize(torch.randn(len(names), 512), dim=1)
        Vocabulary(names, rows, model=TEACHER).save(folder / 'words.safetensors')
        checkpoint = load_official(args.keys, args.config, folder)
        peak = step(args.config, folder, checkpoint, args.images)
    sys.exit(peak > 24)


if __name__ == '__main__':
    main()
