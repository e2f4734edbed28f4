"""A query against a kept gallery of 100,000 places, and one that encodes the gallery anew.

Both answer the same image with the released GeoCLIP location encoder and GeoCLIP's own 100,000
places, in one process, in turn; the answers must be equal. The image tower is the small one, so
that the gallery is what is measured.

Run: python benchmarks/gallery_reuse.py [ROUNDS]
"""

import statistics
import sys
import time

import numpy as np
from PIL import Image

from geoloc.inference import Geolocator
from geoloc.models.conv_encoder import ConvEncoder
from geoloc.models.dual_encoder import DualEncoder
from geoloc.models.geoclip import gallery_places, load_location_encoder, released_folder
from geoloc.retrieval import Gallery


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    encoder = load_location_encoder(released_folder() / "weights" / "location_encoder_weights.pth")
    model = DualEncoder(ConvEncoder(size=64), location_encoder=encoder).eval()
    places = gallery_places()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))

    def built() -> Geolocator:
        fingerprint = model.fingerprint()
        gallery = Gallery.build(
            places, model.embed_places, model_fingerprint=fingerprint, name="100k"
        )
        return Geolocator(model, gallery)

    kept = built()
    first = kept.locate(image)
    ratios, fast, slow = [], [], []
    for _ in range(rounds):
        start = time.process_time()
        assert kept.locate(image) == first
        middle = time.process_time()
        assert built().locate(image) == first
        end = time.process_time()
        fast.append(middle - start)
        slow.append(end - middle)
        ratios.append(slow[-1] / fast[-1])
    print(f"kept gallery      {statistics.median(fast):8.3f} CPU-s a query")
    print(f"encoded each time {statistics.median(slow):8.3f} CPU-s a query")
    print(f"ratio             {statistics.median(ratios):8.1f} (min {min(ratios):.1f})")


if __name__ == "__main__":
    main()
