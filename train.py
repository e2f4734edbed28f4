"""Train: python train.py configs/demo.yaml key=value ... (the same as geoloc train)."""

import sys

from geoloc.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
