"""Downscaling: fine fields from coarse ones, drawn step by step by a conditional diffusion."""

from geoloc.downscaling.detail import Scales
from geoloc.downscaling.downscaler import DiffusionDownscaler, RegressionDownscaler, tiling_of
from geoloc.downscaling.files import load_downscaler, save_downscaler
from geoloc.downscaling.fitting import fit_diffusion, fit_encoder, fit_regression
from geoloc.downscaling.grids import coarsen, conserve, interpolate, spread
from geoloc.downscaling.judge import Judgement, Structure, Yardstick, judge, structure_of
from geoloc.downscaling.settings import DownscalingSettings
from geoloc.downscaling.simulated import drifting_fields
from geoloc.downscaling.tiles import Tiling, hann_window
from geoloc.downscaling.transfer_encoder import TransferEncoder

__all__ = [
    "DiffusionDownscaler",
    "DownscalingSettings",
    "Judgement",
    "RegressionDownscaler",
    "Scales",
    "Structure",
    "Tiling",
    "TransferEncoder",
    "Yardstick",
    "coarsen",
    "conserve",
    "drifting_fields",
    "fit_diffusion",
    "fit_encoder",
    "fit_regression",
    "hann_window",
    "interpolate",
    "judge",
    "load_downscaler",
    "save_downscaler",
    "spread",
    "structure_of",
    "tiling_of",
]
