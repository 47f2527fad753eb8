// A photo becomes a source: it is cropped here, and the server finds the latents that make it.

import { labelled, make, paint, setOptions } from './elements.js';

const [FEWEST, MOST] = [400, 800];  // pixels of the larger side of a photo, as it is shown
const HANDLE = 12;  // pixels of the screen
const SMALLEST = 0.05;  // share of the photo that a crop has at least
const STEPS = [[100, 'quick, 100 steps'], [300, 'good, 300 steps'], [1000, 'thorough, 1000 steps']];

export class Photo {
  constructor(viewer, place) {
    Object.assign(this, { viewer, place, jobs: new Map(), image: null, file: null });
    if (!viewer.networks.some((network) => network.truncates)) {
      place.append(make('p', {}, 'A Progressive GAN has no latents w that could be found.'));
      return;
    }
    // A Progressive GAN has no latents w that could be found.
    const able = viewer.networks.flatMap((network, number) => (network.truncates ? [[String(number), network.name]] : []));
    this.which = make('select', { onchange: () => this.take(this.file) });
    setOptions(this.which, able);
    const whichRow = labelled('With', this.which);
    whichRow.hidden = viewer.networks.length < 2;
    this.input = make('input', { type: 'file', accept: 'image/*', onchange: () => this.take(this.input.files[0]) });
    this.drop = make('div', { className: 'drop' }, labelled('A photo', this.input, 'Or drop one anywhere on the page. It stays on the machine of the viewer.'));
    this.canvas = make('canvas', {
      className: 'crop', tabIndex: 0, role: 'application', hidden: true,
      'aria-label': 'Crop. Drag to move it, drag its corner to resize it; arrow keys move it, plus and minus resize it.',
    });
    this.cropHelp = make('p', { className: 'help', hidden: true }, 'Drag the frame, or its corner; arrow keys, plus and minus do the same.');
    this.steps = make('select', {}, ...STEPS.map(([value, label]) => make('option', { value, selected: value === 300 }, label)));
    this.start = make('button', { type: 'button', className: 'main', disabled: true, onclick: () => this.send() }, 'Find its latents');
    this.said = make('p', { role: 'alert', className: 'problem', hidden: true });
    this.list = make('ul', { className: 'jobs', 'aria-label': 'Photos' });
    place.append(
      make('div', { className: 'group' }, whichRow, this.drop, this.canvas, this.cropHelp, labelled('How long', this.steps),
        make('div', { className: 'buttons' }, this.start), this.said),
      make('div', { className: 'group' }, this.list));
    this.listen();
    addEventListener('beforeunload', (event) => {  // the server ends it soon after the page has left
      if ([...this.jobs.values()].some((job) => !job.bar.hidden)) event.preventDefault();
    });
  }

  listen() {
    addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('dropping'); });
    addEventListener('dragleave', (event) => { if (!event.relatedTarget) document.body.classList.remove('dropping'); });
    addEventListener('drop', (event) => {
      event.preventDefault();
      document.body.classList.remove('dropping');
      const [file] = event.dataTransfer.files;
      if (!file) return;
      document.getElementById('tab-photo').click();
      this.input.files = event.dataTransfer.files;
      this.take(file);
    });
    let grip = null;
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    this.canvas.addEventListener('pointerdown', (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      const [x, y] = at(event);
      const { left, top, width, height } = this.box;
      const isCorner = Math.hypot(x - left - width, y - top - height) < 0.08;
      const isInside = x > left && x < left + width && y > top && y < top + height;
      if (!isCorner && !isInside) this.moveTo(x - width / 2, y - height / 2);
      grip = { isCorner, x, y, box: { ...this.box } };
    });
    this.canvas.addEventListener('pointermove', (event) => {
      if (!grip) return;
      const [x, y] = at(event);
      if (grip.isCorner) this.resizeTo(Math.max(x - grip.box.left, (y - grip.box.top) * grip.box.width / grip.box.height));
      else this.moveTo(grip.box.left + x - grip.x, grip.box.top + y - grip.y);
    });
    for (const name of ['pointerup', 'pointercancel']) this.canvas.addEventListener(name, () => { grip = null; });
    this.canvas.addEventListener('keydown', (event) => {
      const { left, top, width } = this.box;
      const step = 0.02;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (moves[event.key]) this.moveTo(left + moves[event.key][0], top + moves[event.key][1]);
      else if (event.key === '+') this.resizeTo(width * 1.05);
      else if (event.key === '-') this.resizeTo(width / 1.05);
      else return;
      event.preventDefault();
    });
  }

  async take(file) {
    if (!file) return;
    this.file = file;
    this.start.disabled = false;
    this.problem(null);
    this.image?.close();
    try {
      this.image = await createImageBitmap(file);
    } catch {
      this.image = null;  // the server reads more kinds of pictures than browsers do
      this.canvas.hidden = this.cropHelp.hidden = true;
      this.box = { left: 0, top: 0, width: 1, height: 1 };
      this.problem('This browser cannot show the photo; its middle will be taken.');
      return;
    }
    // The largest box of the network's shape, in the middle; shares of the photo's sides.
    const [height, width] = this.viewer.networks[Number(this.which.value)].shape;
    this.shape = (width / height) * (this.image.height / this.image.width);
    const size = this.shape > 1 ? { width: 1, height: 1 / this.shape } : { width: this.shape, height: 1 };
    this.box = { left: (1 - size.width) / 2, top: (1 - size.height) / 2, ...size };
    const larger = Math.max(this.image.width, this.image.height);
    const scale = Math.min(MOST, Math.max(FEWEST, larger)) / larger;
    this.canvas.width = Math.max(1, Math.round(this.image.width * scale));
    this.canvas.height = Math.max(1, Math.round(this.image.height * scale));
    this.canvas.hidden = this.cropHelp.hidden = false;
    this.paintCrop();
  }

  moveTo(left, top) {
    this.box.left = Math.min(Math.max(0, left), 1 - this.box.width);
    this.box.top = Math.min(Math.max(0, top), 1 - this.box.height);
    this.paintCrop();
  }

  resizeTo(width) {
    const { left, top } = this.box;
    const most = Math.min(1 - left, (1 - top) * this.shape);
    this.box.width = Math.min(Math.max(SMALLEST, width), most);
    this.box.height = this.box.width / this.shape;
    this.paintCrop();
  }

  paintCrop() {
    if (!this.image) return;
    const { canvas, box } = this;
    const context = canvas.getContext('2d');
    const [x, y, w, h] = [box.left * canvas.width, box.top * canvas.height, box.width * canvas.width, box.height * canvas.height];
    context.drawImage(this.image, 0, 0, canvas.width, canvas.height);
    context.fillStyle = 'rgb(0 0 0 / 55%)';
    context.beginPath();
    context.rect(0, 0, canvas.width, canvas.height);
    context.rect(x, y, w, h);
    context.fill('evenodd');
    // In pixels of the screen, whatever the size of the photo.
    const pixel = canvas.width / (canvas.clientWidth || canvas.width);
    const [line, handle] = [pixel, HANDLE * pixel];
    Object.assign(context, { strokeStyle: '#fff', lineWidth: line, fillStyle: '#fff' });
    context.strokeRect(x, y, w, h);
    context.fillRect(x + w - handle, y + h - handle, handle, handle);
  }

  async send() {
    const { left, top, width, height } = this.box;
    const number = Number(this.which.value);
    const { class_, label, lod, nimg } = this.viewer.recipeFor(number);
    const recipe = ['seed:0'];
    if (class_) recipe.push(`class=${encodeURIComponent(class_)}`);
    if (label) recipe.push(`label=${label.join(',')}`);
    if (lod !== null) recipe.push(`lod=${lod}`);
    if (nimg !== null) recipe.push(`nimg=${nimg}`);
    const query = new URLSearchParams({
      page: this.viewer.page, title: this.file.name, steps: Math.min(this.steps.value, this.viewer.mostSteps),
      left, top, right: Math.min(1, left + width), bottom: Math.min(1, top + height), recipe: recipe.join(';'), network: number,
    });
    this.start.disabled = true;
    this.problem(null);
    try {
      const answer = await fetch(`/project?${query}`, { method: 'POST', body: this.file });
      if (!answer.ok) this.problem(answer.headers.get('Content-Type')?.includes('json') ? (await answer.json()).problem : await answer.text());
    } catch {
      this.problem('The viewer does not answer.');
    }
    this.start.disabled = false;
  }

  problem(text) {
    this.said.textContent = text ?? '';
    this.said.hidden = !text;
  }

  /** News of a photo that is projected. */
  job(values, pixels) {
    const job = this.jobs.get(values.job) ?? this.newJob(values);
    if (pixels) paint(job.canvas, values.shape, pixels);
    const words = {
      waiting: () => (values.before ? `waits for ${values.before} before it` : 'begins'),
      beginning: () => 'choosing where to start; the first photo waits for the compiler …',
      running: () => `step ${values.step} of ${values.steps}, ${values.psnr.toFixed(1)} dB`,
      done: () => `found, ${values.psnr.toFixed(1)} dB from the photo`,
      cancelled: () => 'cancelled',
      failed: () => values.text,
    };
    const isOver = ['done', 'cancelled', 'failed'].includes(values.state);
    if (isOver || !job.stopping) job.words.textContent = words[values.state]();
    if (values.state !== 'running') this.viewer.announce(`${values.title}: ${job.words.textContent}`, isOver);
    job.row.dataset.state = values.state;
    if (values.state === 'running') Object.assign(job.bar, { value: values.step, max: values.steps });
    job.bar.hidden = job.cancel.hidden = isOver;
    if (values.state === 'done') {
      job.use.hidden = false;
      job.use.onclick = () => this.viewer.change({
        source: values.source, layers: [], noise: this.viewer.networks[values.network].noise ? values.source : 'const',
      });
    }
  }

  /** Tells the server, which looks between steps: compiling the first one cannot be interrupted. */
  cancel(number) {
    const job = this.jobs.get(number);
    this.viewer.link.say({ kind: 'cancel', job: number });
    job.stopping = job.cancel.disabled = true;
    job.words.textContent = 'stopping …';
  }

  /** The viewer no longer knows this page, and what it did for it is lost. */
  lost() {
    for (const job of this.jobs.values()) {
      if (job.bar.hidden) continue;
      job.words.textContent = 'ended, because the connection was lost for too long';
      job.bar.hidden = job.cancel.hidden = true;
    }
    this.jobs.clear();
  }

  newJob(values) {
    const job = {
      canvas: make('canvas', { width: 1, height: 1 }),
      words: make('p'),
      bar: make('progress', { 'aria-label': `Progress of ${values.title}` }),
      cancel: make('button', { type: 'button', onclick: () => this.cancel(values.job) }, 'Cancel'),
      use: make('button', { type: 'button', className: 'main', hidden: true }, 'Show it'),
    };
    job.row = make('li', {}, job.canvas, make('div', {}, make('strong', {}, values.title), job.words, job.bar,
      make('div', { className: 'buttons' }, job.cancel, job.use)));
    this.jobs.set(values.job, job);
    this.list.prepend(job.row);
    return job;
  }

  show() {}
}
