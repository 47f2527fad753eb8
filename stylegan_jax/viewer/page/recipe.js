// The recipe of the picture. The server alone reads and writes its text; here it is plain values.

export const PLAIN = {
  source: 'seed:0', layers: [], moves: [], directions: null, psi: null, cutoff: null, noise: 'const', factors: [],
  class_: null, label: null, lod: null, nimg: null, grid: [1, 1],
};

/** The layers that a text such as 'coarse' or '0-3,6' means, as numbers. */
export function layersOf(text, network) {
  if (['coarse', 'middle', 'fine'].includes(text)) {
    return network.layers.flatMap((layer, number) => (layer.group === text ? [number] : []));
  }
  return text.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, step) => first + step);
  });
}

/** The entries [layers, value] of a list with a value for each layer; null is none. Neighbours share an entry. */
export function entriesOf(values) {
  const entries = [];
  values.forEach((value, layer) => {
    const last = entries.at(-1);
    if (value === null) return;
    if (last && last.value === value && last.last === layer - 1) last.last = layer;
    else entries.push({ first: layer, last: layer, value });
  });
  return entries.map(({ first, last, value }) => [first === last ? `${first}` : `${first}-${last}`, value]);
}

/** A list with the value of each layer, from entries [layers, value]; later ones win. */
export function valuesOf(entries, network) {
  const values = network.layers.map(() => null);
  for (const [text, value] of entries) {
    for (const layer of layersOf(text, network)) if (layer < values.length) values[layer] = value;
  }
  return values;
}

/** The place of a source in the plane of seeds, 100 in a row. */
export function placeOf(source) {
  const walk = /^walk:([^,]+),(.+)$/.exec(source);
  if (walk) return [Number(walk[1]), Number(walk[2])];
  const seed = /^seed:(\d+)$/.exec(source);
  return seed ? [Number(seed[1]) % 100, Math.floor(Number(seed[1]) / 100)] : [0, 0];
}

export function walkTo(x, y) {
  const place = [x, y].map((value) => Number(value.toFixed(3)));
  return place.every(Number.isInteger) && place[0] >= 0 && place[0] < 100 && place[1] >= 0
    ? `seed:${place[0] + 100 * place[1]}` : `walk:${place.join(',')}`;
}
