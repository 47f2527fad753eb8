// Which layer takes its styles from which source: by coarse, middle and fine, or one by one.

import { labelled, make, paint, setOptions } from './elements.js';
import { entriesOf, valuesOf } from './recipe.js';

const GROUPS = { coarse: 'pose, shape of the whole', middle: 'features', fine: 'colours, small things' };

export class Mix {
  constructor(viewer, place) {
    this.viewer = viewer;
    this.network = viewer.networks[0];
    Object.assign(this, { seeds: [], queue: [], asked: null });
    if (!this.network.styles) {
      place.append(make('p', {}, 'The layers of this network have no styles to mix.'));
      return;
    }
    this.chips = make('ul', { className: 'chips', 'aria-label': 'Sources' });
    this.seed = make('input', { type: 'number', min: 0, max: 2 ** 32 - 1, step: 1, value: 1 });
    const add = () => {
      const source = `seed:${Math.max(0, Math.floor(Number(this.seed.value)) || 0)}`;
      if (!this.seeds.includes(source)) this.seeds.push(source);
      this.seed.value = Number(this.seed.value) + 1;
      this.show(this.viewer.recipe);
    };
    this.seed.addEventListener('keydown', (event) => { if (event.key === 'Enter') add(); });
    const adding = labelled('Mix in seed', this.seed, null, make('button', { type: 'button', onclick: add }, 'Add'));
    this.groups = Object.fromEntries(Object.entries(GROUPS)
      .filter(([name]) => this.network.layers.some((layer) => layer.group === name))
      .map(([name, words]) => [name, this.selectFor(`${name} layers`, this.layersOf(name), words)]));
    this.rows = this.network.layers.map((layer, number) => this.selectFor(`Layer ${number}`, [number]));
    const body = this.network.layers.map((layer, number) => make('tr', { className: layer.group },
      make('th', { scope: 'row' }, String(number)),
      make('td', {}, `${layer.side}×${layer.side}`), make('td', {}, layer.group), make('td', {}, this.rows[number])));
    const head = make('tr', {}, ...['Layer', 'Size', 'Styles', 'From'].map((text) => make('th', { scope: 'col' }, text)));
    place.append(
      make('div', { className: 'group' }, adding, this.chips),
      make('div', { className: 'group' },
        ...Object.entries(this.groups).map(([name, select]) => labelled(
          `${name[0].toUpperCase()}${name.slice(1)}: ${GROUPS[name]}`, select))),
      make('div', { className: 'group' },
        make('table', {}, make('caption', {}, 'One by one'), make('thead', {}, head), make('tbody', {}, ...body)),
        make('div', { className: 'buttons' },
          make('button', { type: 'button', onclick: () => viewer.change({ layers: [] }) }, 'All from the picture'))));
  }

  layersOf(group) { return this.network.layers.flatMap((layer, number) => (layer.group === group ? [number] : [])); }

  selectFor(label, layers) {
    const select = make('select', { 'aria-label': `Source of ${label}` });
    select.addEventListener('change', () => {
      if (select.value === 'various') return;
      const values = valuesOf(this.viewer.recipe.layers, this.network);
      for (const layer of layers) values[layer] = select.value || null;
      this.viewer.change({ layers: entriesOf(values) });
    });
    return select;
  }

  /** [source, title] of everything that layers can come from. */
  pool(recipe) {
    const known = new Map(this.viewer.sources.latents.map((one) => [one.id, one.title]));
    for (const [, source] of recipe.layers) if (!known.has(source) && !this.seeds.includes(source)) this.seeds.push(source);
    return [...this.seeds.map((source) => [source, source.replace('seed:', 'seed ')]), ...known];
  }

  show(recipe) {
    if (!this.rows) return;
    const pool = this.pool(recipe);
    const options = [['', 'the picture itself'], ...pool];
    const values = valuesOf(recipe.layers, this.network);
    const key = JSON.stringify(options);
    if (key !== this.shown) {
      this.shown = key;
      for (const select of this.rows) setOptions(select, options);
      for (const select of Object.values(this.groups)) {
        setOptions(select, [...options, ['various', 'various']]);
        select.lastChild.disabled = true;  // it tells of the layers, and cannot be chosen
      }
      this.showChips(pool);
    }
    this.rows.forEach((select, layer) => { select.value = values[layer] ?? ''; });
    for (const [name, select] of Object.entries(this.groups)) {
      const inside = new Set(this.layersOf(name).map((layer) => values[layer] ?? ''));
      select.value = inside.size === 1 ? [...inside][0] : 'various';
    }
  }

  /** A small picture for each source; a press makes it the picture itself. */
  showChips(pool) {
    const before = this.canvases ?? new Map();
    this.canvases = new Map(pool.map(([source]) => [source, before.get(source) ?? make('canvas', { width: 1, height: 1 })]));
    this.chips.replaceChildren(...pool.map(([source, title]) => make('li', {},
      make('button', {
        type: 'button', title: `Show ${title}`, 'aria-label': `Show ${title}`,
        onclick: () => this.viewer.change({ source }),
      }, this.canvases.get(source), make('span', {}, title)))));
    this.settled(true);
  }

  /** Asks for the small pictures when the picture has come to rest, since psi and class change them as well. */
  settled(again = false) {
    if (!this.rows) return;
    const { psi, cutoff, class_, label, lod, nimg } = this.viewer.recipe;
    const key = JSON.stringify([psi, cutoff, class_, label, nimg, [...(this.canvases ?? new Map()).keys()]]);
    if (!again && key === this.drawn) return;
    this.drawn = key;
    this.queue = [...(this.canvases ?? new Map()).keys()].map((source) => ({ source, psi, cutoff, class_, label, lod, nimg }));
    if (!this.asked) this.next();
  }

  /** Asks for the next small picture: one at a time, so that they hold up nothing. */
  next() {
    this.asked = this.queue.shift() ?? null;
    if (this.asked) this.viewer.ask(`thumb:${this.asked.source}`, 0, this.asked, true, true);
  }

  /** The socket is a new one, and what was asked for through the old one does not come. */
  again() {
    this.asked = null;
    this.settled(true);
  }

  thumbnail(values, pixels) {
    const canvas = this.canvases?.get(values.view.slice('thumb:'.length));
    if (canvas) paint(canvas, values.shape, pixels);
    if (this.asked?.source === values.view.slice('thumb:'.length)) this.next();
  }

  refresh() { this.show(this.viewer.recipe); }
}
