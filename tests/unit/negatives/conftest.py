from __future__ import annotations

import sys
from pathlib import Path

# `semivariogram_worlds` is imported by name, in whatever mode pytest imports the tests.
sys.path.insert(0, str(Path(__file__).parent))
