"""`geoloc cluster`: metric-constrained clusters of a table, a series or a drawn world."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc.cli.command import Commands, say


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "cluster",
        help="cluster observations by features and places",
        description="Cluster the rows of a table (table.path=FILE table.features=[a,b] "
        "table.places=[lat,lon]), or a drawn world, by metric-constrained model-based clustering. "
        "DIR receives labels.csv, result.json and clusters.png.",
    )
    parser.add_argument("config", type=Path, help="a YAML file (configs/systems/mcgta.yaml)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. clustering.eps=0.4")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of results")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Cluster, write, print; 0 when done."""
    from geoloc.experiment.cluster_run import run_clusters
    from geoloc.experiment.cluster_schema import ClusterConfig
    from geoloc.experiment.loading import load_section

    config = load_section(args.config, args.overrides, ClusterConfig)
    print(run_clusters(config, out=args.out, say=say).to_text())
    return 0
