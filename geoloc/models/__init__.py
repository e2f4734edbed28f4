"""Models: image encoders, the location encoder, the dual encoder, and their files.

Nothing here imports torchvision, timm or open_clip before an encoder of theirs is built.
"""

from geoloc.models.conv_encoder import ConvEncoder
from geoloc.models.dual_encoder import DualEncoder
from geoloc.models.image_encoder import ImageEncoder, ImageEncoderSpec, ImagePreset
from geoloc.models.location_encoder import LoadReport, LocationEncoder, load_matching
from geoloc.models.model_files import ModelDescription, load_model, read_description, save_model
from geoloc.models.model_spec import (
    LocationEncoderSpec,
    ModelSpec,
    build_image_encoder,
    build_model,
)
from geoloc.models.torchvision_compat import declare_missing_operators

__all__ = [
    "ConvEncoder",
    "DualEncoder",
    "ImageEncoder",
    "ImageEncoderSpec",
    "ImagePreset",
    "LoadReport",
    "LocationEncoder",
    "LocationEncoderSpec",
    "ModelDescription",
    "ModelSpec",
    "build_image_encoder",
    "build_model",
    "declare_missing_operators",
    "load_matching",
    "load_model",
    "read_description",
    "save_model",
]
