"""A trained retrieval model, the videos that it is run on, and its vectors of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmclip.clip.loading import state_hash
from mmclip.config_file import read_config
from mmclip.datasets.video_reader import VIDEO_ENDINGS
from mmclip.distributed import job_device
from mmclip.io.records import read_lines
from mmclip.io.strict_loading import load_weights


def list_videos(source: str | Path) -> list[str]:
    """Paths of videos: below a folder, sorted; the lines of a ``.txt`` file; or the one video.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: no video in it.
    """
    source = Path(source)
    if source.is_dir():
        found = sorted(p for p in source.rglob('*') if p.suffix.lower() in VIDEO_ENDINGS)
    elif not source.is_file():
        raise FileNotFoundError(f'videos: {source} does not exist')
    elif source.suffix == '.txt':
        found = [line for _, line in read_lines(source, f'videos: {source}')]
    else:
        found = [source]
    if not found:
        raise ValueError(f'videos: {source} holds none ({", ".join(VIDEO_ENDINGS)})')
    return [str(path) for path in found]


class _Videos(Dataset):
    """Videos through a pipeline; one that cannot be read gives no frames, unless ``strict``."""

    def __init__(self, paths: Sequence[str], pipeline: Compose, strict: bool) -> None:
        self.paths, self.pipeline, self.strict = paths, pipeline, strict

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        row = dict(video_id=self.paths[index], filename=self.paths[index], texts=[])
        try:
            return self.pipeline(dict(row))
        except (FileNotFoundError, ValueError) as error:
            if self.strict:
                raise
            print_log(f'a video has no vector: {error}', 'current', level=30)
            return self.pipeline.transforms[-1](dict(row, imgs=[]))


class VideoSearcher:
    """A CLIP4Clip with a loose head from a config and a checkpoint::

        searcher = VideoSearcher('clip4clip/mini/clip4clip_meanp_mini.py', 'work_dirs/iter_400.pth')
        texts = searcher.texts(['a red star is moving left'])      # (1, D)
        vectors, frames = searcher.videos(list_videos('videos'))   # (N, D), (N,)

    Videos go through the config's test pipeline.

    Args:
        config: A config file, or the name of one of mmclip's.
        checkpoint: Weights; ``'none'``: those that the config names.
        device: By default the accelerator if there is one.
        allow_mismatch: Whether to go on with weights that do not fit.

    Raises:
        FileNotFoundError: no config or checkpoint.
        ValueError: the config's model gives no vectors of videos, or the weights are not its own.
    """

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path = 'none',
        device: str | None = None,
        allow_mismatch: bool = False,
    ) -> None:
        self.config = read_config(config)
        self.device = job_device(device)
        init_default_scope(self.config.get('default_scope', 'mmengine'))
        self.model: nn.Module = MODELS.build(self.config.model)
        if not getattr(getattr(self.model, 'sim_head', None), 'is_loose', False):
            raise ValueError(
                f'config: {config} makes no vectors of videos; take a CLIP4Clip with meanP, '
                'seqLSTM or seqTransf (the tight head compares pairs)'
            )
        if str(checkpoint) != 'none':
            load_weights(self.model, checkpoint, allow_mismatch=allow_mismatch)
        self.model.init_weights()
        self.model.to(self.device).eval()
        self.steps = self.config.test_dataloader.dataset.pipeline
        self.pipeline = Compose([dict(step) for step in self.steps])

    def identity(self) -> dict[str, Any]:
        """What tells this model's vectors from another's, as json gives it back.

        ``model`` is what no weight shows: the activation, a head that does not normalize frames.
        """
        settings, pixels = self.config.model, self.model.data_preprocessor
        head = dict(settings.get('sim_head') or {}, type=type(self.model.sim_head).__name__)
        identity = dict(
            weights=state_hash(self.model.state_dict()),
            model=dict(
                clip=settings.model,
                head=head,
                mean=pixels.mean.flatten().tolist(),
                std=pixels.std.flatten().tolist(),
            ),
            embed_dim=self.model.embed_dim,
            sampling=[dict(step) for step in self.steps],
        )
        return json.loads(json.dumps(identity))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalized vectors (N, D) of sentences."""
        return nn.functional.normalize(self.model.encode_texts(list(texts)).float(), dim=-1)

    @torch.no_grad()
    def videos(
        self, paths: Sequence[str], *, batch: int = 16, workers: int = 0, strict: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """L2-normalized vectors (N, D) of videos, and how many frames each was made of (N,).

        Args:
            paths: Files.
            batch: Videos at once.
            workers: Processes that decode.
            strict: Whether a video that cannot be read is an error; else it is told, and has a
                zero vector and no frame.
        """
        loader = DataLoader(
            _Videos(list(paths), self.pipeline, strict),
            batch_size=batch,
            num_workers=workers,
            collate_fn=pseudo_collate,
        )
        vectors = [torch.zeros(0, self.model.embed_dim)]
        frames = [torch.zeros(0, dtype=torch.int32)]
        for data in loader:
            inputs = self.model.data_preprocessor(data)['inputs']
            vectors.append(self.model(inputs).float().cpu())
            frames.append(inputs['mask'].sum(1).to('cpu', torch.int32))
        return torch.cat(vectors), torch.cat(frames)
