"""A vocabulary as captions, their words encoded once."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from mmclip.models.glip.text_encoder import TokenEncoder
from mmclip.text.captions import class_caption, prompt_parts
from mmclip.text.class_chunks import chunk_classes
from mmclip.text.positive_map import positive_map
from mmclip.vocabulary.embedding_cache import EmbeddingCache

Text = dict[str, torch.Tensor]
ENCODED_AT_ONCE = 16  # captions


def phrase_maps(spans: Sequence[Sequence[Sequence[Sequence[int]]]], batch: object) -> list:
    """Of each caption of a token batch the tokens of its phrases, (P, T) bool."""
    width = batch.ids.shape[1]
    return [
        positive_map(pieces, offsets, special, width) > 0
        for pieces, offsets, special in zip(spans, batch.offsets, batch.special, strict=True)
    ]


def trimmed(text: Text) -> Text:
    """Without the columns that are padding in every row; exact, since padding is never read."""
    length = int(text['mask'].any(0).nonzero().max()) + 1
    return {
        name: value[:, :length] if value.ndim > 1 and name != 'aggregate' else value
        for name, value in text.items()
    }


class CaptionedVocabulary(nn.Module):
    """Class names as captions that fit the text tower, and their encoded words.

    Nothing is tokenized or encoded before it is needed. A module without weights, for the sake of
    :class:`mmclip.vocabulary.embedding_cache.EmbeddingCache`.

    Args:
        names: K class names.
        encoder: The text tower.
        chunk_size: Most classes of a caption, -1 for as many as fit.
        prompts: Words around each name, K dicts with any of ``prefix``, ``name``, ``suffix``.
    """

    def __init__(
        self,
        names: Sequence[str],
        encoder: TokenEncoder,
        *,
        chunk_size: int = -1,
        prompts: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self.names, self.prompts, self.chunk_size = tuple(names), prompts, chunk_size
        self.tokenizer, self.max_tokens = encoder.tokenizer, encoder.max_tokens
        self._captions: tuple | None = None
        self.cache = EmbeddingCache()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def captions(self) -> tuple[list[str], list[torch.Tensor], list[torch.Tensor], object]:
        """Texts, the classes (k,) of each, the tokens of each class (k, T), the token batch."""
        if self._captions is None:
            words = self.names
            if self.prompts is not None:
                words = [
                    ''.join(prompt_parts(name, prompt))
                    for name, prompt in zip(words, self.prompts, strict=True)
                ]
            chunks = chunk_classes(
                words,
                self.tokenizer.count,
                max_tokens=self.max_tokens,
                chunk_size=self.chunk_size,
            )
            captions = [
                class_caption(
                    [self.names[i] for i in chunk],
                    prompts=self.prompts and [self.prompts[i] for i in chunk],
                )
                for chunk in chunks
            ]
            texts = [caption.text for caption in captions]
            batch = self.tokenizer(texts, self.max_tokens, pad=False)
            maps = phrase_maps([caption.spans for caption in captions], batch)
            self._captions = texts, [torch.tensor(chunk) for chunk in chunks], maps, batch
        return self._captions

    def text(self, encoder: TokenEncoder) -> Text:
        """Words of all captions, each entry (captions, T, ...), encoded once."""
        return self.cache.get('text', encoder, lambda: self._encode(encoder))

    def _encode(self, encoder: TokenEncoder) -> Text:
        batch, device = self.captions[3], next(encoder.parameters()).device
        parts = [
            encoder(ids.to(device), mask.to(device))
            for ids, mask in zip(
                batch.ids.split(ENCODED_AT_ONCE), batch.mask.split(ENCODED_AT_ONCE), strict=True
            )
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def passes(self, text: Text, count: int) -> Iterator[tuple[Text, list, list]]:
        """Groups of at most ``count`` captions: words without common padding, maps, classes."""
        _, classes, maps, _ = self.captions
        for start in range(0, len(maps), count):
            rows = slice(start, start + count)
            part = trimmed({name: value[rows] for name, value in text.items()})
            length = part['mask'].shape[1]
            yield part, [m[:, :length] for m in maps[rows]], classes[rows]
