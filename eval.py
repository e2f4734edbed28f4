"""Evaluate: python eval.py RUN ... (the same as geoloc evaluate)."""

import sys

from geoloc.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
