"""Adapters of BARON's ensemble of scores, which ViLD's formula covers."""

from typing import Any

import torch

from mmclip.models.vild.scores import ensemble_scores
from parity.case import Case


def baron_ensemble(case: Case) -> dict:
    """BARON's geometric mean: here both branches know the background, a base class."""
    text, image = (case.inputs[f'{name}_logits'] for name in ('text', 'image'))
    factor = case.config['ensemble_factor']
    share = torch.where(case.inputs['is_base'] > 0, 1 - factor, factor)

    def chunks(logits: torch.Tensor) -> Any:
        return lambda: iter([(0, logits)])

    ((_, scores),) = ensemble_scores(chunks(text), chunks(image), None, share)()
    return {'scores': scores}


ADAPTERS = {'baron_ensemble': baron_ensemble}
