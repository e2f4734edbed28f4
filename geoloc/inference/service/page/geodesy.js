// The sphere: distances, and credible circles as shapes of a map in degrees.
// Places are [latitude, longitude] in degrees, as everywhere in geoloc.

export const EARTH_RADIUS_KM = 6371.0;
const HALF_TURN_KM = Math.PI * EARTH_RADIUS_KM;
const RAD = Math.PI / 180;

/** Great-circle distance in km. */
export function greatCircleKm([lat1, lon1], [lat2, lon2]) {
  const sinLat = Math.sin(((lat2 - lat1) * RAD) / 2);
  const sinLon = Math.sin(((lon2 - lon1) * RAD) / 2);
  const chord = sinLat ** 2 + Math.cos(lat1 * RAD) * Math.cos(lat2 * RAD) * sinLon ** 2;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(chord)));
}

/** The place `km` away from `place` in the direction `bearingDeg` (0 is north, 90 east). */
export function destination([latDeg, lonDeg], bearingDeg, km) {
  const angle = km / EARTH_RADIUS_KM;
  const lat = latDeg * RAD;
  const bearing = bearingDeg * RAD;
  const up = Math.sin(lat) * Math.cos(angle) + Math.cos(lat) * Math.sin(angle) * Math.cos(bearing);
  const along = Math.cos(lat) * Math.cos(angle) - Math.sin(lat) * Math.sin(angle) * Math.cos(bearing);
  const side = Math.sin(angle) * Math.sin(bearing);
  return [Math.atan2(up, Math.hypot(side, along)) / RAD, lonDeg + Math.atan2(side, along) / RAD];
}

/** `lonDeg` moved by whole turns to within half a turn of `nearDeg`. */
export function unwrap(lonDeg, nearDeg) {
  return lonDeg - 360 * Math.round((lonDeg - nearDeg) / 360);
}

/**
 * The circle of `radiusKm` on the sphere around `center`, for a map that repeats every 360 degrees:
 * `fill` is a list of rings (even-odd), `line` a list of open or closed lines to stroke. Longitudes
 * run on past 180 instead of jumping, and a pole inside the circle becomes an edge of the fill that
 * no line is drawn along.
 */
export function circleShape(center, radiusKm) {
  const [latDeg, lonDeg] = center;
  const holdsNorth = greatCircleKm(center, [90, 0]) <= radiusKm;
  const holdsSouth = greatCircleKm(center, [-90, 0]) <= radiusKm;
  const west = lonDeg - 180;
  const east = lonDeg + 180;
  const world = [[90, west], [90, east], [-90, east], [-90, west]];
  if (radiusKm >= HALF_TURN_KM) return { fill: [world], line: [] };
  if (holdsNorth && holdsSouth) {
    const outside = edge([-latDeg, lonDeg + 180], HALF_TURN_KM - radiusKm);
    // one turn around the hole's own middle, so that the hole lies whole inside it
    const around = world.map(([lat, lon]) => [lat, lon + 180]);
    return { fill: [around, outside], line: [[...outside, outside[0]]] };
  }
  const ring = edge(center, radiusKm);
  if (!holdsNorth && !holdsSouth) return { fill: [ring], line: [[...ring, ring[0]]] };
  const pole = holdsNorth ? 90 : -90;
  const curve = oneTurn(ring, west);
  return { fill: [[...curve, [pole, east], [pole, west]]], line: [curve] };
}

/** The edge of a circle as places with continuous longitudes, close together near a pole too. */
function edge(center, radiusKm) {
  const at = (bearing) => destination(center, bearing, radiusKm);
  const places = [at(0)];
  const walk = (from, to, start, end, depth) => {
    const turn = Math.abs(unwrap(end[1], start[1]) - start[1]);
    if (turn > 8 && depth < 24) {
      const middle = (from + to) / 2;
      walk(from, middle, start, at(middle), depth + 1);
      walk(middle, to, at(middle), end, depth + 1);
    } else {
      places.push(end);
    }
  };
  for (let bearing = 0; bearing < 360; bearing += 3) {
    walk(bearing, bearing + 3, at(bearing), at(bearing + 3), 0);
  }
  places.pop();
  for (let i = 1; i < places.length; i += 1) {
    places[i] = [places[i][0], unwrap(places[i][1], places[i - 1][1])];
  }
  return places;
}

/** A ring around a pole, from west to east and cut at the meridian `west`, one whole turn long. */
function oneTurn(ring, west) {
  const turned = ring
    .map(([lat, lon]) => [lat, west + ((((lon - west) % 360) + 360) % 360)])
    .sort((a, b) => a[1] - b[1]);
  const first = turned[0];
  const last = turned[turned.length - 1];
  const gap = first[1] + 360 - last[1];
  const share = gap > 0 ? (west + 360 - last[1]) / gap : 0;
  const seam = last[0] + share * (first[0] - last[0]);
  return [[seam, west], ...turned, [seam, west + 360]];
}
