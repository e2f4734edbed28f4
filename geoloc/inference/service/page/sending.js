// What leaves the device of a chosen picture: the file without its notes, under a name that says
// nothing.

import { knownFormat, otherFormat, withoutNotes } from './notes.js';
import { ServiceError } from './service.js';

/** `{ blob, name }` of a picture; a ServiceError where its notes cannot be taken out: nothing is sent. */
export async function ready(picture, name) {
  try {
    const bytes = new Uint8Array(await picture.file.arrayBuffer());
    const format = knownFormat(bytes);
    if (!format) throw new ServiceError(422, whyNot(bytes));
    return { blob: new Blob([withoutNotes(bytes)], { type: `image/${format}` }), name };
  } catch (error) {
    if (error instanceof RangeError) {
      throw new ServiceError(422, 'This image is damaged. It was not sent.');
    }
    // the file has moved, or it was a folder
    if (error instanceof DOMException) throw new ServiceError(422, 'This file cannot be read.');
    throw error;
  }
}

function whyNot(bytes) {
  if (bytes.length === 0) return 'This file is empty.';
  const format = otherFormat(bytes);
  if (!format) return 'This is not an image that the page knows (JPEG, PNG, WebP). It was not sent.';
  return (
    `This is a ${format} image, whose notes (such as its GPS position) the page cannot take out. ` +
    'It was not sent. Save it as JPEG and choose that.'
  );
}
