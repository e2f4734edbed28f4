"""The network that sees image and covariates, and learns what the forest leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from torch import Tensor, nn

_COLOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Shape and training of the network.

    Attributes:
        channels: of the first convolution; each of the three doubles them.
        hidden: units between image and covariates and the answer.
        dropout: share of units left out in training.
        epochs: passes over all rows.
        learning_rate: greatest, of one cycle.
        weight_decay: of AdamW.
        images_a_step: images of a step, each with all of its rows.
    """

    channels: int = 16
    hidden: int = 64
    dropout: float = 0.2
    epochs: int = 30
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    images_a_step: int = 32


class ResidualNetwork(nn.Module):
    """Convolutions over the image, joined with covariates: one number a row."""

    def __init__(self, covariates: int, settings: NetworkSettings) -> None:
        super().__init__()
        c = settings.channels
        self.image = nn.Sequential(
            *_halving(_COLOURS, c),
            *_halving(c, 2 * c),
            *_halving(2 * c, 4 * c),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(4 * c + 2 * _COLOURS + covariates, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, 1),
        )

    def forward(
        self,
        image: Float[Tensor, "image 3 height width"],
        of_image: Int64[Tensor, " row"],
        covariate: Float[Tensor, "row covariate"],
    ) -> Float[Tensor, " row"]:
        """The residual of each row, standardised.

        Args:
            image: colours about 0.
            of_image: which image each row has; an image is looked at once for all of its rows.
            covariate: standardised.
        """
        # the norms within the convolutions lose how bright and how grey an image is as a whole
        colour = torch.cat([image.mean(dim=(2, 3)), image.std(dim=(2, 3))], dim=1)
        seen = torch.cat([self.image(image), colour], dim=1)[of_image]
        return self.head(torch.cat([seen, covariate], dim=1))[:, 0]


def _halving(inside: int, outside: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inside, outside, 3, stride=2, padding=1),
        nn.GroupNorm(4 if outside % 4 == 0 else 1, outside),
        nn.ReLU(),
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedNetwork:
    """A network with the scales of what goes in and comes out. Made by `train_network`."""

    network: ResidualNetwork
    centre: Float32[np.ndarray, " covariate"]
    spread: Float32[np.ndarray, " covariate"]
    residual_spread: float

    def predict(
        self,
        images: UInt8[np.ndarray, "image height width 3"],
        of_image: Int64[np.ndarray, " row"],
        covariate: Float64[np.ndarray, "row covariate"],
    ) -> Float64[np.ndarray, " row"]:
        """The residual of each row, in the unit of the values."""
        self.network.eval()
        scaled = _scaled(covariate, self.centre, self.spread)
        answer = np.empty(len(of_image))
        order = np.argsort(of_image, kind="stable")
        with torch.inference_mode():
            for rows in np.array_split(order, max(1, math.ceil(len(order) / 4096))):
                chosen, member = np.unique(of_image[rows], return_inverse=True)
                found = self.network(
                    _colours(images[chosen]), torch.from_numpy(member), scaled[rows]
                )
                answer[rows] = found.numpy()
        return answer * self.residual_spread


def train_network(
    images: UInt8[np.ndarray, "image height width 3"],
    of_image: Int64[np.ndarray, " row"],
    covariate: Float64[np.ndarray, "row covariate"],
    residual: Float64[np.ndarray, " row"],
    *,
    weight: Float64[np.ndarray, " row"],
    settings: NetworkSettings,
    seed: int,
) -> TrainedNetwork:
    """Learn residuals by weighted squares; images are turned and mirrored, as the Earth has no up.

    Args:
        images: square, 0..255.
        of_image: which image each row has.
        covariate: of each row.
        residual: of each row.
        weight: how much each row counts.
        settings: shape and training.
        seed: of the network's start and of the order.
    """
    generator = np.random.default_rng(seed)
    centre = covariate.mean(axis=0).astype(np.float32)
    spread = np.maximum(covariate.std(axis=0), 1e-9).astype(np.float32)
    scale = float(np.sqrt(np.average(residual**2, weights=weight))) or 1.0
    scaled = _scaled(covariate, centre, spread)
    target = torch.from_numpy((residual / scale).astype(np.float32))
    counted = torch.from_numpy((weight / weight.mean()).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResidualNetwork(covariate.shape[1], settings)
        used = np.unique(of_image)
        steps = math.ceil(len(used) / settings.images_a_step)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=steps * settings.epochs
        )
        rows_of = _rows_by_image(of_image, used)
        for _ in range(settings.epochs):
            for chosen in np.array_split(generator.permutation(len(used)), steps):
                rows = np.concatenate([rows_of[each] for each in chosen])
                member = np.repeat(np.arange(len(chosen)), [len(rows_of[each]) for each in chosen])
                colours = _turned(_colours(images[used[chosen]]), generator)
                answer = network(colours, torch.from_numpy(member), scaled[rows])
                loss = (counted[rows] * (answer - target[rows]).square()).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
    return TrainedNetwork(network=network, centre=centre, spread=spread, residual_spread=scale)


def _rows_by_image(of_image: np.ndarray, used: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(of_image, kind="stable")
    return np.split(order, np.searchsorted(of_image[order], used[1:]))


def _scaled(covariate: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> Tensor:
    return torch.from_numpy(((covariate - centre) / spread).astype(np.float32))


def _colours(images: np.ndarray) -> Tensor:
    colours = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return colours.div_(127.5).sub_(1.0).contiguous()


def _turned(colours: Tensor, generator: np.random.Generator) -> Tensor:
    turned = torch.rot90(colours, int(generator.integers(4)), dims=(2, 3))
    return turned.flip(3) if generator.random() < 0.5 else turned
