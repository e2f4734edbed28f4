// The chosen pictures: a list of thumbnails with a state each, of which one is shown.

const STATES = {
  chosen: '',
  sending: 'asking …',
  answered: 'answered',
  unsure: 'not known',
  refused: 'not answered',
};

/** The list in `list`; `onShow(picture)` and `onRemove(picture)` are called by its buttons. */
export class Pictures {
  constructor(list, { onShow, onRemove }) {
    this.list = list;
    this.onShow = onShow;
    this.onRemove = onRemove;
    this.items = [];
    this.shown = null;
  }

  add(files) {
    const added = files.map((file, index) => ({
      file,
      name: file.name || `pasted picture ${this.items.length + index + 1}`,
      address: URL.createObjectURL(file),
      state: 'chosen',
      message: '',
      answer: null,
    }));
    for (const picture of added) {
      picture.row = this.buildRow(picture);
      this.items.push(picture);
      this.list.append(picture.row);
    }
    return added;
  }

  remove(picture) {
    URL.revokeObjectURL(picture.address);
    picture.row.remove();
    this.items = this.items.filter((other) => other !== picture);
    if (this.shown === picture) this.shown = null;
  }

  setState(picture, state, message = '', detail = '') {
    picture.state = state;
    picture.message = message;
    picture.detail = detail;
    picture.row.dataset.state = state;
    picture.row.querySelector('.state').textContent = message || STATES[state];
  }

  show(picture) {
    this.shown = picture;
    for (const { row } of this.items) {
      const button = row.querySelector('.show');
      if (picture && row === picture.row) button.setAttribute('aria-current', 'true');
      else button.removeAttribute('aria-current');
    }
  }

  buildRow(picture) {
    const row = document.createElement('li');
    row.dataset.state = picture.state;
    const show = document.createElement('button');
    show.type = 'button';
    show.className = 'show';
    const image = document.createElement('img');
    image.alt = '';
    image.src = picture.address;
    // what the browser cannot draw may still be a picture that the service can read
    image.addEventListener('error', () => image.classList.add('unknown'));
    const words = document.createElement('span');
    words.className = 'words';
    const name = document.createElement('span');
    name.className = 'name';
    name.textContent = picture.name;
    const state = document.createElement('span');
    state.className = 'state';
    words.append(name, state);
    show.append(image, words);
    show.addEventListener('click', () => this.onShow(picture));
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'remove';
    remove.setAttribute('aria-label', `Remove ${picture.name}`);
    remove.textContent = '×';
    remove.addEventListener('click', () => this.onRemove(picture));
    row.append(show, remove);
    return row;
  }
}
