"""Adapters of ViLD: data side, model, its variants in DetPro and BARON, LVIS metric."""

from parity.adapters.vild import (
    baron,
    data,
    detector,
    detpro,
    heads,
    losses,
    lvis,
    regions,
)

ADAPTERS = {
    **data.ADAPTERS,
    **heads.ADAPTERS,
    **losses.ADAPTERS,
    **regions.ADAPTERS,
    **detector.ADAPTERS,
    **detpro.ADAPTERS,
    **baron.ADAPTERS,
    **lvis.ADAPTERS,
}
