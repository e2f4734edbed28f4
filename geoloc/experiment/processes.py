"""The processes of a run: joined where a launcher (torchrun, srun) began several."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from geoloc.errors import ConfigError
from geoloc.experiment.build import choose_device
from geoloc.experiment.schema import ExperimentConfig
from geoloc.ranks import Ranks

_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Longer than any validation or feature cache that the main process makes while the others wait.
_PATIENCE = timedelta(hours=12)


@contextmanager
def joined_processes(config: ExperimentConfig) -> Generator[Ranks]:
    """The processes of this run, for as long as the context is open; `Ranks()` for one alone.

    Several are known by the environment that torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK,
    MASTER_ADDR, MASTER_PORT). On GPUs each takes the one of its LOCAL_RANK.

    Raises:
        ConfigError: the environment names several processes but not how they meet, or there are
            more of them than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    missing = [name for name in _NAMES if name not in os.environ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {missing[0]} is not set: start several "
            "processes with torchrun"
        )
    backend = "gloo"
    if choose_device(config) == "cuda":
        # Small counts travel over the CPU, so that no process waits for its GPU to tell them.
        backend = "cpu:gloo,cuda:nccl"
        local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {local} of this machine has no GPU: torch sees "
                f"{torch.cuda.device_count()}; start as many processes as there are GPUs"
            )
        torch.cuda.set_device(local)
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Ranks.joined()
    finally:
        # What still holds the group (a model wrapped for several processes, kept alive by a cycle)
        # goes first: a group that outlives its end aborts the process when Python exits.
        gc.collect()
        dist.destroy_process_group()
