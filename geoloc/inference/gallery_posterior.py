"""GalleryPosterior: the probability of every candidate for each of some queries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GalleryPosterior:
    """Softmax of scaled scores over all candidates, on the device of the embeddings.

    Attributes:
        score: cosine, and offset where candidates have one.
        probability: each query's sum to one.
    """

    score: Float32[Tensor, "query place"]
    probability: Float32[Tensor, "query place"]

    @classmethod
    def of(
        cls,
        query: Float[Tensor, "query embedding"],
        gallery: Float[Tensor, "place embedding"],
        *,
        scale: float,
        offset: Float[Tensor, " place"] | None = None,
    ) -> GalleryPosterior:
        """The posterior of queries.

        Args:
            query: unit vectors, or means of some (see `pooled_query`).
            gallery: unit vectors of the candidates.
            scale: factor on the score (one over the temperature).
            offset: added to each candidate's cosines.
        """
        score = query @ gallery.T
        score = score if offset is None else score + offset
        return cls(score=score, probability=torch.softmax(scale * score, dim=1))

    def __len__(self) -> int:
        return len(self.score)

    def by_score(self, count: int) -> Int64[Tensor, "query rank"]:
        """Rows of the `count` candidates of highest score of each query, best first.

        Of the softmax they are the most probable ones too, also where probabilities are too small
        to be told apart.
        """
        return self.score.topk(min(count, self.score.shape[1]), dim=1).indices

    def by_probability(self, count: int) -> Int64[Tensor, "query rank"]:
        """Rows of the `count` most probable candidates of each query, best first; -1 where none."""
        best = self.probability.topk(min(count, self.probability.shape[1]), dim=1)
        return torch.where(best.values > 0, best.indices, -1)


def pooled_query(
    query: Float[Tensor, "image embedding"],
) -> Float[Tensor, "1 embedding"]:
    """The mean of several images' embeddings: its inner product is the mean of their cosines."""
    return query.mean(dim=0, keepdim=True)


def independent_images(count: int, likeness: float) -> float:
    """How many independent images `count` images of one place are worth.

    Images of one place fail together: what the model takes one for it takes the next for. With a
    correlation `likeness` between their errors, n images tell as much as n / (1 + (n - 1)
    likeness) independent ones (the design effect of Kish 1965, section 5.4). Their posteriors are
    pooled log-linearly (Genest and Zidek 1986, section 3): the mean of the logits times this
    number. 1 for likeness 1 (no surer than one image), n for likeness 0 (a product of experts).

    Args:
        count: of images, at least one.
        likeness: in 0..1.
    """
    return count / (1.0 + (count - 1) * likeness)
