"""The figures of an audit, when they are leaks, and how they are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = {
    "same_bytes": "the same bytes",
    "near_duplicate": "a near duplicate",
    "same_key": "the same key",
    "same_sequence": "the same sequence",
    "same_creator": "the same creator",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakLimits:
    """How many test samples may share something with training before it is a leak.

    Attributes:
        same_bytes, near_duplicate, same_sequence, same_creator, same_key: samples; None judges
            not. Keys are often but numbers, and creators are shared by most published splits.
        nearest_km: no test sample may lie nearer to a training sample.
    """

    same_bytes: int | None = 0
    near_duplicate: int | None = 0
    same_sequence: int | None = 0
    same_creator: int | None = None
    same_key: int | None = None
    nearest_km: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCount:
    """What one side holds.

    Attributes:
        name: what it is called.
        samples: read; of them `without_place` have no place, `with_image` were looked at, and
            `flat` of these are too uniform for a perceptual hash.
        lost: what could not be read, by kind.
    """

    name: str
    samples: int
    without_place: int
    with_image: int
    flat: int
    lost: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The counts as a mapping that `json` can write."""
        return {
            "name": self.name,
            "samples": self.samples,
            "without_place": self.without_place,
            "with_image": self.with_image,
            "flat": self.flat,
            "lost": dict(self.lost),
        }

    def to_text(self) -> str:
        """One line."""
        lost = ", ".join(f"{count:,} {kind}" for kind, count in self.lost.items()) or "none"
        return (
            f"{self.samples:,} samples ({self.without_place:,} without a place, "
            f"{self.with_image:,} with image, {self.flat:,} of them flat; lost: {lost})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The figures of an audit.

    Attributes:
        train, test: what the sides hold.
        within: largest Hamming distance of near duplicates.
        leaks: test samples that share something with training, by kind.
        shared_groups: sequences and creators that both sides have.
        by_hamming: near duplicates by the distance to the nearest training sample.
        by_chance: pairs of unlike images that would be near duplicates by chance.
        nearest_km: from test samples to the nearest training sample: quantiles; empty without
            places.
        nearer_share: share of the test samples with places that lie nearer than so many km.
        limits: when to call it a leak.
    """

    train: SideCount
    test: SideCount
    within: int
    leaks: Mapping[str, int]
    shared_groups: Mapping[str, int]
    by_hamming: Mapping[int, int]
    by_chance: float
    nearest_km: Mapping[str, float]
    nearer_share: Mapping[float, float]
    limits: LeakLimits

    @property
    def exceeded(self) -> list[str]:
        """Which limits the test set is beyond, one line each; none where all is well."""
        lines: list[str] = []
        for kind, count in self.leaks.items():
            allowed: int | None = getattr(self.limits, kind)
            if allowed is not None and count > allowed:
                lines.append(
                    f"{count:,} test samples have {_WORDS[kind]} in training ({allowed:,} allowed)"
                )
        nearest, least = self.nearest_km.get("0%"), self.limits.nearest_km
        if nearest is not None and least is not None and nearest < least:
            lines.append(f"a test sample lies {nearest:.4g} km from training ({least:g} asked)")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The report as a mapping that `json` can write."""
        return {
            "train": self.train.to_json(),
            "test": self.test.to_json(),
            "leaks": dict(self.leaks),
            "shared_groups": dict(self.shared_groups),
            "hamming_within": self.within,
            "near_duplicates_by_hamming": {str(k): n for k, n in self.by_hamming.items()},
            "near_duplicates_by_chance": self.by_chance,
            "nearest_training_km": dict(self.nearest_km),
            "share_nearer_than_km": {f"{km:g}": share for km, share in self.nearer_share.items()},
            "exceeded": self.exceeded,
        }

    def to_text(self) -> str:
        """The report for a terminal."""
        lines = [f"train  {self.train.to_text()}", f"test   {self.test.to_text()}"]
        lines += [f"  {name:<34}{value}" for name, value in self._figures()]
        return "\n".join([*lines, *self._verdict()])

    def to_markdown(self) -> str:
        """The report for a page."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in self._figures())
        return (
            f"# Audit of {self.test.name} against {self.train.name}\n\n"
            f"- train: {self.train.to_text()}\n- test: {self.test.to_text()}\n\n"
            f"| test samples | |\n|---|---:|\n{rows}\n\n" + "\n\n".join(self._verdict())
        )

    def _figures(self) -> list[tuple[str, str]]:
        total = max(1, self.test.samples)
        figures: list[tuple[str, str]] = []
        for kind, count in self.leaks.items():
            note = ""
            if kind == "near_duplicate":
                told = ", ".join(f"{n:,} at {bits}" for bits, n in self.by_hamming.items())
                note = f"; within {self.within} bits{': ' if told else ''}{told}"
                note += f"; by chance {self.by_chance:.2g}"
            group = kind.removeprefix("same_")
            if group in self.shared_groups:
                note = f"; {self.shared_groups[group]:,} shared"
            figures.append((f"with {_WORDS[kind]}", f"{count:,} ({count / total:.2%}{note})"))
        for km, share in self.nearer_share.items():
            figures.append((f"nearer than {km:g} km", f"{share:.2%}"))
        if self.nearest_km:
            words = ", ".join(f"{name} {km:,.4g}" for name, km in self.nearest_km.items())
            figures.append(("km to training, quantiles", words))
        return figures

    def _verdict(self) -> list[str]:
        return [f"leak: {line}" for line in self.exceeded] or ["no leak beyond the limits"]
