"""Look into a network with a browser: mix, steer and project, and take the command line away.

    python -m stylegan_jax.view --network=toyfaces
    python -m stylegan_jax.view --network=stylegan-ffhq-1024x1024.pkl --directions=directions.npz
    python -m stylegan_jax.view --network=before.npz --network=after.npz
    python -m stylegan_jax.view --run=runs/quickstart

It serves a page at an address of this machine, which it prints, until Ctrl-C. Two networks are shown side by side with
the same latents. --run follows the newest checkpoint of a run while it trains, and shows earlier ones.
It needs `pip install -e '.[view]'`.
"""

import asyncio
import errno
import getpass
import os
import signal
import socket
import sys
import threading
import webbrowser

from absl import flags

from stylegan_jax.cli import command
from stylegan_jax.cli.network_flags import NetworkFlags
from stylegan_jax.errors import UserError
from stylegan_jax.runtime import compile_cache

flags.declare_key_flag('compilation_cache')
FLAGS = flags.FlagValues()
_FLAGS_OF_NETWORKS = NetworkFlags(FLAGS, ('which', 'precision'))
_NETWORKS = flags.DEFINE_multi_string(
    'network',
    [],
    'A network: a run directory, an official pickle, a saved network, or toyfaces. Twice for two side by side.',
    flag_values=FLAGS,
)
_RUN = flags.DEFINE_string('run', None, 'The folder of a run, whose newest checkpoint is followed.', flag_values=FLAGS)
_LATENTS = flags.DEFINE_list(
    'latents', [], 'Files of latents that pictures can take layers from, with commas between them.', flag_values=FLAGS
)
_DIRECTIONS = flags.DEFINE_list(
    'directions', [], 'Files of directions, which latents wrote, with commas between them.', flag_values=FLAGS
)
_OUTDIR = flags.DEFINE_string(
    'outdir', 'out', 'Folder for the latents of projected photos; made when the first one is.', flag_values=FLAGS
)
_HOST = flags.DEFINE_string(
    'host',
    '127.0.0.1',
    'Address to listen at. Any other than the default lets other machines ask; the page then needs the token that is '
    'printed.',
    flag_values=FLAGS,
)
_PORT = flags.DEFINE_integer(
    'port',
    None,
    'Port to listen at; the default is 8765, or the next one that is free. 0 takes any.',
    lower_bound=0,
    upper_bound=65535,
    flag_values=FLAGS,
)
_BROWSER = flags.DEFINE_bool('browser', True, 'Open a browser, where there is one.', flag_values=FLAGS)
_FIRST_PORT, _MOST_PORTS = 8765, 50
_MOST_NETWORKS = 2


def main(argv: list[str]) -> None:
    """Serves the page until a signal to stop."""
    del argv
    try:
        import aiohttp  # noqa: F401  (optional)
    except ImportError:
        raise UserError("the viewer needs aiohttp: pip install -e '.[view]'") from None
    compile_cache.use_cache(compile_cache.CACHE.value)
    paths = [*_NETWORKS.value, *([_RUN.value] if _RUN.value else [])]
    if not 1 <= len(paths) <= _MOST_NETWORKS:
        problem = f'{len(paths)} networks were named' if paths else '--network or --run is missing; see --help'
        raise UserError(problem, remedy=f'give 1 to {_MOST_NETWORKS}' if paths else None)
    if _RUN.value and not os.path.isdir(_RUN.value):
        raise UserError('there is no such folder', field='run', value=_RUN.value, remedy='give the folder of a run')
    asyncio.run(_serve(_viewer(paths)))


def _viewer(paths):
    from stylegan_jax.viewer.networks import ShownNetwork
    from stylegan_jax.viewer.server import Viewer  # needs aiohttp
    from stylegan_jax.viewer.sources import Sources

    sources = Sources(_OUTDIR.value, _LATENTS.value, _DIRECTIONS.value)
    networks = [
        ShownNetwork(
            path,
            sources,
            which=_FLAGS_OF_NETWORKS['which'],
            precision=_FLAGS_OF_NETWORKS['precision'],
            follow=number >= len(_NETWORKS.value),
        )
        for number, path in enumerate(paths)
    ]
    return Viewer(networks, sources, host=_HOST.value)


async def _serve(viewer):
    """Serves until a signal, which ends the process."""
    from aiohttp import web

    loop, stopped = asyncio.get_running_loop(), asyncio.Future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda number=number: stopped.done() or stopped.set_result(number))
    runner = viewer.runner()
    await runner.setup()
    listening = _listening_socket()
    await web.SockSite(runner, listening).start()
    _announce(listening.getsockname()[1], viewer.guard.token)
    number = await stopped
    viewer.finish_files()
    print('stopped', flush=True)
    sys.stderr.flush()
    # Python would wait for threads that compile or encode, which nothing can interrupt.
    os._exit(128 + number)


def _listening_socket():
    """Returns a socket at the address and port that the flags ask for."""
    asked = _PORT.value
    for port in [asked] if asked is not None else range(_FIRST_PORT, _FIRST_PORT + _MOST_PORTS):
        try:
            family = socket.getaddrinfo(_HOST.value, port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((_HOST.value, port), family=family)
        except OSError as error:
            if isinstance(error, socket.gaierror):
                raise UserError('there is no such address', field='host', value=_HOST.value) from None
            if error.errno != errno.EADDRINUSE:
                raise UserError(f'cannot listen ({error.strerror})', field='host', value=_HOST.value) from None
    if asked is None:
        raise UserError(
            f'the ports from {_FIRST_PORT} to {_FIRST_PORT + _MOST_PORTS - 1} are taken', remedy='give port=NUMBER'
        )
    raise UserError('another program listens there', field='port', value=asked, remedy='choose another one')


def _announce(port, token):
    """Prints where the page is, and opens it where there is a browser."""
    host = _HOST.value
    name = host if host not in ('0.0.0.0', '::') else _outer_address() or _name_of_this_machine()
    address = f'http://{f"[{name}]" if ":" in name else name}:{port}/' + (f'?token={token}' if token else '')
    print(f'the viewer is at {address}')
    if not token:
        print(f'from another machine: ssh -N -L {port}:localhost:{port} {getpass.getuser()}@{_name_of_this_machine()}')
        print(f'                      and there http://localhost:{port}/')
    print('Ctrl-C ends it', flush=True)
    has_screen = sys.platform in ('darwin', 'win32') or os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    if _BROWSER.value and has_screen and not os.environ.get('SSH_CONNECTION'):
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()  # a browser of text keeps it


def _name_of_this_machine():
    name = socket.getfqdn()
    return name if not name.startswith('localhost') else socket.gethostname()


def _outer_address():
    """The address by which others reach this machine: the one that it would send from. None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('192.0.2.1', 9))  # an address of documentation; connecting a datagram socket sends nothing
            return probe.getsockname()[0]
        except OSError:
            return None


if __name__ == '__main__':
    command.run(main, FLAGS)
