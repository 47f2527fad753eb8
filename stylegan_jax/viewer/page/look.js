// The picture as a whole: which latent, how typical, which stage, which class, which noise; a grid, and a loop of seeds.

import { choice, labelled, make, setOptions, slider } from './elements.js';
import { entriesOf, placeOf, valuesOf } from './recipe.js';

const GRIDS = [['1x1', 'One'], ['2x2', '2×2'], ['3x3', '3×3'], ['4x4', '4×4']];
const LARGEST_SEED = 2 ** 32 - 1;
const MOST_SEEDS = 64;

export class Look {
  constructor(viewer, place) {
    this.viewer = viewer;
    this.network = viewer.networks[0];
    this.playing = null;
    this.labelling = viewer.networks.find((network) => network.label_dim) ?? this.network;
    place.append(this.seeds(), ...this.shape(), ...this.labels(), ...this.noises(), ...this.run(), this.loop());
    this.refresh();
  }

  seeds() {
    this.seed = make('input', {
      type: 'number', min: 0, max: LARGEST_SEED, step: 1, inputMode: 'numeric',
      onchange: () => this.setSeed(Number(this.seed.value)),
    });
    const step = (by) => () => this.setSeed(Math.max(0, this.seedNow() + by));
    const any = () => this.setSeed(Math.floor(Math.random() * 100000));
    this.place = make('p', { className: 'help' });
    const row = labelled('Seed', this.seed, '',
      make('button', { type: 'button', onclick: step(-1), 'aria-label': 'Previous seed' }, '−'),
      make('button', { type: 'button', onclick: step(1), 'aria-label': 'Next seed' }, '+'),
      make('button', { type: 'button', onclick: any }, 'Any'));
    row.append(this.place);
    this.grid = choice('Show', GRIDS, (value) => this.viewer.change({ grid: value.split('x').map(Number) }));
    return make('div', { className: 'group' }, row, this.grid);
  }

  seedNow() {
    const [x, y] = placeOf(this.viewer.recipe.source);
    return Math.max(0, Math.round(x) + 100 * Math.round(y));
  }

  setSeed(seed) {
    if (!Number.isFinite(seed)) return;
    this.stop();
    this.seed.value = Math.min(LARGEST_SEED, Math.max(0, Math.round(seed)));
    this.viewer.change({ source: `seed:${this.seed.value}`, ...this.viewer.withoutNoiseOfPhoto() });
  }

  shape() {
    const parts = [];
    const change = (name) => (value, moving) => this.viewer.change({ [name]: value }, moving);
    if (this.network.truncates) {
      this.psi = slider('Psi', {
        min: -1, max: 1.5, step: 0.01, format: (value) => value.toFixed(2), onchange: change('psi'),
        onreset: () => this.viewer.change({ psi: null }),
        help: '1 is the full variety; less is more typical; 0 is the average; below it lies the opposite of the picture. A double click, or Delete, sets a slider back.',
      });
      this.cutoff = slider('Layers it counts for', {
        min: 0, max: this.network.layers.length, step: 1, onchange: change('cutoff'),
        onreset: () => this.viewer.change({ cutoff: null }),
        format: (value) => (value ? `first ${value}` : 'none'),
        help: 'The layers after them keep their full variety.',
      });
      this.asIs = make('p', { className: 'help', hidden: true }, 'The latents of a file are taken as they are, without psi.');
      parts.push(this.psi, this.cutoff, this.asIs);
    }
    const top = this.network.stages.length - 1;
    this.lod = slider('Stage', {
      min: 0, max: top, step: 0.25, help: 'Earlier stages of the growing network; between two of them one fades in. Training left them when it went on, so their colours may be off.',
      format: (value) => {
        const [height, width] = this.network.stages[Math.ceil(value)];
        return `${width}×${height}${value % 1 ? `, ${Math.round(100 * (value % 1))}% faded in` : ''}`;
      },
      onchange: (value, moving) => this.viewer.change({ lod: top - value }, moving),
      onreset: () => this.viewer.change({ lod: null }),
    });
    parts.push(this.lod);
    return [make('div', { className: 'group' }, ...parts)];
  }

  labels() {
    const { label_dim: count, names, classes, examples } = this.labelling;
    if (!count) return [];
    const parts = [];
    const known = classes ?? (examples.length ? [] : Array.from({ length: count }, (_, number) => number));
    // By its name where that can mean nothing else, so that addresses and commands can be read.
    const plain = (name) => /^[a-z][\w -]*$/i.test(name) && name !== 'none' && names.filter((one) => one === name).length === 1;
    this.classOf = (number) => (names && plain(names[number]) ? names[number] : `number:${number}`);
    const options = known.map((number) => [this.classOf(number), names ? names[number] : `class ${number}`]);
    this.class_ = make('select', {
      onchange: () => this.viewer.change({ class_: this.class_.value || null, label: null }),
    });
    setOptions(this.class_, [['', examples.length ? 'in turn, those of the training' : 'in turn, by the seed'], ...options, ['none', 'none']]);
    const isOfOne = this.viewer.networks.some((network) => !network.label_dim);
    parts.push(labelled('Class', this.class_, isOfOne ? `For ${this.labelling.name}; the other network has no classes.` : null));
    if (count <= 32) {
      const change = (number, value, moving) => {
        const label = this.labelNow();
        label[number] = value;
        this.viewer.change({ label, class_: null }, moving);
      };
      this.label = Array.from({ length: count }, (_, number) => slider(names ? names[number] : `Label ${number}`, {
        min: 0, max: 1, step: 0.01, format: (value) => value.toFixed(2),
        onchange: (value, moving) => change(number, value, moving), onreset: () => change(number, 0, false),
      }));
      parts.push(make('details', {}, make('summary', {}, 'Label by numbers'), ...this.label));
    }
    return [make('div', { className: 'group' }, ...parts)];
  }

  labelNow() {
    const { label, class_ } = this.viewer.recipe;
    if (label) return [...label];
    const row = new Array(this.labelling.label_dim).fill(0);
    const number = this.numberOf(class_);
    if (number >= 0) row[number] = 1;
    return row;
  }

  /** The number of a class, however it is written; -1 for none. */
  numberOf(class_) {
    const numbers = [...Array(this.labelling.label_dim).keys()];
    return numbers.findIndex((number) => [`number:${number}`, String(number), this.classOf(number)].includes(class_));
  }

  noises() {
    if (!this.network.noise) return [];
    this.noise = choice('Noise', [['const', 'Fixed'], ['random', 'Random'], ['none', 'None'], ['file', 'Photo']],
      (kind) => this.setNoise(kind), 'Small details that no style decides: hairs, pores, grain.');
    this.noiseSeed = make('input', {
      type: 'number', min: 0, max: LARGEST_SEED, step: 1, value: 0, onchange: () => this.setNoise('random'),
    });
    this.noiseFile = make('select', { onchange: () => this.setNoise('file') });
    this.ofSeed = labelled('Seed of the noise', this.noiseSeed);
    this.ofFile = labelled('Noise of', this.noiseFile);
    const change = (number, value, moving) => {
      const values = valuesOf(this.viewer.recipe.factors, this.network);
      values[number] = value === 1 ? null : value;
      this.viewer.change({ factors: entriesOf(values) }, moving);
    };
    this.factors = this.network.layers.map((layer, number) => slider(`${number} (${layer.side}×${layer.side})`, {
      min: 0, max: 3, step: 0.05, format: (value) => `× ${value.toFixed(2)}`,
      onchange: (value, moving) => change(number, value, moving), onreset: () => change(number, 1, false),
    }));
    const reset = make('button', { type: 'button', onclick: () => this.viewer.change({ factors: [] }) }, 'All as trained');
    return [make('div', { className: 'group' }, this.noise, this.ofSeed, this.ofFile,
      make('details', { className: 'compact' }, make('summary', {}, 'Strength in each layer'), ...this.factors, reset))];
  }

  setNoise(kind) {
    const seed = Math.max(0, Math.floor(Number(this.noiseSeed.value)) || 0);
    const noise = { random: `random:${seed}`, file: this.noiseFile.value || 'const' }[kind] ?? kind;
    this.viewer.change({ noise });
  }

  /** A slider of checkpoints for each network that is a run. */
  run() {
    const runs = this.viewer.networks.flatMap((network, number) => (network.run ? [number] : []));
    this.checkpoints = runs.map((number) => {
      const set = (nimg, moving) => this.viewer.setCheckpoint(number, nimg ?? null, moving);
      const words = runs.length > 1 ? ` of ${this.viewer.networks[number].name}` : '';
      const follow = make('input', {
        type: 'checkbox', onchange: () => set(follow.checked ? null : this.nimgs(number).at(-1), false),
      });
      const row = slider(`Checkpoint${words}`, {
        min: 0, max: 1, step: 1, onchange: (value, moving) => set(this.nimgs(number)[value], moving), onreset: () => set(null, false),
        format: (value) => `${(this.nimgs(number)[value] ?? 0).toLocaleString('en')} images`,
        help: 'Images shown to the discriminator when it was saved.',
      });
      return { number, follow, row, words };
    });
    return this.checkpoints.map(({ follow, row, words }) => make('div', { className: 'group' },
      make('div', { className: 'control' }, make('label', {}, follow, ` The newest checkpoint${words}`)), row));
  }

  nimgs(number) { return this.viewer.networks[number].nimgs; }

  loop() {
    this.loopSeeds = make('input', { type: 'text', value: '0-5', spellcheck: false, onchange: () => this.viewer.problem(this.wrongSeeds()) });
    this.play = make('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.toggle() }, 'Play');
    this.speed = slider('Seconds from seed to seed', {
      min: 0.25, max: 5, step: 0.25, format: (value) => value.toFixed(2), onchange: () => {},
    });
    this.speed.set(1.5);
    return make('div', { className: 'group' },
      labelled('Loop of seeds', this.loopSeeds, 'Numbers and ranges, such as 0-5,12. Save makes a film of it.', this.play),
      this.speed);
  }

  /** What is wrong with the seeds of the loop; null for nothing. */
  wrongSeeds() {
    try { seedsIn(this.loopSeeds.value); } catch (error) { return error.message; }
    return null;
  }

  toggle() {
    if (this.playing) { this.stop(); this.viewer.change({}, false); return; }
    const before = /^loop:.*@(.+)$/.exec(this.viewer.recipe.source);
    let time = before ? Number(before[1]) : 0;
    let last = performance.now();
    const wrong = this.wrongSeeds();
    this.viewer.problem(wrong);
    if (wrong) return;
    const count = seedsIn(this.loopSeeds.value).length;
    const step = (now) => {
      if (!this.playing) return;
      time = (time + (now - last) / 1000 / Number(this.speed.input.value)) % count;
      last = now;
      this.viewer.change({ source: `loop:${this.loopSeeds.value.replace(/\s/g, '')}@${time.toFixed(4)}` }, true);
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
    this.play.textContent = 'Pause';
    this.play.setAttribute('aria-pressed', 'true');
  }

  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.play.textContent = 'Play';
    this.play.setAttribute('aria-pressed', 'false');
  }

  refresh() {
    this.network = this.viewer.networks[0];
    if (this.noiseFile) {
      const noisy = this.viewer.sources.latents.filter((one) => one.noise).map((one) => [one.id, one.title]);
      setOptions(this.noiseFile, noisy);
      this.noise.enable('file', noisy.length > 0);
    }
    for (const { number, row } of this.checkpoints) row.input.max = Math.max(0, this.nimgs(number).length - 1);
  }

  show(recipe) {
    const { source } = recipe;
    const [x, y] = placeOf(source);
    if (document.activeElement !== this.seed) this.seed.value = this.seedNow();
    const walking = source.startsWith('walk:');
    this.place.textContent = walking ? `Between seeds, at ${x.toFixed(2)} across and ${y.toFixed(2)} down; a row has 100 seeds. Home goes to the nearest one.`
      : source.startsWith('seed:') ? 'Drag the picture, or press arrow keys on it (with Shift: a whole seed), to walk among seeds.' : `The latent is ${this.titleOf(source)}.`;
    this.grid.set(recipe.grid.join('x'));
    this.psi?.set(recipe.psi ?? this.network.psi ?? 1);
    this.cutoff?.set(recipe.cutoff ?? this.network.cutoff ?? this.network.layers.length);
    if (this.psi) {
      // Only seeds are truncated.
      const isFile = [source, ...recipe.layers.map(([, one]) => one)].every((one) => one.includes('#'));
      this.psi.input.disabled = this.cutoff.input.disabled = isFile;
      this.asIs.hidden = !isFile;
    }
    this.lod.set(this.network.stages.length - 1 - (recipe.lod ?? this.network.lod));
    if (this.class_) {
      const number = this.numberOf(recipe.class_);
      this.class_.value = number >= 0 ? this.classOf(number) : recipe.class_ ?? '';
    }
    this.label?.forEach((one, number) => one.set(this.labelNow()[number]));
    if (this.noise) this.showNoise(recipe);
    for (const { number, follow, row } of this.checkpoints) {
      const { nimg } = this.viewer.recipeFor(number);
      const at = nimg === null ? this.nimgs(number).length - 1 : this.nimgs(number).indexOf(nimg);
      row.set(Math.max(0, at));
      follow.checked = nimg === null;
    }
    const loop = /^loop:(.*)@/.exec(source);
    if (loop && !this.playing && document.activeElement !== this.loopSeeds) this.loopSeeds.value = loop[1];
  }

  showNoise(recipe) {
    const kind = recipe.noise.startsWith('random:') ? 'random' : recipe.noise.includes('#') ? 'file' : recipe.noise;
    this.noise.set(kind);
    this.ofSeed.hidden = kind !== 'random';
    this.ofFile.hidden = kind !== 'file';
    if (kind === 'random' && document.activeElement !== this.noiseSeed) this.noiseSeed.value = recipe.noise.slice(7);
    if (kind === 'file') this.noiseFile.value = recipe.noise;
    const values = valuesOf(recipe.factors, this.network);
    this.factors.forEach((one, number) => one.set(values[number] ?? 1));
  }

  titleOf(source) {
    return this.viewer.sources.latents.find((one) => one.id === source)?.title
      ?? (source.startsWith('loop:') ? 'in a loop of seeds' : source);
  }
}

/** The seeds of a text such as '0-5,12'; an error says why it is none. */
export function seedsIn(text) {
  const seeds = text.split(',').flatMap((part) => {
    const match = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part);
    const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
    if (first > last || last > LARGEST_SEED) {
      throw new Error(`“${part.trim()}” names no seeds. Name the seeds of the loop by numbers and rising ranges, such as 0-5,12.`);
    }
    return Array.from({ length: Math.min(MOST_SEEDS + 1, last - first + 1) }, (_, step) => first + step);
  });
  if (seeds.length > MOST_SEEDS) throw new Error(`A loop has at most ${MOST_SEEDS} seeds.`);
  return seeds;
}

