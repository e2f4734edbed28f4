"""Geolocator: a model and a gallery of places that answer where an image was taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Unpack, cast, overload

import torch

from geoloc.errors import ConfigError
from geoloc.evaluation.calibration_file import Calibration
from geoloc.inference.answering import Asked, Query
from geoloc.inference.answers import Answer, Basis, Refusal
from geoloc.inference.continuous import Decoding, check_decoding
from geoloc.inference.devices import usable_device
from geoloc.inference.modes import RetrievalMode
from geoloc.inference.opening import open_run
from geoloc.inference.pictures import ImageLike
from geoloc.inference.released import default_cache, geoclip_gallery, geoclip_model
from geoloc.inference.stages import LIKENESS, build_stages
from geoloc.inference.trip import Travel
from geoloc.models import DualEncoder
from geoloc.models.text_tower import TextTower, text_tower
from geoloc.retrieval import Candidates, Gallery, NearestIndex


class Geolocator:
    """Answers where images were taken: the best places of a gallery, with names.

    The model is put into evaluation mode; images are prepared by its own preset, as in validation.

    Args:
        model: the dual encoder.
        gallery: places encoded by that same model, or other `Candidates` of it.
        index: searches their embeddings; exact search by default.
        device: where the model and the gallery's embeddings live.
        calibration: of this model and gallery, for probabilities and radii that hold.
        decoding: how the first place follows from the gallery's hits.
        run: folder of the run behind the model, which answers name.
        cache: folder that keeps what is slow to compute; by default one in the run's.

    Raises:
        ConfigError: this machine has no such device, or there is no such decoding for these places.
        MismatchError: the gallery was encoded by another model, or the calibration is of others.
    """

    def __init__(
        self,
        model: DualEncoder,
        gallery: Gallery | Candidates,
        *,
        index: NearestIndex | None = None,
        device: torch.device | str = "cpu",
        calibration: Calibration | None = None,
        decoding: Decoding | str = "argmax",
        run: Path | None = None,
        cache: Path | str | None = None,
    ) -> None:
        self.stages = build_stages(
            model,
            gallery,
            index=index,
            device=usable_device(device),
            calibration=calibration,
            decoding=check_decoding(decoding),
            run=run,
            cache=cache,
        )
        self.gallery = gallery
        self.model, self.device = model, self.stages.device
        self.fingerprint, self.preset = self.basis.model, model.image_encoder.preset
        self._texts: TextTower | None = None

    @classmethod
    def load(
        cls,
        run: Path | str,
        *,
        gallery: str | Path | None = None,
        device: torch.device | str = "cpu",
        index: str = "exact",
        backbone_weights: str | Path | None = None,
        mode: RetrievalMode | None = None,
        decoding: Decoding | str | None = None,
    ) -> Geolocator:
        """The geolocator of a finished run, calibrated where the run is (`geoloc calibrate`).

        Args:
            run: folder of the run.
            gallery: name of one of its galleries, or the folder of another; by default the one
                that run.json calls ``default_gallery``, or the only one there is.
            device: where to compute: ``auto``, ``cpu``, ``cuda``.
            index: see `parse_index`; what is slow to build is kept in the gallery's folder.
            backbone_weights: file of a frozen backbone's weights, if moved since training.
            mode: what answers beside or instead of the gallery's places, and how.
            decoding: see `Decoding`; by default ``posterior``, but ``argmax`` where a gallery is
                named, which may be meant as all that an answer can be, with a `mode`, and where
                the run is calibrated, since a radius is of the gallery's own answer.

        Raises:
            CheckpointError: the folder is no run, has not finished, or its model is damaged; or
                the backbone's weights cannot be had or are others than in training.
            ConfigError: this machine has no such device or index, or faiss is not installed.
            DataError: there is no such gallery, or none at all.
            MismatchError: the gallery or the reference images were encoded by another model.
        """
        device = usable_device(device)
        opened = open_run(
            Path(run),
            gallery=gallery,
            device=device,
            index=index,
            backbone_weights=backbone_weights,
            mode=mode,
            decoding=decoding,
        )
        return cls(
            opened.model,
            opened.searched,
            index=opened.index,
            device=device,
            calibration=opened.calibration,
            decoding=opened.decoding,
            run=Path(run),
        )

    @classmethod
    def from_geoclip(
        cls,
        clip_weights: str | Path | None = None,
        weights_folder: Path | str | None = None,
        *,
        gallery_file: Path | str | None = None,
        cache_folder: Path | str | None = None,
        device: torch.device | str = "cpu",
    ) -> Geolocator:
        """The released GeoCLIP (Vivanco Cepeda et al. 2023), weights and gallery, ready to ask.

        The gallery is encoded once and kept in the cache, keyed by the model and the places.

        Args:
            clip_weights: file of OpenAI's CLIP ViT-L/14 weights; by default fetched from a hub.
            weights_folder: GeoCLIP's own weights; by default those of the package ``geoclip``.
            gallery_file: CSV of places; by default that package's 100,000.
            cache_folder: where its embeddings are kept; see `default_cache`.
            device: where to compute.

        Raises:
            GeolocError: weights are missing, do not fit, or cannot be fetched.
        """
        model = geoclip_model(clip_weights, weights_folder).to(usable_device(device)).eval()
        gallery = geoclip_gallery(model, gallery_file, cache_folder)
        return cls(model, gallery, device=device, cache=cache_folder or default_cache())

    @overload
    def locate(
        self, images: ImageLike, top_k: int = 5, *, apart_km: float | None = ..., heat: bool = ...
    ) -> Answer: ...
    @overload
    def locate(
        self,
        images: Sequence[ImageLike],
        top_k: int = 5,
        *,
        apart_km: float | None = ...,
        heat: bool = ...,
    ) -> list[Answer]: ...
    def locate(
        self,
        images: ImageLike | Sequence[ImageLike],
        top_k: int = 5,
        *,
        apart_km: float | None = None,
        heat: bool = False,
    ) -> Answer | list[Answer]:
        """Where an image was taken, or each of a list or tuple of images.

        Args:
            images: paths, encoded bytes, PIL images, arrays or tensors (see `open_picture`).
            top_k: how many places an answer holds, 1 to the size of the gallery.
            apart_km: how far they lie apart at least, and gather probability; by default as far as
                the gallery can tell (`resolution_km`); 0 takes its places as they are.
            heat: whether the posterior over the globe is wanted.

        Raises:
            ImageError: an image cannot be used (`locate_many` goes on instead).
            ConfigError: `top_k` or `apart_km` is out of range.
        """
        detail = self.stages.detail(top_k, apart_km, heat)
        batch = cast("Sequence[ImageLike]", images) if isinstance(images, list | tuple) else None
        prepared = self.stages.prepare_all([cast("ImageLike", images)] if batch is None else batch)
        answers = self.stages.answer(prepared, self.stages.embed(prepared), detail)
        return answers[0] if batch is None else answers

    def locate_together(
        self, images: Sequence[ImageLike], *, likeness: float = LIKENESS, **asked: Unpack[Asked]
    ) -> Answer:
        """Where several images of **one place** were taken.

        Args:
            images: at least one, as `locate` takes them.
            likeness: correlation of the images' errors, 0 to 1 (see `independent_images`).
            **asked: ``top_k``, ``apart_km`` and ``heat``, as in `locate`.

        Raises:
            ImageError: an image cannot be used.
            ConfigError: there is no image, or a number is out of range.
        """
        detail = self.stages.detail(**asked)
        prepared = self.stages.prepare_all(images)
        embedded = self.stages.embed(prepared)
        return self.stages.answer_together(prepared, embedded, detail, likeness=likeness)

    def locate_trip(
        self,
        images: Sequence[ImageLike],
        times_h: Sequence[float],
        *,
        travel: Travel | None = None,
        **asked: Unpack[Asked],
    ) -> list[Answer]:
        """Where each image of a trip was taken, with what the others say.

        Args:
            images: in order of time, as `locate` takes them.
            times_h: when each was taken, in hours since any moment.
            travel: how people move between images.
            **asked: ``top_k``, ``apart_km`` and ``heat``, as in `locate`.

        Raises:
            ImageError: an image cannot be used.
            ConfigError: times are not one an image and in order, or a number is out of range.
        """
        detail = self.stages.detail(**asked)
        prepared = self.stages.prepare_all(images)
        embedded = self.stages.embed(prepared)
        return self.stages.answer_trip(prepared, embedded, times_h, detail, travel=travel)

    def locate_texts(
        self,
        texts: Sequence[str],
        *,
        text_weights: str | Path | None = None,
        **asked: Unpack[Asked],
    ) -> list[Answer]:
        """Where images with such captions would have been taken (see `TextTower`).

        Args:
            texts: the captions; each is its answer's source.
            text_weights: file of the whole CLIP, where the model's own weights have no text tower.
            **asked: ``top_k``, ``apart_km`` and ``heat``, as in `locate`.

        Raises:
            CheckpointError: the text tower's weights cannot be had or do not fit.
            ConfigError: the model has no text tower, a text is empty, or `top_k` is out of range.
            MismatchError: the text tower belongs to another image tower than the model's.
        """
        detail = self.stages.detail(**asked)
        if self._texts is None or text_weights is not None:
            self._texts = text_tower(self.model.image_encoder, text_weights).to(self.device)
        with torch.inference_mode():
            query = self.model.embed_features(self._texts.encode(texts)).float()
            queries = [Query(name=text) for text in texts]
            return self.stages.answerer.answers(queries, query, detail, photographs=False)

    def locate_many(
        self, items: Iterable[ImageLike], *, batch_size: int = 32, **asked: Unpack[Asked]
    ) -> Iterator[Answer | Refusal]:
        """An answer or a refusal for each item, in order, computed in batches.

        An image that cannot be used gives a `Refusal`; the others of its batch are answered.

        Args:
            items: images as `locate` takes them; read lazily, a batch at a time.
            batch_size: how many images go through the model at once.
            **asked: ``top_k``, ``apart_km`` and ``heat``, as in `locate`.

        Raises:
            ConfigError: `top_k`, `apart_km` or `batch_size` is out of range.
        """
        detail = self.stages.detail(**asked)
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, not {batch_size}")
        return self.stages.stream(items, detail, batch_size)

    @property
    def basis(self) -> Basis:
        """What its answers rest on."""
        return self.stages.answerer.basis

    @property
    def decoding(self) -> Decoding:
        """How the first place of an answer follows from the gallery's hits."""
        return self.stages.answerer.decoding

    @property
    def calibration(self) -> Calibration | None:
        """Where probabilities and radii come from; None where they are the model's own."""
        return self.stages.answerer.calibration
