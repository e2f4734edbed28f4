// Takes the notes out of an image file (EXIF with its GPS position, XMP, IPTC, comments, what is
// appended behind the image) without touching a pixel. Only which way up the image is stays.

const KEPT_JPEG = new Set([0xe0, 0xee]); // JFIF; Adobe, which says how colours are stored
const DROPPED_PNG = new Set(['tEXt', 'zTXt', 'iTXt', 'tIME', 'eXIf']);
const EXIF_FLAG = 0x08;
const XMP_FLAG = 0x04;

/** Whether notes can be taken out of such a file: JPEG, PNG and WebP, by their first bytes. */
export function knownFormat(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 'jpeg';
  if (text(bytes, 1, 3) === 'PNG' && bytes[0] === 0x89) return 'png';
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 4) === 'WEBP') return 'webp';
  return null;
}

/**
 * The file without notes; files of other formats come back as they are. Throws a RangeError where
 * the file's parts do not fit together: nothing can be promised of such a file.
 */
export function withoutNotes(bytes) {
  const format = knownFormat(bytes);
  if (format === 'jpeg') return join(jpegParts(bytes));
  if (format === 'png') return join(pngParts(bytes));
  if (format === 'webp') return webpFile(bytes);
  return bytes;
}

function jpegParts(bytes) {
  const parts = [bytes.subarray(0, 2)];
  let at = 2;
  while (at < bytes.length) {
    if (bytes[at] !== 0xff) throw new RangeError('no marker where one must be');
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xd9) return [...parts, bytes.subarray(at, at + 2)];
    const end = at + 2 + number(bytes, at + 2, 2);
    if (end > bytes.length) throw new RangeError('a segment runs past the end');
    const turned = marker === 0xe1 ? orientation(bytes.subarray(at + 4, end)) : 1;
    if (turned > 1) parts.push(jpegOrientation(turned));
    const application = marker >= 0xe0 && marker <= 0xef;
    const profile = marker === 0xe2 && text(bytes, at + 4, 11) === 'ICC_PROFILE';
    const kept = application ? KEPT_JPEG.has(marker) || profile : marker !== 0xfe;
    if (kept) parts.push(bytes.subarray(at, end));
    at = end;
    if (marker === 0xda) {
      at = scanEnd(bytes, end);
      parts.push(bytes.subarray(end, at));
    }
  }
  return parts;
}

/** Where coded pixels end: at a marker that is neither a stuffed zero nor a restart. */
function scanEnd(bytes, start) {
  for (let at = start; at < bytes.length - 1; at += 1) {
    const next = bytes[at + 1];
    if (bytes[at] === 0xff && next !== 0 && next !== 0xff && !(next >= 0xd0 && next <= 0xd7)) {
      return at;
    }
  }
  return bytes.length;
}

function jpegOrientation(turned) {
  const exif = join([ascii('Exif\0\0'), tiffOrientation(turned)]);
  return join([new Uint8Array([0xff, 0xe1, 0, exif.length + 2]), exif]);
}

function pngParts(bytes) {
  const parts = [bytes.subarray(0, 8)];
  let at = 8;
  while (at < bytes.length) {
    const end = at + 12 + number(bytes, at, 4);
    if (end > bytes.length) throw new RangeError('a chunk runs past the end');
    const kind = text(bytes, at + 4, 4);
    const turned = kind === 'eXIf' ? orientation(bytes.subarray(at + 8, end - 4)) : 1;
    if (turned > 1) parts.push(pngChunk('eXIf', tiffOrientation(turned)));
    if (!DROPPED_PNG.has(kind)) parts.push(bytes.subarray(at, end));
    if (kind === 'IEND') return parts;
    at = end;
  }
  throw new RangeError('the image breaks off before its end');
}

function pngChunk(kind, data) {
  const body = join([ascii(kind), data]);
  return join([bigEndian(data.length), body, bigEndian(crc32(body))]);
}

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function webpFile(bytes) {
  const whole = 8 + littleEndian(bytes, 4);
  if (whole > bytes.length) throw new RangeError('the image breaks off before its end');
  const parts = [];
  let turned = 1;
  for (let at = 12; at + 8 <= whole; ) {
    const kind = text(bytes, at, 4);
    const size = littleEndian(bytes, at + 4);
    const end = at + 8 + size + (size % 2);
    if (end > whole) throw new RangeError('a chunk runs past the end');
    if (kind === 'EXIF') turned = orientation(bytes.subarray(at + 8, at + 8 + size));
    else if (kind !== 'XMP ') parts.push(bytes.slice(at, end));
    at = end;
  }
  const exif = tiffOrientation(turned);
  if (turned > 1) parts.push(join([ascii('EXIF'), new Uint8Array([exif.length, 0, 0, 0]), exif]));
  if (text(parts[0] ?? [], 0, 4) === 'VP8X') {
    parts[0][8] = (parts[0][8] & ~(EXIF_FLAG | XMP_FLAG)) | (turned > 1 ? EXIF_FLAG : 0);
  }
  const body = join([ascii('WEBP'), ...parts]);
  const size = bigEndian(body.length).reverse();
  return join([ascii('RIFF'), size, body]);
}

/** EXIF's orientation (1 to 8; 1 where it is missing or the notes cannot be read). */
export function orientation(exif) {
  const start = text(exif, 0, 4) === 'Exif' ? 6 : 0;
  const order = text(exif, start, 2);
  if (order !== 'II' && order !== 'MM') return 1;
  const view = new DataView(exif.buffer, exif.byteOffset + start, exif.length - start);
  const little = order === 'II';
  try {
    const directory = view.getUint32(4, little);
    const count = view.getUint16(directory, little);
    for (let entry = directory + 2; entry < directory + 2 + 12 * count; entry += 12) {
      if (view.getUint16(entry, little) !== 0x0112) continue;
      const value = view.getUint16(entry + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

/** A TIFF directory that holds nothing but the orientation. */
function tiffOrientation(turned) {
  const head = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1];
  return new Uint8Array([...head, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, turned, 0, 0, 0, 0, 0, 0]);
}

function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function text(bytes, at, count) {
  return String.fromCharCode(...bytes.slice(at, at + count));
}

function ascii(words) {
  return Uint8Array.from(words, (letter) => letter.charCodeAt(0));
}

function number(bytes, at, count) {
  let value = 0;
  for (let i = 0; i < count; i += 1) value = value * 256 + (bytes[at + i] ?? NaN);
  if (Number.isNaN(value)) throw new RangeError('the file breaks off');
  return value;
}

function bigEndian(value) {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value].map((part) => part & 255));
}

function littleEndian(bytes, at) {
  return number(bytes.slice(at, at + 4).reverse(), 0, 4);
}
