// What can be taken away: files, the command line that makes the picture, and a link.

import { labelled, make, setOptions } from './elements.js';

const KINDS = [
  ['picture', 'Picture', 'at full size, as PNG'], ['latents', 'Latents', 'for latents, project and this page'],
  ['figure', 'Figure', 'the sources beside what they make'], ['film', 'Film', 'of the loop of seeds, as WebP'],
];

export class Save {
  constructor(viewer, place) {
    Object.assign(this, { viewer, commands: [] });
    this.which = make('select', { onchange: () => this.showCommand() });
    setOptions(this.which, viewer.networks.map((network, number) => [String(number), network.name]));
    this.whichRow = labelled('Of', this.which);
    this.whichRow.hidden = viewer.networks.length < 2;
    this.said = make('p', { role: 'status', className: 'help' });
    const buttons = KINDS.map(([kind, label, help]) => make('button', {
      type: 'button', className: 'save', id: `save-${kind}`, onclick: (event) => this.save(kind, event.currentTarget),
    }, make('strong', {}, label), make('span', {}, help)));
    this.text = make('textarea', { className: 'code', readOnly: true, rows: 5, spellcheck: false });
    this.link = make('button', { type: 'button', onclick: () => this.copy(location.href, 'The link') }, 'Copy the link');
    place.append(
      make('div', { className: 'group' }, this.whichRow, make('div', { className: 'saves' }, ...buttons), this.said),
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
    const recipe = { ...this.viewer.recipe };
    if (kind === 'film') recipe.source = `loop:${this.viewer.look.loopSeeds.value.replace(/\s/g, '')}@0`;
    button.disabled = true;
    this.said.textContent = `Making the ${kind} …`;
    try {
      const answer = await fetch('/save', {
        method: 'POST', body: JSON.stringify({ kind, network: Number(this.which.value), recipe }),
      });
      if (!answer.ok) throw new Error((await answer.json()).problem);
      const name = decodeURIComponent(/filename\*=UTF-8''(.+)/.exec(answer.headers.get('Content-Disposition'))[1]);
      const address = URL.createObjectURL(await answer.blob());
      make('a', { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      this.said.textContent = `${name} was saved.`;
    } catch (error) {
      this.said.textContent = error.message;
    }
    button.disabled = false;
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
