"""Example images and point clouds as entries of a vocabulary, by the image tower of its CLIP."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from mmclip.io.image import open_image, standard_image
from mmclip.io.parsing import parsing, read_json
from mmclip.vocabulary.point_exemplars import encode_clouds, is_cloud, read_cloud


def _read(image: Any, folder: Path, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        return standard_image(image, name=f'examples: an image of class {name!r}')
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (3,)) or not image.size:
            raise ValueError(
                f'examples: class {name!r} has an array of shape {image.shape} and type '
                f'{image.dtype}; an image is uint8 of shape (height, width, 3)'
            )
        return Image.fromarray(image)
    path = folder / str(image)
    return open_image(path, name=f'examples: the image {path} of class {name!r}')


def encode_examples(
    encoder: Any,
    names: Sequence[str],
    examples: Mapping[str, Any] | str | Path | None,
) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
    """Embed the classes that have example images.

    A class's embedding is the normalized mean of its images' normalized embeddings.

    Args:
        encoder: Has ``encode_images(list of PIL images) -> (N, D)`` normalized.
        names: The vocabulary's names.
        examples: Name -> images (paths, PIL images or uint8 RGB arrays (H, W, 3)), or name ->
            ``dict(images=[...], with_words=True)`` for the mean of words and images; or the
            path of a json file of that kind, whose image paths are relative to its folder. Point
            clouds, files or arrays, may stand among the images, see
            :mod:`mmclip.vocabulary.point_exemplars`; ``up='z'`` in such a dict is their axis.

    Returns:
        Name -> (D,) embedding, and the names that words are to be averaged into.

    Raises:
        ValueError: a class that is not in ``names``, one without images, a file that is none.
        FileNotFoundError: a missing image or json file.
    """
    if not examples:
        return {}, frozenset()
    folder = Path()
    if isinstance(examples, str | Path):
        path = Path(examples)
        if not path.is_file():
            raise FileNotFoundError(f'examples: there is no file {path}')
        folder, examples = path.parent, read_json(path, f'examples: {path}', kind=dict)
        # A file may hold more classes than are asked for.
        examples = {name: entry for name, entry in examples.items() if name in set(names)}
    unknown = sorted(set(examples) - set(names))
    if unknown:
        raise ValueError(f'examples: {unknown[:5]} are not among the {len(names)} class names')

    images, owners, with_words = [], [], set()
    clouds, cloud_owners = [], []
    for name, entry in examples.items():
        up = 'y'
        if isinstance(entry, Mapping):
            up = entry.get('up', up)
            if entry.get('with_words'):
                with_words.add(name)
            with parsing(f'examples: class {name!r}'):
                entry = entry['images']
        if isinstance(entry, str | Path | Image.Image | np.ndarray):
            entry = [entry]
        if not isinstance(entry, list | tuple):
            raise ValueError(f'examples: class {name!r} has {entry!r:.60}, no list of images')
        if not len(entry):
            raise ValueError(f'examples: class {name!r} has no image')
        for item in entry:
            if is_cloud(item):
                clouds.append(read_cloud(item, folder, name, up))
                cloud_owners.append(name)
            else:
                images.append(_read(item, folder, name))
                owners.append(name)

    order = {name: row for row, name in enumerate(examples)}
    owners += cloud_owners
    parts = []
    if images:
        if not hasattr(encoder, 'encode_images'):
            raise ValueError(
                f'examples: {type(encoder).__name__} has no image tower; classes can only be words'
            )
        parts.append(encoder.encode_images(images).cpu())
    if clouds:
        parts.append(encode_clouds(encoder, clouds).cpu())
    embeddings = torch.cat(parts)  # (N, D)
    sums = embeddings.new_zeros(len(order), embeddings.shape[1])
    sums.index_add_(0, torch.tensor([order[name] for name in owners]), embeddings)
    return dict(zip(order, F.normalize(sums, dim=1), strict=True)), frozenset(with_words)
