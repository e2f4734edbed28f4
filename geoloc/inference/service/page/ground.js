// The ground of the map, drawn tile by tile: sea, land, heat, coasts, borders, graticule.
/* global L */

const HEAT_OPACITY = 0.78;
const LEAST_CELL_PIXELS = 9;

/**
 * Equidistant cylindrical, true to shape along a parallel north and south: degrees are straight
 * lines, both poles are on the map, and the Earth repeats sideways without a seam.
 */
export function equidistantCylindrical(parallelDeg) {
  const width = Math.cos((parallelDeg * Math.PI) / 180);
  return L.extend({}, L.CRS.Earth, {
    code: `geoloc:equidistant-cylindrical:${parallelDeg}`,
    projection: L.Projection.LonLat,
    transformation: new L.Transformation(width / 180, width, -1 / 180, 0.5),
    width,
  });
}

/** The classes of heat, in shares of all probability a cell; the last holds all that is above. */
export const HEAT_CLASSES = [
  { from: 0.0001, label: '0.01 %' },
  { from: 0.001, label: '0.1 %' },
  { from: 0.003, label: '0.3 %' },
  { from: 0.01, label: '1 %' },
  { from: 0.03, label: '3 %' },
  { from: 0.1, label: '10 %' },
];

/** The class of a cell's probability, -1 below them all. */
export function heatClass(probability) {
  let found = -1;
  HEAT_CLASSES.forEach(({ from }, index) => {
    if (probability >= from) found = index;
  });
  return found;
}

/** Lines and rings of land.json as flat arrays of degrees with their bounds. */
export function decodeLand(file) {
  const line = (steps) => {
    const lonlat = new Float32Array(steps.length);
    const bounds = [Infinity, Infinity, -Infinity, -Infinity];
    let [lon, lat] = [0, 0];
    for (let i = 0; i < steps.length; i += 2) {
      lon += steps[i];
      lat += steps[i + 1];
      lonlat[i] = lon / file.units_per_deg;
      lonlat[i + 1] = lat / file.units_per_deg;
      bounds[0] = Math.min(bounds[0], lonlat[i]);
      bounds[1] = Math.min(bounds[1], lonlat[i + 1]);
      bounds[2] = Math.max(bounds[2], lonlat[i]);
      bounds[3] = Math.max(bounds[3], lonlat[i + 1]);
    }
    return { lonlat, bounds };
  };
  return {
    land: file.land.map((rings) => {
      const lines = rings.map(line);
      return { rings: lines.map((ring) => ring.lonlat), bounds: lines[0].bounds };
    }),
    borders: file.borders.map(line),
  };
}

/** A Leaflet layer over `land` (see decodeLand); `setHeat` takes an answer's heat or null. */
export const Ground = L.GridLayer.extend({
  options: { minZoom: -4, noWrap: true, tileSize: 256, updateWhenIdle: false, keepBuffer: 1 },

  initialize(land, options) {
    L.setOptions(this, options);
    this._land = land;
    this._heat = null;
    this._merged = new Map();
  },

  setHeat(heat) {
    this._heat = heat;
    this._merged.clear();
    if (this._map) this.redraw();
  },

  createTile(coords) {
    const size = this.getTileSize().x;
    const canvas = document.createElement('canvas');
    const density = Math.max(2, window.devicePixelRatio || 1);
    canvas.width = size * density;
    canvas.height = size * density;
    const pen = canvas.getContext('2d');
    pen.scale(density, density);
    const heat = this._heat && this._mergedHeat(this._map.options.crs.scale(coords.z));
    drawTile(pen, frameOf(coords, size, this._map.options.crs), { land: this._land, heat });
    return canvas;
  },

  /** Side of the cells of heat at the present zoom, in degrees. */
  heatCellDeg() {
    const { crs } = this._map.options;
    return this._heat ? this._heat.cell_deg * heatFactor(this._heat, crs.scale(this._tileZoom)) : 0;
  },

  _mergedHeat(scale) {
    const factor = heatFactor(this._heat, scale);
    if (!this._merged.has(factor)) this._merged.set(factor, mergeCells(this._heat, factor));
    return this._merged.get(factor);
  },
});

/** How many cells a side become one, so that it can be seen. */
function heatFactor({ cell_deg: cellDeg }, scale) {
  const tall = (factor) => (factor * cellDeg * scale) / 180 >= LEAST_CELL_PIXELS;
  return [1, 2, 3, 5, 6].find(tall) ?? 10;
}

/** Heat over cells `factor` times as wide and tall, which add up what they hold. */
export function mergeCells({ cell_deg: cellDeg, cells }, factor) {
  const side = cellDeg * factor;
  const sums = new Map();
  for (const [south, west, probability] of cells) {
    const row = Math.floor((south + 90) / side + 1e-9);
    const column = Math.floor((west + 180) / side + 1e-9);
    const key = `${row} ${column}`;
    const before = sums.get(key)?.[2] ?? 0;
    sums.set(key, [row * side - 90, column * side - 180, before + probability]);
  }
  return { cell_deg: side, cells: [...sums.values()] };
}

/** How degrees become pixels of a tile, and which degrees it shows. */
function frameOf(coords, size, crs) {
  const scale = crs.scale(coords.z);
  const perLon = (crs.width / 180) * scale;
  const perLat = (-1 / 180) * scale;
  const left = crs.width * scale - coords.x * size;
  const top = 0.5 * scale - coords.y * size;
  return {
    size,
    perLon,
    perLat,
    left,
    top,
    west: -left / perLon,
    east: (size - left) / perLon,
    north: -top / perLat,
    south: (size - top) / perLat,
  };
}

function drawTile(pen, frame, { land, heat }) {
  const colours = palette();
  const north = Math.max(0, frame.top + 90 * frame.perLat);
  const south = Math.min(frame.size, frame.top - 90 * frame.perLat);
  if (south <= north) return;
  pen.fillStyle = colours.sea;
  pen.fillRect(0, north, frame.size, south - north);
  const copies = [];
  for (let turn = Math.floor((frame.west + 180) / 360); turn * 360 - 180 < frame.east; turn += 1) {
    copies.push({ ...frame, left: frame.left + turn * 360 * frame.perLon, turnDeg: turn * 360 });
  }
  const shown = copies.map((copy) => [copy, land.land.filter((shape) => touches(shape, copy))]);
  for (const [copy, shapes] of shown) fillLand(pen, copy, shapes, colours);
  if (heat) for (const copy of copies) fillHeat(pen, copy, heat, colours);
  drawGraticule(pen, frame, colours);
  for (const [copy, shapes] of shown) {
    strokeBorders(pen, copy, land.borders, colours);
    strokeCoasts(pen, copy, shapes, colours);
  }
}

function palette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return {
    sea: colour('--sea'),
    land: colour('--land'),
    coast: colour('--coast'),
    border: colour('--border'),
    graticule: colour('--graticule'),
    heat: HEAT_CLASSES.map((_, index) => colour(`--heat-${index}`)),
  };
}

function touches({ bounds: [west, south, east, north] }, frame) {
  const lonFrom = frame.west - frame.turnDeg;
  const lonTo = frame.east - frame.turnDeg;
  // a pixel's worth of room for the width of the pen
  const room = 2 / frame.perLon;
  return (
    west <= lonTo + room && east >= lonFrom - room &&
    south <= frame.north + room && north >= frame.south - room
  );
}

function trace(pen, frame, lonlat, { close, edges }) {
  let lifted = true;
  const last = close ? lonlat.length : lonlat.length - 2;
  for (let i = 0; i <= last; i += 2) {
    const [lon, lat] = [lonlat[i % lonlat.length], lonlat[(i + 1) % lonlat.length]];
    const x = frame.left + lon * frame.perLon;
    const y = frame.top + lat * frame.perLat;
    const before = i > 0 ? i - 2 : 0;
    const cut = !edges && i > 0 && isMapEdge(lon, lat, lonlat[before], lonlat[before + 1]);
    if (lifted || cut) pen.moveTo(x, y);
    else pen.lineTo(x, y);
    lifted = false;
  }
}

/** The cut of a flat map along the antimeridian or at the south pole: nothing on the sphere. */
function isMapEdge(lon, lat, lonBefore, latBefore) {
  const seam = Math.abs(lon) > 179.995 && Math.abs(lonBefore) > 179.995;
  return seam || (lat < -89.995 && latBefore < -89.995);
}

function fillLand(pen, frame, shapes, colours) {
  pen.fillStyle = colours.land;
  pen.beginPath();
  for (const { rings } of shapes) {
    for (const ring of rings) trace(pen, frame, ring, { close: true, edges: true });
  }
  pen.fill('evenodd');
}

function fillHeat(pen, frame, { cell_deg: cellDeg, cells }, colours) {
  pen.globalAlpha = HEAT_OPACITY;
  for (const [south, west, probability] of cells) {
    const level = heatClass(probability);
    // the last cell of a row may be cut by the antimeridian, the uppermost by the pole
    const [east, north] = [Math.min(180, west + cellDeg), Math.min(90, south + cellDeg)];
    const box = { bounds: [west, south, east, north] };
    if (level < 0 || !touches(box, frame)) continue;
    const x = Math.floor(frame.left + west * frame.perLon);
    const y = Math.floor(frame.top + north * frame.perLat);
    const right = Math.floor(frame.left + east * frame.perLon);
    const bottom = Math.floor(frame.top + south * frame.perLat);
    pen.fillStyle = colours.heat[level];
    pen.fillRect(x, y, Math.max(1, right - x), Math.max(1, bottom - y));
  }
  pen.globalAlpha = 1;
}

/** Degrees between two lines of the graticule, so that they stay some 60 pixels apart. */
export function graticuleStep(pixelsPerDeg) {
  return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60].find((step) => step * pixelsPerDeg >= 60) ?? 90;
}

function drawGraticule(pen, frame, colours) {
  const step = graticuleStep(frame.perLon);
  pen.strokeStyle = colours.graticule;
  pen.lineWidth = 0.6;
  pen.beginPath();
  const north = Math.max(0, frame.top + 90 * frame.perLat);
  const south = Math.min(frame.size, frame.top - 90 * frame.perLat);
  for (let i = Math.ceil(frame.west / step); i * step <= frame.east; i += 1) {
    const x = frame.left + i * step * frame.perLon;
    pen.moveTo(x, north);
    pen.lineTo(x, south);
  }
  for (let i = Math.ceil(frame.south / step); i * step <= Math.min(90, frame.north); i += 1) {
    if (i * step < -90) continue;
    const y = frame.top + i * step * frame.perLat;
    pen.moveTo(0, y);
    pen.lineTo(frame.size, y);
  }
  pen.stroke();
}

function strokeBorders(pen, frame, borders, colours) {
  pen.strokeStyle = colours.border;
  pen.lineWidth = 0.7;
  pen.beginPath();
  for (const border of borders) {
    if (touches(border, frame)) trace(pen, frame, border.lonlat, { close: false, edges: true });
  }
  pen.stroke();
}

function strokeCoasts(pen, frame, shapes, colours) {
  pen.strokeStyle = colours.coast;
  // thin where a pixel holds many islands
  pen.lineWidth = frame.perLon < 6 ? 0.45 : 0.9;
  pen.beginPath();
  for (const { rings } of shapes) {
    for (const ring of rings) trace(pen, frame, ring, { close: true, edges: false });
  }
  pen.stroke();
}
