"""`python -m geoloc` is the command `geoloc`."""

import sys

from geoloc.cli import main

if __name__ == "__main__":
    sys.exit(main())
