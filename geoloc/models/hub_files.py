"""Folders of weights: local ones as they are, those of the Hugging Face Hub fetched once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoloc.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAccess:
    """How the hub is asked.

    Attributes:
        token: of an account, where a repository is not public.
        cache_dir: folder of fetched files; None takes the hub's own.
        local_files_only: take what is in the cache, or fail.
    """

    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False


def folder_of(
    source: str | Path,
    *,
    patterns: Sequence[str],
    revision: str | None = None,
    access: HubAccess | None = None,
) -> Path:
    """The local folder `source`, or that of a repository on the hub, whose files are fetched.

    Args:
        source: a folder, or ``owner/name`` on the hub.
        patterns: which of the repository's files are needed.
        revision: branch, tag or commit of the repository.
        access: how the hub is asked.

    Raises:
        CheckpointError: there is no such folder, or the repository cannot be had.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if isinstance(source, os.PathLike) or path.is_absolute() or str(source).startswith("."):
        raise CheckpointError(f"{source}: no such folder")
    # Imported here: who has the files at hand needs no hub.
    from huggingface_hub import snapshot_download

    how = access or HubAccess()
    try:
        found = snapshot_download(
            str(source),
            revision=revision,
            allow_patterns=list(patterns),
            token=how.token,
            cache_dir=how.cache_dir,
            local_files_only=how.local_files_only,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{source}: neither a folder here nor to be had from the Hugging Face Hub ({reason}); "
            "go online once, or give the path of a folder that has its files"
        ) from error
    return Path(str(found))
