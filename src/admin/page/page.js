// Asks for the status every two seconds and shows it. Everything that came over the wire is written as text, never as markup.

import { Chart, plain } from './chart.js';
import { Browse } from './browse.js';
import { at, make, write } from './dom.js';

const POLL_MS = 2_000;
const ANSWER_MS_MAX = 6_000;
const SAMPLES_MS = 5_000;
// How long the replica that is shown may not answer before another one is shown.
const REPLICA_MS_MAX = 12_000;
const HOUR_MS = 3_600_000;
// From when on a container is called behind, in seconds. A quiet container is behind by the poll interval and the margin at least.
const LAG_WARN = 120;
const LAG_BAD = 600;
const FAILURES_WARN = 3;

const icons = { good: 'M4 12.5l5 5L20 6.5', warn: 'M12 4L2.5 20h19zM12 10v4M12 17.2v.1', bad: 'M6 6l12 12M18 6L6 18', waiting: 'M12 6v6l4 2' };

function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

// "2026-11-21T14:05:00Z" as a person reads it.
const moment = (instant) => instant.replace('T', ' ').replace(/Z$/, '');
const clock = (instant) => instant.slice(11).replace(/Z$/, '');
const seconds = (instant) => Date.parse(instant) / 1000;
const several = (count, one, many) => `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
// A bound of keys by its beginning, which is where bounds differ; /status has all of it.
const bound = (key) => (key.length > 10 ? `${key.slice(0, 8)}…` : key);
const named = (container) => `${container.database}/${container.container}`;

// What is wrong with one container, worst first, as [state, text].
function faults(container) {
  const found = [];
  const name = named(container);
  const add = (state, text) => found.push([state, `${name}: ${text}`]);
  if (container.gaps > 0) add('bad', `history is incomplete: ${several(container.gaps, 'gap', 'gaps')} (cosmirror gaps list)`);
  if (container.holes.length > 0) add('bad', `no lease covers a part of the keys, so nobody follows it`);
  if (container.lag_seconds > LAG_BAD) add('bad', `${duration(container.lag_seconds)} behind`);
  else if (container.lag_seconds > LAG_WARN) add('warn', `${duration(container.lag_seconds)} behind`);
  if (container.dead_letters > 0) add('warn', `${several(container.dead_letters, 'change', 'changes')} could not be stored (cosmirror dead-letters list)`);
  const rehearsed = { differs: 'did not restore what the mirror holds', failed: 'could not be carried through' }[container.rehearsal?.state];
  if (rehearsed) add('bad', `the last rehearsal ${rehearsed} (cosmirror status)`);
  const idle = container.ranges.filter((range) => range.state !== 'owned').length;
  if (idle > 0) add('warn', `nobody follows ${several(idle, 'range', 'ranges')} at present`);
  if (container.failures >= FAILURES_WARN) add('warn', `${container.failures} failures in a row`);
  return found;
}

// Until when every instant can be restored, deletes included; and in words why there is no such instant, with whether that will pass.
function promise(container) {
  const { restorable_from: from, restorable_until: until, deletes_known_until: deletes, start, backfilled, feed } = container;
  if (from === null) {
    if (start !== 'beginning') return { why: `it is followed ${start === 'now' ? 'from when it was first followed' : `from ${moment(start)}`} on without a first copy, so no instant can be restored as a whole; single versions can`, state: 'good' };
    if (!backfilled) return { why: 'the first copy of what was there before is being made; nothing can be restored yet', state: 'waiting' };
    return { why: 'there is no instant that can be restored at the moment; single versions can', state: 'warn' };
  }
  if (feed !== 'latest-version') return { until };
  if (deletes === null) return { why: 'deletes are not known yet: a reconciliation finds them; until then what is gone counts as uncertain', state: 'waiting' };
  return { until: deletes < until ? deletes : until };
}

function verdict(status) {
  const wrong = status.containers.flatMap(faults);
  const lines = wrong.map(([, text]) => text);
  const count = several(status.containers.length, 'container', 'containers');
  if (!status.ready) return { state: 'bad', title: 'Not ready', lines: [...status.reasons, ...lines] };
  if (wrong.some(([state]) => state === 'bad')) return { state: 'bad', title: 'Something needs you', lines };
  const promises = status.containers.map((container) => [container, promise(container)]);
  const told = promises.filter(([, { why }]) => why).map(([container, { why }]) => `${named(container)}: ${why}`);
  const states = promises.map(([, { state }]) => state);
  if (wrong.length > 0 || states.includes('warn')) return { state: 'warn', title: 'Worth a look', lines: [...lines, ...told] };
  if (states.includes('waiting')) return { state: 'waiting', title: 'Mirroring, and not complete yet', lines: told };
  const until = promises.map(([, { until: instant }]) => instant).filter(Boolean).sort()[0];
  const restorable = until ? [`Documents can be restored as of any instant until ${moment(until)}.`] : [];
  const partly = status.containers.filter((container) => !container.observed);
  if (partly.length > 0) {
    const note = `${status.instance} does not observe ${partly.length < 4 ? partly.map(named).join(', ') : count}: it knows lag, gaps and dead letters from leases and mirror; failures and waiting changes the observing replica tells.`;
    return { state: 'good', title: `All is well as far as this replica sees: ${count} mirrored`, lines: [...restorable, ...told, note] };
  }
  return { state: 'good', title: `All is well: ${count} mirrored`, lines: [...restorable, ...told] };
}

function showVerdict({ state, title, lines }) {
  at('verdict').dataset.state = state;
  at('verdict-path').setAttribute('d', icons[state]);
  write(at('verdict-title'), title);
  const list = at('verdict-details');
  if (list.dataset.lines === JSON.stringify(lines)) return;
  list.dataset.lines = JSON.stringify(lines);
  list.replaceChildren(...lines.slice(0, 8).map((line) => make('li', { textContent: line })));
  if (lines.length > 8) list.append(make('li', { textContent: `and ${lines.length - 8} more` }));
  document.title = `${state === 'good' ? '' : state === 'waiting' ? '… ' : '⚠ '}cosmirror`;
}

// One container's card; its elements stay, and their texts change.
class Card {
  constructor(container) {
    this.points = [];
    this.badge = make('span', { className: 'badge' });
    this.window = make('p');
    this.span = make('p', { className: 'quiet' });
    this.values = new Map();
    this.facts = make('dl', { className: 'facts' });
    for (const name of ['Lag', 'Waiting changes', 'Versions per second', 'Versions written', 'Gaps', 'Dead letters']) this.place(name);
    this.lag = new Chart({ kind: 'lag', title: 'Lag behind the service', unit: (value) => `${plain(value)} s`, tick: (value) => `${plain(value)} s`, least: 6 });
    this.throughput = new Chart({ kind: 'throughput', title: 'Versions written', unit: (value) => `${plain(value)} per second`, tick: (value) => `${plain(value)}/s`, least: 3 });
    this.ranges = make('tbody');
    this.caption = make('caption');
    const heads = ['Keys from', 'to', 'State', 'Owner', 'Mirrored up to', 'Lag', 'Waiting', 'Failures'];
    const numeric = new Set(['Lag', 'Waiting', 'Failures']);
    const head = make('tr', {}, ...heads.map((text) => make('th', { scope: 'col', textContent: text, className: numeric.has(text) ? 'number' : '' })));
    const table = make('table', { className: 'ranges' }, this.caption, make('thead', {}, head), this.ranges);
    const title = named(container);
    this.section = make('section', { className: 'card', 'aria-label': title, data: { container: title } },
      make('div', { className: 'card-head' }, make('h2', { textContent: title }), make('span', { className: 'badge', textContent: container.feed }), this.badge),
      make('div', { className: 'window' }, make('h3', { textContent: 'Restorable' }), this.window, this.span),
      this.facts,
      make('div', { className: 'charts' }, this.lag.figure, this.throughput.figure),
      make('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': `Ranges of ${title}` }, table));
  }

  // Where a fact stands; what there is not of every container gets its place when it is first told.
  place(name) {
    const value = make('dd');
    this.values.set(name, value);
    this.facts.append(make('div', {}, make('dt', { textContent: name }), value));
    return value;
  }

  fact(name, value, unit, state) {
    const element = this.values.get(name) ?? this.place(name);
    const text = `${value}${unit}`;
    if (element.dataset.text !== text) {
      element.replaceChildren(value, ...(unit ? [make('small', { textContent: unit })] : []));
      element.dataset.text = text;
    }
    element.dataset.state = state ?? '';
  }

  show(container) {
    const states = faults(container).map(([state]) => state);
    const promised = promise(container).state ?? 'good';
    const state = states.includes('bad') ? 'bad' : states.length > 0 ? 'warn' : promised;
    const waits = container.restorable_from === null ? 'first copy under way' : 'deletes not known yet';
    this.badge.dataset.state = state === 'waiting' || (state === 'good' && !container.observed) ? '' : state;
    write(this.badge, { bad: 'needs you', warn: 'worth a look', good: container.observed ? 'well' : 'well as far as seen here' }[state] ?? waits);
    this.showWindow(container);
    const unknown = '?';
    const lag = container.lag_seconds;
    this.fact('Lag', lag === null ? unknown : lag < 120 ? String(lag) : duration(lag), lag !== null && lag < 120 ? ' s' : '', lag > LAG_BAD ? 'bad' : lag > LAG_WARN ? 'warn' : '');
    this.fact('Waiting changes', container.pending_changes?.toLocaleString('en') ?? unknown, '');
    this.fact('Versions per second', plain(container.throughput.versions_per_second), '');
    this.fact('Versions written', container.versions_written.toLocaleString('en'), '');
    this.fact('Gaps', String(container.gaps ?? unknown), '', container.gaps > 0 ? 'bad' : '');
    this.fact('Dead letters', String(container.dead_letters ?? unknown), '', container.dead_letters > 0 ? 'warn' : '');
    const rehearsal = container.rehearsal;
    if (rehearsal) {
      this.fact('Last rehearsal', rehearsal.state, '', ['differs', 'failed'].includes(rehearsal.state) ? 'bad' : '');
      this.fact('Recovery time', rehearsal.rto_seconds_all === null ? unknown : duration(rehearsal.rto_seconds_all), '');
    }
    this.showRanges(container);
  }

  showWindow(container) {
    const { restorable_from: from, restorable_until: until, deletes_known_until: deletes, feed } = container;
    if (from && until) {
      this.writeWindow([`from ${moment(from)}`, `until ${moment(until)}`]);
      const span = `${duration(seconds(until) - seconds(from))} of history`;
      const known = deletes ? `deletes known until ${moment(deletes)}` : 'deletes are not known yet';
      write(this.span, feed === 'latest-version' ? `${span}; ${known}` : span);
    } else {
      const { why, state } = promise(container);
      this.writeWindow([state === 'waiting' ? 'not yet' : 'single versions']);
      write(this.span, why ?? '');
    }
  }

  writeWindow(parts) {
    if (this.window.children.length !== parts.length) this.window.replaceChildren(...parts.flatMap(() => [make('span', { className: 'moment' }), ' ']));
    parts.forEach((text, place) => write(this.window.children[place], text));
  }

  showRanges({ ranges, observed }) {
    const told = observed ? several(ranges.length, 'range', 'ranges') : `${several(ranges.length, 'range', 'ranges')} followed by this process, which does not see the others`;
    write(this.caption, told);
    const shown = ranges.slice(0, 200);
    const rows = shown.map((range) => [
      range.min === '' ? 'the first' : bound(range.min),
      range.max === 'FF' ? 'the last' : bound(range.max),
      range.feed_failure ? `${range.state}, feed not read: ${range.feed_failure}` : range.state,
      range.owner ?? '–',
      range.watermark ? moment(range.watermark) : '?',
      range.lag_seconds === null ? '?' : duration(range.lag_seconds),
      range.pending_changes?.toLocaleString('en') ?? '?',
      range.failures ?? '?',
    ]);
    if (this.ranges.rows.length !== rows.length) {
      const row = () => make('tr', {}, ...Array.from({ length: 8 }, (_, column) => make('td', { className: column > 4 ? 'number' : '' })));
      this.ranges.replaceChildren(...rows.map(row));
    }
    rows.forEach((texts, row) => texts.forEach((text, column) => write(this.ranges.rows[row].cells[column], String(text))));
  }

  addPoints(points) {
    const now = Date.now();
    for (const [age, lag, , versions] of points) {
      const when = now - age * 1000;
      if (when > (this.points.at(-1)?.[0] ?? 0) + SAMPLES_MS / 2) this.points.push([when, lag, versions]);
    }
    this.points = this.points.filter(([when]) => now - when <= HOUR_MS);
    this.lag.show(this.points.filter(([, lag]) => lag !== null).map(([when, lag]) => [when, lag]), now);
    this.throughput.show(this.points.map(([when, , versions]) => [when, versions]), now);
  }
}

function showProblems(problems) {
  at('problems-section').hidden = problems.length === 0;
  const list = at('problems');
  const text = JSON.stringify(problems);
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...problems.map((problem) => {
    const lines = [make('p', { textContent: problem.subject ? `${problem.message} – ${problem.subject}` : problem.message })];
    if (problem.error) lines.push(make('p', { className: 'quiet', textContent: problem.error }));
    if (problem.remedy) lines.push(make('p', { className: 'remedy', textContent: problem.remedy }));
    const when = problem.count > 1 ? `${problem.count} times since ${moment(problem.first)}, last ${clock(problem.last)}` : moment(problem.last);
    return make('li', {}, make('span', { className: 'badge', textContent: problem.level, data: { state: problem.level === 'error' ? 'bad' : 'warn' } }),
      make('div', { className: 'text' }, ...lines), make('span', { className: 'when', textContent: when }));
  }));
}

class Page {
  constructor() {
    this.cards = new Map();
    this.answered = null;
    this.instance = null;
    this.others = new Set();
    this.sampled = 0;
    this.timer = null;
    this.browse = new Browse();
    document.addEventListener('visibilitychange', () => this.schedule(0));
    setInterval(() => this.tell(), 1_000);
    this.schedule(0);
  }

  // A hidden page asks nothing; shown again it asks at once.
  schedule(pause) {
    clearTimeout(this.timer);
    this.tell();
    if (!document.hidden) this.timer = setTimeout(() => this.poll(), pause);
  }

  async poll() {
    try {
      const status = await ask('status');
      this.lost = null;
      if (this.isShown(status)) {
        this.answered = Date.now();
        this.show(status);
      }
    } catch (error) {
      this.lost ??= Date.now();
      this.reason = error.name === 'TimeoutError' ? 'it does not answer in time' : error.message;
    }
    // Charts may be late; whether all is well is known by now.
    if (!this.lost) await this.samples().catch(() => {});
    this.schedule(POLL_MS);
  }

  // Behind a balancer each answer may be another replica's. One replica is shown, until it has not answered for a while.
  isShown({ instance }) {
    const isOther = this.instance !== null && instance !== this.instance;
    if (isOther && Date.now() - this.answered < REPLICA_MS_MAX) {
      this.others.add(instance);
      return false;
    }
    if (isOther) this.others.delete(instance);
    this.instance = instance;
    return true;
  }

  show(status) {
    const process = status.started + status.instance;
    if (this.process !== process) {
      this.process = process;
      this.sampled = 0;
      for (const card of this.cards.values()) card.points = [];
    }
    const others = [...this.others].sort();
    at('replicas').hidden = others.length === 0;
    write(at('replicas'), `Answers come from several replicas. Shown is what ${status.instance} sees; others: ${others.join(', ')}.`);
    write(at('instance'), status.instance);
    write(at('version'), `version ${status.version}`);
    write(at('uptime'), `up since ${moment(status.started)}`);
    showVerdict(verdict(status));
    const names = new Set(status.containers.map(named));
    for (const [name, card] of this.cards) {
      if (!names.has(name)) {
        card.section.remove();
        this.cards.delete(name);
      }
    }
    for (const container of status.containers) {
      let card = this.cards.get(named(container));
      if (!card) {
        card = new Card(container);
        this.cards.set(named(container), card);
        at('containers').append(card.section);
      }
      card.show(container);
    }
    showProblems(status.problems);
    this.browse.allowed(status.browsing, [...names]);
  }

  async samples() {
    const since = Date.now() - this.sampled;
    if (since < SAMPLES_MS) return;
    const within = Math.min(3_600, Math.ceil(since / 1000) + 10);
    const { instance, containers } = await ask(`samples?within=${within}s`);
    if (instance !== this.instance) return;
    this.sampled = Date.now();
    for (const series of containers) this.cards.get(named(series))?.addPoints(series.points);
  }

  // How fresh what is shown is. It is told by the age of the last answer, so a request that hangs shows.
  tell() {
    const age = this.answered === null ? null : Math.round((Date.now() - this.answered) / 1000);
    const live = at('live');
    if (document.hidden) {
      live.dataset.state = 'paused';
      write(at('live-text'), 'paused while hidden');
    } else if (this.lost) {
      live.dataset.state = 'lost';
      write(at('live-text'), age === null ? 'no answer' : `no answer for ${duration(age)}`);
      const shown = age === null ? [] : ['What is shown below is from before.'];
      showVerdict({ state: 'bad', title: 'The daemon does not answer', lines: [`${this.reason}.`, ...shown, 'Asking again every two seconds.'] });
    } else if (age !== null) {
      live.dataset.state = age > 10 ? 'lost' : 'live';
      write(at('live-text'), age < 4 ? 'live' : `${duration(age)} old`);
    }
  }
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS_MAX), cache: 'no-store' });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

new Page();
