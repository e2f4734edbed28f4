// Talks to the service that served the page, and to nobody else; failures come back in plain words.

const KEY = 'geoloc-api-key';
const MOST_RETRIES = 3;
const LONGEST_WAIT_S = 30;

/**
 * A request that was not answered, in plain words; `detail` is what the service said. `status` is 0
 * where it could not be reached.
 */
export class ServiceError extends Error {
  constructor(status, message, detail = '') {
    super(message);
    this.status = status;
    this.detail = detail;
  }
}

/** The API key of this tab; gone when the tab is closed. */
export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  set: (key) => sessionStorage.setItem(KEY, key),
};

/** What the service says of itself. */
export async function about() {
  return request('v1/about', { method: 'GET' });
}

/** The document of answers to some images, `[{ blob, name }]`; refusals are part of it. */
export async function locate(images, { together, onWait }) {
  const form = new FormData();
  for (const { blob, name } of images) form.append('image', blob, name);
  form.append('top_k', '5');
  form.append('heat', 'true');
  form.append('together', String(together));
  const document = await request('v1/locate', { method: 'POST', body: form }, onWait);
  if (Array.isArray(document.answers) && Array.isArray(document.refusals)) return document;
  throw new ServiceError(502, WORDS[502]);
}

/** The occlusion map of one image. */
export async function explain({ blob, name }, { onWait }) {
  const form = new FormData();
  form.append('image', blob, name);
  return request('v1/explain', { method: 'POST', body: form }, onWait);
}

async function request(path, options, onWait = () => {}) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await send(path, options);
    const document = await response.json().catch(() => null);
    if (response.ok && document) return document;
    if (response.ok) throw new ServiceError(502, WORDS[502]);
    // all images refused: the document says why of each
    if (response.status === 422 && document?.refusals) return document;
    const seconds = Number(response.headers.get('Retry-After') ?? NaN);
    const again = response.status === 503 && attempt < MOST_RETRIES && seconds <= LONGEST_WAIT_S;
    if (!again) throw failure(response.status, document);
    onWait(seconds);
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(1, seconds)));
  }
}

async function send(path, options) {
  const key = apiKey.get();
  // no header may carry anything else, and no service has such a key
  if (!/^[\x20-\x7e]*$/.test(key)) throw new ServiceError(401, WORDS[401]);
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  try {
    return await fetch(path, { ...options, headers, credentials: 'omit', cache: 'no-store' });
  } catch {
    throw new ServiceError(0, 'The service cannot be reached. Is it running, and are you connected?');
  }
}

const WORDS = {
  400: 'The service did not understand the request.',
  401: 'The service asks for an API key.',
  404: 'This service does not offer that.',
  408: 'The upload took too long. Try a smaller image or a better connection.',
  413: 'That is too much for one request. Send smaller images, or fewer at once.',
  415: 'The service does not take files of this type.',
  422: 'The service could not read any of these images.',
  429: 'Too many requests. Wait a little and ask again.',
  500: 'Something broke in the service. Nothing of your image was kept.',
  501: 'This service’s model cannot do that.',
  502: 'The service sent something that is no answer. Is there another program in between?',
  503: 'The service is busy. Ask again in a moment.',
  504: 'The answer took too long and was given up. Ask again in a moment.',
};

function failure(status, document) {
  const told = document?.error?.message;
  const plain = WORDS[status] ?? `The service answered with status ${status}.`;
  return new ServiceError(status, plain, told ? `The service says: ${told}.` : '');
}

const REFUSALS = {
  not_an_image: 'This is not an image of a format that can be read (JPEG, PNG, WebP, BMP, TIFF, GIF).',
  too_large: 'This image has too many pixels.',
  file_too_large: 'This file is too large.',
  truncated: 'This image breaks off before its end. Was it copied completely?',
  corrupt: 'This image is damaged.',
  empty: 'This file is empty.',
};

/** Why one image was refused. */
export function refusalInWords({ kind, message }) {
  return REFUSALS[kind] ?? message;
}
