"""The keys of the head that names geocells in training."""

from __future__ import annotations

from pathlib import Path

from geoloc.experiment.sections import NotNegative, Positive, Section


class CellsSection(Section):
    """A head that names each training image's geocell, beside the contrastive loss.

    `file`: what `geoloc cells` wrote, of the training split; null has no such head. `weight`: of
    its cross-entropy. `smoothing_km`: the target is spread over cells so near; 0 names the own
    alone.
    """

    file: Path | None = None
    weight: Positive = 1.0
    smoothing_km: NotNegative = 0.0
