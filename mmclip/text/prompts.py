"""Sets of sentences around a class name, by name; or sentences of each class, out of a json file.

``'name'`` is the bare name, ``'single'`` 'a photo of a {}.', ``'imagenet_7'`` and ``'imagenet_80'``
are OpenAI's sets, ``'group_vit_7'`` is the former as GroupViT spells it,
``'vild_single'`` and ``'vild_63'`` are those of the ViLD demo (Apache-2.0) with its rules for
articles and names, ``'cifar_18'`` is OpenAI's set for CIFAR-10 and CIFAR-100.
"""

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmclip.io.parsing import parsing, read_json, texts

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


def _spoken(name: str) -> str:
    return name.replace('_', ' ').strip().lower()


@lru_cache(maxsize=4)
def _read_sentences(path: Path, modified: int, size: int) -> dict[str, list[str]]:
    """Read again only when the file changes."""
    where = f'prompts: {path}'
    found = {}
    for name, value in read_json(path, where, kind=dict, distinct=True).items():
        with parsing(where):
            sentences = [value] if isinstance(value, str) else texts(value, repr(name))
            if not sentences or not all(map(str.strip, sentences)):
                raise ValueError(f'{name!r} has no sentence, or an empty one')
        found[_spoken(name)] = sentences
    return found


@dataclass(frozen=True)
class ClassPrompts:
    """Sentences of each class, out of a json file; it is read when they are asked for.

    The file is an object: class name -> a sentence, or a list of sentences (any number; they need
    not hold the name). Underscores and spaces, and letters of either case, are the same in names.

    Args:
        path: The file.
    """

    path: Path

    def __repr__(self) -> str:
        """Tells contents apart, as the key of a cache must."""
        content = self.path.read_bytes() if self.path.is_file() else b''
        return f'ClassPrompts({hashlib.sha256(content).hexdigest()})'

    def _sentences(self) -> dict[str, list[str]]:
        if not self.path.is_file():
            raise FileNotFoundError(
                f'prompts: {self.path}: there is no such file; it maps each class name to its '
                'sentences'
            )
        status = self.path.stat()
        return _read_sentences(self.path, status.st_mtime_ns, status.st_size)

    @property
    def templates(self) -> tuple[str, ...]:
        """All sentences."""
        return tuple(text for sentences in self._sentences().values() for text in sentences)

    def format(self, name: str) -> list[str]:
        """The sentences of one class.

        Raises:
            FileNotFoundError, ValueError: no such file; one without this class.
        """
        sentences = self._sentences()
        if _spoken(name) not in sentences:
            raise ValueError(
                f'prompts: {self.path} has no sentence for the class {name!r}; it is of '
                f'{len(sentences)} classes, e.g. {", ".join(map(repr, list(sentences)[:4]))}'
            )
        return list(sentences[_spoken(name)])


def get_prompts(prompts: str | Sequence[str]) -> PromptSet | ClassPrompts:
    """A prompt set by its name, of one's own templates, or of sentences per class in a file.

    Args:
        prompts: A key of ``PROMPT_SETS``, templates that each hold ``{}``, or the path of a json
            file (:class:`ClassPrompts`), which is read when sentences are asked for.

    Raises:
        ValueError: unknown name (close ones are listed), no template, a template without ``{}``.
    """
    if isinstance(prompts, str | Path) and str(prompts).endswith('.json'):
        return ClassPrompts(Path(prompts))
    if isinstance(prompts, str):
        if prompts in PROMPT_SETS:
            return PROMPT_SETS[prompts]
        if '{}' in prompts:
            return PromptSet((prompts,))
        near = difflib.get_close_matches(prompts, PROMPT_SETS, n=3, cutoff=0.3)
        raise ValueError(
            f'prompts: unknown set {prompts!r}; close names: {", ".join(near) or "none"}; there '
            f'are {", ".join(PROMPT_SETS)}, or give templates with {{}} of your own, or a .json'
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
