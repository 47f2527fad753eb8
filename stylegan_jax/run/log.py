"""The log of a run, for people and programs: the live line, a line per tick, log.jsonl and TensorBoard scalars.

If the disk is full, lines wait in memory until there is room. No line is ever written by half.
"""

import collections.abc
import contextlib
import datetime
import json
import math
import os
import sys

import tensorboardX.event_file_writer
import tensorboardX.proto.event_pb2
import tensorboardX.summary
import tqdm

from stylegan_jax.run.live_line import LiveLine
from stylegan_jax.run.speeds import seconds_per_image
from stylegan_jax.run.time_left import TimeLeft
from stylegan_jax.runtime import atomic
from stylegan_jax.runtime.progress import duration

# What a tick's line has where an option is on.
_OPTIONAL = {
    'path_length': '  path length {:.3g}',
    'separation_loss': '  separation {:.3f}',
    'augment_p': '  augment p {:.2f}',
    'overfitting': '  overfitting {:.2f}',
}


class RunLog:
    """The log of one run. Opened again after an interruption, it goes on at the position of the checkpoint."""

    def __init__(
        self, workdir: str, *, nimg: int, total_nimg: int, ticks: float = math.inf, time_left: TimeLeft | None = None
    ):
        """Opens the log.

        Args:
          workdir: the run's folder.
          nimg: images shown so far; entries beyond them belong to work that was lost, and are dropped.
          total_nimg: images shown at the end of the run.
          ticks: number of the newest tick that the checkpoint knows; entries of later ones are dropped as well, because
            these ticks are repeated.
          time_left: knows the schedule and the speeds that were measured; None to tell no times.
        """
        path = os.path.join(workdir, 'log.jsonl')
        with contextlib.suppress(OSError):  # If the disk is full, the log will have some entries twice.
            drop_entries_beyond(path, nimg, ticks)
        self._entries, self._events, self._text = (
            _Lines(os.path.join(workdir, name)) for name in ('log.jsonl', 'events.jsonl', 'log.txt')
        )
        self._board = _Scalars(os.path.join(workdir, 'tensorboard'), nimg)
        self._time_left, self._waited = time_left, 0.0  # for the compiler, since the newest tick [s]
        self.live = LiveLine(nimg, total_nimg, time_left, _print)
        self._failing = set()

    def progress(self, shown: int, resolution: str, alpha: float, nimg: int) -> None:
        """Moves the live line by `shown` images, to `nimg` images in all."""
        self.live.progress(shown, resolution, alpha, nimg)

    def activity(self, text: str) -> None:
        """Shows on the live line what the run does, or waits for, in place of training."""
        self.live.activity(text)

    def message(self, text: str) -> None:
        """Prints a line without disturbing the live line, and keeps it in log.txt."""
        _print(text)
        self.live.spoken()
        with self.attempt('log.txt'):
            self._text.write(text)

    def event(self, kind: str, text: str, nimg: int, aloud: bool = True, **details: object) -> None:
        """Records something that happens beside the ticks, in events.jsonl and as a line for people.

        Args:
          kind: one word, by which programs tell events apart.
          text: the line.
          nimg: images shown.
          aloud: whether to print the line and keep it in log.txt.
          **details: more for events.jsonl.
        """
        if aloud:
            self.message(text)
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
        with self.attempt('events.jsonl'):
            self._events.write(json.dumps({'time': time, 'nimg': nimg, 'event': kind, 'text': text, **details}))

    @contextlib.contextmanager
    def attempt(self, what: str, nimg: int | None = None, is_whole: bool = True) -> collections.abc.Iterator[None]:
        """Context in which writing may fail for lack of room or of rights: a warning says so, and training goes on.

        There is one warning at the first of several failures, and one line when it works again.

        Args:
          what: a name for what is written inside.
          nimg: images shown, if the warning is to be an event too; None for the log's own files, where writing the
            event would fail as well.
          is_whole: whether everything has been written if nothing fails; False where it is only begun.
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

    def tick(self, entry: dict[str, float | str]) -> None:
        """Records a tick: one line for people, one for programs, scalars for TensorBoard.

        Args:
          entry: numbers and strings by name: `kimg`, `tick`, `resolution`, `alpha`, `batch`, `seconds`,
            `tick_seconds`, `images_per_second`, `maintenance_seconds`, and the mean of each of the steps' metrics.
        """
        entry, self._waited = entry | {'waited_seconds': self._waited}, 0.0
        left = self._left(entry)
        if left:
            entry |= {'seconds_left': left.least, 'seconds_left_at_most': left.most}
        self.message(
            'tick {tick:<4d} kimg {kimg:<8.1f} {resolution:>9s} alpha {alpha:4.2f}  batch {batch:<4d} '
            'time {time:<11s} {images_per_second:7.1f} img/s  maintenance {maintenance_seconds:4.1f}s  '
            'loss G {g_loss:6.3f} D {d_loss:6.3f}'.format(time=duration(entry['seconds']), **entry)
            + ''.join(text.format(entry[name]) for name, text in _OPTIONAL.items() if name in entry)
            + (f'  left {left}' if left else '')
        )
        # JSON has no numbers for infinity and NaN.
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

    def _left(self, entry):
        """Returns the time to the end of the run, with that for pictures and checkpoints; None if it is not known."""
        seconds = seconds_per_image(entry)
        if self._time_left is None or seconds is None:
            return None
        self._time_left.measure(entry['resolution'], seconds)
        return self._time_left.until_end(entry['nimg'])

    def waiting(
        self, resolution: str, batch: int, steps: int, fades: bool, last: float | None, folder: str | None
    ) -> None:
        """Says that the run waits for a program.

        Args:
          resolution: of the program's stage.
          batch: images of one iteration.
          steps: iterations per dispatch.
          fades: whether the stage may be fading in.
          last: how long compiling it took the last time [s]; None if that is not known.
          folder: where it is kept for the next start; None if nothing is kept.
        """
        if last is not None:
            words = f'it took {duration(last)} last time'
        elif folder:
            words = f'it is kept in {folder}, where later starts find it'
        else:
            words = 'nothing is kept (compilation_cache=none), so every start compiles it'
        self.message(f'waiting for the compiler: {_program(resolution, batch, steps, fades)} ({words})')

    def compiled(
        self,
        resolution: str,
        batch: int,
        steps: int,
        fades: bool,
        seconds: float,
        waited: float,
        nimg: int,
        *,
        from_cache: bool = False,
        without: float | None = None,
    ) -> None:
        """Records that the program of a resolution, a batch size and `steps` iterations per dispatch was compiled.

        Args:
          resolution: of the program's stage.
          batch: images of one iteration.
          steps: iterations per dispatch.
          fades: whether the stage may be fading in.
          seconds: how long compiling took.
          waited: how long the run could not go on without the program [s]; 0 for a short wait.
          nimg: images shown.
          from_cache: whether the persistent cache had the program.
          without: how long compiling takes without the cache [s]; None if that is not known.
        """
        self._waited += waited
        wait = f', of which the run waited {waited:.1f}s' if waited else ''
        spared = ''
        if from_cache:
            spared = ', from the cache' + (f' ({without:.1f}s without it)' if without else '')
        self.event(
            'compile',
            f'compiled {_program(resolution, batch, steps, fades)}: {seconds:.1f}s{spared}{wait}',
            nimg,
            resolution=resolution,
            batch=batch,
            steps=steps,
            fades=fades,
            seconds=seconds,
            waited=waited,
            from_cache=from_cache,
        )

    def metrics(self, results: list[dict], nimg: int) -> None:
        """Records the metrics that were measured at a checkpoint: a line for each, and scalars for TensorBoard.

        Args:
          results: dicts with `metric`, `value` and `standard_error`.
          nimg: images shown.
        """
        for result in results:
            error = result['standard_error']
            self.message(
                f'{result["metric"]} {result["value"]:.6g}'
                + ('' if error is None else f' ± {error:.2g}')
                + f' at {nimg / 1000:g} kimg'
            )
        with self.attempt('TensorBoard scalars'):
            self._board.write(nimg, {f'metrics/{result["metric"]}': result['value'] for result in results})

    def flush(self) -> None:
        """Tries to write the lines that wait in memory."""
        for name, lines in (('log.jsonl', self._entries), ('events.jsonl', self._events), ('log.txt', self._text)):
            with self.attempt(name):
                lines.flush()

    def close(self) -> None:
        """Writes the lines that wait, and ends the live line."""
        self.flush()
        self.live.close()
        with contextlib.suppress(OSError):
            self._board.close()


class _Lines:
    """A file of lines. Each line is either whole in the file or waits in memory."""

    def __init__(self, path):
        self._path, self._waiting = path, b''

    def write(self, line):
        self._waiting += line.encode() + b'\n'
        self.flush()

    def flush(self):
        if self._waiting:
            atomic.append_lines(self._path, self._waiting)
            self._waiting = b''


class _Scalars:
    """Scalars for TensorBoard.

    tensorboardX's own SummaryWriter writes in a thread. A full disk ends that thread, and the run would then wait
    forever for it.
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
                # This event tells TensorBoard to drop the events of earlier files beyond this step: of lost work.
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
            # A torn record makes the rest of a file unreadable, so the next record begins a new file.
            self._writer, self._start = None, nimg
            raise

    def close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _program(resolution, batch, steps, fades):
    per_dispatch = f', {steps} iterations per dispatch' if steps > 1 else ''
    return f'{resolution}, batch {batch}{per_dispatch}' + ('' if fades else ', without the fade')


def _print(text):
    """Prints a line. A reader that went away, or a full disk behind stdout, must not end the training."""
    with contextlib.suppress(OSError):
        tqdm.tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def drop_entries_beyond(path: str, nimg: int, ticks: float = math.inf) -> None:
    """Removes the lines of a file of JSON that were written after `nimg` images were shown, and torn lines.

    Args:
      path: of the file; if it is missing, there is nothing to do.
      nimg: images shown.
      ticks: number of the newest tick whose line stays.
    """
    if not os.path.exists(path):
        return
    with open(path, errors='replace') as file:
        lines = file.readlines()
    kept = [line for line in lines if line.endswith('\n') and _is_within(line, nimg, ticks)]
    if kept != lines:
        with atomic.writing(path) as file:
            file.writelines(kept)


def _is_within(line, nimg, ticks):
    try:
        entry = json.loads(line)
        return float(entry['nimg']) <= nimg and float(entry.get('tick', 0)) <= ticks
    except (ValueError, KeyError, TypeError, AttributeError):  # a damaged line
        return False
