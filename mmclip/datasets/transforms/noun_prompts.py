"""The texts of a caption: the caption itself and sentences about its nouns."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmclip.clip.tokenizer import SimpleTokenizer
from mmclip.registry import TRANSFORMS
from mmclip.text.phrases import noun_finder
from mmclip.text.prompts import get_prompts, prompt_texts


@TRANSFORMS.register_module()
class NounPrompts(BaseTransform):
    """Sets ``texts``: the caption, then ``num_prompts`` nouns of it, each in a random template.

    A caption with fewer nouns fills up with itself. Random numbers are NumPy's global ones.

    Source: GroupViT, section 3.2.

    Args:
        num_prompts: K; 0 for the caption alone.
        templates: Prompt set or templates, see :func:`mmclip.text.prompts.get_prompts`.
        source: Who finds the nouns: ``'auto'``, ``'nltk'``, ``'word_list'`` or a list of words, see
            :func:`mmclip.text.phrases.noun_finder`.
        kind: ``'noun'``, ``'noun_phrase'``, or ``'noun_phrase_official'`` with the oddities of the
            official code.
        max_words: Neighbors of a list of words that count as a noun too, see
            :func:`mmclip.text.phrases.listed_words`.
        context_length: T, to tokenize here, in the workers of the data loader, and not between two
            steps of the model: ``text_ids``, (1 + K, T) integers, for the meta_keys of the packing.

    Raises:
        ValueError: a negative number, unknown templates or source; an empty caption.
        FileNotFoundError: NLTK or its data are missing.
    """

    def __init__(
        self,
        *,
        num_prompts: int = 3,
        templates: str | Sequence[str] = 'imagenet_80',
        source: str | Sequence[str] = 'auto',
        kind: str = 'noun',
        max_words: int = 1,
        context_length: int | None = None,
    ) -> None:
        if num_prompts < 0:
            raise ValueError(f'num_prompts: {num_prompts}; allowed are 0 and more')
        self.num_prompts = num_prompts
        self.templates = get_prompts(templates).templates
        self.tokenize = context_length and SimpleTokenizer(context_length=context_length)
        self.find = noun_finder(source, kind, max_words) if num_prompts else None

    def transform(self, results: dict) -> dict:
        caption = results['text'].strip()
        if not caption:
            raise ValueError(f'text: {results.get("img_path")} has an empty caption')
        found = self.find(caption) if self.find else []
        results['texts'] = prompt_texts(
            caption, found, self.num_prompts, self.templates, np.random.mtrand._rand
        )
        if self.tokenize:
            # An array: worker processes hand each tensor over through a file of its own.
            results['text_ids'] = self.tokenize(results['texts']).numpy()
        return results
