"""Sets of sentences around a class name, by name.

``'name'`` is the bare name, ``'single'`` 'a photo of a {}.', ``'imagenet_7'`` and ``'imagenet_80'``
are OpenAI's sets, ``'group_vit_7'`` is the former as GroupViT spells it,
``'vild_single'`` and ``'vild_63'`` are those of the ViLD demo (Apache-2.0) with its rules for
articles and names, ``'cifar_18'`` is OpenAI's set for CIFAR-10 and CIFAR-100.
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_OPENAI = json.loads((Path(__file__).parents[1] / 'assets' / 'prompts.json').read_text())

VILD_63 = (
    'There is {article} {} in the scene.',
    'There is the {} in the scene.',
    'a photo of {article} {} in the scene.',
    'a photo of the {} in the scene.',
    'a photo of one {} in the scene.',
    'itap of {article} {}.',
    'itap of my {}.',
    'itap of the {}.',
    'a photo of {article} {}.',
    'a photo of my {}.',
    'a photo of the {}.',
    'a photo of one {}.',
    'a photo of many {}.',
    'a good photo of {article} {}.',
    'a good photo of the {}.',
    'a bad photo of {article} {}.',
    'a bad photo of the {}.',
    'a photo of a nice {}.',
    'a photo of the nice {}.',
    'a photo of a cool {}.',
    'a photo of the cool {}.',
    'a photo of a weird {}.',
    'a photo of the weird {}.',
    'a photo of a small {}.',
    'a photo of the small {}.',
    'a photo of a large {}.',
    'a photo of the large {}.',
    'a photo of a clean {}.',
    'a photo of the clean {}.',
    'a photo of a dirty {}.',
    'a photo of the dirty {}.',
    'a bright photo of {article} {}.',
    'a bright photo of the {}.',
    'a dark photo of {article} {}.',
    'a dark photo of the {}.',
    'a photo of a hard to see {}.',
    'a photo of the hard to see {}.',
    'a low resolution photo of {article} {}.',
    'a low resolution photo of the {}.',
    'a cropped photo of {article} {}.',
    'a cropped photo of the {}.',
    'a close-up photo of {article} {}.',
    'a close-up photo of the {}.',
    'a jpeg corrupted photo of {article} {}.',
    'a jpeg corrupted photo of the {}.',
    'a blurry photo of {article} {}.',
    'a blurry photo of the {}.',
    'a pixelated photo of {article} {}.',
    'a pixelated photo of the {}.',
    'a black and white photo of the {}.',
    'a black and white photo of {article} {}.',
    'a plastic {}.',
    'the plastic {}.',
    'a toy {}.',
    'the toy {}.',
    'a plushie {}.',
    'the plushie {}.',
    'a cartoon {}.',
    'the cartoon {}.',
    'an embroidered {}.',
    'the embroidered {}.',
    'a painting of the {}.',
    'a painting of a {}.',
)


CIFAR_18 = tuple(
    template.replace('*', article)
    for article in ('a', 'the')
    for template in (
        'a photo of * {}.',
        'a blurry photo of * {}.',
        'a black and white photo of * {}.',
        'a low contrast photo of * {}.',
        'a high contrast photo of * {}.',
        'a bad photo of * {}.',
        'a good photo of * {}.',
        'a photo of * small {}.',
        'a photo of * big {}.',
    )
)


@dataclass(frozen=True)
class PromptSet:
    """Templates with ``{}`` where the name goes.

    Args:
        templates: At least one.
        vild_rules: ViLD's treatment of names: ``_`` becomes a space and ``/`` ' or ', lower case,
            no final full stop; ``{article}`` is 'an' before a name whose raw first letter is one of
            aeiou, else 'a'; a sentence that starts with 'a' or 'the' gets 'This is ' in front.
    """

    templates: tuple[str, ...]
    vild_rules: bool = False

    def format(self, name: str) -> list[str]:
        """The sentences about one name, in the order of the templates."""
        if not self.vild_rules:
            return [template.replace('{}', name) for template in self.templates]
        article = 'an' if name[:1] in tuple('aeiou') else 'a'
        spoken = name.replace('_', ' ').replace('/', ' or ').lower().rstrip('.')
        sentences = [
            template.replace('{article}', article).replace('{}', spoken)
            for template in self.templates
        ]
        return [f'This is {s}' if s.startswith(('a', 'the')) else s for s in sentences]


PROMPT_SETS: dict[str, PromptSet] = {
    'name': PromptSet(('{}',)),
    'single': PromptSet(('a photo of a {}.',)),
    'imagenet_7': PromptSet(tuple(_OPENAI['imagenet_7'])),
    'imagenet_80': PromptSet(tuple(_OPENAI['imagenet_80'])),
    # The same as GroupViT spells them.
    'group_vit_7': PromptSet(
        tuple(
            template.replace('bad photo of the', 'bad photo of a')
            for template in _OPENAI['imagenet_7']
        )
    ),
    'cifar_18': PromptSet(CIFAR_18),
    'vild_single': PromptSet(('a photo of {article} {}.',), vild_rules=True),
    'vild_63': PromptSet(VILD_63, vild_rules=True),
}


def get_prompts(prompts: str | Sequence[str]) -> PromptSet:
    """A prompt set by its name, or of one's own templates.

    Args:
        prompts: A key of ``PROMPT_SETS``, or templates that each hold ``{}``.

    Raises:
        ValueError: unknown name (close ones are listed), no template, a template without ``{}``.
    """
    if isinstance(prompts, str):
        if prompts in PROMPT_SETS:
            return PROMPT_SETS[prompts]
        if '{}' in prompts:
            return PromptSet((prompts,))
        near = difflib.get_close_matches(prompts, PROMPT_SETS, n=3, cutoff=0.3)
        raise ValueError(
            f'prompts: unknown set {prompts!r}; close names: {", ".join(near) or "none"}; there '
            f'are {", ".join(PROMPT_SETS)}, or give templates of your own with {{}}'
        )
    templates = tuple(prompts)
    bad = [t for t in templates if not isinstance(t, str) or '{}' not in t]
    if bad or not templates:
        raise ValueError(f'prompts: every template needs {{}} for the name, got {bad or "none"}')
    return PromptSet(templates)


def prompt_texts(
    caption: str,
    candidates: Sequence[str],
    count: int,
    templates: Sequence[str],
    rng: np.random.RandomState | None = None,
) -> list[str]:
    """The caption, then ``count`` sentences about words of it.

    min(count, candidates) words are drawn without replacement, each goes into a random template,
    and what is missing is the caption again.

    Args:
        caption: Text 0.
        candidates: Nouns of the caption.
        count: K.
        templates: With ``{}`` for the word.
        rng: NumPy's global generator by default.
    """
    rng = np.random if rng is None else rng
    chosen = []
    if len(candidates) and count:
        chosen = rng.choice(candidates, min(count, len(candidates)), replace=False).tolist()
    sentences = [rng.choice(templates).replace('{}', word) for word in chosen]
    return [caption, *sentences, *[caption] * (count - len(sentences))]
