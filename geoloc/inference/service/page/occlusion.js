// The shown picture, and over it which of its parts moved the answer.

import { ready } from './sending.js';
import { explain, ServiceError } from './service.js';
import { occlusionInWords } from './words.js';

const byId = (id) => document.getElementById(id);
const LEAST_EFFECT = 0.15;

/** The picture beside the answer. */
export class Occlusion {
  constructor() {
    this.picture = null;
    byId('explain').addEventListener('click', () => this.toggle());
  }

  /** Show a picture or none; the button is there where the service explains answers. */
  show(picture, service) {
    if (picture !== this.picture) this.hide();
    this.picture = picture;
    byId('picture').hidden = !picture;
    if (picture && byId('preview').src !== picture.address) {
      byId('preview').src = picture.address;
      byId('preview').alt = `The picture ${picture.name}`;
    }
    byId('explain-row').hidden = !(service?.explain && picture?.answer && !picture.answer.abstain && picture.together === 1);
  }

  hide() {
    byId('occlusion').hidden = true;
    byId('explained').textContent = '';
    byId('explain').setAttribute('aria-pressed', 'false');
  }

  async toggle() {
    const button = byId('explain');
    if (button.getAttribute('aria-pressed') === 'true') {
      this.hide();
      return;
    }
    const picture = this.picture;
    button.disabled = true;
    byId('explained').textContent = 'Asking with one part after another covered …';
    try {
      const image = await ready(picture, 'picture-1');
      picture.map ??= await explain(image, { onWait: () => {} });
      if (picture === this.picture) this.draw(picture.map);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      byId('explained').textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }

  draw(map) {
    byId('explained').textContent = occlusionInWords(map);
    byId('explain').setAttribute('aria-pressed', 'true');
    byId('occlusion').hidden = !map.reliable;
    if (map.reliable) paint(byId('occlusion'), byId('preview'), map);
  }
}

/** The effects over what the model sees of the picture; the rest is dimmed. */
function paint(canvas, image, { effect, seen, cells }) {
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const pen = canvas.getContext('2d');
  const [left, top, right, bottom] = seen;
  const box = [left * canvas.width, top * canvas.height];
  const size = [(right - left) * canvas.width, (bottom - top) * canvas.height];
  pen.fillStyle = 'rgba(34, 40, 46, 0.55)';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.clearRect(...box, ...size);
  const small = document.createElement('canvas');
  small.width = cells;
  small.height = cells;
  const pixels = small.getContext('2d').createImageData(cells, cells);
  const most = Math.max(...effect.flat());
  effect.flat().forEach((value, index) => {
    const strength = Math.max(0, value / most - LEAST_EFFECT) / (1 - LEAST_EFFECT);
    pixels.data.set([255, 140, 0, 200 * strength], 4 * index);
  });
  small.getContext('2d').putImageData(pixels, 0, 0);
  pen.imageSmoothingEnabled = true;
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(small, ...box, ...size);
}
