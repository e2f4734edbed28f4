// Numbers and places in words.

/** A share of 1 as percent: "42 %", "0.3 %", "< 0.1 %". */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return '<\u00a00.1\u00a0%';
  if (value > 99.5 && value < 100) return '>\u00a099\u00a0%';
  return `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)}\u00a0%`;
}

/** A distance, rounded to two digits that mean something: "0.8 km", "45 km", "1,200 km". */
export function kilometres(km) {
  if (km < 1) return `${Number(km.toFixed(1))}\u00a0km`;
  const step = km < 10 ? 1 : 10 ** (Math.floor(Math.log10(km)) - 1);
  return `${(Math.round(km / step) * step).toLocaleString('en')}\u00a0km`;
}

/** "45.76° N, 4.84° E"; fewer digits where the service rounds places. */
export function coordinates(latDeg, lonDeg, digits) {
  // spaces that do not break
  const lat = `${Math.abs(latDeg).toFixed(digits)}°\u00a0${latDeg < 0 ? 'S' : 'N'}`;
  return `${lat}, ${Math.abs(lonDeg).toFixed(digits)}°\u00a0${lonDeg < 0 ? 'W' : 'E'}`;
}

/** Region and country of a place: "Rhône, France", or "At sea". */
export function placeTitle({ region, country }) {
  const parts = [region, country].filter((part, index, all) => part && all.indexOf(part) === index);
  return parts.length > 0 ? parts.join(', ') : 'At sea';
}

/** By its nearest city: "near Lyon", "67 km from Jima"; within what the service rounds to is near. */
export function nearCity({ city, city_km: km }, coarseKm) {
  if (!city) return '';
  if (km <= Math.max(10, coarseKm)) return `near ${city}`;
  return `${kilometres(km)} from ${city}`;
}

/** The headline of an answer, and the sentence under it. */
export function headline(answer) {
  const [best] = answer.places;
  const [half, most] = [radiusAt(answer, 0.5), radiusAt(answer, 0.9)];
  const spot = spotOf(best, half?.km ?? Infinity);
  if (answer.abstain) {
    return { title: 'The model does not know where this was taken.', detail: whyNot(answer) };
  }
  if (!half) return { title: `Most likely ${spot}`, detail: '' };
  const wide = most ? `, within ${kilometres(most.km)} with 90\u00a0%` : '';
  return {
    title: `Most likely within ${kilometres(half.km)} of ${spot}`,
    detail: `That close with 50\u00a0%${wide}.`,
  };
}

function radiusAt(answer, level) {
  return answer.radii.find((radius) => Math.abs(radius.level - level) < 1e-6);
}

function spotOf(place, radiusKm) {
  const { city, city_km: km } = place;
  const land = placeTitle(place);
  if (city && km <= Math.max(25, radiusKm / 3)) {
    return place.country ? `${city}, ${place.country}` : city;
  }
  return land === 'At sea' ? 'a place at sea' : `a place in ${land}`;
}

function whyNot(answer) {
  const reasons = {
    flat_posterior: 'More than half of its probability lies over 2,500 km from its best guess.',
    unfamiliar:
      'It fits no place as well as 95 % of the images that the model was checked on: it may be from a region that the model has never seen.',
    not_a_photograph:
      'This does not look like a photograph: more like a drawing, a screen, noise or a plain surface.',
  };
  const told = answer.doubts.map((doubt) => reasons[doubt] ?? doubt);
  return [...told, 'Below is what it would guess, for what that is worth.'].join(' ');
}

/** What kind of trust the circles deserve. */
export function trust(answer) {
  if (answer.radii.length === 0) return '';
  return answer.radii.every((radius) => radius.calibrated)
    ? 'The circles were checked on images whose places are known.'
    : 'The circles are the model’s own estimate; nobody has checked them against known places.';
}

/** What an occlusion map says, or that nothing can be read from it. */
export function occlusionInWords(map) {
  if (!map.reliable) {
    return (
      'No part of the picture can be named: covering its parts in two ways gives two different ' +
      'maps, so that either would be mostly noise.'
    );
  }
  const before = map.near_probability;
  const [row, column] = map.strongest;
  const after = before * Math.exp(-map.effect[row][column]);
  return (
    `The marked parts speak for the answer. With the strongest of them covered, the probability ` +
    `within ${kilometres(map.near_km)} of it falls from ${percent(before)} to ${percent(after)}.`
  );
}
