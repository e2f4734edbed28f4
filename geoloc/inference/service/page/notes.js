// Takes the notes out of an image file (EXIF with its GPS position, XMP, IPTC, C2PA, comments, what
// is appended behind the image) without touching a pixel. What stays is what drawing the image takes,
// by lists of it, and which way up it is.

// Frames, tables and scans; of applications' segments see keptApplication.
const KEPT_JPEG = new Set([
  0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf,
  0xda, 0xdb, 0xdc, 0xdd,
]);
const [JFIF_BYTES, ADOBE_BYTES] = [18, 16];
// With the most bytes that each may have.
const KEPT_PNG = new Map([
  ['IHDR', 13], ['PLTE', 768], ['IDAT', Infinity], ['IEND', 0], ['tRNS', 256], ['gAMA', 4],
  ['cHRM', 32], ['sRGB', 1], ['sBIT', 4], ['cICP', 4], ['iCCP', Infinity],
]);
const KEPT_WEBP = new Set(['VP8X', 'VP8 ', 'VP8L', 'ALPH', 'ICCP', 'ANIM']);
const FRAME_HEAD_BYTES = 16;
const EXIF_FLAG = 0x08;
const XMP_FLAG = 0x04;

/** Whether notes can be taken out of such a file: JPEG, PNG and WebP, by their first bytes. */
export function knownFormat(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 'jpeg';
  if (text(bytes, 1, 3) === 'PNG' && bytes[0] === 0x89) return 'png';
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 4) === 'WEBP') return 'webp';
  return null;
}

/** The name of a format whose notes cannot be taken out, or '' where the file is of none of them. */
export function otherFormat(bytes) {
  const brand = text(bytes, 4, 4) === 'ftyp' ? text(bytes, 8, 4) : '';
  if (brand.startsWith('avi')) return 'AVIF';
  if (/^(he|hevc|mif1|msf1)/.test(brand)) return 'HEIC';
  if (text(bytes, 0, 4) === 'GIF8') return 'GIF';
  if (text(bytes, 0, 2) === 'BM') return 'BMP';
  return ['II*\0', 'MM\0*'].includes(text(bytes, 0, 4)) ? 'TIFF' : '';
}

/**
 * The file without notes, null for one of another format. Throws a RangeError where the file's parts
 * do not fit together: nothing can be promised of such a file.
 */
export function withoutNotes(bytes) {
  const format = knownFormat(bytes);
  if (format === 'jpeg') return join(jpegParts(bytes));
  if (format === 'png') return join(pngParts(bytes));
  if (format === 'webp') return webpFile(bytes);
  return null;
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
    // markers without a segment
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2;
      continue;
    }
    const end = at + 2 + number(bytes, at + 2, 2);
    if (end > bytes.length || end < at + 4) throw new RangeError('a segment of impossible length');
    const turned = marker === 0xe1 ? orientation(bytes.subarray(at + 4, end)) : 1;
    if (turned > 1) parts.push(jpegOrientation(turned));
    const segment = bytes.subarray(at, end);
    if (KEPT_JPEG.has(marker)) parts.push(segment);
    else parts.push(keptApplication(marker, segment));
    at = end;
    if (marker === 0xda) {
      at = scanEnd(bytes, end);
      parts.push(bytes.subarray(end, at));
    }
  }
  throw new RangeError('the image breaks off before its end');
}

/** What is kept of an application's segment: how colours are stored, JFIF without its thumbnail. */
function keptApplication(marker, segment) {
  if (marker === 0xe2 && text(segment, 4, 12) === 'ICC_PROFILE\0') return segment;
  if (marker === 0xee && text(segment, 4, 5) === 'Adobe') return beginning(segment, ADOBE_BYTES);
  if (marker !== 0xe0 || text(segment, 4, 5) !== 'JFIF\0') return new Uint8Array();
  const head = beginning(segment, JFIF_BYTES);
  head.set([0, 0], JFIF_BYTES - 2);
  return head;
}

/** A segment cut to its first bytes, below 256. */
function beginning(segment, count) {
  if (segment.length < count) throw new RangeError('a segment is too short');
  const head = segment.slice(0, count);
  head.set([0, count - 2], 2);
  return head;
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
    if (KEPT_PNG.has(kind)) {
      if (end - at - 12 > KEPT_PNG.get(kind)) throw new RangeError('a chunk is too long');
      parts.push(bytes.subarray(at, end));
    }
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
  const { parts, turned } = webpParts(bytes.subarray(12, whole));
  const exif = tiffOrientation(turned);
  if (turned > 1) parts.push(join([ascii('EXIF'), new Uint8Array([exif.length, 0, 0, 0]), exif]));
  if (text(parts[0] ?? [], 0, 4) === 'VP8X') {
    parts[0][8] = (parts[0][8] & ~(EXIF_FLAG | XMP_FLAG)) | (turned > 1 ? EXIF_FLAG : 0);
  }
  const body = join([ascii('WEBP'), ...parts]);
  return join([ascii('RIFF'), bigEndian(body.length).reverse(), body]);
}

/** The chunks that are kept, those within an animation's frames too, and how the image is turned. */
function webpParts(bytes) {
  const parts = [];
  let turned = 1;
  for (let at = 0; at + 8 <= bytes.length; ) {
    const kind = text(bytes, at, 4);
    const size = littleEndian(bytes, at + 4);
    const end = at + 8 + size + (size % 2);
    if (end > bytes.length) throw new RangeError('a chunk runs past the end');
    const data = bytes.subarray(at + 8, at + 8 + size);
    if (kind === 'EXIF') turned = orientation(data);
    else if (kind === 'ANMF') parts.push(webpFrame(data));
    else if (KEPT_WEBP.has(kind)) parts.push(bytes.slice(at, end));
    at = end;
  }
  return { parts, turned };
}

function webpFrame(data) {
  const { parts } = webpParts(data.subarray(FRAME_HEAD_BYTES));
  const body = join([data.subarray(0, FRAME_HEAD_BYTES), ...parts]);
  return join([ascii('ANMF'), bigEndian(body.length).reverse(), body]);
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
