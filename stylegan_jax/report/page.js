'use strict';
// The slider chooses a sample grid; the plots show where it stands, and their legends the numbers there.
const data = JSON.parse(document.getElementById('data').textContent);
const grids = [...document.querySelectorAll('#grids img')];
const slider = document.getElementById('slider');
const play = document.getElementById('play');
let timer = null;

function show(index) {
  grids.forEach((grid, i) => { grid.hidden = i !== index; });
  slider.value = index;
  document.getElementById('where').textContent = data.captions[index];
  document.documentElement.style.setProperty('--at', data.kimg[index] / data.end);
  document.querySelectorAll('b[data-curve]').forEach((legend) => {
    legend.textContent = data.curves[legend.dataset.curve][index];
  });
}

function stop() {
  clearInterval(timer);
  timer = null;
  play.textContent = 'Play';
}

if (grids.length) {
  slider.addEventListener('input', () => { stop(); show(Number(slider.value)); });
  play.addEventListener('click', () => {
    if (timer) return stop();
    play.textContent = 'Pause';
    let next = Number(slider.value) + 1 < grids.length ? Number(slider.value) + 1 : 0;
    show(next);
    timer = setInterval(() => {
      next += 1;
      if (next >= grids.length) return stop();
      show(next);
    }, 600);
  });
  document.querySelectorAll('.canvas').forEach((canvas) => canvas.addEventListener('click', (event) => {
    const box = canvas.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width - data.left) / data.width * data.end;
    const near = data.kimg.map((kimg) => Math.abs(kimg - at));
    stop();
    show(near.indexOf(Math.min(...near)));
  }));
  show(grids.length - 1);
}

document.querySelectorAll('.command button').forEach((button) => button.addEventListener('click', () => {
  const text = button.parentElement.querySelector('pre');
  const selected = () => { getSelection().selectAllChildren(text); button.textContent = 'Selected'; };
  // Pages of local files have no clipboard in some browsers; there the text is selected for Ctrl-C.
  if (!navigator.clipboard) return selected();
  navigator.clipboard.writeText(text.textContent).then(() => { button.textContent = 'Copied'; }, selected);
}));
