// The socket to the server, which is opened again where it broke.

const FIRST_WAIT = 500;  // milliseconds, doubled with each try
const LONGEST_WAIT = 8000;

export class Link {
  /** `hear(values, pixels)` gets every message; pixels are null but for pictures. */
  constructor(hear, changed) {
    this.hear = hear;
    this.changed = changed;
    this.wait = FIRST_WAIT;
    this.open();
  }

  open() {
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.socket = new WebSocket(`${scheme}//${location.host}/socket`);
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
