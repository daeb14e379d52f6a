"""The vocabulary of a model: ``set_classes``, ``class_names``, ``bake_vocabulary``."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mmclip.text.class_names import class_names

Prompts = str | Sequence[Any] | Mapping[str, Any] | None
Examples = Mapping[str, Any] | str | Path | None


class OpenVocabularyMixin:
    """Gives a module a vocabulary that may change at any time.

    What embeds names itself implements :meth:`update_vocabulary` and sets ``class_names``. What
    holds such modules only inherits: names go on to the nearest of them.
    """

    _class_names: tuple[str, ...] | None = None

    @property
    def vocabulary_parts(self) -> list['OpenVocabularyMixin']:
        """The nearest modules inside that have a vocabulary of their own."""
        return list(dict.fromkeys(_nearest(self)))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The present vocabulary; empty before there is one."""
        if self._class_names is not None:
            return self._class_names
        return next((part.class_names for part in self.vocabulary_parts), ())

    @class_names.setter
    def class_names(self, names: tuple[str, ...]) -> None:
        self._class_names = names

    def set_classes(
        self, names: str | Sequence[str], prompts: Prompts = None, examples: Examples = None
    ) -> None:
        """Give the model another vocabulary; no weight changes.

        Args:
            names: Class names, or the name of a known vocabulary. In segmentation they are in the
                order of the mask values, and the background is a word like any other.
            prompts: Templates around the names, as :func:`mmclip.text.prompts.get_prompts`; None
                keeps the present ones. (GLIP takes words around single names.)
            examples: Images that stand for classes, as
                :func:`mmclip.vocabulary.exemplars.encode_examples`.

        Raises:
            ValueError, FileNotFoundError: bad names, prompts or examples, or what this model cannot
                be asked by.
        """
        self.update_vocabulary(class_names(names), prompts, examples)

    def update_vocabulary(
        self, names: tuple[str, ...], prompts: Prompts, examples: Examples
    ) -> None:
        """Take names that were checked; the hook behind :meth:`set_classes`."""
        for part in self._some_parts():
            part.update_vocabulary(names, prompts, examples)

    def bake_vocabulary(self) -> None:
        """Turn the text side into plain weights, for export.

        Raises:
            ValueError: the text side is trained with the model, or there is none.
        """
        for part in self._some_parts():
            part.bake_vocabulary()

    def _some_parts(self) -> list['OpenVocabularyMixin']:
        parts = self.vocabulary_parts
        if not parts:
            raise ValueError(
                f'model: {type(self).__name__} holds no mmclip.TextEmbeddingClassifier, whose '
                'embeddings could be given other names or baked into weights'
            )
        return parts


def _nearest(module: nn.Module) -> Iterator[OpenVocabularyMixin]:
    for child in module.children():
        if isinstance(child, OpenVocabularyMixin):
            yield child
        else:
            yield from _nearest(child)
