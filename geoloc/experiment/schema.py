"""Every key that an experiment may have, with its unit and its default; defaults live only here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.cells_section import CellsSection
from geoloc.experiment.sections import Count, CountOrZero, Positive, Section, Share
from geoloc.negatives import RuleName


class EarthTilesSection(Section):
    """Blue Marble tiles to cut when the data folder is not there yet (see data/earth_tiles.py)."""

    tile_km: Positive = 384.0
    pixels: Count = 96
    train: Count = 8000
    validation: Count = 500
    test_easy: Count = 1000
    test_block: Count = 1000
    block_deg: Positive = 10.0
    block_share: Share = 0.15
    seed: int = 0
    image: Path | None = None


class AugmentationSection(Section):
    """Random views in training; the default leaves the image as it will be seen at query time."""

    min_crop_scale: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    flip_probability: Share = 0.0
    brightness: Annotated[float, Field(ge=0.0)] = 0.0
    contrast: Annotated[float, Field(ge=0.0)] = 0.0
    saturation: Annotated[float, Field(ge=0.0)] = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    jitter_probability: Share = 0.0
    grayscale_probability: Share = 0.0

    @model_validator(mode="after")
    def _no_idle_strength(self) -> AugmentationSection:
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        if (max(strengths) > 0) != (self.jitter_probability > 0):
            raise ValueError(
                "colours are varied only where jitter_probability and one of brightness, contrast, "
                "saturation, hue are above zero: set both or neither"
            )
        return self


class DataSection(Section):
    """Where the samples are and how they are read.

    `train`, `validation` and the values of `tests` are a folder of shards, one tar, or a brace URL.
    `tests` is a mapping from the name of a split to its shards. `decoding`: exact gives Pillow's
    pixels to the bit; fast decodes JPEGs at a lower resolution that suffices, some levels off.
    `workers`: loader processes; how many there are at the start decides the order of samples.
    `shard_cache`: folder in which remote shards are kept, null streams them; `shard_cache_gb`: its
    limit in 10⁹ bytes, null for none. `retries`: attempts in a row after a first that failed.
    `worker_timeout_s`: a loader worker that gives nothing for so long is taken for dead (a resumed
    one first reads what was consumed). `cached_views`: features that `cache_features` keeps of each
    training image: of the image as it is, and of so many less one varied by `augmentation`; each
    epoch shows one of them, drawn at random.
    """

    train: str
    validation: str | None = None
    tests: dict[str, str] = Field(default_factory=dict)
    make_earth_tiles: Path | None = None
    earth_tiles: EarthTilesSection = EarthTilesSection()
    batch_size: Count = 512
    workers: CountOrZero = 2
    worker_timeout_s: Positive = 3600.0
    shuffle_buffer: CountOrZero = 2000
    max_lost_share: Share = 0.01
    augmentation: AugmentationSection = AugmentationSection()
    decoding: Literal["exact", "fast"] = "exact"
    cache_features: bool = False
    cached_views: Count = 1
    cache_folder: Path | None = None
    shard_cache: Path | None = None
    shard_cache_gb: Positive | None = None
    retries: CountOrZero = 5

    @model_validator(mode="after")
    def _no_idle_limit(self) -> DataSection:
        if self.shard_cache_gb is not None and self.shard_cache is None:
            raise ValueError("data.shard_cache_gb is the limit of data.shard_cache: name a folder")
        return self


class ImageEncoderSection(Section):
    """The image tower.

    `kind`: open_clip, timm, or conv (small, trained from scratch). `weights`: null (random), a
    hub's tag (openai, imagenet), a local file, or package:efficientnet-lite0. `image_size`: side in
    pixels, null for the tower's own. `width`: channels of the first stage of conv.
    """

    kind: Literal["open_clip", "timm", "conv"] = "open_clip"
    name: str = "ViT-L-14-quickgelu"
    weights: str | None = "openai"
    image_size: Count | None = None
    width: Count = 32


class LocationEncoderSection(Section):
    """GeoCLIP's location tower: one branch a sigma, each of `features` random Fourier features."""

    sigmas: tuple[Positive, ...] = (1.0, 16.0, 256.0)
    hidden: Count = 1024
    features: Count = 256
    weights: Path | None = None


class ModelSection(Section):
    """The dual encoder."""

    image_encoder: ImageEncoderSection = ImageEncoderSection()
    location_encoder: LocationEncoderSection = LocationEncoderSection()
    embedding_dim: Count = 512
    head_hidden: Count = 768
    init_temperature: Positive = 0.07
    init_logit_bias: float | None = None
    frozen_backbone: bool = True


class NegativesSection(Section):
    """Whom an image is compared with, the rule that judges each pair, and the fit it judges by.

    `queue`: places of earlier batches kept as further candidates, with their features.
    `batch_noise_m`, `queue_noise_m`: standard deviation, in metres along each axis, of the noise on
    the candidates' places. `features`: what pairs are called alike by: embeddings as they are being
    trained (for a fit, computed anew), the same as they were when each sample was seen last (bank;
    on a stream there is nothing else), or features of the frozen backbone. `measure` to
    `hard_log_weight`: see `RuleSettings`.
    `warmup_epochs` to `local`: see `RefitSettings`. `hard_share`: share of each batch that mined
    hard negatives of its samples may take, 0 for random batches; `neighbours` to `index`: see
    `MiningSettings`. `same_place_km`: samples this near are kept out of one batch where possible.
    `reservoir_batches`: on a stream, without cached features, so many batches are held to choose
    hard negatives from; about a tenth of the split finds nearly all that random access does.
    `report`: whether RUN/negatives/report.html is written after each fit (some 2 s of a core).
    """

    rule: RuleName = "all"
    queue: CountOrZero = 4096
    batch_noise_m: Annotated[float, Field(ge=0.0)] = 150.0
    queue_noise_m: Annotated[float, Field(ge=0.0)] = 1000.0
    features: Literal["trained", "bank", "frozen"] = "trained"
    measure: Literal["quantile", "residual"] = "quantile"
    alike_level: Annotated[float, Field(ge=0.0)] = 0.5
    near_km: Annotated[float, Field(ge=0.0)] = 200.0
    near_ranges: Annotated[float, Field(ge=0.0)] = 0.5
    false_quantile: Share = 0.9
    false_residual: float = 0.0
    positive_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    far_ranges: Annotated[float, Field(ge=0.0)] = 1.0
    far_km: Annotated[float, Field(ge=0.0)] = 4000.0
    hard_quantile: Share = 0.1
    hard_residual: float = -1.0
    hard_log_weight: Annotated[float, Field(ge=0.0)] = 2.0
    warmup_epochs: CountOrZero = 1
    refit_every_epochs: Count = 1
    fit_samples: Annotated[int, Field(ge=50)] = 20_000
    fit_pairs: Count = 10_000_000
    local: bool = False
    hard_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    neighbours: Count = 64
    per_anchor: Count = 4
    mining_quantile: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    pool: Annotated[int, Field(ge=2)] = 100_000
    index: str = "exact"
    same_place_km: Annotated[float, Field(ge=0.0)] = 1.0
    reservoir_batches: Count = 8
    report: bool = True

    @property
    def needs_fit(self) -> bool:
        """Whether anything is judged by a semivariogram."""
        return self.rule not in ("all", "distance") or self.hard_share > 0


class OptimizerSection(Section):
    """Adam or AdamW, with a decay by epoch or a cosine by step.

    A backbone that is trained learns at `backbone_factor` times `learning_rate`.
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: Positive = 3e-5
    backbone_factor: Annotated[float, Field(ge=0.0)] = 0.1
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-6
    schedule: Literal["exponential", "cosine", "constant"] = "exponential"
    decay_per_epoch: Annotated[float, Field(gt=0.0, le=1.0)] = 0.87
    warmup_steps: CountOrZero = 0
    final_factor: Share = 0.0
    clip_norm: Positive | None = None


class TrainingSection(Section):
    """How long, how precisely, and what is kept on the way.

    `loss`: where a query has several positives, contrastive asks that one of them be found, graded
    that each be, by its share; with one positive they are equal. sigmoid judges each pair by itself
    and wants model.init_logit_bias. `pairs_at_once`: a larger pair matrix of images and places is
    taken in tiles of so many, computed twice; null keeps it whole.
    `device`: auto takes the first GPU, else the CPU. `precision`: auto is bf16 on a GPU, fp32 on a
    CPU. `threads`: arithmetic threads on the CPU, null for all. `trace_samples`: whether the keys
    of each step's samples go to RUN/samples.jsonl (of further processes to samples-rank1.jsonl).
    `stall_warning_s`: warn when no step was completed for so long, null never.
    """

    epochs: Count = 10
    loss: Literal["contrastive", "graded", "sigmoid"] = "graded"
    direction: Literal["image_to_place", "symmetric"] = "image_to_place"
    pairs_at_once: Count | None = None
    accumulate: Count = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: Count | None = None
    log_every_steps: Count = 10
    checkpoint_every_steps: Count | None = None
    keep_checkpoints: Count = 2
    validate_every_epochs: Count = 1
    best_metric: Literal[
        "median_km",
        "geoscore",
        "accuracy@25km",
        "accuracy@200km",
        "accuracy@750km",
        "accuracy@2500km",
    ] = "median_km"
    max_bad_steps: CountOrZero = 10
    trace_samples: bool = False
    stall_warning_s: Positive | None = 120.0
    wandb_project: str | None = None


class EvaluationSection(Section):
    """What a report measures, and against which places."""

    protocols: tuple[Literal["osv5m-official", "osv5m-clean", "geoclip", "im2gps"], ...] = (
        "osv5m-official",
        "osv5m-clean",
        "geoclip",
    )
    gallery_places: Count = 500_000
    even_land_places: Count = 30_000
    top_k: Count = 5
    batch_size: Count = 256


class ExperimentConfig(Section):
    """One experiment, whole."""

    name: str
    run_dir: Path
    seed: int = 0
    resume: Literal["never", "auto"] = "never"
    data: DataSection
    model: ModelSection = ModelSection()
    negatives: NegativesSection = NegativesSection()
    optimizer: OptimizerSection = OptimizerSection()
    training: TrainingSection = TrainingSection()
    cells: CellsSection = CellsSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="after")
    def _agree(self) -> ExperimentConfig:
        if self.data.cache_features and not self.model.frozen_backbone:
            raise ValueError(
                "data.cache_features needs model.frozen_backbone=true: features of a backbone "
                "that is being trained cannot be cached"
            )
        varied = self.data.augmentation != AugmentationSection()
        if self.data.cache_features and varied != (self.data.cached_views > 1):
            raise ValueError(
                "data.cache_features varies images where data.cached_views is above 1 and "
                "data.augmentation says how: set both or neither"
            )
        if self.data.cached_views > 1 and not self.data.cache_features:
            raise ValueError("data.cached_views needs data.cache_features=true")
        if self.training.loss == "sigmoid" and self.model.init_logit_bias is None:
            raise ValueError("training.loss=sigmoid needs model.init_logit_bias, -10 for example")
        if self.training.loss == "sigmoid" and self.training.direction == "symmetric":
            raise ValueError("training.loss=sigmoid reads the same in both directions: leave it")
        if self.negatives.features == "frozen" and not self.model.frozen_backbone:
            raise ValueError("negatives.features=frozen needs model.frozen_backbone=true")
        return self
