"""Adapters of ViLD: model, DetPro's variant, data side, LVIS metric."""

from oracles import _lvis, _vild_data, _vild_detpro, _vild_model

ADAPTERS = {
    **_vild_data.ADAPTERS,
    **_vild_model.ADAPTERS,
    **_vild_detpro.ADAPTERS,
    **_lvis.ADAPTERS,
}
