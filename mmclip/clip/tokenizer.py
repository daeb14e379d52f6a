"""CLIP's byte-pair tokenizer with either convention for special strings."""

from collections.abc import Sequence

import regex
import torch
from open_clip import SimpleTokenizer

from mmclip.registry import TASK_UTILS

__all__ = ['CLIPTokenizer', 'SimpleTokenizer']
_OPENAI_SPECIAL = ('<|startoftext|>', '<|endoftext|>')
_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


@TASK_UTILS.register_module()
class CLIPTokenizer(SimpleTokenizer):
    """CLIP's tokenizer; OpenAI's and open_clip's differ in special strings inside a text only.

    OpenAI's reads ``<|startoftext|>`` and ``<|endoftext|>`` in a user's text as control tokens,
    open_clip's reads ``<start_of_text>`` and ``<end_of_text>`` so; either treats the other's as
    plain words. The end token of a cut text replaces its last token.

    Args:
        special: ``'open_clip'`` or ``'openai'``.
        context_length: T.
        truncate: Whether a text that is too long is cut; else it raises.

    Raises:
        ValueError: unknown convention; with ``truncate=False`` a text of more than T tokens.
    """

    def __init__(
        self, *, special: str = 'open_clip', context_length: int = 77, truncate: bool = True
    ) -> None:
        if special not in ('open_clip', 'openai'):
            raise ValueError(f"special: {special!r} is neither 'open_clip' nor 'openai'")
        super().__init__(context_length=context_length)
        self.truncate = truncate
        if special == 'openai':
            for old, new, number in zip(
                ('<start_of_text>', '<end_of_text>'),
                _OPENAI_SPECIAL,
                self.all_special_ids,
                strict=True,
            ):
                del self.encoder[old], self.cache[old]
                self.encoder[new], self.decoder[number] = number, new
                self.cache[new] = new
            escaped = '|'.join(map(regex.escape, _OPENAI_SPECIAL))
            self.pat = regex.compile(f'{escaped}|{_WORDS}', regex.IGNORECASE)

    def __call__(
        self, texts: str | Sequence[str], context_length: int | None = None
    ) -> torch.Tensor:
        """(N, T) int64 ids, zero behind the end token."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        length = context_length or self.context_length
        if not self.truncate:
            for text in texts:
                tokens = len(self.encode(text)) + 2
                if tokens > length:
                    raise ValueError(
                        f'texts: {tokens} tokens do not fit into {length} (truncate=True cuts): '
                        f'{text[:60]!r}'
                    )
        return super().__call__(texts, length)
