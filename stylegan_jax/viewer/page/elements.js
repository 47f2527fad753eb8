// Small tools for making elements; no element of the page is made from text that is parsed as HTML.

/** Makes an element: properties by name, `aria-...` and `for` as attributes, `on...` as listeners, then its children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name.includes('-') || name === 'for' || name === 'role' || name === 'list') element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

let made = 0;

/**
 * A slider with its label, its value, and a line of help. `onchange(value, moving)` hears of it, and `onreset()` of a
 * double click or the Delete key.
 */
export function slider(label, { min, max, step, help, format = String, onchange, onreset = null }) {
  const id = `slider-${made += 1}`;
  const output = make('output', { htmlFor: id });
  const input = make('input', { type: 'range', id, min, max, step, 'aria-describedby': help ? `${id}-help` : null });
  const show = () => {
    output.value = format(Number(input.value));
    input.setAttribute('aria-valuetext', output.value);
  };
  input.addEventListener('input', () => { show(); onchange(Number(input.value), true); });
  input.addEventListener('change', () => { show(); onchange(Number(input.value), false); });
  if (onreset) {
    input.addEventListener('dblclick', onreset);
    input.addEventListener('keydown', (event) => { if (event.key === 'Delete') onreset(); });
  }
  const row = make('div', { className: 'control' },
    make('label', { for: id }, label), output, input,
    help ? make('p', { className: 'help', id: `${id}-help` }, help) : null);
  row.input = input;
  row.set = (value) => { input.value = value; show(); };
  return row;
}

/** A labelled control of any kind, with buttons beside it. */
export function labelled(label, control, help = null, ...buttons) {
  control.id = control.id || `control-${made += 1}`;
  return make('div', { className: 'control' }, make('label', { for: control.id }, label),
    buttons.length ? make('div', { className: 'buttons' }, control, ...buttons) : control,
    help ? make('p', { className: 'help' }, help) : null);
}

/** A choice among a few words, as radio buttons; `set` and `onchange` as sliders have them. */
export function choice(legend, options, onchange, help = null) {
  const name = `choice-${made += 1}`;
  const inputs = options.map(([value, label]) => {
    const input = make('input', { type: 'radio', name, value, onchange: () => onchange(value) });
    return make('label', {}, input, make('span', {}, label));
  });
  const field = make('fieldset', { className: 'choice' }, make('legend', {}, legend),
    make('div', { className: 'options' }, ...inputs), help ? make('p', { className: 'help' }, help) : null);
  field.set = (value) => { for (const label of inputs) label.firstChild.checked = label.firstChild.value === value; };
  field.enable = (value, can) => {
    for (const label of inputs) if (label.firstChild.value === value) label.firstChild.disabled = !can;
  };
  return field;
}

/** Replaces the options of a select, and keeps its value where it is still there. */
export function setOptions(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, label]) => make('option', { value }, label)));
  if (options.some(([value]) => value === before)) select.value = before;
}

/** Paints the rows of a picture, of 1, 3 or 4 channels, on a canvas. */
export function paint(canvas, [height, width, channels], pixels) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  const to = image.data;
  if (channels === 4) to.set(pixels);
  else {
    const green = channels === 3 ? 1 : 0;
    for (let from = 0, at = 0; at < to.length; at += 4, from += channels) {
      to[at] = pixels[from];
      to[at + 1] = pixels[from + green];
      to[at + 2] = pixels[from + 2 * green];
      to[at + 3] = 255;
    }
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}
