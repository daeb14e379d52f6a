"""Tokenizers that say which characters each token covers; BERT's.

CLIP's is :class:`mmclip.clip.offset_tokenizer.CLIPTokens`. Both are the ``tokenizers`` library's;
what differs is where their words come from. Nothing is read
before the first text, so that a model or a config is built without files or a network.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import (
    BertWordPieceTokenizer,
    Tokenizer,
)

from mmclip.registry import TASK_UTILS

# A data loader forks its workers; the library's own threads would not survive that.
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
COUNTS_KEPT = 100_000  # texts whose number of tokens is remembered


class TokenBatch(NamedTuple):
    """Texts as tokens.

    Shapes:
        ids (B, T) int64; mask (B, T) bool, False for padding; offsets (B, T, 2) int64, half-open
        ranges of characters; special (B, T) bool, True for tokens that are no text.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    offsets: torch.Tensor
    special: torch.Tensor


class OffsetTokenizer:
    """Shared part: calling, counting and cutting.

    ``pad_id`` fills up rows, ``mask_id`` stands for a hidden word, ``vocab_size`` counts the words.
    """

    pad_id: int
    mask_id: int

    def __init__(self) -> None:
        self._tokenizer: Tokenizer | None = None
        self._counts: dict[str, int] = {}

    def _build(self) -> Tokenizer:
        raise NotImplementedError

    @property
    def backend(self) -> Tokenizer:
        """The ``tokenizers.Tokenizer``, built when it is first needed."""
        if self._tokenizer is None:
            self._tokenizer = self._build()
            self._tokenizer.no_padding()
            self._tokenizer.no_truncation()
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size()

    def __call__(self, texts: Sequence[str], max_length: int, pad: bool = True) -> TokenBatch:
        """Texts as tokens; what does not fit is cut and the end token stays.

        Args:
            texts: B texts.
            max_length: Most tokens of a text, special ones included.
            pad: Fill rows up to ``max_length``; else to the longest text.
        """
        if isinstance(texts, str):
            raise ValueError(f'texts: a list of texts is needed, got one text: {texts[:60]!r}')
        found = [self._encode(text, max_length) for text in texts]
        width = max_length if pad else max((len(ids) for ids, *_ in found), default=0)
        batch = TokenBatch(
            ids=torch.full((len(found), width), self.pad_id),
            mask=torch.zeros(len(found), width, dtype=torch.bool),
            offsets=torch.zeros(len(found), width, 2, dtype=torch.long),
            special=torch.ones(len(found), width, dtype=torch.bool),
        )
        for row, (ids, offsets, special) in enumerate(found):
            batch.ids[row, : len(ids)] = torch.tensor(ids)
            batch.mask[row, : len(ids)] = True
            batch.offsets[row, : len(ids)] = torch.tensor(offsets)
            batch.special[row, : len(ids)] = torch.tensor(special, dtype=torch.bool)
        return batch

    def _encode(self, text: str, max_length: int) -> tuple[list, list, list]:
        encoding = self.backend.encode(text)
        encoding.truncate(max_length - 1) if len(encoding.ids) > max_length else None
        ids, offsets = list(encoding.ids), list(encoding.offsets)
        special = list(encoding.special_tokens_mask)
        if len(encoding.overflowing):  # the end token was cut off as well
            ids, offsets, special = ids + [self.end_id], offsets + [(0, 0)], special + [1]
        return ids, offsets, special

    def count(self, texts: Iterable[str]) -> list[int]:
        """Numbers of tokens of texts, special ones not counted; remembered."""
        counts = []
        for text in texts:
            if text not in self._counts:
                if len(self._counts) >= COUNTS_KEPT:
                    self._counts.clear()
                ids = self.backend.encode(text, add_special_tokens=False).ids
                self._counts[text] = len(ids)
            counts.append(self._counts[text])
        return counts


@TASK_UTILS.register_module()
class BertTokens(OffsetTokenizer):
    """BERT's word pieces, lower case.

    Args:
        source: A folder with ``tokenizer.json`` or ``vocab.txt``, such a file, a list of words, or
            the name of a model on the Hugging Face hub, which is downloaded at the first text
            unless it is in the cache.

    Raises:
        FileNotFoundError: at the first text, if the words are neither here nor to be had.
    """

    def __init__(self, source: str | Sequence[str] = 'bert-base-uncased') -> None:
        super().__init__()
        self.source = source if isinstance(source, str) else tuple(source)

    def _build(self) -> Tokenizer:
        if not isinstance(self.source, str):
            words = {word: number for number, word in enumerate(self.source)}
            return BertWordPieceTokenizer(words, lowercase=True)._tokenizer
        path = Path(self.source)
        if path.is_dir():
            names = ('tokenizer.json', 'vocab.txt')
            path = next((path / n for n in names if (path / n).is_file()), path)
        if path.is_file():
            if path.suffix == '.json':
                return Tokenizer.from_file(str(path))
            return BertWordPieceTokenizer(str(path), lowercase=True)._tokenizer
        return _hub_tokenizer(self.source)

    def _id(self, token: str) -> int:
        number = self.backend.token_to_id(token)
        if number is None:
            raise ValueError(f'source: {self.source!r} has no token {token!r}; is it a BERT?')
        return number

    @property
    def pad_id(self) -> int:
        return self._id('[PAD]')

    @property
    def end_id(self) -> int:
        return self._id('[SEP]')

    @property
    def mask_id(self) -> int:
        return self._id('[MASK]')


def _hub_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model on the hub, from the cache or downloaded."""
    from huggingface_hub import hf_hub_download

    try:
        return Tokenizer.from_file(hf_hub_download(name, 'tokenizer.json'))
    except Exception as error:  # no such model, no network, no permission ...
        raise FileNotFoundError(
            f'source: {name!r} is no file or folder, and its tokenizer cannot be had from the hub '
            f'({type(error).__name__}). On a machine with a network run `hf download {name} '
            f'tokenizer.json config.json model.safetensors --local-dir data/{Path(name).name}` and '
            f"name that folder: source='data/{Path(name).name}'"
        ) from error
