"""Fills a region store: shard by shard, in any number of processes that share only the folder."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from mmclip.clip.loading import state_hash
from mmclip.clip.text_encoder import CLIPTextEncoder
from mmclip.datasets.annotation_file import image_file, read_annotation_file
from mmclip.io.image import decode_image
from mmclip.io.parsing import parsing, whole_number
from mmclip.models.vild.crops import CropRule, encode_crops, region_crops
from mmclip.models.vild.region_boxes import DetectorBoxes, FileBoxes
from mmclip.stores.regions import Regions, missing_shards, shard_path, write_shard

BYTES_PER_REGION = 4 * 4 + 4  # box and score; the embedding comes on top


class ImageRecord(NamedTuple):
    """An image of the annotation file."""

    image_id: int
    path: Path


def images_of(ann_file: str | os.PathLike, prefix: str | os.PathLike) -> list[ImageRecord]:
    """Images of an LVIS or COCO annotation file in the order of their ids.

    Args:
        ann_file: Json with ``images``.
        prefix: Folder that ``file_name``, or the last two or one parts of LVIS's ``coco_url``,
            are relative to.

    Raises:
        FileNotFoundError: no such file; the first image is not below ``prefix``.
        ValueError: it lists no images, or two with one id.
    """
    prefix = Path(prefix)
    rows = read_annotation_file(ann_file, masks='none')['images']
    with parsing(f'{ann_file}: ids of images'):
        rows = sorted(rows, key=lambda row: whole_number(row['id'], 'id'))
    if not rows:
        raise ValueError(f'{ann_file} lists no images')
    ids = [row['id'] for row in rows]
    if len(set(ids)) != len(ids):
        raise ValueError(f'{ann_file} lists two images with one id')
    names = [image_file(row, source=str(ann_file)) for row in rows]
    if not (prefix / names[0]).is_file() and (prefix / Path(names[0]).name).is_file():
        names = [Path(name).name for name in names]
    if not (prefix / names[0]).is_file():
        raise FileNotFoundError(f'{prefix / names[0]}, an image of {ann_file}, does not exist')
    return [ImageRecord(int(i), prefix / name) for i, name in zip(ids, names, strict=True)]


def images_hash(images: list[ImageRecord]) -> str:
    """16 hexadecimal digits over ids and file names."""
    text = '\n'.join(f'{image.image_id} {image.path.name}' for image in images)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def teacher_meta(encoder: CLIPTextEncoder) -> dict:
    """Name of a CLIP and hashes of its two towers."""
    visual = {k: v for k, v in encoder.clip.state_dict().items() if k.startswith('visual.')}
    return dict(model=encoder.name, image_hash=state_hash(visual), text_hash=encoder.weight_hash())


class _Images(Dataset):
    """Loads images, and crops them if the boxes are known beforehand."""

    def __init__(self, images: list[ImageRecord], boxes, rule: CropRule) -> None:
        self.images, self.rule = images, rule
        self.boxes = boxes if isinstance(boxes, FileBoxes) else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple:
        """(boxes, scores, crops), or the image's pixels."""
        image = self.images[index]
        pixels = read_image(image)
        if self.boxes is None:
            return (pixels,)
        return crop_image(image, pixels, self.boxes(image.image_id), self.rule)


def read_image(image: ImageRecord):
    """(H, W, 3) uint8 RGB, as the training pipeline reads it.

    Raises:
        FileNotFoundError, ValueError: it is missing or damaged.
    """
    return decode_image(image.path, name=f'image {image.path}', rgb=True)


def crop_image(image: ImageRecord, pixels, found: tuple, rule: CropRule) -> tuple:
    """(boxes, scores, crops) of an image."""
    boxes, scores = found
    try:
        return boxes, scores, region_crops(pixels, boxes, rule)
    except ValueError as error:
        raise ValueError(f'image id {image.image_id}, {image.path}: {error}') from error


def prepared(
    images: list[ImageRecord], boxes: FileBoxes | DetectorBoxes, rule: CropRule, workers: int
) -> Iterator[tuple]:
    """(boxes, scores, crops) of images, in order, read by ``workers`` processes."""
    data = _Images(images, boxes, rule)
    loader = DataLoader(data, batch_size=None, num_workers=workers)
    for image, item in zip(images, loader, strict=True):
        if len(item) == 1:
            pixels = item[0].numpy() if isinstance(item[0], torch.Tensor) else item[0]
            item = crop_image(image, pixels, boxes.detect(image.path), rule)
        yield item


def _encode(
    clip: torch.nn.Module,
    stream: Iterator[tuple],
    count: int,
    rule: CropRule,
    batch: int,
    embed_dim: int,
) -> list[Regions]:
    """Regions of the next ``count`` images.

    Batches are full but for the last one, whatever the images' numbers of regions are, so a
    shard's bytes depend on its images alone.
    """
    found, crops, waiting = [], [], 0
    embeddings = [torch.empty(0, embed_dim, dtype=torch.float16)]

    def flush(everything: bool) -> None:
        nonlocal crops, waiting
        joined = torch.cat(crops)
        end = waiting if everything else waiting // batch * batch
        for chunk in joined[:end].split(batch) if end else ():
            per_batch = batch * len(rule.scales)
            encoded = encode_crops(clip, chunk, rule, batch_size=per_batch)
            embeddings.append(encoded.half().cpu())
        crops, waiting = [joined[end:]], waiting - end

    for _ in range(count):
        boxes, scores, pixels = next(stream)
        found.append((boxes, scores))
        crops.append(pixels)
        waiting += len(boxes)
        if waiting >= batch:
            flush(everything=False)
    flush(everything=True)
    parts = torch.cat(embeddings).split([len(boxes) for boxes, _ in found])
    return [Regions(*pair, part) for pair, part in zip(found, parts, strict=True)]


def precompute(
    folder: Path,
    images: list[ImageRecord],
    boxes: FileBoxes | DetectorBoxes,
    clip: torch.nn.Module,
    rule: CropRule,
    meta: dict,
    *,
    batch: int = 128,
    workers: int = 0,
    place: tuple[int, int] = (0, 1),
    report: Callable[[int, int, int], None] = lambda *_: None,
) -> None:
    """Make this process's missing shards.

    Args:
        folder: Of the store; ``meta.json`` is there already.
        images: All images of the store.
        boxes: Where their regions come from.
        clip: The teacher.
        rule: How regions are cut.
        meta: Content of ``meta.json``.
        batch: Regions that go through the teacher at once.
        workers: Processes that read and crop images.
        place: Number of this process and number of all; shard i belongs to process i mod all.
        report: Called after every shard with its images, regions and bytes.

    Raises:
        ValueError, FileNotFoundError: an image or its boxes are bad; shards made so far stay.
    """
    size, total = meta['images_per_shard'], meta['shards']
    mine = [n for n in missing_shards(folder, meta) if n % place[1] == place[0]]
    of_shard = {number: images[number * size : (number + 1) * size] for number in mine}
    stream = prepared([p for part in of_shard.values() for p in part], boxes, rule, workers)
    for number, part in of_shard.items():
        regions = _encode(clip, stream, len(part), rule, batch, meta['embed_dim'])
        path = shard_path(folder, number, total)
        by_id = {p.image_id: r for p, r in zip(part, regions, strict=True)}
        written = write_shard(path, by_id, meta['fingerprint'])
        report(len(part), sum(len(r.boxes) for r in regions), written)
