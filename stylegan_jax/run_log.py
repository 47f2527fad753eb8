"""What a run writes for people and programs: the progress line, a line a tick, log.jsonl and TensorBoard scalars."""
import json
import math
import os
import sys

import tensorboardX
import tqdm


class RunLog:
    """The log of one run; opening it again after an interruption goes on where the checkpoint stood."""

    def __init__(self, workdir, *, nimg, total_nimg):
        """Opens the log.

        Args:
          workdir: the run's folder.
          nimg: images shown so far; entries beyond are of work that was lost, and are dropped.
          total_nimg: at the end of the run.
        """
        path = os.path.join(workdir, 'log.jsonl')
        _drop_entries_beyond(path, nimg)
        self._file = open(path, 'a')
        self._text = open(os.path.join(workdir, 'log.txt'), 'a')
        self._board = tensorboardX.SummaryWriter(os.path.join(workdir, 'tensorboard'), purge_step=nimg or None,
                                                flush_secs=10)
        self._bar = tqdm.tqdm(total=total_nimg, initial=nimg, unit='img', smoothing=0.1, dynamic_ncols=True,
                              disable=None, bar_format='{desc} {percentage:3.0f}% |{bar}| {postfix} {rate_fmt}, '
                                                       '{remaining} left', file=sys.stderr)

    def progress(self, shown, resolution, alpha, nimg):
        """Moves the progress line by `shown` images."""
        self._bar.set_description_str(f'{resolution} alpha {alpha:.2f}', refresh=False)
        self._bar.set_postfix_str(f'{nimg / 1000:.1f} kimg', refresh=False)
        self._bar.update(shown)

    def activity(self, text):
        """Says on the progress line what takes a while."""
        self._bar.set_description_str(text)

    def message(self, text):
        """Prints a line without disturbing the progress line, and keeps it in log.txt."""
        tqdm.tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
        self._text.write(text + '\n')
        self._text.flush()

    def tick(self, entry):
        """Records a tick: one line for people, one for programs, scalars for TensorBoard.

        Args:
          entry: dict of numbers and strings; `kimg`, `tick`, `resolution`, `alpha`, `batch`, `seconds`,
            `tick_seconds`, `images_per_second`, `maintenance_seconds`, and the mean of each of the steps' metrics.
        """
        self.message('tick {tick:<4d} kimg {kimg:<8.1f} {resolution:>9s} alpha {alpha:4.2f}  batch {batch:<4d} '
                     'time {time:<11s} {images_per_second:7.1f} img/s  maintenance {maintenance_seconds:4.1f}s  '
                     'loss G {g_loss:6.3f} D {d_loss:6.3f}'.format(time=duration(entry['seconds']), **entry))
        # JSON has no word for what is not finite.
        finite = {name: None if isinstance(value, float) and not math.isfinite(value) else value
                  for name, value in entry.items()}
        self._file.write(json.dumps(finite) + '\n')
        self._file.flush()
        step = entry['nimg']
        for name, value in entry.items():
            if isinstance(value, (int, float)) and name not in ('nimg', 'tick'):
                self._board.add_scalar(name, value, step)
        self._board.flush()

    def close(self):
        self._bar.close()
        self._board.close()
        self._file.close()
        self._text.close()


def duration(seconds):
    """Writes seconds as people do: '42s', '3m 07s', '5h 02m 11s', '2d 01h 10m'."""
    s = int(round(seconds))
    if s < 60:
        return f'{s}s'
    if s < 3600:
        return f'{s // 60}m {s % 60:02d}s'
    if s < 86400:
        return f'{s // 3600}h {s // 60 % 60:02d}m {s % 60:02d}s'
    return f'{s // 86400}d {s // 3600 % 24:02d}h {s // 60 % 60:02d}m'


def _drop_entries_beyond(path, nimg):
    if not os.path.exists(path):
        return
    with open(path, errors='replace') as file:
        lines = file.readlines()
    kept = [line for line in lines if line.endswith('\n') and _position(line) <= nimg]
    if kept != lines:
        temporary = path + '.part'
        with open(temporary, 'w') as file:
            file.writelines(kept)
        os.replace(temporary, path)


def _position(line):
    """Images shown at an entry of log.jsonl; infinite for a damaged line, so that it is dropped."""
    try:
        return float(json.loads(line)['nimg'])
    except (ValueError, KeyError, TypeError):
        return math.inf
