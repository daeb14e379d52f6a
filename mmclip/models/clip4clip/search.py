"""Search for the nearest videos of a store: exactly, block by block, or by an index of faiss."""

from pathlib import Path
from typing import Any

import torch

from mmclip.io.atomic import atomic_file
from mmclip.stores.video_features import FeatureStore

_QUERIES = 256
_ROWS = 4096  # vectors that are compared exactly at once
PROBES = 32  # cells that are looked into by default


def _exact_scores(query: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Inner products (..., n) float32 that do not depend on what else is computed.

    A matrix product rounds equal vectors differently at different places; the sum of float64
    products, which are exact, is rounded once.

    Shapes:
        (..., 1, D) and (..., n, D), on the CPU.
    """
    return (query.double() * vectors.double()).sum(-1).float()


def _best(queries: torch.Tensor, vectors: torch.Tensor, topk: int) -> tuple[torch.Tensor, ...]:
    """The k best of n vectors, of equal ones the first: scores, and places in rising order.

    A matrix product finds them, where rounding cannot matter; where it can, all that are as good as
    the last one within its error are compared again.

    Shapes:
        (Q, D), (n, D) on the CPU -> (Q, k), (Q, k) on the CPU.
    """
    rough = queries @ vectors.to(queries.device).T
    topk = min(topk, len(vectors))
    found = rough.topk(min(topk + 1, len(vectors)))
    places = found.indices[:, :topk].sort(1).values.cpu()
    own = queries.cpu()
    # Twice the bound of an inner product's rounding error, of vectors of length 1.
    error = queries.shape[1] * torch.finfo(torch.float32).eps * queries.norm(dim=1, keepdim=True)
    worst = found.values[:, topk - 1 : topk] - error
    for row in (found.values[:, topk:] >= worst).any(1).nonzero()[:, 0].tolist():
        close = (rough[row] >= worst[row]).nonzero()[:, 0].cpu()
        scores = [_exact_scores(own[row], vectors[part]) for part in close.split(_ROWS)]
        order = torch.cat(scores).sort(descending=True, stable=True).indices[:topk]
        places[row] = close[order].sort().values
    step = max(1, _ROWS // topk)
    scores = [
        _exact_scores(some[:, None], vectors[where])
        for some, where in zip(own.split(step), places.split(step), strict=True)
    ]
    return torch.cat(scores), places


def _check(queries: torch.Tensor, width: int, topk: int) -> None:
    if topk < 1:
        raise ValueError(f'topk: {topk}; allowed are 1 and more')
    if queries.ndim != 2 or queries.shape[1] != width:
        raise ValueError(f'queries: {tuple(queries.shape)}; the store has vectors of {width}')


def exact_search(
    store: FeatureStore, queries: torch.Tensor, topk: int = 10, *, rows: int = 65536
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best videos of each query, by cosine; equal ones in the order of the store.

    The answer does not depend on ``rows``, of which at most so many vectors, and 256 times so many
    scores, are in memory, whatever the store's size.

    Args:
        store: Vectors of videos.
        queries: L2-normalized; where they are (CPU, accelerator), scores are computed.
        topk: k; fewer are given if the store has fewer readable videos.
        rows: Videos at once.

    Shapes:
        queries (Q, D) -> scores (Q, k) float32, falling, and rows of the store (Q, k) int64.

    Raises:
        ValueError: ``topk`` or ``rows`` below 1; queries of another width.
    """
    _check(queries, store.meta['embed_dim'], topk)
    if rows < 1:
        raise ValueError(f'rows: {rows}; allowed are 1 and more')
    queries, device = queries.float(), queries.device
    best = torch.empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.long)
    for start, vectors, readable in store.blocks(rows):
        own, vectors = start + readable.nonzero()[:, 0], vectors[readable]
        if not len(own) or not len(queries):
            continue
        parts = [_best(part, vectors, topk) for part in queries.split(_QUERIES)]
        scores, found = (torch.cat(column) for column in zip(*parts, strict=True))
        joined, order = torch.cat([best, scores], 1).sort(dim=1, descending=True, stable=True)
        best = joined[:, :topk]
        places = torch.cat([places, own[found]], 1).gather(1, order[:, :topk])
    return best.to(device), places.to(device)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError('faiss is not installed: `pip install faiss-cpu` brings it') from error
    return faiss


def build_index(store: FeatureStore, factory: str = 'Flat', *, train: int = 200_000) -> Any:
    """An index of faiss over a store's readable videos, by inner product.

    Args:
        store: Vectors of videos.
        factory: faiss's description, e.g. ``'Flat'`` (exact), ``'IVF4096,Flat'``, ``'HNSW32'``.
        train: Vectors that an index with cells is trained on at most, drawn by a seed: a store is
            sorted by path, so its head is of one kind.

    Raises:
        ImportError: faiss is not installed.
        ValueError: faiss does not know the description, or there are too few vectors to train.
    """
    faiss = _faiss()
    width = store.meta['embed_dim']
    try:
        index = faiss.index_factory(width, factory, faiss.METRIC_INNER_PRODUCT)
        # What numbers its vectors itself needs a map from numbers to rows.
        if not isinstance(index, faiss.IndexIVF | faiss.IndexIDMap | faiss.IndexIDMap2):
            index = faiss.index_factory(width, f'IDMap2,{factory}', faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(f'factory: faiss does not know {factory!r} ({error})') from error
    if not index.is_trained:
        drawn = torch.zeros(len(store), dtype=torch.bool)
        generator = torch.Generator().manual_seed(0)
        drawn[torch.randperm(len(store), generator=generator)[:train]] = True
        parts = [
            vectors[readable & drawn[start : start + len(readable)]]
            for start, vectors, readable in store.blocks()
        ]
        try:
            index.train(torch.cat(parts).numpy())
        except RuntimeError as error:
            raise ValueError(f'factory: {factory!r} cannot be trained ({error})') from error
    for start, vectors, readable in store.blocks():
        rows = start + readable.nonzero()[:, 0]
        index.add_with_ids(vectors[readable].numpy(), rows.numpy())
    return index


def load_index(store: FeatureStore, factory: str) -> Any:
    """The index of a store: read from its folder, or built and written there."""
    faiss = _faiss()
    name = ''.join(c if c.isalnum() else '_' for c in factory)
    path = Path(store.folder, f'faiss-{name}-{store.meta["fingerprint"]}.index')
    if path.is_file():
        return faiss.read_index(str(path))
    index = build_index(store, factory)
    with atomic_file(path) as partial:
        faiss.write_index(index, str(partial))
    return index


def index_search(
    index: Any, queries: torch.Tensor, topk: int = 10, *, probes: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`exact_search`, by an index; where it found fewer, rows are -1.

    Args:
        index: From :func:`build_index`.
        queries: L2-normalized (Q, D).
        topk: k.
        probes: Cells that are looked into, of an index that has cells; None: 32.

    Raises:
        ValueError: as :func:`exact_search`; ``probes`` below 1, or for an index without cells.
    """
    _check(queries, index.d, topk)
    if probes is not None and probes < 1:
        raise ValueError(f'probes: {probes}; allowed are 1 and more')
    cells = _faiss().try_extract_index_ivf(index)  # below maps, rotations and refinements too
    if cells is not None:
        cells.nprobe = probes or PROBES
    elif probes is not None:
        raise ValueError(f"probes: {probes}, but the index has no cells (as 'IVF4096,Flat' has)")
    scores, rows = index.search(queries.float().cpu().numpy(), topk)
    return torch.from_numpy(scores), torch.from_numpy(rows)
