// An answer in words: headline, places, countries, and what it rests on.

import { coordinates, headline, kilometres, nearCity, percent, placeTitle, trust } from './words.js';

const CARDS = ['places-card', 'more-card'];
const byId = (id) => document.getElementById(id);

/** Builds an element: its tag, its class, its text or children. */
function build(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/**
 * Show an answer to `together` pictures; `onChoose(rank)` is called when a place is chosen. `coarseKm`
 * is null where the service has not said how it rounds.
 */
export function showAnswer(answer, { coarseKm, onChoose, together }) {
  const { title, detail } = headline(answer);
  byId('headline').textContent = title;
  byId('detail').textContent = detail;
  const shared = together > 1 ? `From ${together} pictures together. ` : '';
  byId('trust').textContent = shared + (answer.abstain ? '' : trust(answer));
  byId('answer').classList.toggle('unsure', answer.abstain);
  byId('places-title').textContent = answer.abstain ? 'Guesses, best first' : 'Places, best first';
  byId('places').replaceChildren(
    ...answer.places.map((place) => placeRow(place, { coarseKm, onChoose })),
  );
  byId('coarse').hidden = coarseKm === 0;
  byId('coarse').textContent = coarseKm === null
    ? 'The service has not said whether it rounds its places: they may be coarse on purpose.'
    : `This service answers coarsely on purpose: places are rounded to cells of ${kilometres(coarseKm)}.`;
  showCountries(answer.countries);
  showBasis(answer);
  for (const id of CARDS) byId(id).hidden = false;
}

/** A row for what an evaluation of the run found. */
function measured({ split, images, median_km: km }) {
  const words = `half of ${images.toLocaleString('en')} images of “${split}” within ${kilometres(km)}`;
  return ['Measured', words];
}

/** No answer: `title` says why. */
export function showNothing(title, detail) {
  byId('headline').textContent = title;
  byId('detail').textContent = detail;
  byId('trust').textContent = '';
  byId('answer').classList.remove('unsure');
  for (const id of CARDS) byId(id).hidden = true;
}

/** Make one row of the list stand out; what the place is called. */
export function choosePlace(rank) {
  let name = '';
  for (const row of byId('places').children) {
    const chosen = row.dataset.rank === String(rank);
    const button = row.querySelector('.place-name');
    row.classList.toggle('chosen', chosen);
    if (chosen) {
      button.setAttribute('aria-current', 'true');
      row.scrollIntoView({ block: 'nearest' });
      name = button.textContent;
    } else {
      button.removeAttribute('aria-current');
    }
  }
  return name;
}

function placeRow(place, { coarseKm, onChoose }) {
  const digits = coarseKm === 0 ? 3 : 1;
  const at = coordinates(place.latitude_deg, place.longitude_deg, digits);
  const plain = `${place.latitude_deg.toFixed(digits)}, ${place.longitude_deg.toFixed(digits)}`;
  const show = build('button', 'place-name', placeTitle(place));
  show.type = 'button';
  show.addEventListener('click', () => onChoose(place.rank));
  const copy = build('button', 'copy', 'Copy');
  copy.type = 'button';
  copy.setAttribute('aria-label', `Copy the coordinates ${plain}`);
  copy.addEventListener('click', () => copyWords(plain, copy));
  const number = build('span', place.rank === 1 ? 'mark best' : 'mark', String(place.rank));
  number.setAttribute('aria-hidden', 'true');
  const near = nearCity(place, coarseKm);
  const row = build(
    'li', 'place', number,
    build(
      'div', 'place-words', show,
      ...(near ? [build('span', 'faint small', near)] : []),
      build('span', 'faint small', at, ' ', copy),
    ),
    build('span', 'share', percent(place.probability)),
  );
  row.dataset.rank = String(place.rank);
  return row;
}

async function copyWords(words, button) {
  try {
    await navigator.clipboard.writeText(words);
    button.textContent = 'Copied';
    byId('status').textContent = `Copied ${words}`;
  } catch {
    // without https browsers keep the clipboard shut: the words can still be selected
    button.textContent = words;
  }
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 2500);
}

function showCountries(countries) {
  byId('countries-block').hidden = countries.length === 0;
  byId('countries').replaceChildren(
    ...countries.filter(({ probability }, index) => index < 1 || probability >= 0.005).slice(0, 6)
      .map(({ code, name, probability }) => {
        const fill = build('span', 'fill');
        fill.style.width = `${Math.max(0.5, 100 * probability)}%`;
        const bar = build('span', 'bar', fill);
        bar.setAttribute('aria-hidden', 'true');
        const words = code === null ? 'At sea' : name;
        return build('li', '', build('span', 'label', words), bar, build('span', 'share', percent(probability)));
      }),
  );
}

function showBasis({ basis, apart_km: apartKm }) {
  const rows = [
    ['Model', [basis.run, `fingerprint ${basis.model.slice(0, 12)}`].filter(Boolean).join(', ')],
    ['Trained', basis.trained?.slice(0, 10)],
    ['Compared with', `${basis.gallery_places.toLocaleString('en')} places (${basis.gallery})`],
    ['Place chosen by', basis.decoding],
    ['Shares', basis.protocol],
    ...(basis.measured ?? []).map(measured),
    ['Places apart', `at least ${kilometres(apartKm)}`],
    ['geoloc', basis.version],
  ];
  byId('basis').replaceChildren(
    ...rows.filter(([, words]) => words).flatMap(([name, words]) => [build('dt', '', name), build('dd', '', words)]),
  );
}
