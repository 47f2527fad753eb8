// Sliders for directions of W: the principal ones of the network, and those of files.

import { choice, labelled, make, setOptions, slider } from './elements.js';

const FARTHEST = 5;  // standard deviations

export class Steer {
  constructor(viewer, place) {
    Object.assign(this, { viewer, place, sliders: new Map() });
    this.layers = null;
    if (!viewer.networks[0].truncates) {
      place.append(make('p', {}, 'A Progressive GAN has no W in which directions could be.'));
      return;
    }
    this.file = make('select', { onchange: () => this.takeFile() });
    this.fileRow = labelled('Attributes of', this.file);
    this.own = make('input', {
      type: 'text', placeholder: 'such as 0-3,6', 'aria-label': 'Layers that move', pattern: '[0-9,\\- ]*',
      onchange: () => this.setOwn(this.own.value.replace(/\s/g, '')),
    });
    const groups = [...new Set(viewer.networks[0].layers.map((layer) => layer.group))];
    this.which = choice('Layers that move', [['', 'All'], ...groups.map((name) => [name, name[0].toUpperCase() + name.slice(1)]), ['own', 'Own']], (value) => {
      this.own.hidden = value !== 'own';
      if (value !== 'own') this.setLayers(value || null);
      else this.own.focus();
    });
    this.own.hidden = true;
    this.which.set('');
    this.attributes = make('div', { className: 'group compact' });
    this.principal = make('div', { className: 'group compact' });
    const reset = make('button', { type: 'button', onclick: () => viewer.change({ moves: [], directions: null }) }, 'Reset all');
    place.append(
      make('div', { className: 'group' }, this.which, this.own, make('div', { className: 'buttons' }, reset),
        make('p', { className: 'help' }, 'How far the latent moves, in standard deviations. A double click, or Delete, sets a slider back.')),
      make('div', { className: 'group' }, this.fileRow, this.hint = make('p', { className: 'help' })),
      this.attributes, this.principal);
    this.refresh();
  }

  takeFile() {
    const names = this.namesOf(this.file.value);
    const plain = new Set([...names, ...this.viewer.networks[0].directions]);
    const moves = this.viewer.recipe.moves.filter(([name]) => plain.has(name));
    this.build();
    this.viewer.change({ directions: this.fileOf(moves), moves });
  }

  namesOf(file) { return this.viewer.sources.directions.find((one) => one.file === file)?.names ?? []; }

  /** A recipe names a file of directions only where a move needs it. */
  fileOf(moves) {
    const names = new Set(this.namesOf(this.file.value));
    return moves.some(([name]) => names.has(name)) ? this.file.value : null;
  }

  /** Layers that a person typed; others than numbers and ranges of them are refused before anything changes. */
  setOwn(text) {
    const last = this.viewer.networks[0].layers.length - 1;
    const parts = text.split(',').map((part) => /^(\d+)(?:-(\d+))?$/.exec(part));
    const fits = parts.every((part) => part && Number(part[1]) <= Number(part[2] ?? part[1]) && Number(part[2] ?? part[1]) <= last);
    if (text && !fits) this.viewer.problem(`Layers are numbers and rising ranges from 0 to ${last}, such as 0-3,6.`);
    else { this.viewer.problem(null); this.setLayers(text || null); }
  }

  setLayers(layers) {
    this.layers = layers;
    const moves = this.viewer.recipe.moves.map(([name, strength]) => [name, strength, layers]);
    if (moves.length) this.viewer.change({ moves });
  }

  move(name, strength, moving) {
    const moves = this.viewer.recipe.moves.filter(([other]) => other !== name);
    if (strength) moves.push([name, strength, this.layers]);
    this.viewer.change({ moves, directions: this.fileOf(moves) }, moving);
  }

  refresh() {
    if (!this.file) return;
    const files = this.viewer.sources.directions.map(({ file }) => [file, file]);
    setOptions(this.file, files);
    this.fileRow.hidden = files.length < 2;
    this.hint.textContent = files.length ? '' :
      'For sliders of attributes such as glasses, start the viewer with --directions=FILE, which "latents --what=attributes" writes.';
    this.hint.parentElement.hidden = files.length === 1;
    this.build();
  }

  build() {
    const attributes = this.namesOf(this.file.value);
    const principal = this.viewer.networks[0].directions.filter((name) => !attributes.includes(name));
    const key = JSON.stringify([attributes, principal]);
    if (key === this.built) return;
    this.built = key;
    this.sliders.clear();
    this.fill(this.attributes, attributes.every((name) => /^pc\d+$/.test(name)) ? 'Principal directions of the file' : 'Attributes', attributes, (name) => name.replaceAll('_', ' '));
    this.fill(this.principal, 'Principal directions, the widest first', principal, (name) => name);
    this.show(this.viewer.recipe);
  }

  fill(place, title, names, words) {
    place.hidden = !names.length;
    place.replaceChildren(make('h2', {}, title), ...names.map((name) => {
      const row = slider(words(name), {
        min: -FARTHEST, max: FARTHEST, step: 0.1, onchange: (value, moving) => this.move(name, value, moving),
        onreset: () => this.move(name, 0, false),
        format: (value) => `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value).toFixed(1)}${this.wordsOfLayers(name)}`,
      });
      this.sliders.set(name, row);
      return row;
    }));
  }

  wordsOfLayers(name) {
    const layers = this.viewer.recipe.moves.find(([other]) => other === name)?.[2];
    return layers ? ` (${layers})` : '';
  }

  show(recipe) {
    if (!this.file) return;
    if (recipe.directions && recipe.directions !== this.file.value) {
      this.file.value = recipe.directions;
      this.build();
    }
    const [first] = recipe.moves;
    if (first && first[2] !== this.layers) {
      this.layers = first[2];
      const named = ['coarse', 'middle', 'fine', null].includes(first[2]);
      this.which.set(named ? first[2] ?? '' : 'own');
      this.own.hidden = named;
      this.own.value = named ? '' : first[2];
    }
    const strengths = new Map(recipe.moves.map(([name, strength]) => [name, strength]));
    for (const [name, row] of this.sliders) row.set(strengths.get(name) ?? 0);
  }
}
