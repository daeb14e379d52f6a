"""Text-video retrieval both ways, of vectors or of a head that scores pairs."""

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from torch import nn

from mmclip.evaluation.video_ranks import (
    MatrixScores,
    Scores,
    VectorScores,
    rank_summary,
    text_ranks,
    video_ranks,
)
from mmclip.registry import METRICS

WAYS = ('t2v', 'v2t')
PairScorer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@METRICS.register_module()
class VideoRetrieval(BaseMetric):
    """R@k in per cent, median and mean rank (from 1) of videos by texts and of texts by videos.

    ``t2v``: each text looks for its video. ``v2t``: each video looks for its texts, which count by
    the best of them, among those of all videos. With one text per video that is the protocol of
    MSR-VTT, LSMDC, ActivityNet and DiDeMo, with several that of MSVD. Every video and every text is
    encoded once.

    Ties count against the query: what scores as the right one stands before it. (The official
    function and MMAction2's ``RetrievalMetric`` count a tied query several times.) A video that has
    no frame is found by nobody and finds nobody; it is last in both ways.

    Args:
        topk: The k.
        ways: Any of ``'t2v'`` and ``'v2t'``.
        lower_median: Whether the median rank of ``t2v`` is the lower of the two in the middle, as
            officially with several texts per video.
        device: Where vectors are compared; None: where the model gave them (the CPU, as they are
            collected there).
        collect_device, prefix: As :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: no k, or one below 1; unknown ways.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        *,
        topk: Sequence[int] = (1, 5, 10),
        ways: Sequence[str] = WAYS,
        lower_median: bool = False,
        device: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk, self.ways = tuple(topk), tuple(ways)
        if not self.topk or min(self.topk) < 1:
            raise ValueError(f'topk: expected numbers from 1 on, got {topk!r}')
        if not self.ways or set(self.ways) - set(WAYS):
            raise ValueError(f'ways: {ways!r}; allowed are {WAYS}')
        self.lower_median = lower_median
        self.device = device
        self._score: PairScorer | None = None

    def bind(self, model: nn.Module) -> None:
        """Take the head of a model for pairs (:class:`mmclip.BindModelHook` calls this)."""
        head = getattr(model, 'sim_head', None)
        self._score = head if head is not None and not head.is_loose else None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keeps the features of each video and its texts.

        Args:
            data_batch: Unused.
            data_samples: With ``text_features`` (n, D), and ``video_feature`` (D,) or
                ``frame_features`` (T, D); ``num_frames``, 1 or more if it is not told.
        """
        for sample in data_samples:
            is_vector = sample.get('video_feature') is not None
            key = 'video_feature' if is_vector else 'frame_features'
            video = torch.as_tensor(sample[key]).float().cpu()
            texts = torch.as_tensor(sample['text_features']).float().cpu()
            self.results.append(
                dict(
                    video=video,
                    texts=texts.reshape(-1, video.shape[-1]),
                    has_frames=sample.get('num_frames', 1) > 0,
                )
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """The metrics of all processes' results, of which the first ``size`` count.

        Every process gets all features, scores a part of the texts if pairs are to be scored, and
        ends with the same metrics.
        """
        parts = all_gather_object(self.results)
        nothing = object()
        rows = chain.from_iterable(zip_longest(*parts, fillvalue=nothing))
        results = [row for row in rows if row is not nothing][:size]
        metrics = self.compute_metrics(results)
        self.results.clear()
        return {f'{self.prefix}/{k}' if self.prefix else k: v for k, v in metrics.items()}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """``t2v_R@k``, ``t2v_MdR``, ``t2v_MnR`` and the same of ``v2t``; NaN without any video.

        Raises:
            ValueError: frames and no head to score them.
        """
        counts = torch.tensor([len(row['texts']) for row in results], dtype=torch.long)
        owner = torch.arange(len(results)).repeat_interleave(counts)
        ranks = dict.fromkeys(self.ways, owner[:0])
        if results:
            scores, owner = self.scores(results), owner.to(self.device or 'cpu')
            several = bool((counts > 1).any())
            if 't2v' in ranks:
                ranks['t2v'] = text_ranks(scores, owner)
            if 'v2t' in ranks:
                found = video_ranks(scores, owner)
                ranks['v2t'] = found[found >= 0]
        metrics = {}
        for way, of_way in ranks.items():
            lower = self.lower_median and way == 't2v' and several if results else False
            summary = rank_summary(of_way, self.topk, lower_median=lower)
            metrics.update({f'{way}_{name}': value for name, value in summary.items()})
        return metrics

    def scores(self, results: list[dict]) -> Scores:
        """The matrix of all texts and videos, computed or ready to be."""
        device = self.device or 'cpu'
        texts = torch.cat([row['texts'] for row in results]).to(device)
        has_frames = torch.tensor([row['has_frames'] for row in results], device=device)
        videos = [row['video'] for row in results]
        if videos[0].ndim == 1:
            normed = F.normalize(torch.stack(videos), dim=1).to(device)
            return VectorScores(F.normalize(texts, dim=1), normed, has_frames)
        matrix = self._score_pairs(texts, videos).to(device)
        return MatrixScores(matrix.masked_fill(~has_frames, float('-inf')))

    def _score_pairs(self, texts: torch.Tensor, videos: list[torch.Tensor]) -> torch.Tensor:
        """(A, B); each process scores a part of the texts."""
        if self._score is None:
            raise ValueError(
                "frame_features: the results are frames, which only the model's head can compare; "
                "put dict(type='mmclip.BindModelHook') into custom_hooks, or call bind(model)"
            )
        place = next(self._score.parameters()).device
        lengths = torch.tensor([len(video) for video in videos])
        frames = nn.utils.rnn.pad_sequence(videos, batch_first=True).to(place)
        mask = (torch.arange(frames.shape[1]) < lengths[:, None]).to(place)
        own = texts.tensor_split(get_world_size())[get_rank()].to(place)
        with torch.no_grad():
            return torch.cat(all_gather_object(self._score(own, frames, mask).cpu()))
