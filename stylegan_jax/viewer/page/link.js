// The socket to the server, which is opened again where it broke.

const FIRST_WAIT = 500;  // milliseconds, doubled with each try
const LONGEST_WAIT = 8000;
const KEY = 'stylegan_jax page';

export class Link {
  /** `hear(values, pixels)` gets every message; pixels are null but for pictures. */
  constructor(hear, changed) {
    this.hear = hear;
    this.changed = changed;
    this.wait = FIRST_WAIT;
    // A page that is loaded again takes its name up, and finds its photos. Between two loads alone is the name kept, since
    // browsers copy the storage for a second page that people make of this one.
    try {
      this.page = sessionStorage.getItem(KEY);
      sessionStorage.removeItem(KEY);
      addEventListener('pagehide', () => sessionStorage.setItem(KEY, this.page ?? ''));
    } catch { /* a browser without storage */ }
    this.open();
  }

  open() {
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.socket = new WebSocket(`${scheme}//${location.host}/socket?page=${encodeURIComponent(this.page ?? '')}`);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onopen = () => { this.wait = FIRST_WAIT; this.changed(true); };
    this.socket.onclose = () => {
      this.changed(false);
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
    };
    this.socket.onmessage = ({ data }) => {
      if (typeof data === 'string') return this.hear(JSON.parse(data), null);
      // The length of the JSON in four bytes, the JSON, and the rows of the picture.
      const length = new DataView(data).getUint32(0, true);
      const values = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      return this.hear(values, new Uint8Array(data, 4 + length));
    };
  }

  get isOpen() { return this.socket.readyState === WebSocket.OPEN; }

  say(values) {
    if (this.isOpen) this.socket.send(JSON.stringify(values));
  }
}
