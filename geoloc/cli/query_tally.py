"""What came of the images of a query, counted as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geoloc.cli.command import one_line, say
from geoloc.cli.query_truths import Truths, truth_of

if TYPE_CHECKING:
    from geoloc.inference import Refusal
    from geoloc.inference.asking import AskedImage


@dataclass(kw_only=True)
class Tally:
    """Counts, distances from the cameras' places, and the answers that a map needs.

    Attributes:
        truths: true places by names of files.
        keep: whether answers are kept.
        answered: by the model.
        carried: images whose own place was taken instead.
        refused: images and folders.
        matched: answers whose true place is known.
        off_km: how far answers are from the cameras' places, where there are some.
        kept: the answers.
        started_s: when it began, on the clock of `time.perf_counter`.
    """

    truths: Truths
    keep: bool
    answered: int = 0
    carried: int = 0
    refused: int = 0
    matched: int = 0
    off_km: list[float] = field(default_factory=list[float])
    kept: list[AskedImage] = field(default_factory=list["AskedImage"])
    started_s: float = field(default_factory=time.perf_counter)

    def add(self, asked: AskedImage) -> None:
        """Count one; a refusal is told at once."""
        from geoloc.inference import Answer, Refusal

        if isinstance(asked.result, Refusal):
            self.refuse(asked.result)
        elif isinstance(asked.result, Answer):
            self.answered += 1
            self.matched += truth_of(asked.result.source, self.truths) is not None
            self.off_km += [] if asked.off_km is None else [asked.off_km]
            self.kept += [asked] if self.keep else []
        else:
            self.carried += 1

    def refuse(self, refusal: Refusal) -> None:
        """Count and tell what cannot be answered."""
        say(f"geoloc: {one_line(f'{refusal.source}: {refusal.message}')}")
        self.refused += 1

    def pace(self, images: int, *, before: int) -> str:
        """How fast it went, in one line.

        Args:
            images: that were asked about.
            before: that had been answered at an earlier time.
        """
        seconds = time.perf_counter() - self.started_s
        pace = f": {images / seconds:,.1f} images/s" if images else ""
        told = f"{images:,} images in {seconds:,.1f} s{pace}"
        others = {
            "refused": self.refused,
            "not asked (EXIF)": self.carried,
            "answered before": before,
        }
        more = "".join(f"; {count:,} {what}" for what, count in others.items() if count)
        return f"{told}{more}"
