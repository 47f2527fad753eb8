// The pictures: one for each network. A hand that drags across one walks among seeds.

import { make, paint } from './elements.js';
import { placeOf, walkTo } from './recipe.js';

const SEEDS_ACROSS = 2;  // seeds that a drag from side to side passes
const STEP = 0.1;        // seeds that an arrow key passes; ten times as many with Shift
const LARGE_PIXELS = 2;  // from this enlargement on pixels are shown as squares

export class Views {
  constructor(viewer, place, facts) {
    Object.assign(this, { viewer, place, facts, all: [], times: [] });
  }

  build() {
    this.all = this.viewer.networks.map((network, number) => {
      const canvas = make('canvas', {
        width: 1, height: 1, tabIndex: 0, role: 'application', className: 'picture',
        'aria-label': `Picture of ${network.name}. Drag, or press arrow keys, to walk among seeds.`,
      });
      const caption = make('figcaption', {}, network.name);
      this.place.append(make('figure', {}, canvas, caption));
      this.listen(canvas);
      return { canvas, caption, number, asked: new Map(), newest: 0, problemAt: 0 };
    });
    this.place.classList.toggle('two', this.all.length > 1);
  }

  ask(moving, changedAt) {
    for (const view of this.all) {
      view.newest = this.viewer.ask(`view${view.number}`, view.number, this.viewer.recipeFor(view.number), moving);
      view.asked.set(view.newest, changedAt);
    }
  }

  /** What went wrong with a picture, unless something else was asked for in the meantime. */
  problem(values) {
    const view = this.all[Number(values.view.slice(4))];
    if (values.number < view.newest) return;
    view.problemAt = values.number;
    const name = this.all.length > 1 ? `${this.viewer.networks[view.number].name}: ` : '';
    this.viewer.problem(name + values.text, values.view);
  }

  picture(values, pixels) {
    const view = this.all[Number(values.view.slice(4))];
    const network = this.viewer.networks[view.number];
    paint(view.canvas, values.shape, pixels);
    this.fit(view, values, network);
    const since = view.asked.get(values.number);
    for (const number of view.asked.keys()) if (number <= values.number) view.asked.delete(number);
    const now = performance.now();
    if (since) performance.measure('picture', { start: since, end: now });
    if (performance.getEntriesByName('picture').length > 2000) performance.clearMeasures('picture');
    this.times = [...this.times.filter((time) => time > now - 1000), now];
    Object.assign(view.canvas.dataset, { number: values.number, stage: values.stage, full: values.stage === values.wanted });
    view.values = { ...view.values, ...values };
    if (values.number > view.problemAt) this.viewer.problem(null, values.view);
    if (view.number === 0) {
      this.facts.textContent = this.described(values, network, since ? now - since : null);
      clearTimeout(this.still);
      this.still = setTimeout(() => { this.times = []; this.facts.textContent = this.described(values, network, null); }, 1000);
      // At rest alone: browsers refuse more than some changes of the address in a second.
      if (values.command && !this.viewer.note) this.viewer.setAddress(values.text);
      this.viewer.problem(this.viewer.problemOfFiles ?? this.viewer.note);
    }
    view.caption.textContent = network.run && values.nimg !== null
      ? `${network.name}, ${values.nimg.toLocaleString('en')} images` : network.name;
    this.viewer.save?.command(view);
    if (values.command) this.viewer.mix?.settled();
  }

  described(values, network, since) {
    const size = (stage) => `${network.stages[stage][1]}×${network.stages[stage][0]}`;
    const parts = [size(values.stage), `drawn in ${Math.max(1, Math.round(1000 * values.seconds))} ms`];
    if (since !== null) parts.push(`seen ${Math.round(since)} ms after the change`);
    if (this.times.length > 3) parts.push(`${this.times.length} pictures a second`);
    if (values.stage < values.wanted) {
      parts.push(values.waiting ? `${size(values.wanted)} comes when it is compiled` : `${size(values.wanted)} when it rests`);
    }
    return parts.join(' · ');
  }

  fit(view, values, network) {
    const [columns, rows] = this.viewer.recipe.grid;
    const [height, width] = network.shape;
    view.canvas.style.setProperty('--aspect', (width * columns) / (height * rows));
    const enlarged = view.canvas.clientWidth / (network.stages[values.wanted][1] * columns);
    // Small pictures are shown as they are, pixel by pixel; previews of large ones are smoothed.
    view.canvas.classList.toggle('pixels', enlarged >= LARGE_PIXELS && values.stage === values.wanted);
  }

  listen(canvas) {
    let from = null;
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      from = { x: event.clientX, y: event.clientY, place: placeOf(this.viewer.recipe.source) };
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!from) return;
      const seeds = SEEDS_ACROSS / canvas.clientWidth;
      this.walk(from.place[0] - (event.clientX - from.x) * seeds, from.place[1] - (event.clientY - from.y) * seeds, true);
    });
    const end = () => {
      if (from) this.viewer.change({}, false);
      from = null;
    };
    canvas.addEventListener('pointerup', end);
    canvas.addEventListener('pointercancel', end);
    canvas.addEventListener('keydown', (event) => {
      const step = STEP * (event.shiftKey ? 10 : 1);
      if (event.key === 'Home') {
        event.preventDefault();
        this.viewer.look?.setSeed(this.viewer.look.seedNow());
        return;
      }
      const way = { ArrowRight: [step, 0], ArrowLeft: [-step, 0], ArrowDown: [0, step], ArrowUp: [0, -step] }[event.key];
      if (!way) return;
      event.preventDefault();
      const [x, y] = placeOf(this.viewer.recipe.source);
      this.walk(x + way[0], y + way[1], true);
    });
  }

  walk(x, y, moving) {
    this.viewer.look?.stop();
    this.viewer.change({ source: walkTo(x, y), ...this.viewer.withoutNoiseOfPhoto() }, moving);
  }
}
