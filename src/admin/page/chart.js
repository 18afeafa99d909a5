// A line over the last hour, as SVG. Values are numbers or null; instants are milliseconds of the browser's clock.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 170;
const EDGE = { top: 10, right: 8, bottom: 22, left: 44 };
const MINUTE = 60_000;
// Where the process is young, the time axis is not as long as an hour, and not shorter than this.
const SPAN_MIN = 2 * MINUTE;
const SPAN_MAX = 60 * MINUTE;

function element(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A round number of steps up to at least the greatest value.
function scale(greatest, least) {
  const wanted = Math.max(greatest, least);
  const rough = wanted / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const top = Math.ceil(wanted / step) * step;
  const ticks = [];
  for (let value = 0; value <= top + step / 2; value += step) ticks.push(value);
  return { top, ticks };
}

export function plain(value) {
  if (value >= 10_000) return `${Math.round(value / 1000)}k`;
  if (value >= 1_000) return `${(value / 1000).toFixed(1).replace(/\.0$/, '')}k`;
  if (value >= 10 || Number.isInteger(value)) return String(Math.round(value));
  return value.toFixed(value < 1 ? 2 : 1).replace(/\.?0+$/, '');
}

export function ago(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s ago`;
  const rest = seconds % 60;
  return rest === 0 || seconds >= 600 ? `${Math.round(seconds / 60)} min ago` : `${Math.floor(seconds / 60)} min ${rest} s ago`;
}

export class Chart {
  // `unit` formats a value with its unit; `least` is the smallest top of the value axis.
  constructor({ kind, title, unit, tick, least }) {
    Object.assign(this, { title, unit, tick, least, points: [], now: Date.now(), pointed: null });
    this.figure = document.createElement('figure');
    this.figure.className = 'chart';
    this.figure.dataset.kind = kind;
    const caption = document.createElement('figcaption');
    const name = document.createElement('span');
    name.textContent = title;
    this.reading = document.createElement('b');
    caption.append(name, this.reading);
    this.svg = element('svg', { role: 'img' });
    this.figure.append(caption, this.svg);
    this.svg.addEventListener('pointermove', (event) => this.point(event.offsetX));
    this.svg.addEventListener('pointerleave', () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(this.figure);
  }

  show(points, now) {
    this.points = points;
    this.now = now;
    this.draw();
  }

  point(x) {
    this.pointed = x;
    this.draw();
  }

  draw() {
    const width = this.figure.clientWidth;
    if (width < 80) return;
    const { points, now } = this;
    const oldest = points.length > 0 ? now - points[0][0] : 0;
    const span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, Math.ceil(oldest / MINUTE) * MINUTE));
    const { top, ticks } = scale(Math.max(0, ...points.map((point) => point[1])), this.least);
    const right = width - EDGE.right;
    const bottom = HEIGHT - EDGE.bottom;
    const x = (at) => right - ((now - at) / span) * (right - EDGE.left);
    const y = (value) => bottom - (value / top) * (bottom - EDGE.top);
    const parts = [];
    for (const value of ticks) {
      parts.push(element('line', { class: 'grid', x1: EDGE.left, x2: right, y1: y(value), y2: y(value) }));
      parts.push(element('text', { x: EDGE.left - 6, y: y(value) + 4, 'text-anchor': 'end' }, this.tick(value)));
    }
    const steps = width < 420 ? 2 : 4;
    for (let step = 0; step <= steps; step += 1) {
      const at = (span * (steps - step)) / steps;
      const anchor = step === 0 ? 'start' : step === steps ? 'end' : 'middle';
      const minutes = at / MINUTE;
      const label = at === 0 ? 'now' : minutes < 2 ? `−${Math.round(at / 1000)} s` : `−${plain(minutes)} min`;
      parts.push(element('text', { x: x(now - at), y: HEIGHT - 5, 'text-anchor': anchor }, label));
    }
    const shown = points.filter(([at]) => now - at <= span);
    if (shown.length > 0) {
      const line = shown.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join('L');
      parts.push(element('path', { class: 'area', d: `M${x(shown[0][0]).toFixed(1)},${bottom}L${line}L${x(shown.at(-1)[0]).toFixed(1)},${bottom}Z` }));
      parts.push(element('path', { class: 'line', d: `M${line}` }));
      parts.push(...this.cursor(shown, x, y, bottom));
    } else {
      parts.push(element('text', { x: (EDGE.left + right) / 2, y: HEIGHT / 2, 'text-anchor': 'middle' }, 'the first samples come within seconds'));
    }
    this.svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(...parts);
  }

  // The value under the pointer, or the latest one.
  cursor(shown, x, y, bottom) {
    const latest = shown.at(-1);
    const distance = (point) => Math.abs(x(point[0]) - this.pointed);
    const chosen = this.pointed === null ? latest : shown.reduce((best, point) => (distance(point) < distance(best) ? point : best));
    const [at, value] = chosen;
    this.reading.textContent = this.pointed === null ? this.unit(value) : `${this.unit(value)}, ${ago(this.now - at)}`;
    this.svg.setAttribute('aria-label', `${this.title}: ${this.unit(latest[1])} now, at most ${this.unit(Math.max(...shown.map((point) => point[1])))} in the time shown`);
    const parts = [element('circle', { class: 'point', cx: x(at), cy: y(value), r: 4 })];
    if (this.pointed !== null) parts.unshift(element('line', { class: 'cursor', x1: x(at), x2: x(at), y1: EDGE.top, y2: bottom }));
    return parts;
  }
}
