// The page: what is shown, how it changes, and when a picture is asked for.

import { Link } from './link.js';
import { PLAIN } from './recipe.js';
import { Views } from './views.js';
import { Look } from './look.js';
import { Mix } from './mix.js';
import { Steer } from './steer.js';
import { Photo } from './photo.js';
import { Save } from './save.js';
import { activateTabs } from './tabs.js';

const REST = 140;  // milliseconds without a change after which the full picture is asked for
const ANNOUNCE = 5000;  // milliseconds between two things that a screen reader is told of
const by = (id) => document.getElementById(id);

class Viewer {
  constructor() {
    this.recipe = structuredClone(PLAIN);
    this.second = null;  // the checkpoint of the second one of two runs
    this.problems = new Map();
    this.networks = [];
    this.sources = { latents: [], directions: [] };
    this.number = 0;
    this.parts = [];
    this.changedAt = null;
    this.asked = false;
    this.resting = null;
    this.link = new Link((values, pixels) => this.hear(values, pixels), (open) => this.connected(open));
    this.views = new Views(this, by('views'), by('facts'));
    activateTabs(by('tabs'));
    addEventListener('hashchange', () => this.readAddress());
  }

  /** Changes the recipe, and has it drawn; `moving` while a hand is moving. */
  change(changes, moving = false) {
    Object.assign(this.recipe, changes);
    this.note = null;
    this.changedAt ??= performance.now();
    clearTimeout(this.resting);
    this.resting = moving ? setTimeout(() => { this.resting = null; this.draw(false); }, REST) : null;
    if (this.asked) { this.moving &&= moving; return; }
    this.asked = true;
    this.moving = moving;
    // Many changes in one frame of the screen are one request.
    requestAnimationFrame(() => { this.asked = false; this.draw(this.moving); });
  }

  get areTwoRuns() { return this.networks.length === 2 && this.networks.every((network) => network.run); }

  /** The recipe for one of the networks: the checkpoint of a recipe is that of the first run. */
  recipeFor(number) {
    return this.areTwoRuns && number === 1 ? { ...this.recipe, nimg: this.second } : this.recipe;
  }

  setCheckpoint(number, nimg, moving) {
    if (!this.areTwoRuns || number === 0) return this.change({ nimg }, moving);
    this.second = nimg;
    return this.change({}, moving);
  }

  /** A photo's noise leaves with the photo. */
  withoutNoiseOfPhoto() {
    return this.recipe.noise === this.recipe.source ? { noise: 'const' } : {};
  }

  /** Whether the picture on the page is that of the recipe, at full size. */
  get isSettled() {
    return !this.asked && this.resting === null && this.views.all.length > 0
      && this.views.all.every(({ asked, canvas }) => asked.size === 0 && canvas.dataset.full === 'true');
  }

  draw(moving) {
    if (!this.networks.length) return;
    this.views.ask(moving, this.changedAt);
    this.changedAt = null;
    for (const part of this.parts) part.show(this.recipe);
  }

  /** Asks for one picture, or a `small` one; answers come to `hear`. */
  ask(view, network, recipe, moving, small = false) {
    this.number += 1;
    this.link.say({ kind: 'draw', view, number: this.number, network, moving, small, recipe });
    return this.number;
  }

  hear(values, pixels) {
    switch (values.kind) {
      case 'welcome': return this.welcome(values);
      case 'news': return this.news(values);
      case 'recipe':
        this.note = values.problem ?? null;
        if (this.note) this.problem(this.note);
        if (!this.note || !this.text) return this.take(values.recipe, this.secondOfAddress);
        // A text that is none leaves the picture and its address; a page without any begins with the plain one.
        return this.showAddress();
      case 'picture':
        if (values.view.startsWith('thumb:')) return this.mix.thumbnail(values, pixels);
        return this.views.picture(values, pixels);
      case 'job': return this.photo.job(values, pixels);
      case 'file': return this.save.news(values);
      case 'work': return this.work(values.text);
      case 'problem':
        if (!values.view) return this.problem(values.text);
        return values.view.startsWith('thumb:') ? this.mix.next() : this.views.problem(values);
      default: return null;
    }
  }

  welcome(values) {
    const again = this.networks.length > 0;
    const isKnown = values.page === this.link.page;  // to the viewer, which may have been started again
    this.page = this.link.page = values.page;
    this.mostSteps = values.most_steps;
    Object.assign(this, { networks: values.networks, sources: values.sources });
    this.work(values.work);
    if (again) {
      if (!isKnown) this.photo.lost();
      this.mix.again();
      return this.news({ again });
    }
    document.title = `${this.networks.map((one) => one.name).join(' and ')} – stylegan_jax viewer`;
    this.views.build();
    this.look = new Look(this, by('look'));
    this.mix = new Mix(this, by('mix'));
    this.steer = new Steer(this, by('steer'));
    this.photo = new Photo(this, by('photo'));
    this.save = new Save(this, by('save'));
    this.parts = [this.look, this.mix, this.steer, this.photo, this.save];
    return this.readAddress();
  }

  /** New sources, checkpoints, or problems with files. */
  news(values) {
    const before = this.networks.map((one) => one.newest);
    if (values.networks) this.networks = values.networks;
    if (values.sources) this.sources = values.sources;
    if (values.networks && this.problemOfFiles) this.problem(this.problemOfFiles);
    for (const part of this.parts) part.refresh?.();
    const isNewer = this.networks.some((one, number) => one.newest !== before[number] && this.recipeFor(number).nimg === null);
    if (values.again || isNewer) this.draw(false);
    else for (const part of this.parts) part.show(this.recipe);
  }

  readAddress() {
    let text = location.hash.slice(1);
    try { text = decodeURIComponent(text); } catch { /* a percent sign that a person typed */ }
    if (text && text === this.text) return;
    const [, own, second] = /^(.*)&nimg=(\d{1,12})$/.exec(text) ?? [null, text, null];
    this.secondOfAddress = second === null ? null : Number(second);
    if (text) this.link.say({ kind: 'read', text: own });
    else this.take({}, null);
  }

  take(recipe, second) {
    this.recipe = { ...structuredClone(PLAIN), ...recipe };
    this.second = this.areTwoRuns ? second : null;
    this.changedAt = performance.now();
    this.draw(false);
  }

  /** The address of the page is a link to the picture: its recipe, and the checkpoint of the second one of two runs. */
  setAddress(text) {
    this.text = this.second === null ? text : `${text}&nimg=${this.second}`;
    this.showAddress();
  }

  showAddress() {
    const text = encodeURIComponent(this.text).replace(/%3A|%3B|%3D|%2C|%40|%2F|%26/g, decodeURIComponent);
    history.replaceState(null, '', `#${text}`);
  }

  connected(open) {
    document.body.classList.toggle('alone', !open);
    if (!open) this.problem('The viewer does not answer. Trying again …');
    else if (this.isAlone) this.problem(null);
    this.isAlone = !open;
  }

  get problemOfFiles() { return this.networks.map((one) => one.problem).filter(Boolean).join('; ') || null; }

  /** Shows what is wrong with a view, or with anything else; null for nothing. */
  problem(text, of = 'page') {
    if (text) this.problems.set(of, text);
    else this.problems.delete(of);
    const all = [...new Set(this.problems.values())].join('; ');
    if (by('problem').textContent !== all) by('problem').textContent = all;  // a screen reader reads each change
    by('problem').hidden = !all;
  }

  work(text) {
    by('work').textContent = text ? `${text} …` : '';
    if (text) this.announce(text);
  }

  /** Tells a screen reader something: the newest of what comes within some seconds, or at once what is final. */
  announce(text, isFinal = false) {
    const tell = () => {
      this.announcedAt = performance.now();
      by('announced').textContent = text;
    };
    const wait = (this.announcedAt ?? -ANNOUNCE) + ANNOUNCE - performance.now();
    clearTimeout(this.announcing);
    if (isFinal || wait <= 0) tell();
    else this.announcing = setTimeout(tell, wait);
  }
}

window.viewer = new Viewer();
