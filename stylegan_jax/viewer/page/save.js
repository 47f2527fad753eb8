// What can be taken away: files, the command line that makes the picture, and a link.

import { labelled, make, setOptions } from './elements.js';

const KINDS = [
  ['picture', 'Picture', 'at full size, as PNG'], ['latents', 'Latents', 'for latents, project and this page'],
  ['figure', 'Figure', 'the sources beside what they make'], ['film', 'Film', 'of the loop of seeds, as WebP'],
];

export class Save {
  constructor(viewer, place) {
    Object.assign(this, { viewer, commands: [], number: 0, running: new Map() });
    this.which = make('select', { onchange: () => this.showCommand() });
    setOptions(this.which, viewer.networks.map((network, number) => [String(number), network.name]));
    this.whichRow = labelled('Of', this.which);
    this.whichRow.hidden = viewer.networks.length < 2;
    this.said = make('p', { role: 'status', className: 'help' });
    this.progress = make('p', { className: 'help' });  // it changes too often for a screen reader
    this.cancel = make('button', { type: 'button', onclick: () => this.stop() }, 'Cancel');
    this.cancelRow = make('div', { className: 'buttons', hidden: true }, this.cancel);
    const buttons = KINDS.map(([kind, label, help]) => make('button', {
      type: 'button', className: 'save', id: `save-${kind}`, onclick: (event) => this.save(kind, event.currentTarget),
    }, make('strong', {}, label), make('span', {}, help)));
    this.text = make('textarea', { className: 'code', readOnly: true, rows: 5, spellcheck: false });
    this.link = make('button', { type: 'button', onclick: () => this.copy(location.href, 'The link') }, 'Copy the link');
    place.append(
      make('div', { className: 'group' }, this.whichRow, make('div', { className: 'saves' }, ...buttons), this.said, this.progress, this.cancelRow),
      make('div', { className: 'group' }, labelled('The command that makes exactly this picture', this.text),
        make('div', { className: 'buttons' },
          make('button', { type: 'button', className: 'main', onclick: () => this.copy(this.text.value, 'The command') }, 'Copy the command'),
          this.link)));
  }

  command(view) {
    if (view.values.command) this.commands[view.number] = view.values.command;
    this.showCommand();
  }

  showCommand() { this.text.value = this.commands[Number(this.which.value)] ?? ''; }

  async save(kind, button) {
    const network = Number(this.which.value);
    const recipe = { ...this.viewer.recipeFor(network) };
    const name = this.viewer.networks.length > 1 ? ` of ${this.viewer.networks[network].name}` : '';
    // The checkpoint of the picture that is on the page, even if the run has a newer one by now.
    if (this.viewer.networks[network].run) recipe.nimg ??= this.viewer.views.all[network].values?.nimg ?? null;
    if (kind === 'film') {
      this.said.textContent = this.viewer.look.wrongSeeds() ?? '';
      if (this.said.textContent) return;
      recipe.source = `loop:${this.viewer.look.loopSeeds.value.replace(/\s/g, '')}@0`;
    }
    const number = this.number += 1;
    const file = { kind, name, stop: new AbortController() };
    this.running.set(number, file);
    this.cancelRow.hidden = false;
    button.disabled = true;
    this.said.textContent = `Making the ${kind}${name} …`;
    try {
      const answer = await fetch('/save', {
        method: 'POST', signal: file.stop.signal,
        body: JSON.stringify({ kind, network, recipe, page: this.viewer.page, number }),
      });
      if (!answer.ok) throw new Error((await answer.json()).problem);
      const fileName = decodeURIComponent(/filename\*=UTF-8''(.+)/.exec(answer.headers.get('Content-Disposition'))[1]);
      const address = URL.createObjectURL(await answer.blob());
      make('a', { href: address, download: fileName }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      this.said.textContent = `${fileName}${name} was saved.`;
    } catch (error) {
      this.said.textContent = error.name === 'AbortError' ? `The ${kind} was cancelled.`
        : error instanceof TypeError ? 'The viewer does not answer.' : error.message;
    }
    button.disabled = false;
    this.running.delete(number);
    this.progress.textContent = '';
    this.cancelRow.hidden = !this.running.size;
  }

  /** News of a file that is made. */
  news({ number, state, done, count }) {
    const file = this.running.get(number);
    if (!file) return;
    if (state === 'waiting') this.said.textContent = `The ${file.kind}${file.name} waits for another one that is being made.`;
    else if (count) this.progress.textContent = `${done} of ${count} frames`;
    else this.said.textContent = `Making the ${file.kind}${file.name} …`;
  }

  stop() {
    for (const { stop } of this.running.values()) stop.abort();
  }

  async copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      this.said.textContent = `${what} was copied.`;
    } catch {  // browsers have a clipboard for pages of this machine and of https alone
      this.text.focus();
      this.text.select();
      const done = text === this.text.value && document.execCommand('copy');
      this.said.textContent = done ? `${what} was copied.` : 'Copy it by hand: this browser does not let the page do it.';
    }
  }

  show() {}
}
