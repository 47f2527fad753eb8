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
const by = (id) => document.getElementById(id);

class Viewer {
  constructor() {
    this.recipe = structuredClone(PLAIN);
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

  /** Asks for one picture; answers come to `hear`. */
  ask(view, network, recipe, moving) {
    this.number += 1;
    this.link.say({ kind: 'draw', view, number: this.number, network, moving, recipe });
    return this.number;
  }

  hear(values, pixels) {
    switch (values.kind) {
      case 'welcome': return this.welcome(values);
      case 'news': return this.news(values);
      case 'recipe':
        this.note = values.problem ?? null;
        if (this.note) this.problem(this.note);
        if (!this.note || !this.text) return this.take(values.recipe);
        // A text that is none leaves the picture and its address; a page without any begins with the plain one.
        return this.setAddress(this.text);
      case 'picture':
        if (values.view.startsWith('thumb:')) return this.mix.thumbnail(values, pixels);
        return this.views.picture(values, pixels);
      case 'job': return this.photo.job(values, pixels);
      case 'work': by('work').textContent = values.text ? `${values.text} …` : ''; return null;
      case 'problem':
        if (!values.view || values.view.startsWith('view')) this.problem(values.text);
        return null;
      default: return null;
    }
  }

  welcome(values) {
    const again = this.networks.length > 0;
    this.page = values.page;
    this.mostSteps = values.most_steps;
    Object.assign(this, { networks: values.networks, sources: values.sources });
    by('work').textContent = values.work ? `${values.work} …` : '';
    if (again) {
      this.photo.lost();
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
    const problems = this.networks.map((one) => one.problem).filter(Boolean);
    if (values.networks && problems.length) this.problem(problems.join('; '));
    for (const part of this.parts) part.refresh?.();
    const newer = this.networks.some((one, number) => one.newest !== before[number]);
    if (values.again || (newer && this.recipe.nimg === null)) this.draw(false);
    else for (const part of this.parts) part.show(this.recipe);
  }

  readAddress() {
    let text = location.hash.slice(1);
    try { text = decodeURIComponent(text); } catch { /* a percent sign that a person typed */ }
    if (text && text === this.text) return;
    if (text) this.link.say({ kind: 'read', text });
    else this.take({});
  }

  take(recipe) {
    this.recipe = { ...structuredClone(PLAIN), ...recipe };
    this.changedAt = performance.now();
    this.draw(false);
  }

  /** The address of the page is a link to the picture. */
  setAddress(text) {
    this.text = text;
    history.replaceState(null, '', `#${encodeURIComponent(text).replace(/%3A|%3B|%3D|%2C|%40|%2F/g, decodeURIComponent)}`);
  }

  connected(open) {
    document.body.classList.toggle('alone', !open);
    if (!open) this.problem('The viewer does not answer. Trying again …');
    else if (this.isAlone) this.problem(null);
    this.isAlone = !open;
  }

  problem(text) {
    by('problem').textContent = text ?? '';
    by('problem').hidden = !text;
  }
}

window.viewer = new Viewer();
