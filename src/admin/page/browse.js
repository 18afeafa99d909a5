// Documents: search, history, one version, the difference of two, and the command that restores one. Everything that came over the
// wire, ids above all, is written as text. The token stays in this tab (sessionStorage) and travels in a header, never in an address.

import { at, make } from './dom.js';

const TOKEN = 'cosmirror-token';
const ANSWER_MS_MAX = 15_000;
const moment = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');

class Refused extends Error {
  constructor(status, { message, remedy }) {
    super(remedy ? `${message}\n→ ${remedy}` : message);
    this.status = status;
  }
}

// Text that others chose keeps its direction to itself, and what has no shape of its own is shown by its number.
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

// A key that is no JSON array is the text of a single string.
function keyOf(text) {
  if (text === '') return '';
  try {
    if (Array.isArray(JSON.parse(text))) return text;
  } catch {
    // It is a text then.
  }
  return JSON.stringify([text]);
}

const name = (text, element = 'span') => make(element, { className: 'name', dir: 'auto', textContent: visible(text) });

const headRow = (heads) => make('tr', {}, ...heads.map((text) => make('th', { scope: 'col', textContent: text, className: text === 'Bytes' ? 'number' : '' })));

function table(caption, heads, rows) {
  return make('table', {}, make('caption', { textContent: caption }), make('thead', {}, headRow(heads)), make('tbody', {}, ...rows));
}

const cell = (content, className = '') => make('td', { className }, content);

export class Browse {
  constructor() {
    this.next = null;
    this.asked = 0;
    this.leaving = new AbortController();
    at('token-form').addEventListener('submit', (event) => this.open(event));
    at('search-form').addEventListener('submit', (event) => this.search(event));
    at('more').addEventListener('click', () => this.list(this.next));
    at('forget').addEventListener('click', () => this.forget('The token is forgotten.'));
  }

  // What the daemon allows, as /status says each time.
  allowed({ on, needs_token: needsToken }, containers) {
    const token = sessionStorage.getItem(TOKEN);
    at('browse').hidden = false;
    at('browse-off').hidden = on;
    at('token-form').hidden = !on || !needsToken || token !== null;
    at('search-form').hidden = !on || (needsToken && token === null);
    at('forget').hidden = !needsToken;
    const select = at('search-container');
    if (select.dataset.names === JSON.stringify(containers)) return;
    select.dataset.names = JSON.stringify(containers);
    select.replaceChildren(...containers.map((text) => make('option', { value: text, textContent: text })));
  }

  async open(event) {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, at('token').value);
    at('token').value = '';
    at('token-form').hidden = true;
    at('search-form').hidden = false;
    this.message('');
    await this.list(null);
    if (!at('search-form').hidden) at('search-id').focus();
  }

  // Whoever forgets the token sees no documents any more, those of a question under way included.
  forget(message) {
    sessionStorage.removeItem(TOKEN);
    this.asked += 1;
    this.leaving.abort();
    this.leaving = new AbortController();
    this.next = null;
    at('results').replaceChildren();
    at('document').replaceChildren();
    at('more').hidden = true;
    at('search-form').hidden = true;
    at('token-form').hidden = false;
    this.message(message);
  }

  message(text, state = '') {
    at('browse-message').dataset.state = state;
    at('browse-message').textContent = text;
  }

  async ask(path, parameters) {
    const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== '');
    const token = sessionStorage.getItem(TOKEN);
    const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
    const answer = await fetch(`browse/${path}?${new URLSearchParams(given)}`, { headers, cache: 'no-store', signal: AbortSignal.any([this.leaving.signal, AbortSignal.timeout(ANSWER_MS_MAX)]) });
    const body = await answer.json();
    if (!answer.ok) throw new Refused(answer.status, body.error);
    return body;
  }

  // Does one thing at a time: the answer to an earlier question is dropped, and a refusal is told.
  async attempt(work) {
    this.asked += 1;
    const mine = this.asked;
    const isCurrent = () => mine === this.asked;
    try {
      await work(isCurrent);
    } catch (error) {
      if (!isCurrent()) return;
      if (error.status === 401) this.forget(error.message);
      this.message(error.name === 'TimeoutError' ? 'The daemon does not answer in time.' : error.message, 'bad');
    }
  }

  async search(event) {
    event.preventDefault();
    await this.list(null);
  }

  list(next) {
    return this.attempt(async (isCurrent) => {
      this.message('Searching…');
      if (next === null) {
        // What stands there belongs to the search before, and so does the place to go on from.
        this.next = null;
        at('more').hidden = true;
        at('results').replaceChildren();
        at('document').replaceChildren();
        this.query = { container: at('search-container').value, id: at('search-id').value, pk: keyOf(at('search-pk').value) };
      }
      const found = await this.ask('search', { ...this.query, next });
      if (!isCurrent()) return;
      this.message('');
      if (next === null) {
        this.rows = make('tbody');
        const heads = headRow(['Id', 'Partition key', 'Last change', 'At', 'Bytes']);
        at('results').replaceChildren(make('table', {}, make('thead', {}, heads), this.rows));
      }
      this.rows.append(...found.documents.map((document) => this.row(document)));
      this.next = found.next;
      at('more').hidden = found.next === null;
      const count = this.rows.rows.length;
      if (count === 0) {
        at('results').replaceChildren();
        this.message(found.next === null ? 'No document of the mirror has such an id.' : `None among the first ${found.looked_through.toLocaleString('en')} names; “More documents” looks on.`);
      }
    });
  }

  row(found) {
    const { container } = this.query;
    const open = make('button', { type: 'button', className: 'link', dir: 'auto', textContent: visible(found.id) });
    open.addEventListener('click', () => this.history({ container, id: found.id, pk: JSON.stringify(found.partition_key) }));
    return make('tr', {}, cell(open, 'id'), cell(name(JSON.stringify(found.partition_key)), 'key'), cell(found.op), cell(moment(found.ts)), cell(found.bytes.toLocaleString('en'), 'number'));
  }

  history(wanted) {
    return this.attempt(async (isCurrent) => {
      this.message('Reading its history…');
      const history = await this.ask('history', wanted);
      if (!isCurrent()) return;
      this.message('');
      this.detail = make('div', { 'aria-live': 'polite' });
      const versions = [...history.versions].reverse();
      const rows = versions.map((version, place) => this.version(wanted, version, versions[place + 1]));
      const left = history.left_off > 0 ? `; the ${history.left_off.toLocaleString('en')} oldest are left out` : '';
      const title = make('h3', { tabIndex: -1 }, 'History of ', name(history.id, 'bdi'), ', partition key ', name(JSON.stringify(history.partition_key), 'bdi'));
      at('document').replaceChildren(title, make('div', { className: 'scroll versions', tabIndex: 0, role: 'region', 'aria-label': 'Versions' }, table(`Versions, newest first${left}`, ['At', 'Change', '', 'Bytes', 'Written by'], rows)), this.detail);
      title.focus();
      title.scrollIntoView({ block: 'nearest' });
    });
  }

  version(wanted, version, before) {
    const show = make('button', { type: 'button', className: 'plain small', textContent: 'Show' });
    show.addEventListener('click', () => this.text(wanted, version));
    const actions = make('div', { className: 'actions' }, show);
    if (before) {
      const diff = make('button', { type: 'button', className: 'plain small', textContent: 'What changed' });
      diff.addEventListener('click', () => this.diff(wanted, before, version));
      actions.append(diff);
    }
    const change = version.encryption ? `${version.op}, encrypted` : version.op;
    const op = version.current ? `${change}, the newest` : change;
    return make('tr', {}, cell(moment(version.ts)), cell(op), cell(actions), cell(version.bytes.toLocaleString('en'), 'number'), cell(version.origin === 'feed' ? 'the application' : `restore ${version.origin}`));
  }

  text(wanted, { version }) {
    return this.attempt(async (isCurrent) => {
      const shown = await this.ask('version', { ...wanted, version });
      if (!isCurrent()) return;
      this.message('');
      const parts = [make('h3', { textContent: `As of ${moment(shown.ts)}` })];
      if (shown.encryption) parts.push(make('p', { textContent: 'Its content is encrypted, and the daemon holds no key. Whoever does can read it: cosmirror show --identity FILE. The command below needs the same option.' }));
      else if (shown.exists) parts.push(make('pre', { className: 'text', tabIndex: 0, textContent: shown.text }));
      else parts.push(make('p', { textContent: `There is no document in this version: it ${shown.absent}.` }));
      if (shown.restore) parts.push(make('h3', { textContent: 'Bring exactly this version back' }), this.command(shown.restore));
      else if (shown.exists) parts.push(make('p', { className: 'quiet', textContent: 'Its id cannot be passed on a command line; restore it with --ids and a file.' }));
      this.detail.replaceChildren(make('div', { className: 'row-list' }, ...parts));
      this.detail.scrollIntoView({ block: 'nearest' });
    });
  }

  command(text) {
    const copy = make('button', { type: 'button', className: 'plain small', textContent: 'Copy' });
    const line = make('pre', { className: 'restore', tabIndex: 0, textContent: text });
    copy.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.textContent = 'Copied';
      } catch {
        // Over plain HTTP from elsewhere a browser has no clipboard: the text is selected instead.
        getSelection().selectAllChildren(line);
        copy.textContent = 'Selected';
      }
    });
    return make('div', { className: 'command' }, line, copy);
  }

  diff(wanted, from, to) {
    return this.attempt(async (isCurrent) => {
      const found = await this.ask('diff', { ...wanted, from: from.version, to: to.version });
      if (!isCurrent()) return;
      this.message('');
      const parts = [make('h3', { textContent: `What changed from ${moment(from.ts)} to ${moment(to.ts)}` })];
      parts.push(...found.notes.map((note) => make('p', { className: 'quiet', textContent: note })));
      for (const side of [found.from, found.to]) {
        if (!side.exists && side.absent) parts.push(make('p', { textContent: `There is no document on one side: it ${side.absent}.` }));
      }
      if (found.equal) parts.push(make('p', { textContent: 'Nothing but what the service itself writes.' }));
      else parts.push(make('ul', { className: 'changes' }, ...found.changes.map(change)));
      if (found.left_off > 0) parts.push(make('p', { className: 'quiet', textContent: `${found.left_off.toLocaleString('en')} more changes are left out here; cosmirror diff tells them all.` }));
      this.detail.replaceChildren(make('div', { className: 'row-list' }, ...parts));
      this.detail.scrollIntoView({ block: 'nearest' });
    });
  }
}

function change({ op, path, path_from: pathFrom, from, to }) {
  const where = path === '' ? 'the whole document' : path;
  const moved = pathFrom === null ? '' : ` (was ${pathFrom})`;
  const lines = [make('div', {}, make('span', { className: 'badge', textContent: { add: 'added', remove: 'removed', replace: 'changed' }[op] ?? op }), ' ', name(where + moved, 'code'))];
  if (from !== null) lines.push(make('code', { className: 'value was', textContent: `− ${from}` }));
  if (to !== null) lines.push(make('code', { className: 'value is', textContent: `+ ${to}` }));
  return make('li', {}, ...lines);
}
