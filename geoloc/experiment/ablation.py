"""A study: every arm with every seed trained on the same data and budget, then compared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float64

from geoloc.artifacts import write_json, write_text
from geoloc.errors import ConfigError, DataError
from geoloc.evaluation import Comparison, RowErrors, compare, metric_values, spatial_blocks
from geoloc.experiment.ablation_rows import SplitRows, rows_of_run
from geoloc.experiment.ablation_schema import AblationConfig, arm_config
from geoloc.experiment.ablation_text import StudyResult, study_json, study_markdown
from geoloc.experiment.build import Say, build_dual_encoder, choose_device
from geoloc.experiment.loading import config_from_tree, config_hash, config_yaml, read_tree
from geoloc.experiment.prepare_data import ensure_earth_tiles, features_of
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.run_processes import RunProcesses, leaving_on_sigterm
from geoloc.experiment.schema import ExperimentConfig
from geoloc.viz import draw_ablation


def run_study(study: AblationConfig, *, out: Path, say: Say) -> StudyResult:
    """Train what is not trained yet, evaluate, compare, and write the tables and the plot.

    A study that was interrupted goes on where it stopped when it is run again with the same `out`;
    further arms and seeds may be added so.

    Raises:
        ConfigError: the arms contradict one another, or `out` holds runs of other settings.
        TrainingError: a run failed; its log is named.
    """
    configs = {
        (arm, seed): arm_config(study, arm, seed, out=out)
        for arm in study.arms
        for seed in study.seeds
    }
    first = next(iter(configs.values()))
    if not first.data.tests:
        raise ConfigError(f"{study.experiment} names no test split (data.tests)")
    for each in configs.values():
        _refuse_other_run(each)
    _keep_study(study, out)
    _prepare(first, say=say)
    runs = _run_all(study, configs, jobs=study.jobs or _jobs(first), say=say)
    result = _compared(study, runs, list(first.data.tests), out=out)
    write_json(out / "ablation.json", study_json(study, result, first))
    write_text(out / "ablation.md", study_markdown(study, result))
    draw_ablation(
        result.metrics,
        result.comparisons,
        out / "ablation.png",
        title=study.name,
        first_split=result.splits[0],
    )
    return result


def _refuse_other_run(config: ExperimentConfig) -> None:
    run = RunDirectory(path=config.run_dir)
    if run.begun and config_hash(run.config()) != config_hash(config):
        raise ConfigError(
            f"{run.path} holds a run with other settings than the study's: choose another --out, "
            "or remove it"
        )


def _keep_study(study: AblationConfig, out: Path) -> None:
    """Write what is compared, so that `geoloc ablate` can be given the copy."""
    tree = config_from_tree(read_tree(study.experiment), where=str(study.experiment))
    write_text(out / "experiment.yaml", config_yaml(tree))
    resolved = {**study.model_dump(mode="json"), "experiment": "experiment.yaml"}
    write_text(out / "ablation.yaml", yaml.safe_dump(resolved, sort_keys=False))


def _prepare(config: ExperimentConfig, *, say: Say) -> None:
    """Tiles and features that all runs share, made once before any of them."""
    ensure_earth_tiles(config, say=say)
    if config.data.cache_features:
        device = choose_device(config)
        model = build_dual_encoder(config, say=say)
        sources = [config.data.train, config.data.validation, *config.data.tests.values()]
        for source in dict.fromkeys(each for each in sources if each is not None):
            views = config.data.cached_views if source == config.data.train else 1
            features_of(config, model, source, device=device, say=say, views=views)


def _jobs(config: ExperimentConfig) -> int:
    """Runs at once where the study does not say: a GPU has room for one that it was not told of."""
    return 1 if choose_device(config) == "cuda" else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One trained and evaluated run.

    Attributes:
        seconds: that its training took.
        rows: its errors, by split.
    """

    seconds: float
    rows: Mapping[str, SplitRows]


def _run_all(
    study: AblationConfig,
    configs: Mapping[tuple[str, int], ExperimentConfig],
    *,
    jobs: int,
    say: Say,
) -> dict[tuple[str, int], _Run]:
    """Train every run in a process of its own, some at once; those that are finished stay."""
    done = 0
    processes = RunProcesses(threads=max(1, (os.cpu_count() or 1) // jobs))

    def train(item: tuple[tuple[str, int], ExperimentConfig]) -> _Run:
        nonlocal done
        (arm, seed), config = item
        took = processes.train(config)
        rows = rows_of_run(config.run_dir, study.gallery, say=say)
        done += 1
        say(f"{done}/{len(configs)}  {arm}, seed {seed}: {took:.0f} s")
        return _Run(seconds=took, rows=rows)

    with leaving_on_sigterm(), ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(train, item): item[0] for item in configs.items()}
        try:
            return {futures[each]: each.result() for each in as_completed(futures)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise


def _compared(
    study: AblationConfig,
    runs: Mapping[tuple[str, int], _Run],
    splits: Sequence[str],
    *,
    out: Path,
) -> StudyResult:
    metrics: dict[str, dict[str, list[float]]] = {arm: {} for arm in study.arms}
    comparisons: list[Comparison] = []
    for split in splits:
        prefix = "" if split == splits[0] else f"{split}/"
        of_split = {at: each.rows[split] for at, each in runs.items()}
        true_deg = _same_places(of_split, split)
        errors = {
            arm: RowErrors(
                distance_km=np.stack([of_split[arm, seed].distance_km for seed in study.seeds]),
                rank=np.stack([of_split[arm, seed].rank for seed in study.seeds]),
            )
            for arm in study.arms
        }
        for arm, each in errors.items():
            for name, values in metric_values(each).items():
                metrics[arm][prefix + name] = [float(value) for value in values]
        block = spatial_blocks(true_deg, block_km=study.block_km)
        if len(np.unique(block)) < 2:
            raise ConfigError(f"all of split {split} lies in one block: make block_km smaller")
        found = compare(errors, study.baselines, block, resamples=study.resamples)
        comparisons += [replace(each, metric=prefix + each.metric) for each in found]
    seconds = {
        arm: [round(runs[arm, seed].seconds, 1) for seed in study.seeds] for arm in study.arms
    }
    return StudyResult(
        metrics=metrics, comparisons=comparisons, seconds=seconds, splits=list(splits), out=out
    )


def _same_places(
    rows: Mapping[tuple[str, int], SplitRows], split: str
) -> Float64[np.ndarray, "row 2"]:
    """The true places of a split, once it is known that all runs answered the same rows."""
    first = next(iter(rows.values())).true_deg
    for (arm, seed), each in rows.items():
        if not np.array_equal(each.true_deg, first):
            raise DataError(
                f"{arm}, seed {seed} answered other rows of {split} than the first run: "
                "were samples lost, or shards changed? Rows cannot be compared in pairs"
            )
    return first
