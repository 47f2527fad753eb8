"""What a run writes for people and programs: the progress line, a line a tick, log.jsonl and TensorBoard scalars.

Where the disk is full, lines wait in memory until there is room, and none is ever written by half.
"""

import contextlib
import datetime
import errno
import json
import math
import os
import sys

import tensorboardX.event_file_writer
import tensorboardX.proto.event_pb2
import tensorboardX.summary
import tqdm

from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.progress import duration


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
        with contextlib.suppress(OSError):  # a full disk; the reader of the log sees the double entries then
            drop_entries_beyond(path, nimg)
        self._entries, self._events, self._text = (
            _Lines(os.path.join(workdir, name)) for name in ('log.jsonl', 'events.jsonl', 'log.txt')
        )
        self._board = _Scalars(os.path.join(workdir, 'tensorboard'), nimg)
        self._bar = tqdm.tqdm(
            total=total_nimg,
            initial=nimg,
            unit='img',
            smoothing=0.1,
            dynamic_ncols=True,
            disable=None,
            bar_format='{desc} {percentage:3.0f}% |{bar}| {postfix} {rate_fmt}, {remaining} left',
            file=sys.stderr,
        )
        self._failing = set()

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
        _print(text)
        with self.attempt('log.txt'):
            self._text.write(text)

    def event(self, kind, text, nimg, aloud=True, **details):
        """Prints a line, and keeps it in events.jsonl with the time, the images shown, a word for its kind and more."""
        if aloud:
            self.message(text)
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
        with self.attempt('events.jsonl'):
            self._events.write(json.dumps({'time': time, 'nimg': nimg, 'event': kind, 'text': text, **details}))

    @contextlib.contextmanager
    def attempt(self, what, nimg=None, is_whole=True):
        """Lets what is inside fail for lack of room or of rights: says so once, and again when it works.

        Args:
          what: is written there.
          nimg: images shown, to keep it as an event too; None for what is too close to the log itself.
          is_whole: whether it has been written if nothing fails.
        """
        try:
            yield
        except OSError as error:
            text = f'warning: {what} could not be written ({error.strerror or error}); training goes on'
            failed, self._failing = what in self._failing, self._failing | {what}
        else:
            if not is_whole:
                return
            text, failed = f'{what} can be written again', what not in self._failing
            self._failing = self._failing - {what}
        if not failed and nimg is not None:
            self.event('disk', text, nimg)
        elif not failed:
            _print(text)

    def tick(self, entry):
        """Records a tick: one line for people, one for programs, scalars for TensorBoard.

        Args:
          entry: dict of numbers and strings; `kimg`, `tick`, `resolution`, `alpha`, `batch`, `seconds`,
            `tick_seconds`, `images_per_second`, `maintenance_seconds`, and the mean of each of the steps' metrics.
        """
        self.message(
            'tick {tick:<4d} kimg {kimg:<8.1f} {resolution:>9s} alpha {alpha:4.2f}  batch {batch:<4d} '
            'time {time:<11s} {images_per_second:7.1f} img/s  maintenance {maintenance_seconds:4.1f}s  '
            'loss G {g_loss:6.3f} D {d_loss:6.3f}'.format(time=duration(entry['seconds']), **entry)
        )
        # JSON has no word for what is not finite.
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in entry.items()
        }
        with self.attempt('log.jsonl'):
            self._entries.write(json.dumps(finite))
        with self.attempt('TensorBoard scalars'):
            self._board.write(
                entry['nimg'],
                {
                    name: value
                    for name, value in entry.items()
                    if isinstance(value, (int, float)) and math.isfinite(value) and name not in ('nimg', 'tick')
                },
            )

    def metrics(self, results, nimg):
        """Records what `metrics` gave at a checkpoint: a line each, and scalars for TensorBoard.

        Args:
          results: dicts with `metric`, `value` and `standard_error`.
          nimg: images shown.
        """
        for result in results:
            error = result['standard_error']
            self.message(
                f'{result["metric"]} {result["value"]:.6g}'
                + ('' if error is None else f' ± {error:.2g}')
                + f' at {nimg / 1000:.1f} kimg'
            )
        with self.attempt('TensorBoard scalars'):
            self._board.write(nimg, {f'metrics/{result["metric"]}': result['value'] for result in results})

    def flush(self):
        """Writes what waits for room, if there is some."""
        for name, lines in (('log.jsonl', self._entries), ('events.jsonl', self._events), ('log.txt', self._text)):
            with self.attempt(name):
                lines.flush()

    def close(self):
        self.flush()
        self._bar.close()
        with contextlib.suppress(OSError):
            self._board.close()


class _Lines:
    """A file of lines, each there whole or waiting in memory."""

    def __init__(self, path):
        self._path, self._waiting = path, b''

    def write(self, line):
        self._waiting += line.encode() + b'\n'
        self.flush()

    def flush(self):
        if not self._waiting:
            return
        with open(self._path, 'ab', buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if file.write(self._waiting) != len(self._waiting):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._waiting = b''


class _Scalars:
    """Scalars for TensorBoard.

    tensorboardX's own SummaryWriter writes in a thread; on a full disk that dies and the run would wait for it.
    """

    def __init__(self, folder, nimg):
        self._folder, self._start, self._writer, self._files = folder, nimg, None, 0

    def write(self, nimg, values):
        event = tensorboardX.proto.event_pb2.Event
        try:
            if self._writer is None:
                os.makedirs(self._folder, exist_ok=True)
                self._files += 1
                self._writer = tensorboardX.event_file_writer.EventsWriter(
                    os.path.join(self._folder, 'events'), f'.{os.getpid()}.{self._files}'
                )
                # What the folder has beyond this point is of work that was lost.
                self._writer.write_event(event(step=self._start, session_log={'status': 'START'}))
            for name, value in values.items():
                self._writer.write_event(
                    event(
                        wall_time=datetime.datetime.now().timestamp(),
                        step=nimg,
                        summary=tensorboardX.summary.scalar(name, value),
                    )
                )
            self._writer.flush()
        except OSError:
            self._writer, self._start = None, nimg  # a torn record ends a file; the next one begins another
            raise

    def close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _print(text):
    """Prints a line; whether anybody reads it, or has room for it, must not matter to the training."""
    with contextlib.suppress(OSError):
        tqdm.tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def drop_entries_beyond(path, nimg):
    """Removes the lines of a file that were written after so many images were shown; a missing file is fine."""
    if not os.path.exists(path):
        return
    with open(path, errors='replace') as file:
        lines = file.readlines()
    kept = [line for line in lines if line.endswith('\n') and _position(line) <= nimg]
    if kept != lines:
        with atomic.writing(path) as file:
            file.writelines(kept)


def _position(line):
    """Images shown at an entry of log.jsonl; infinite for a damaged line, so that it is dropped."""
    try:
        return float(json.loads(line)['nimg'])
    except (ValueError, KeyError, TypeError):
        return math.inf
