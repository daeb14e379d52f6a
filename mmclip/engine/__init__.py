"""Hooks, loops and samplers: what MMEngine lacks."""

from mmclip.engine.vocabulary_hook import VocabularyHook

__all__ = ['VocabularyHook']
