"""What is encoded once and kept until names, prompts or weights change."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

MAX_ROWS = 200_000
T = TypeVar('T')


class _Entry(NamedTuple):
    value: Any
    stamp: tuple  # of the weights that made it
    is_trained: bool  # whether any of them is


class EmbeddingCache(nn.Module):
    """Keeps what a module encodes (:meth:`get`) and rows of single names (:meth:`rows`).

    It is a module without weights, so that its owner needs no code of its own for it: ``train()``
    drops what trained weights made (an averaged model swaps them without a trace), loading a
    checkpoint and moving to another device or type drop all that weights made. Rows of names are
    made by frozen towers outside the model and stay. Nothing of it is in the state dict.

    Example::

        self.cache = EmbeddingCache()
        embeddings = self.cache.get('words', self.text, lambda: self.text(self.token_ids()))
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[Hashable, _Entry] = {}
        self._index: dict[str, int] = {}  # name -> row
        self._table = torch.empty(0, 0)

    def get(self, key: Hashable, module: nn.Module, make: Callable[[], T]) -> T:
        """What ``make`` gives, made anew when a weight of ``module`` has changed.

        In training nothing is kept: dropout may be on.

        Args:
            key: One value is kept for each.
            module: Whose weights and mode count.
            make: Computes the value.
        """
        if module.training:
            return make()
        weights = [*module.parameters(), *module.buffers()]
        # Every change in place, a step of the optimizer too, counts a weight's version up.
        stamp = tuple((w.data_ptr(), None if w.is_inference() else w._version) for w in weights)
        entry = self._entries.get(key)
        if entry is None or entry.stamp != stamp:
            is_trained = any(weight.requires_grad for weight in weights)
            entry = self._entries[key] = _Entry(make(), stamp, is_trained)
        return entry.value

    def rows(
        self, names: Sequence[str], encode: Callable[[list[str]], torch.Tensor]
    ) -> torch.Tensor:
        """(K, D) rows of K names, of which only those that are not known are encoded.

        Args:
            names: K names; a name may come twice.
            encode: Distinct names -> their rows (n, D).
        """
        new = [name for name in dict.fromkeys(names) if name not in self._index]
        if new:
            self.put(new, encode(new))
        rows = self._select(names)
        if len(self._index) > MAX_ROWS:
            self.clear()
            self.put(names, rows)
        return rows

    def _select(self, names: Sequence[str]) -> torch.Tensor:
        return self._table[torch.tensor([self._index[name] for name in names], dtype=torch.long)]

    def put(self, names: Sequence[str], rows: torch.Tensor) -> None:
        """Remember rows (K, D) of K names, in place of what was known of them."""
        given = set(names)
        others = [name for name in self._index if name not in given]
        self._table = torch.cat([self._select(others).to(rows), rows]) if others else rows
        self._index = {name: row for row, name in enumerate([*others, *names])}

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._index, self._table = {}, torch.empty(0, 0)

    def train(self, mode: bool = True) -> 'EmbeddingCache':
        self._entries = {key: e for key, e in self._entries.items() if not e.is_trained}
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> 'EmbeddingCache':
        self._entries.clear()
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._entries.clear()
        super()._load_from_state_dict(*args, **kwargs)
