// The page: pictures are chosen, asked about one after another or together, and shown.

import { choosePlace, showAnswer, showNothing } from './answer_view.js';
import { takeDrops } from './dropping.js';
import { decodeLand } from './ground.js';
import { Occlusion } from './occlusion.js';
import { Pictures } from './pictures.js';
import { ready } from './sending.js';
import { about, apiKey, locate, refusalInWords, ServiceError } from './service.js';
import { headline } from './words.js';
import { legendItems, WorldMap } from './world_map.js';

const AT_ONCE = 2;
const byId = (id) => document.getElementById(id);
const state = { service: null, map: null, asking: false, answer: null };
const pictures = new Pictures(byId('pictures'), { onShow: show, onRemove: remove });
const occlusion = new Occlusion();

function say(words) {
  byId('status').textContent = words;
}

function notice(words) {
  byId('notice').textContent = words;
  byId('notice').hidden = words === '';
}

// ---- choosing

function choose(files) {
  if (files.length === 0) return;
  notice('');
  const added = pictures.add([...files]);
  refreshActions();
  if (!pictures.shown) show(added[0]);
  const count = pictures.items.length;
  say(`${added.length} added, ${count} ${count === 1 ? 'picture' : 'pictures'} chosen.`);
  byId('go').focus();
}

function remove(picture) {
  const index = pictures.items.indexOf(picture);
  pictures.remove(picture);
  refreshActions();
  const next = pictures.items[Math.min(index, pictures.items.length - 1)] ?? null;
  show(pictures.shown ?? next);
  (next ? next.row.querySelector('.remove') : byId('files')).focus();
  say(`${picture.name} removed.`);
}

function clear() {
  for (const picture of [...pictures.items]) pictures.remove(picture);
  refreshActions();
  show(null);
  notice('');
  byId('files').focus();
  say('All pictures removed.');
}

function refreshActions() {
  const count = pictures.items.length;
  byId('actions').hidden = count === 0;
  byId('together-row').hidden = count < 2;
  if (count < 2) byId('together').checked = false;
  byId('go').disabled = state.asking;
  byId('clear').disabled = state.asking;
  byId('go').textContent = state.asking ? 'Asking …' : 'Ask where';
}

// ---- asking

async function ask() {
  if (state.asking || pictures.items.length === 0) return;
  state.asking = true;
  refreshActions();
  notice('');
  const together = byId('together').checked;
  const asked = pictures.items.filter(
    ({ state: own, together: was }) => together || (own !== 'answered' && own !== 'unsure') || was > 1,
  );
  const open = asked.length > 0 ? asked : [...pictures.items];
  say(`Asking about ${open.length} ${open.length === 1 ? 'picture' : 'pictures'}.`);
  try {
    // what it was not told at first it may be told now; only then can answers be called coarse
    if (!state.service) await learnService();
    if (together) await askTogether(open);
    else await askEach(open);
  } finally {
    state.asking = false;
    refreshActions();
  }
  if (!byId('key-form').hidden) {
    byId('key').focus();
    return;
  }
  // those that were not removed meanwhile
  const there = open.filter((picture) => pictures.items.includes(picture));
  if (there.length === 0) return;
  const first = there.find(({ answer }) => answer) ?? there[0];
  show(pictures.shown && there.includes(pictures.shown) && pictures.shown.answer ? pictures.shown : first);
  announce(there);
  byId('answer').focus({ preventScroll: true });
  byId('answer').scrollIntoView({ block: 'nearest' });
}

async function askEach(open) {
  const waiting = [...open];
  const work = async () => {
    for (let picture = waiting.shift(); picture; picture = waiting.shift()) {
      const stop = pictures.items.includes(picture) && (await askAbout([picture], false));
      if (stop) waiting.length = 0;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function askTogether(open) {
  await askAbout(open, true);
}

/** Asks about some pictures in one request; true where asking on is of no use. */
async function askAbout(asked, together) {
  for (const picture of asked) {
    picture.answer = null;
    pictures.setState(picture, 'sending');
  }
  try {
    const images = await Promise.all(asked.map((picture, index) => ready(picture, nameOf(index))));
    const onWait = (seconds) => {
      for (const picture of asked) {
        pictures.setState(picture, 'sending', `the service is busy, trying again in ${seconds} s …`);
      }
    };
    const document = await locate(images, { together, onWait });
    settle(asked, document, together);
    return false;
  } catch (error) {
    if (!(error instanceof ServiceError)) {
      for (const picture of asked) pictures.setState(picture, 'refused', 'Something broke in this page.');
      throw error;
    }
    for (const picture of asked) pictures.setState(picture, 'refused', error.message, error.detail);
    if (error.status === 401) askForKey();
    else if (error.status === 0 || error.status >= 500) notice(error.message);
    return error.status === 401 || error.status === 0;
  }
}

function settle(asked, document, together) {
  const refused = new Map(document.refusals.map((refusal) => [refusal.source, refusal]));
  asked.forEach((picture, index) => {
    const refusal = refused.get(nameOf(index));
    const answer = refusal ? null : document.answers[0] ?? null;
    picture.answer = answer;
    picture.together = together ? asked.length - refused.size : 1;
    if (answer) pictures.setState(picture, answer.abstain ? 'unsure' : 'answered');
    else pictures.setState(picture, 'refused', refusal ? refusalInWords(refusal) : '');
  });
}

/** What a picture is called on its way; its own name may say more than the picture does. */
function nameOf(index) {
  return `picture-${index + 1}`;
}

function announce(open) {
  const answered = open.filter(({ answer }) => answer);
  const refused = open.length - answered.length;
  const missing = refused > 0 ? ` ${refused} not answered.` : '';
  if (answered.length === 0) say(`No answer.${missing}`);
  else say(`${headline(answered[0].answer).title}.${missing}`);
}

function askForKey() {
  const form = byId('key-form');
  const known = apiKey.get() !== '';
  form.hidden = false;
  notice(known ? 'The service does not know this API key.' : '');
}

// ---- showing

function show(picture) {
  pictures.show(picture);
  occlusion.show(picture, state.service);
  state.answer = picture?.answer ?? null;
  if (state.answer) {
    const coarseKm = state.service?.coarse_km ?? null;
    showAnswer(state.answer, { coarseKm, onChoose: chooseRank, together: picture.together });
  } else if (picture?.state === 'refused') {
    showNothing('No answer for this picture', `${picture.message} ${picture.detail}`.trim());
  } else if (picture) {
    showNothing('Not asked yet', 'Press “Ask where” and the service answers within seconds.');
  } else {
    showNothing('No answer yet', 'Choose a picture, then ask. A picture taken outdoors says most.');
  }
  state.map?.show(state.answer);
  byId('near').disabled = !state.answer;
  refreshHeat();
}

function chooseRank(rank) {
  say(`Chosen: ${rank}, ${choosePlace(rank)}.`);
  state.map?.choose(rank);
}

function refreshHeat() {
  const heat = byId('heat').checked;
  state.map?.setHeat(heat);
  refreshLegend();
}

function refreshLegend() {
  const heat = byId('heat').checked;
  byId('legend').hidden = !state.answer || !state.map;
  if (byId('legend').hidden) return;
  const cellDeg = Number((state.map?.heatCellDeg() ?? 0).toFixed(2));
  const { circles, title, classes } = legendItems(state.answer, { heat, cellDeg });
  byId('legend-heat-title').textContent = title;
  byId('legend-heat').hidden = classes.length === 0;
  byId('legend-circles').replaceChildren(...circles.map(legendRow));
  byId('legend-classes').replaceChildren(...classes.map(legendRow));
}

function legendRow({ mark, words }) {
  const row = document.createElement('li');
  const swatch = document.createElement('span');
  swatch.className = mark;
  row.append(swatch, words);
  return row;
}

async function start() {
  byId('host').textContent = window.location.host;
  byId('files').addEventListener('change', (event) => {
    choose([...event.target.files]);
    // so that the same file can be chosen again
    event.target.value = '';
  });
  takeDrops(byId('drop'), choose);
  byId('go').addEventListener('click', ask);
  byId('clear').addEventListener('click', clear);
  byId('heat').addEventListener('change', refreshHeat);
  byId('near').addEventListener('click', () => state.map?.showAnswer());
  byId('whole').addEventListener('click', () => state.map?.showWorld());
  byId('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    apiKey.set(byId('key').value.trim());
    byId('key-form').hidden = true;
    notice('');
    if (pictures.items.length > 0) ask();
    else learnService();
  });
  learnService();
  await openMap();
  document.documentElement.dataset.ready = 'true';
}

async function openMap() {
  try {
    const response = await fetch('static/land.json');
    const land = decodeLand(await response.json());
    state.map = new WorldMap(byId('map'), { land, onChoose: chooseRank, onScale: refreshLegend });
  } catch {
    byId('map').textContent = 'The map could not be loaded. The list of places says the same; load the page again for the map.';
    byId('map').classList.add('missing');
    byId('map-tools').hidden = true;
    return;
  }
  state.map.show(state.answer);
  refreshHeat();
}

async function learnService() {
  try {
    state.service = await about();
  } catch (error) {
    if (error.status !== 401) notice(error.message);
    return;
  }
  byId('version').textContent = `geoloc ${state.service.version}`;
  show(pictures.shown);
}

start();
