"""The classifier that every open-vocabulary model shares: cosine similarity to a vocabulary."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmclip.io.parsing import parse_json, parsing, texts
from mmclip.registry import MODELS
from mmclip.text.class_names import class_names, names_at_build, vocabulary_of
from mmclip.text.prompts import get_prompts
from mmclip.vocabulary.embedding_cache import EmbeddingCache
from mmclip.vocabulary.mixin import Examples, OpenVocabularyMixin, Prompts
from mmclip.vocabulary.vocabulary import Vocabulary, normalize_rows

BACKGROUNDS = ('learned', 'zero', None)


def _to_bytes(names: Sequence[str]) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(list(names)).encode()), dtype=torch.uint8)


def _from_bytes(data: torch.Tensor) -> tuple[str, ...]:
    where = 'the class names of the checkpoint'
    with parsing(where):
        text = bytes(data.cpu().tolist())
        return class_names(texts(parse_json(text, where, kind=list), 'names'))


@MODELS.register_module()
class TextEmbeddingClassifier(OpenVocabularyMixin, BaseModule):
    """Scores features against the embeddings of class names by cosine similarity.

    logits = normalize(features) @ embeddings.T / temperature, background column last.

    Building it reads no weights and no files: K comes from the names, D from the encoder's name.
    The embeddings are filled when the model is initialized, loaded or given classes, from (in this
    order) the checkpoint, ``vocabulary_file``, the disk cache or the text tower. They are buffers,
    so a checkpoint carries them with their names; loaded into a classifier of other names, the rows
    of common names are used, and the rest is encoded by the next ``set_classes``.

    Source: ViLD (arXiv 2104.13921) equation 2, LSeg, Detic and others; the learned background is
    ViLD's, a D-vector from N(0, 0.01) that is normalized like a class.

    Args:
        classes: ``'dataset'`` for those of the dataset or of the checkpoint (none until then),
            names, or the name of a known vocabulary such as ``'lvis_v1'``.
        text_encoder: Config of a text encoder, e.g. ``dict(type='mmclip.CLIPTextEncoder', ...)``.
        prompts: Templates around the names, as :func:`mmclip.text.prompts.get_prompts`.
        vocabulary_file: Embeddings made by ``tools/build_vocabulary.py``; rows go by name. In the
            path ``{vocabulary}`` stands for the known vocabulary that has just the present names
            and ``{model}`` for the text encoder's name; names of no known vocabulary have no such
            file, and a text encoder whose weights are on this machine does not need it.
        background: ``'learned'``, ``'zero'`` (a constant logit of 0) or None for no such column.
        temperature: Divides the cosine. 0.01 in ViLD and CLIP.

    Shapes:
        features: (..., D), any float dtype, not normalized.
        returns: (..., K) or (..., K + 1), float32.

    Raises:
        ValueError: bad names, prompts, background or temperature.
    """

    # A checkpoint may lack them, as a converted one does: `set_classes` fills them.
    optional_buffers = ('embeddings', 'names')

    def __init__(
        self,
        *,
        classes: str | Sequence[str] = 'dataset',
        text_encoder: dict[str, Any],
        prompts: str | Sequence[str] = 'single',
        vocabulary_file: str | None = None,
        background: str | None = 'learned',
        temperature: float = 0.01,
    ) -> None:
        super().__init__()
        if background not in BACKGROUNDS:
            raise ValueError(f'background: expected one of {BACKGROUNDS}, got {background!r}')
        if not temperature > 0:
            raise ValueError(f'temperature: expected a positive number, got {temperature!r}')
        get_prompts(prompts)  # an unknown set is said now, not when the first text is encoded
        self.class_names = names_at_build(classes)
        self.text_encoder = MODELS.build(text_encoder)
        self.prompts = prompts
        self.vocabulary_file = vocabulary_file
        self.temperature = temperature
        self.embed_dim = self.text_encoder.embed_dim
        self.background_mode = background
        if background == 'learned':
            self.background = nn.Parameter(torch.randn(self.embed_dim) * 0.01)
        self.register_buffer('embeddings', torch.zeros(len(self.class_names), self.embed_dim))
        self.register_buffer('names', _to_bytes(self.class_names))
        self.cache = EmbeddingCache()  # rows made of words under the present prompts
        self._filled = self._of_words = False

    @property
    def num_classes(self) -> int:
        """K, the background excluded."""
        return len(self.class_names)

    @property
    def is_filled(self) -> bool:
        """Whether the embeddings are there."""
        return self._filled

    # -- where the embeddings come from ---------------------------------------------------------

    def init_weights(self) -> None:
        """Fill the embeddings if neither a checkpoint nor ``set_classes`` has."""
        if not self._filled and self.class_names:
            rows = self.cache.rows(self.class_names, self._encoder_of(self.class_names))
            self._install(Vocabulary(self.class_names, rows), of_words=True)

    def update_vocabulary(
        self, names: tuple[str, ...], prompts: Prompts, examples: Examples
    ) -> None:
        """Keep rows that are known under the same prompts, encode the rest.

        Names out of a checkpoint need no text tower. Where it raises nothing is changed.
        """
        same_prompts = prompts is None or get_prompts(prompts) == get_prompts(self.prompts)
        if names == self.class_names and same_prompts and not examples and self._of_words:
            return
        prompts = self.prompts if prompts is None else prompts
        if same_prompts and not examples:
            cache, encode = self.cache, self._encoder_of(names)
        else:
            cache, encode = EmbeddingCache(), partial(self._encode, prompts, examples)
        vocabulary = Vocabulary(names, cache.rows(names, encode))
        self.prompts, self.cache = prompts, EmbeddingCache() if examples else cache
        self._install(vocabulary, of_words=not examples)

    def _encoder_of(self, names: tuple[str, ...]) -> Callable[[list[str]], torch.Tensor]:
        """What gives rows under the present prompts: the vocabulary file, else the text tower."""

        def encode(new: list[str]) -> torch.Tensor:
            file, cache = self._file_of(names), EmbeddingCache()
            if file:
                stored = Vocabulary.load(file, text_encoder=self.text_encoder)
                cache.put(stored.names, stored.embeddings)
            return cache.rows(new, partial(self._encode, self.prompts, None))

        return encode

    def _encode(
        self,
        prompts: Prompts,
        examples: Examples,
        names: Sequence[str],
    ) -> torch.Tensor:
        if self.text_encoder is None:
            raise ValueError(
                f'names: the vocabulary was baked into weights; {names[0]!r} and {len(names) - 1} '
                'more names cannot be encoded any more'
            )
        return Vocabulary.encode(
            names,
            text_encoder=self.text_encoder,
            prompts=prompts,
            examples=examples,
            device=self.embeddings.device,
        ).embeddings

    def _file_of(self, names: tuple[str, ...]) -> str | None:
        """The vocabulary file in which these names are looked up."""
        file = self.vocabulary_file
        if not file or '{vocabulary}' not in file:
            return file
        known = vocabulary_of(names)
        if known is None or self.text_encoder is None:
            return None
        model = self.text_encoder.name
        file = file.replace('{vocabulary}', known).replace('{model}', model)
        if Path(file).is_file() or self.text_encoder.has_local_weights():
            return file if Path(file).is_file() else None
        raise FileNotFoundError(
            f'vocabulary_file: there is no {file}, and the weights of {model} are not on this '
            f'machine; `python tools/build_vocabulary.py --vocabulary {known} --model {model} '
            f'--pretrained {self.text_encoder.pretrained} --prompts {self.prompts} --out {file}` '
            'makes it'
        )

    def _install(self, vocabulary: Vocabulary, of_words: bool) -> None:
        self.class_names = vocabulary.names
        self.embeddings = vocabulary.embeddings.to(self.embeddings)
        self.names = _to_bytes(vocabulary.names).to(self.embeddings.device)
        if of_words:
            self.cache.put(vocabulary.names, vocabulary.embeddings)
        self._filled, self._of_words = True, of_words

    def bake_vocabulary(self) -> None:
        """Turn the text side into plain weights: fills the embeddings and drops the text tower."""
        self.init_weights()
        self.text_encoder = None

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any, **kwargs: Any
    ) -> None:
        rows, names = (state_dict.get(prefix + key) for key in ('embeddings', 'names'))
        if rows is not None and names is not None and rows.shape[1:] == self.embeddings.shape[1:]:
            # Without rows nothing was given; zeros are of a model that was built and not filled.
            if rows.any():
                stored = Vocabulary(_from_bytes(names), normalize_rows(rows.cpu()))
                self.cache.clear()
                self.cache.put(stored.names, stored.embeddings)
                self._filled = self._of_words = False
                wanted = self.class_names or stored.names
                if set(wanted) <= set(stored.names):
                    self._install(stored.select(wanted), of_words=True)
            state_dict[prefix + 'embeddings'] = self.embeddings
            state_dict[prefix + 'names'] = self.names
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)

    # -- scoring --------------------------------------------------------------------------------

    def filled_embeddings(self) -> torch.Tensor:
        """(K, D) embeddings of the present names.

        Raises:
            RuntimeError: they have not been filled.
        """
        if not self.class_names:
            raise RuntimeError(
                "classes: the model has none yet; they come from the dataset's metainfo "
                '(mmclip.VocabularyHook in custom_hooks), from a checkpoint, or from set_classes()'
            )
        if not self._filled:
            raise RuntimeError(
                f'{self.num_classes} classes from {self.class_names[0]!r} on have no embeddings: '
                'the loaded checkpoint holds other names, or none was loaded; call set_classes() '
                'or init_weights(), which need the text tower or a vocabulary_file '
                '(tools/build_vocabulary.py makes one)'
            )
        return self.embeddings

    def class_logits(self, normed: torch.Tensor, classes: slice = slice(None)) -> torch.Tensor:
        """(..., D) normalized features -> (..., k) logits of a slice of the classes."""
        embeddings = self.filled_embeddings()[classes]
        return normed @ embeddings.to(normed.dtype).t() / self.temperature

    def background_logits(self, normed: torch.Tensor) -> torch.Tensor:
        """(..., D) normalized features -> (..., 1) logits of the background, (..., 0) without."""
        if self.background_mode is None:
            return normed[..., :0]
        if self.background_mode == 'zero':
            return normed.new_zeros((*normed.shape[:-1], 1))
        return normed @ F.normalize(self.background.float(), dim=0)[:, None] / self.temperature

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(..., D) raw features -> (..., K) or (..., K + 1) logits, float32, background last."""
        with torch.autocast(features.device.type, enabled=False):
            normed = F.normalize(features.float(), dim=-1)
            return torch.cat([self.class_logits(normed), self.background_logits(normed)], -1)


def classifiers_of(model: nn.Module) -> list[TextEmbeddingClassifier]:
    """The text classifiers inside a model, in the order of its modules."""
    return [m for m in model.modules() if isinstance(m, TextEmbeddingClassifier)]
