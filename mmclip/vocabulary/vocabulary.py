"""Class names with their embeddings: encoded once, cached on disk, kept as files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

from mmclip.io.atomic import atomic_file
from mmclip.io.parsing import parsing, texts
from mmclip.text.class_names import class_names
from mmclip.text.prompts import get_prompts
from mmclip.vocabulary.disk_cache import read_entry, write_entry
from mmclip.vocabulary.exemplars import encode_examples

_FORMAT = '1'


def normalize_rows(rows: torch.Tensor) -> torch.Tensor:
    """(K, D) rows of any norm -> float32 rows of norm 1; those that have it stay to the bit.

    Normalizing twice moves the last bit, and a run that goes on must use what it had.
    """
    rows = rows.float()
    unit = (rows.norm(dim=1, keepdim=True) - 1).abs() < 1e-5
    return torch.where(unit, rows, F.normalize(rows, dim=1))


def _checksum(embeddings: torch.Tensor, metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    digest.update(f'{embeddings.dtype} {tuple(embeddings.shape)}'.encode())
    digest.update(embeddings.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _keeping_random_state() -> AbstractContextManager:
    """Building a tower draws numbers; a run must not depend on whether the cache spared it."""
    return torch.random.fork_rng(devices=[])


@dataclass(frozen=True)
class Vocabulary:
    """K class names and their L2-normalized embeddings (K, D), float32.

    Args:
        names: K distinct class names.
        embeddings: (K, D), normalized.
        prompts: Templates that the names were put into; empty if unknown (an imported array).
        model: Name of the CLIP (or other text tower) that made them; empty if unknown.
        weight_hash: Of that tower's weights; empty if unknown.

    Raises:
        ValueError: bad names; embeddings of another length, with NaN, or not normalized.
    """

    names: tuple[str, ...]
    embeddings: torch.Tensor
    prompts: tuple[str, ...] = ()
    model: str = ''
    weight_hash: str = ''

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', class_names(self.names))
        embeddings = self.embeddings
        if embeddings.ndim != 2 or len(embeddings) != len(self.names):
            raise ValueError(
                f'embeddings: expected one row for each of {len(self.names)} names, got the '
                f'shape {tuple(embeddings.shape)}'
            )
        norms = embeddings.norm(dim=1)
        if not torch.isfinite(norms).all() or (norms - 1).abs().max() > 1e-2:
            row = int((~torch.isfinite(norms) | ((norms - 1).abs() > 1e-2)).nonzero()[0])
            raise ValueError(
                f'embeddings: rows must be finite and L2-normalized; that of {self.names[row]!r} '
                f'has the norm {float(norms[row]):.4g}'
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def embed_dim(self) -> int:
        """D."""
        return self.embeddings.shape[1]

    @classmethod
    def encode(
        cls,
        names: str | Sequence[str],
        *,
        text_encoder: Any,
        prompts: str | Sequence[str] = 'single',
        examples: Mapping[str, Any] | str | Path | None = None,
        cache: bool = True,
        device: torch.device | str = 'cpu',
    ) -> 'Vocabulary':
        """Embed names by a text tower, example images by the image tower of the same CLIP.

        Words that were encoded before by the same weights and prompts come from the disk cache,
        and the tower is not even built. Safe under several processes.

        Args:
            names: A known vocabulary's name or class names.
            text_encoder: :class:`mmclip.clip.text_encoder.CLIPTextEncoder` or one with
                its methods.
            prompts: As :func:`mmclip.text.prompts.get_prompts`.
            examples: Images that stand for a class, as
                :func:`mmclip.vocabulary.exemplars.encode_examples` takes them. Such a
                class is embedded by its images alone, or by the mean of images and words.
            cache: Whether to read and write the disk cache.
            device: Where the towers run.

        Raises:
            ValueError: bad names or prompts; an example for a class that is not in ``names``.
            FileNotFoundError: the tower's weights or an example image are missing.
        """
        names = class_names(names)
        images, with_words = {}, frozenset()
        if examples:
            with _keeping_random_state(), text_encoder.on(device):
                images, with_words = encode_examples(text_encoder, names, examples)
        spoken = [name for name in names if name not in images or name in with_words]
        templates = get_prompts(prompts).templates
        rows = dict(images)
        if spoken:
            key = json.dumps([_FORMAT, spoken, repr(get_prompts(prompts)), text_encoder.identity()])
            words = None
            if cache:
                words = read_entry(key, lambda path: cls._entry(path, tuple(spoken), templates))
            if words is None:
                with _keeping_random_state(), text_encoder.on(device):
                    embeddings = text_encoder.encode_names(spoken, prompts).cpu()
                words = cls(
                    tuple(spoken),
                    embeddings,
                    templates,
                    text_encoder.name,
                    text_encoder.weight_hash(),
                )
                if cache:
                    write_entry(key, words.save)
            for name, row in zip(spoken, words.embeddings, strict=True):
                rows[name] = F.normalize(rows[name] + row, dim=0) if name in rows else row
        return cls(
            names,
            torch.stack([rows[name] for name in names]),
            templates,
            text_encoder.name,
            words.weight_hash if spoken else text_encoder.weight_hash(),
        )

    @classmethod
    def _entry(cls, path: Path, names: tuple[str, ...], prompts: Sequence[str]) -> 'Vocabulary':
        """An entry of the cache, whose names, prompts and checksum must be right."""
        entry = cls.load(path, checksum=True)
        if entry.names != names or entry.prompts != tuple(prompts):
            raise ValueError(f'{path} is of other names or prompts')
        return entry

    @classmethod
    def load(
        cls, path: str | Path, *, text_encoder: Any | None = None, checksum: bool = False
    ) -> 'Vocabulary':
        """Read a vocabulary file.

        Args:
            path: A safetensors file that :meth:`save` or ``tools/build_vocabulary.py`` wrote.
            text_encoder: If given, the file must have been made by this model, and by these very
                weights as far as they can be told without a download.
            checksum: Whether the file must have a checksum; it is compared if it is there (files
                of earlier versions have none).

        Raises:
            FileNotFoundError: no such file; the message names ``tools/build_vocabulary.py``.
            ValueError: the file is cut off, no vocabulary, or of another text tower.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f'vocabulary_file: there is no {path}; `python tools/build_vocabulary.py '
                f'--vocabulary NAME --model MODEL --pretrained WEIGHTS --out {path}` makes it'
            )
        where = f'vocabulary_file: {path}'
        hint = 'it is cut off or no vocabulary file; make it again by tools/build_vocabulary.py'
        with parsing(where, hint):
            with safetensors.safe_open(path, 'pt') as file:
                metadata = file.metadata() or {}
                embeddings = file.get_tensor('embeddings')
            found = metadata.pop('checksum', None)
            if found != _checksum(embeddings, metadata) and (found is not None or checksum):
                raise ValueError('its checksum is wrong')
            names, prompts = (
                tuple(texts(json.loads(metadata[key]), key)) for key in ('names', 'prompts')
            )
            model, weight_hash = metadata.get('model', ''), metadata.get('weight_hash', '')
            if embeddings.ndim != 2:
                raise ValueError(f'embeddings: they have the shape {tuple(embeddings.shape)}')
            rows = normalize_rows(embeddings.float())
            vocabulary = cls(names, rows, prompts, model, weight_hash)
        if text_encoder is not None:
            vocabulary.check_made_by(text_encoder, path)
        return vocabulary

    def check_made_by(self, text_encoder: Any, source: object = 'the vocabulary') -> None:
        """Raise if another tower made this.

        Raises:
            ValueError: another model, dimension or weights; the message names both.
        """
        if self.embed_dim != text_encoder.embed_dim:
            raise ValueError(
                f'vocabulary_file: {source} holds embeddings of {self.embed_dim} dimensions, '
                f'{text_encoder.name} has {text_encoder.embed_dim}'
            )
        if self.model and self.model != text_encoder.name:
            raise ValueError(
                f'vocabulary_file: {source} was made by {self.model}, the text encoder is '
                f'{text_encoder.name}'
            )
        if self.weight_hash and text_encoder.has_local_weights():
            if self.weight_hash != text_encoder.weight_hash():
                raise ValueError(
                    f'vocabulary_file: {source} was made by other weights of {self.model} (hash '
                    f'{self.weight_hash}, here {text_encoder.weight_hash()}); make it again by '
                    'tools/build_vocabulary.py'
                )

    def save(self, path: str | Path) -> None:
        """Write a vocabulary file, whole or not at all."""
        metadata = dict(
            format=_FORMAT,
            names=json.dumps(self.names),
            prompts=json.dumps(self.prompts),
            model=self.model,
            weight_hash=self.weight_hash,
        )
        embeddings = self.embeddings.detach().cpu().contiguous()
        metadata['checksum'] = _checksum(embeddings, metadata)
        with atomic_file(path) as partial:
            safetensors.torch.save_file({'embeddings': embeddings}, partial, metadata)

    def select(self, names: str | Sequence[str]) -> 'Vocabulary':
        """The same vocabulary with other names, in their order, all of which it must hold.

        Raises:
            ValueError: some names are not in it.
        """
        names = class_names(names)
        place = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in place]
        if missing:
            raise ValueError(
                f'names: {len(missing)} of {len(names)} are not in the vocabulary, e.g. '
                f'{", ".join(map(repr, missing[:5]))}'
            )
        rows = self.embeddings[torch.tensor([place[name] for name in names])]
        return Vocabulary(names, rows, self.prompts, self.model, self.weight_hash)
