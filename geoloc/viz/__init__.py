"""Pictures of answers and errors: world maps, curves, and a page that shows them together."""

from geoloc.viz.ablation import draw_ablation
from geoloc.viz.cells_map import draw_cells
from geoloc.viz.clusters import draw_clusters
from geoloc.viz.curves import draw_error_curve
from geoloc.viz.error_map import draw_prediction_map
from geoloc.viz.kriged_figure import KrigedPicture, draw_kriged
from geoloc.viz.maps import closeup_png, draw_query_map, world_map_png
from geoloc.viz.page import write_query_page
from geoloc.viz.reliability import draw_reliability
from geoloc.viz.spacetime import SpaceTimePicture, draw_space_time
from geoloc.viz.station_maps import draw_station_maps
from geoloc.viz.variograms import draw_variogram, draw_variogram_comparison

__all__ = [
    "KrigedPicture",
    "SpaceTimePicture",
    "closeup_png",
    "draw_ablation",
    "draw_cells",
    "draw_clusters",
    "draw_error_curve",
    "draw_kriged",
    "draw_prediction_map",
    "draw_query_map",
    "draw_reliability",
    "draw_space_time",
    "draw_station_maps",
    "draw_variogram",
    "draw_variogram_comparison",
    "world_map_png",
    "write_query_page",
]
