"""Cross-domain similarity local scaling (CSLS): what a hub among candidates has to give back."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.retrieval.vectors import check_unit

NEIGHBOURS = 10
# Scores held at a time: 64 MB in float32.
_SCORES_AT_A_TIME = 1 << 24


@torch.no_grad()
def nearness_to_queries(
    vector: Float[Tensor, "candidate embedding"],
    offset: Float[Tensor, " candidate"],
    calibration: Float[Tensor, "query embedding"],
    *,
    neighbours: int = NEIGHBOURS,
    own: Int64[Tensor, " query"] | None = None,
) -> Float[Tensor, " candidate"]:
    """How near each candidate is to queries at large: its mean score with its nearest queries.

    This is r of Conneau, Lample, Ranzato, Denoyer and Jégou 2018 (ICLR, section 2.3), for the
    candidates, over a set of queries that the test has no part in. Their equation 3,

        CSLS(x, y) = 2 cos(x, y) - r(x) - r(y),

    orders the candidates y of one query x as cos(x, y) - r(y) / 2 does, since r(x) is the same
    for all of them; so an offset of -r / 2 on each candidate (`OffsetIndex`) is all it takes.

    Args:
        vector: candidates, of any length.
        offset: what each candidate's scores have added already; zeros for plain cosines.
        calibration: unit vectors of queries.
        neighbours: how many of the nearest queries are averaged (10 in the paper).
        own: for each query the candidate made of that same image, which is left out; -1 for none.

    Raises:
        ConfigError: there are not more queries than neighbours.
        DataError: a query is not of length one.
    """
    check_unit(calibration, what="calibration query")
    if not 1 <= neighbours < len(calibration):
        raise ConfigError(
            f"CSLS over {neighbours} neighbours needs more than {neighbours} calibration images; "
            f"there are {len(calibration)}"
        )
    queries = calibration.to(vector)
    means: list[Tensor] = []
    rows = max(1, _SCORES_AT_A_TIME // len(queries))
    for start in range(0, len(vector), rows):
        score = vector[start : start + rows] @ queries.T + offset[start : start + rows, None]
        if own is not None:
            inside = ((own >= start) & (own < start + len(score))).nonzero().flatten()
            score[own[inside] - start, inside] = -torch.inf
        means.append(score.topk(neighbours, dim=1).values.mean(dim=1))
    return torch.cat(means)
