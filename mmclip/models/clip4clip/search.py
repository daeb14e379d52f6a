"""Search for the nearest videos of a store: exactly, block by block, or by an index of faiss."""

from pathlib import Path
from typing import Any

import torch

from mmclip.models.clip4clip.feature_store import FeatureStore

_QUERIES = 256


def exact_search(
    store: FeatureStore, queries: torch.Tensor, topk: int = 10, *, rows: int = 65536
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best videos of each query, by cosine; equal ones in the order of the store.

    At most ``rows`` vectors and 256 x ``rows`` scores are in memory, whatever the store's size.

    Args:
        store: Vectors of videos.
        queries: L2-normalised; where they are (CPU, accelerator), scores are computed.
        topk: k; fewer are given if the store has fewer readable videos.
        rows: Videos at once.

    Shapes:
        queries (Q, D) -> scores (Q, k) float32, falling, and rows of the store (Q, k) int64.

    Raises:
        ValueError: ``topk`` below 1; queries of another width.
    """
    width = store.meta['embed_dim']
    if topk < 1:
        raise ValueError(f'topk: {topk}; allowed are 1 and more')
    if queries.ndim != 2 or queries.shape[1] != width:
        raise ValueError(f'queries: {tuple(queries.shape)}; the store has vectors of {width}')
    queries = queries.float()
    best = queries.new_empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start, vectors, readable in store.blocks(rows):
        own = start + readable.nonzero()[:, 0].to(queries.device)
        vectors = vectors[readable].to(queries.device)
        parts = []
        for part in queries.split(_QUERIES):
            found = (part @ vectors.T).topk(min(topk, len(vectors)))
            # In the order of the store, for the stable sort below.
            order = found.indices.argsort(1)
            parts.append((found.values.gather(1, order), own[found.indices.gather(1, order)]))
        if not parts:
            break
        scores, found = (torch.cat(column) for column in zip(*parts, strict=True))
        joined, order = torch.cat([best, scores], 1).sort(dim=1, descending=True, stable=True)
        best = joined[:, :topk]
        places = torch.cat([places, found], 1).gather(1, order[:, :topk])
    return best, places


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
        train: Vectors that an index with cells is trained on at most.

    Raises:
        ImportError: faiss is not installed.
        ValueError: faiss does not know the description, or there are too few vectors to train.
    """
    faiss = _faiss()
    # What numbers its vectors itself needs a map from numbers to rows.
    described = factory if factory.startswith(('IVF', 'IDMap')) else f'IDMap2,{factory}'
    try:
        index = faiss.index_factory(store.meta['embed_dim'], described, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(f'factory: faiss does not know {factory!r} ({error})') from error
    if not index.is_trained:
        parts, count = [], 0
        for _, vectors, readable in store.blocks():
            parts.append(vectors[readable][: train - count])
            count += len(parts[-1])
            if count >= train:
                break
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
    partial = path.with_suffix('.partial')
    faiss.write_index(index, str(partial))
    partial.replace(path)
    return index


def index_search(
    index: Any, queries: torch.Tensor, topk: int = 10, *, probes: int = 32
) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`exact_search`, by an index; where it found fewer, rows are -1.

    Args:
        index: From :func:`build_index`.
        queries: L2-normalised (Q, D).
        topk: k.
        probes: Cells that are looked into, of an index that has cells.
    """
    if hasattr(index, 'nprobe'):
        index.nprobe = probes
    scores, rows = index.search(queries.float().cpu().numpy(), topk)
    return torch.from_numpy(scores), torch.from_numpy(rows)
