// The map of an answer: numbered places, credible circles, heat, legend.
/* global L */

import { circleShape, greatCircleKm, unwrap } from './geodesy.js';
import { GraticuleLabels } from './graticule.js';
import { equidistantCylindrical, Ground, HEAT_CLASSES } from './ground.js';
import { kilometres, percent, placeTitle } from './words.js';

const TURNS = [0, -360, 360];
const WORLD = [[-90, -180], [90, 180]];
const WORLD_PARALLEL_DEG = 40;
const HIGHEST_PARALLEL_DEG = 70;
const WIDEST_VIEW_KM = 4000;
const NARROWEST_VIEW_KM = 400;
const STILL = window.matchMedia('(prefers-reduced-motion: reduce)');

/** The map in `container`; `onChoose(rank)` is called when a mark is chosen, `onScale()` when cells of heat change. */
export class WorldMap {
  constructor(container, { land, onChoose, onScale }) {
    this.map = L.map(container, {
      crs: equidistantCylindrical(WORLD_PARALLEL_DEG),
      zoomSnap: 0.25,
      zoomDelta: 1,
      minZoom: -1,
      maxZoom: 9,
      maxBounds: [[-100, -540], [100, 540]],
      maxBoundsViscosity: 1,
      zoomAnimation: !STILL.matches,
      fadeAnimation: false,
      markerZoomAnimation: !STILL.matches,
      attributionControl: false,
    });
    this.map.setView([15, 0], 0);
    // Leaflet rounds to whole pixels, which makes small circles shaky
    this.map.latLngToLayerPoint = (latlng) =>
      this.map.project(L.latLng(latlng)).subtract(this.map.getPixelOrigin());
    this.ground = new Ground(land);
    this.ground.addTo(this.map);
    new GraticuleLabels().addTo(this.map);
    this.shapes = L.layerGroup().addTo(this.map);
    this.marks = new Map();
    this.onChoose = onChoose;
    this.answer = null;
    this.map.on('zoomend viewreset', onScale);
    L.control.scale({ imperial: false, maxWidth: 120 }).addTo(this.map);
    this.showWorld();
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.ground.redraw();
    });
    new ResizeObserver(() => this.map.invalidateSize({ animate: false })).observe(container);
  }

  /** Draw an answer, or nothing where it is null; the view follows. */
  show(answer) {
    this.answer = answer;
    this.shapes.clearLayers();
    this.marks.clear();
    if (!answer || answer.places.length === 0) {
      this.ground.setHeat(null);
      this.showWorld();
      return;
    }
    for (const radius of [...answer.radii].sort((a, b) => b.km - a.km)) this.addCircle(radius);
    // the best place is drawn last, on top of the others
    for (const place of [...answer.places].reverse()) this.addPlace(place);
    if (answer.abstain) this.showWorld();
    else this.showAnswer();
  }

  setHeat(shown) {
    this.ground.setHeat(shown && this.answer ? this.answer.heat : null);
  }

  /** Side of the cells of heat as shown, in degrees. */
  heatCellDeg() {
    return this.answer?.heat ? this.ground.heatCellDeg() : 0;
  }

  best() {
    const { latitude_deg: lat, longitude_deg: lon } = this.answer.places[0];
    return [lat, lon];
  }

  addCircle({ level, km }) {
    const inner = level <= 0.5;
    const shape = circleShape(this.best(), km);
    for (const turn of TURNS) {
      const moved = (lines) => lines.map((line) => line.map(([lat, lon]) => [lat, lon + turn]));
      const name = inner ? 'circle inner' : 'circle outer';
      const quiet = { interactive: false, className: name, smoothFactor: 0.2 };
      L.polygon(moved(shape.fill), { ...quiet, stroke: false, fillRule: 'evenodd' }).addTo(
        this.shapes,
      );
      L.polyline(moved(shape.line), { ...quiet, className: `${name} edge` }).addTo(this.shapes);
    }
  }

  addPlace(place) {
    const lon = unwrap(place.longitude_deg, this.best()[1]);
    for (const turn of TURNS) {
      const icon = L.divIcon({
        className: place.rank === 1 ? 'mark best' : 'mark',
        html: String(place.rank),
        iconSize: [28, 28],
      });
      const mark = L.marker([place.latitude_deg, lon + turn], {
        icon,
        keyboard: turn === 0,
        zIndexOffset: 1000 - 10 * place.rank,
      });
      mark.addTo(this.shapes);
      // a node, as Leaflet takes a string for HTML
      const tip = document.createTextNode(`${place.rank}: ${placeTitle(place)}`);
      mark.bindTooltip(tip, { direction: 'top', offset: [0, -12] });
      mark.on('click', () => this.onChoose(place.rank));
      const element = mark.getElement();
      if (turn === 0) {
        const words = `Place ${place.rank} on the map: ${placeTitle(place)}`;
        element.setAttribute('aria-label', words);
        element.addEventListener('keydown', (event) => {
          if (event.key !== ' ' && event.key !== 'Enter') return;
          event.preventDefault();
          this.onChoose(place.rank);
        });
        this.marks.set(place.rank, mark);
      } else {
        element.setAttribute('aria-hidden', 'true');
      }
    }
  }

  /** Make one place stand out and bring it into view. */
  choose(rank) {
    for (const [other, mark] of this.marks) {
      const element = mark.getElement();
      element.classList.toggle('chosen', other === rank);
      if (other === rank) element.setAttribute('aria-current', 'true');
      else element.removeAttribute('aria-current');
    }
    const mark = this.marks.get(rank);
    if (mark && !this.map.getBounds().pad(-0.05).contains(mark.getLatLng())) {
      this.map.panTo(mark.getLatLng(), { animate: !STILL.matches });
    }
  }

  showWorld() {
    this.view(WORLD, WORLD_PARALLEL_DEG);
  }

  /** Bounds in view, on a map that is true to shape along a parallel. */
  view(bounds, parallelDeg, options = {}) {
    this.map.options.crs = equidistantCylindrical(parallelDeg);
    this.map.fitBounds(bounds, { ...options, animate: false, reset: true });
  }

  /** The widest circle, and the places in or near it; circles look round around the best. */
  showAnswer() {
    if (!this.answer || this.answer.places.length === 0) return;
    const best = this.best();
    // where the widest circle is most of the Earth, the other one with room around it
    const reaches = this.answer.radii.map(({ level, km }) => (level > 0.5 ? km : 3 * km));
    const shown = reaches.filter((km) => km <= WIDEST_VIEW_KM);
    const widest = Math.max(NARROWEST_VIEW_KM, ...shown);
    if (reaches.length > 0 && shown.length === 0) {
      this.showWorld();
      return;
    }
    const bounds = L.latLngBounds(circleShape(best, widest).fill[0]);
    for (const { latitude_deg: lat, longitude_deg: lon } of this.answer.places) {
      if (greatCircleKm(best, [lat, lon]) <= 1.5 * widest) bounds.extend([lat, unwrap(lon, best[1])]);
    }
    const parallelDeg = Math.min(HIGHEST_PARALLEL_DEG, Math.abs(best[0]));
    this.view(bounds, parallelDeg, { padding: [24, 24] });
  }
}

/** The legend's items for an answer: circles first, then the classes of heat. */
export function legendItems(answer, { heat, cellDeg }) {
  const circles = answer.radii.map(({ level, km }) => ({
    mark: level <= 0.5 ? 'swatch circle-inner' : 'swatch circle-outer',
    words: `${percent(level)} within ${kilometres(km)}`,
  }));
  const title = answer.heat ? `Heat: share of all probability in a cell of ${cellDeg}°, at least` : '';
  const classes = HEAT_CLASSES.map(({ label }, index) => ({ mark: `swatch heat-${index}`, words: label }));
  return { circles, title, classes: heat && answer.heat ? classes : [] };
}
