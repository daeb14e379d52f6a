"""Adapters of ViLD: data side, model, its variants in DetPro and BARON, LVIS metric."""

from oracles import (
    _lvis,
    _vild_baron,
    _vild_data,
    _vild_detector,
    _vild_detpro,
    _vild_heads,
    _vild_losses,
    _vild_regions,
)

ADAPTERS = {
    **_vild_data.ADAPTERS,
    **_vild_heads.ADAPTERS,
    **_vild_losses.ADAPTERS,
    **_vild_regions.ADAPTERS,
    **_vild_detector.ADAPTERS,
    **_vild_detpro.ADAPTERS,
    **_vild_baron.ADAPTERS,
    **_lvis.ADAPTERS,
}
