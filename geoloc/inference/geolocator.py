"""Geolocator: a model and a gallery of places that answer where an image was taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import cast, overload

import torch
from torch import Tensor

from geoloc.data.transforms import preprocess
from geoloc.errors import ConfigError, ImageError, MismatchError
from geoloc.evaluation.calibration_file import Calibration
from geoloc.inference.answering import Answerer
from geoloc.inference.answers import Answer, Refusal
from geoloc.inference.continuous import Decoding, check_decoding
from geoloc.inference.devices import usable_device
from geoloc.inference.modes import CORRECTIONS, RetrievalMode
from geoloc.inference.pictures import ImageLike, open_picture, source_name
from geoloc.inference.released import geoclip_gallery, geoclip_model
from geoloc.inference.runs import gallery_folder, read_run
from geoloc.inference.sureness import kept_calibration
from geoloc.models import DualEncoder
from geoloc.models.model_files import load_model
from geoloc.models.text_tower import TextTower, text_tower
from geoloc.retrieval import Candidates, ExactIndex, Gallery, NearestIndex, load_or_build_index


class Geolocator:
    """Answers where images were taken: the best places of a gallery, with names.

    The model is put into evaluation mode; images are prepared by the model's own preset, so a
    query sees pixels exactly as validation during training did.

    Args:
        model: the dual encoder.
        gallery: places encoded by that same model, or other `Candidates` of it.
        index: searches the gallery's embeddings (or candidates'); exact search by default.
        device: where the model and the gallery's embeddings live.
        calibration: of this model and gallery: answers then have calibrated probabilities and a
            radius.
        decoding: how the first place of an answer follows from the gallery's hits.

    Raises:
        ConfigError: this machine has no such device, there is no such decoding, or one that moves
            between a gallery's places is asked for without such places.
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
    ) -> None:
        self.fingerprint = model.fingerprint()
        if gallery.model_fingerprint != self.fingerprint:
            raise MismatchError(
                f"gallery {gallery.name!r} was encoded by model {gallery.model_fingerprint[:12]},"
                f" not by {self.fingerprint[:12]}: build it again with this model"
            )
        if calibration is not None:
            if not isinstance(gallery, Gallery):
                raise MismatchError("a calibration is of a gallery of places, not of images")
            calibration.refuse_another(gallery)
        chosen = check_decoding(decoding)
        if chosen != "argmax" and not isinstance(gallery, Gallery):
            raise ConfigError(
                f"decoding {chosen} moves between the places of a gallery: not to be had with "
                "reference images, CSLS or a vote"
            )
        self.device = usable_device(device)
        self.model = model.to(self.device).eval()
        self.gallery = gallery
        self.preset = model.image_encoder.preset
        found = Candidates.of_places(gallery) if isinstance(gallery, Gallery) else gallery
        candidates = found.to(self.device)
        self._answerer = Answerer(
            model=self.fingerprint,
            candidates=candidates,
            index=index or candidates.index(ExactIndex),
            scale=float(model.scale().detach()),
            encode=lambda latlon_deg: self.model.embed_places(latlon_deg.to(self.device)),
            decoding=chosen,
            calibration=calibration,
        )
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
            index: how the gallery is searched, as `parse_index` reads it; what takes time to build
                is kept in the gallery's folder.
            backbone_weights: the file of a frozen backbone's weights, where it is not where it
                was during training.
            mode: what answers beside or instead of the gallery's places, and how.
            decoding: ``argmax`` answers with a place of the gallery, the others between its places
                (see `Decoding`); by default ``posterior``, but ``argmax`` where a gallery is
                named, which may be meant as all that an answer can be, with a `mode`, and where
                the run is calibrated, since a radius is of the gallery's own answer.

        Raises:
            CheckpointError: the folder is no run, has not finished, or its model is damaged; or
                the backbone's weights cannot be had or are others than in training.
            ConfigError: this machine has no such device or index, or faiss is not installed.
            DataError: there is no such gallery, or none at all.
            MismatchError: the gallery or the reference images were encoded by another model.
        """
        folder = Path(run)
        places = gallery_folder(folder, read_run(folder), gallery)
        device = usable_device(device)
        model = load_model(folder / "model", device=str(device), backbone_weights=backbone_weights)
        kept = Gallery.load(places)
        if mode is not None:
            kept, searched = mode.open(
                model, kept, index=index, device=device, cache=folder / CORRECTIONS
            )
            return cls(model, kept, index=searched, device=device, decoding=decoding or "argmax")
        # The geolocator's own exact search shares the memory of its embeddings.
        other = None if index == "exact" else load_or_build_index(places, index, kept.embedding)
        known = kept_calibration(folder / "calibration" / places.resolve().name, kept)
        free = gallery is None and known is None
        decoding = decoding or ("posterior" if free else "argmax")
        return cls(model, kept, index=other, device=device, calibration=known, decoding=decoding)

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
            clip_weights: file of OpenAI's CLIP ViT-L/14 weights, or the name of open_clip's
                pretrained set to fetch from a hub; by default ``"openai"``.
            weights_folder: GeoCLIP's own weights; by default those of the installed package
                ``geoclip``.
            gallery_file: CSV of places; by default the installed package's 100,000.
            cache_folder: where the encoded gallery is kept; by default ``geoloc/galleries``
                under ``$XDG_CACHE_HOME`` or ``~/.cache``.
            device: where to compute.

        Raises:
            GeolocError: weights are missing, do not fit, or cannot be fetched.
        """
        model = geoclip_model(clip_weights, weights_folder).to(usable_device(device)).eval()
        gallery = geoclip_gallery(model, gallery_file, cache_folder)
        return cls(model, gallery, device=device)

    @overload
    def locate(self, images: ImageLike, top_k: int = 5) -> Answer: ...
    @overload
    def locate(self, images: Sequence[ImageLike], top_k: int = 5) -> list[Answer]: ...
    def locate(
        self, images: ImageLike | Sequence[ImageLike], top_k: int = 5
    ) -> Answer | list[Answer]:
        """Where an image was taken, or each of a list or tuple of images.

        Args:
            images: paths, encoded bytes, PIL images, arrays or tensors (see `open_picture`).
            top_k: how many places an answer holds, 1 to the size of the gallery.

        Raises:
            ImageError: an image cannot be used (`locate_many` goes on instead).
            ConfigError: `top_k` is out of range.
        """
        top_k = self._valid_top_k(top_k)
        batch = cast("Sequence[ImageLike]", images) if isinstance(images, list | tuple) else None
        items = [cast("ImageLike", images)] if batch is None else batch
        names = [source_name(item, position) for position, item in enumerate(items)]
        pixels = [self._prepare(item, name) for item, name in zip(items, names, strict=True)]
        answers = self._answer(names, pixels, top_k)
        return answers[0] if batch is None else answers

    def locate_texts(
        self, texts: Sequence[str], top_k: int = 5, *, text_weights: str | Path | None = None
    ) -> list[Answer]:
        """Where images with such captions would have been taken (see `TextTower`).

        Args:
            texts: the captions; each is its answer's source.
            top_k: how many places an answer holds, 1 to the size of the gallery.
            text_weights: file of the whole CLIP, where the model's own weights have no text tower.

        Raises:
            CheckpointError: the text tower's weights cannot be had or do not fit.
            ConfigError: the model has no text tower, a text is empty, or `top_k` is out of range.
            MismatchError: the text tower belongs to another image tower than the model's.
        """
        top_k = self._valid_top_k(top_k)
        if self._texts is None or text_weights is not None:
            self._texts = text_tower(self.model.image_encoder, text_weights).to(self.device)
        with torch.inference_mode():
            query = self.model.embed_features(self._texts.encode(texts)).float()
            return self._answerer.answers(list(texts), query, top_k, photographs=False)

    def locate_many(
        self, items: Iterable[ImageLike], top_k: int = 5, *, batch_size: int = 32
    ) -> Iterator[Answer | Refusal]:
        """An answer or a refusal for each item, in order, computed in batches.

        An image that cannot be used gives a `Refusal`; the others of its batch are answered.

        Args:
            items: images as `locate` takes them; read lazily, a batch at a time.
            top_k: how many places an answer holds, 1 to the size of the gallery.
            batch_size: how many images go through the model at once.

        Raises:
            ConfigError: `top_k` or `batch_size` is out of range.
        """
        top_k = self._valid_top_k(top_k)
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, not {batch_size}")
        return self._stream(items, top_k, batch_size)

    def _stream(
        self, items: Iterable[ImageLike], top_k: int, batch_size: int
    ) -> Iterator[Answer | Refusal]:
        numbered = iter(enumerate(items))
        while chunk := list(islice(numbered, batch_size)):
            names = [source_name(item, position) for position, item in chunk]
            opened = [
                self._prepare_or_refuse(item, name)
                for (_, item), name in zip(chunk, names, strict=True)
            ]
            good = [
                (name, pixels)
                for name, pixels in zip(names, opened, strict=True)
                if not isinstance(pixels, Refusal)
            ]
            answers = iter(self._answer([n for n, _ in good], [p for _, p in good], top_k))
            for pixels in opened:
                yield pixels if isinstance(pixels, Refusal) else next(answers)

    def _prepare(self, item: ImageLike, name: str) -> Tensor:
        return preprocess(open_picture(item, name=name), self.preset)

    def _prepare_or_refuse(self, item: ImageLike, name: str) -> Tensor | Refusal:
        try:
            return self._prepare(item, name)
        except ImageError as error:
            reason = str(error).removeprefix(f"{name}: ")
            return Refusal(source=name, message=reason, kind=error.kind)

    @torch.inference_mode()
    def _answer(self, names: list[str], pixels: list[Tensor], top_k: int) -> list[Answer]:
        if not pixels:
            return []
        images = torch.stack(pixels).to(self.device)
        query = self.model.embed_features(self.model.backbone_features(images)).float()
        return self._answerer.answers(names, query, top_k, photographs=True)

    @property
    def decoding(self) -> Decoding:
        """How the first place of an answer follows from the gallery's hits."""
        return self._answerer.decoding

    @property
    def calibration(self) -> Calibration | None:
        """Where probabilities and radii come from; None where they are the model's own."""
        return self._answerer.calibration

    def _valid_top_k(self, top_k: int) -> int:
        size = len(self._answerer.candidates)
        if not 1 <= top_k <= size:
            raise ConfigError(
                f"top_k must lie between 1 and the gallery's {size} places, not {top_k}"
            )
        return int(top_k)
