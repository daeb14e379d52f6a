"""Example images as entries of a vocabulary: embedded by the image tower of the same CLIP."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from mmclip.io.image import open_image, standard_image
from mmclip.io.parsing import parsing, read_json


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
            path of a json file of that kind, whose image paths are relative to its folder.

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
    for name, entry in examples.items():
        if isinstance(entry, Mapping):
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
        images += [_read(image, folder, name) for image in entry]
        owners += [name] * len(entry)

    order = {name: row for row, name in enumerate(examples)}
    embeddings = encoder.encode_images(images).cpu()  # (N, D)
    sums = embeddings.new_zeros(len(order), embeddings.shape[1])
    sums.index_add_(0, torch.tensor([order[name] for name in owners]), embeddings)
    return dict(zip(order, F.normalize(sums, dim=1), strict=True)), frozenset(with_words)
