"""`geoloc serve`: answer over HTTP."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from pathlib import Path

from geoloc.cli.command import Commands, say
from geoloc.cli.model_arguments import DECODINGS, add_index_argument, add_model_arguments
from geoloc.errors import ConfigError

_LIBRARIES = ("fastapi", "prometheus_client", "python_multipart", "uvicorn")


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "serve",
        help="answer over HTTP, with a web page",
        description="Answer images over HTTP until SIGTERM or Ctrl-C. The page is at /, the API "
        "is described at /openapi.json. Keys are changed by section.key=value.",
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. port=9000")
    parser.add_argument("--run", type=Path, dest="run_folder", help="default: newest under runs/")
    parser.add_argument("--config", type=Path, help="a YAML file such as configs/serve.yaml")
    parser.add_argument("--gallery", help="one of the run's galleries, or a gallery's folder")
    parser.add_argument(
        "--decoding", choices=DECODINGS, help="as for geoloc query (default: the same)"
    )
    add_index_argument(parser)
    add_model_arguments(parser, device="cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is missing: pip install 'geoloc[serve]'")
    from geoloc.experiment.service_config import load_service_settings
    from geoloc.inference import Geolocator, newest_run
    from geoloc.inference.service.server import serve

    settings = load_service_settings(args.config, args.overrides)
    run_folder = args.run_folder or newest_run()
    _log_service()
    say(f"geoloc: {run_folder} at http://{settings.host}:{settings.port}/ (Ctrl-C ends it)")

    def load() -> Geolocator:
        return Geolocator.load(
            run_folder,
            gallery=args.gallery,
            device=args.device,
            index=args.index,
            backbone_weights=args.backbone_weights,
            decoding=args.decoding,
        )

    serve(settings, load)
    return 0


def _log_service() -> None:
    """Let the service's own lines through, and no other room's, unless --verbose does."""
    logging.getLogger("geoloc.service").setLevel(logging.INFO)
