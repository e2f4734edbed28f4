"""Telemetry: where the values of a run go, and how they are gathered without waiting."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from geoloc.errors import ConfigError, TrainingError

_log = logging.getLogger(__name__)


@runtime_checkable
class ScalarSink(Protocol):
    """Takes named numbers of a step."""

    def rewind(self, step: int) -> None:
        """Forget what was written after `step`: the run goes on from there."""
        ...

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values of a step."""
        ...

    def close(self) -> None:
        """Bring everything to its place; nothing is written afterwards."""
        ...


@runtime_checkable
class PictureSink(Protocol):
    """Takes pictures as well; a sink of numbers may be one, and need not."""

    def write_picture(self, step: int, name: str, png: bytes) -> None:
        """Take a picture of a step."""
        ...


@runtime_checkable
class SampleSink(Protocol):
    """Takes the names of the samples that a step saw; a sink of numbers may be one as well."""

    def write_samples(self, step: int, keys: Sequence[str]) -> None:
        """Take the keys of a step, in the order of the batch."""
        ...


class TensorBoardSink:
    """Event files for TensorBoard; after a rewind it hides the steps that are done again.

    Args:
        folder: where the event files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = self._open(purge_step=None)

    def _open(self, *, purge_step: int | None) -> Any:
        with warnings.catch_warnings():
            # What tensorboard imports may be deprecated; nobody here can act on that.
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter
        return SummaryWriter(str(self._folder), purge_step=purge_step)

    def rewind(self, step: int) -> None:
        """Start a new event file that hides what was written after `step`."""
        self.close()
        self._writer = self._open(purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to the curve of each name.

        Raises:
            TrainingError: the disk is full, or the folder cannot be written.
        """
        try:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        except OSError as error:
            raise TrainingError(
                f"cannot write TensorBoard's files in {self._folder}: {error.strerror or error}; "
                "checkpoints are intact: free disk space, then resume"
            ) from error

    def write_picture(self, step: int, name: str, png: bytes) -> None:
        """Show a picture under the name."""
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Write out and close the event file; what cannot be written is told, and lost."""
        try:
            self._writer.close()
        except OSError as error:
            # Often on the way out of an error that says more: it must not take its place.
            _log.warning("TensorBoard's last values in %s are lost: %s", self._folder, error)


class WandbSink:
    """Weights & Biases, if it is installed; the caller decides the project and the mode.

    Args:
        folder: where wandb keeps its files.
        project: name of the project.
        run_id: the same id continues the same run.
        mode: `online`, `offline` or `disabled`.

    Raises:
        ConfigError: wandb is not installed.
    """

    def __init__(
        self, folder: Path, *, project: str, run_id: str | None = None, mode: str = "online"
    ) -> None:
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigError(
                "wandb is not installed: pip install 'geoloc[wandb]', or switch it off"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            dir=str(folder), project=project, id=run_id, mode=mode, resume="allow"
        )

    def rewind(self, step: int) -> None:
        """Nothing to do: wandb ignores steps that it has seen."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class ProgressSink:
    """A progress bar on standard error, only when that is a terminal.

    Args:
        total_steps: steps of the whole run, if known; may also be told later by `expect`.
        shown: names of the values shown behind the bar, without what stands before a slash.
    """

    def __init__(
        self,
        total_steps: int | None = None,
        *,
        shown: tuple[str, ...] = ("train/loss", "speed/images_per_s"),
    ) -> None:
        from tqdm import tqdm

        self._shown = shown
        self._bar: Any = tqdm(
            total=total_steps, unit="step", disable=not sys.stderr.isatty(), file=sys.stderr
        )

    def expect(self, total_steps: int | None) -> None:
        """The length of the bar from now on."""
        self._bar.total = total_steps
        self._bar.refresh()

    def rewind(self, step: int) -> None:
        """Put the bar to `step`."""
        self._bar.reset(total=self._bar.total)
        self._bar.update(step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Move the bar to `step`."""
        known = [name for name in self._shown if name in values]
        if known:
            shown = {name.rpartition("/")[2]: f"{values[name]:.4g}" for name in known}
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class RunningMeans:
    """Means of scalars over some steps, kept on their device: one read for all, when asked for.

    Part of the checkpoint, so that the means logged after a resume equal those of a straight run.
    """

    def __init__(self) -> None:
        self._sum: dict[str, Tensor] = {}
        self._weight: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Float[Tensor, ""]], *, valid: Float[Tensor, ""]) -> None:
        """Count values of a step; where `valid` is 0 the step counts for nothing."""
        for name, value in values.items():
            # Multiplying would keep the NaN of a step that is to be left out.
            kept = torch.where(valid > 0, value.detach().double(), 0.0)
            self._sum[name] = self._sum[name] + kept if name in self._sum else kept
            weight = valid.detach().double()
            self._weight[name] = self._weight[name] + weight if name in self._weight else weight

    def read(self) -> dict[str, float]:
        """The means since the last read (NaN where no step was valid); starts anew."""
        names = list(self._sum)
        if not names:
            return {}
        means = torch.stack([self._sum[name] / self._weight[name] for name in names])
        self._sum, self._weight = {}, {}
        return dict(zip(names, means.tolist(), strict=True))

    def state_dict(self) -> dict[str, Tensor]:
        """The running sums."""
        sums = {f"sum.{name}": value for name, value in self._sum.items()}
        return sums | {f"weight.{name}": value for name, value in self._weight.items()}

    def load_state_dict(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Take over what `state_dict` gave."""
        moved = {name: value.to(device) for name, value in state.items()}
        self._sum = {k[4:]: v for k, v in moved.items() if k.startswith("sum.")}
        self._weight = {k[7:]: v for k, v in moved.items() if k.startswith("weight.")}
