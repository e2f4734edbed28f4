// What leaves the device of a chosen picture: the file without its notes, under a name that says
// nothing.

import { knownFormat, withoutNotes } from './notes.js';
import { ServiceError } from './service.js';

/** `{ blob, name }` of a picture; a ServiceError where its notes cannot be taken out. */
export async function ready(picture, name) {
  try {
    const bytes = new Uint8Array(await picture.file.arrayBuffer());
    const format = knownFormat(bytes);
    const type = format ? `image/${format}` : picture.file.type;
    return { blob: new Blob([withoutNotes(bytes)], { type }), name };
  } catch (error) {
    if (error instanceof RangeError) {
      throw new ServiceError(422, 'This image is damaged. It was not sent.');
    }
    // the file has moved, or it was a folder
    if (error instanceof DOMException) throw new ServiceError(422, 'This file cannot be read.');
    throw error;
  }
}
