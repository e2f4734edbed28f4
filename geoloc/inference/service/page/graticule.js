// The degrees of the graticule, written along the left and lower edge of the map.
/* global L */

import { graticuleStep } from './ground.js';

export const GraticuleLabels = L.Layer.extend({
  onAdd(map) {
    this.box = L.DomUtil.create('div', 'degrees', map.getContainer());
    this.box.setAttribute('aria-hidden', 'true');
    map.on('move zoom resize viewreset', this.refresh, this);
    this.refresh();
  },

  onRemove(map) {
    map.off('move zoom resize viewreset', this.refresh, this);
    this.box.remove();
  },

  refresh() {
    const map = this._map;
    const size = map.getSize();
    const [topLeft, bottomRight] = [[0, 0], [size.x, size.y]].map((point) =>
      map.containerPointToLatLng(point),
    );
    const step = graticuleStep(size.x / (bottomRight.lng - topLeft.lng));
    const labels = [];
    for (let i = Math.ceil(topLeft.lng / step); i * step <= bottomRight.lng; i += 1) {
      const lon = i * step - 360 * Math.round((i * step) / 360);
      const at = map.latLngToContainerPoint([0, i * step]).x;
      const room = at > 140 && at < size.x - 24;
      if (room) labels.push(this.label(degrees(lon, 'E', 'W', 180), at, size.y - 8, 'lon'));
    }
    const south = Math.max(-89.9, bottomRight.lat);
    for (let i = Math.ceil(south / step); i * step <= Math.min(89.9, topLeft.lat); i += 1) {
      const at = map.latLngToContainerPoint([i * step, 0]).y;
      const room = at > 110 && at < size.y - 40;
      if (room) labels.push(this.label(degrees(i * step, 'N', 'S', 90), 4, at, 'lat'));
    }
    this.box.replaceChildren(...labels);
  },

  label(words, x, y, kind) {
    const label = L.DomUtil.create('span', kind);
    label.textContent = words;
    label.style.left = `${Math.round(x)}px`;
    label.style.top = `${Math.round(y)}px`;
    return label;
  },
});

/** "30° E", "0°", "180°". */
function degrees(value, positive, negative, half) {
  const size = Math.abs(Number(value.toFixed(1)));
  const side = size === 0 || size === half ? '' : `\u00a0${value > 0 ? positive : negative}`;
  return `${size}°${side}`;
}
