// Connection to the server: Friend Core's envelope over a WebSocket, and calls over HTTP (docs/protocol.md).
//
// What reads goes over the socket. What changes goes over HTTP, on a connection of its own: a socket reads no further
// message until a start is answered, and a stop must get through meanwhile. The text of a configuration, which is long and
// answered at once, goes over the socket, too.

const SEPARATE = "<!--separate-->";
const PING_MS = 20000;
const LONGEST_PAUSE_MS = 15000;
// A socket that is not bound by then is given up.
const BIND_MS = 10000;

// Error numbers of Linux that a call returns, in words.
const ERRORS = {
  2: "it does not exist", 3: "it does not run", 5: "it could not be written", 11: "it is busy; try again",
  13: "it may not be executed", 16: "another one is under way; try again", 22: "the value is not accepted",
  38: "this device has no way to do it", 108: "the server is stopping", 110: "it took too long",
  122: "too many changes; try again later", 125: "it was given up",
};

class CallError extends Error {
  constructor(text, content = {}) {
    const number = / returned: (\d+)$/.exec(text)?.[1];
    super(content.reason ?? (ERRORS[number] ? `${text} (${ERRORS[number]})` : text));
    this.code = content.code;
    this.number = Number(number);
    this.output = content.output ?? [];
  }
}

// Content of an answer: JSON, or `ok` or `fail` and JSON.
function readContent(content) {
  if (typeof content !== "string") return content;
  const at = content.indexOf(SEPARATE);
  const json = at < 0 ? content : content.slice(at + SEPARATE.length);
  let value;
  try {
    value = JSON.parse(json);
  } catch {
    value = { response: json.trim() };
  }
  if (content.startsWith("fail")) throw new CallError(value.response, value);
  return value;
}

// Sends a call as a form.
async function fetchForm(path, parameters) {
  try {
    const body = new URLSearchParams(parameters);
    return await fetch(`system.library/${path}`, { method: "POST", body, credentials: "omit" });
  } catch {
    throw new CallError("The device does not answer.");
  }
}

const link = {
  session: "",
  isAdmin: false,
  // A viewer only sees.
  mayChange: false,
  user: "",
  socket: null,
  // The socket is bound, and the snapshot may be read.
  isBound: false,
  calls: new Map(),
  lastCall: 0,
  chunks: [],
  pause: 500,
  timer: 0,
  pinger: 0,
  isHeard: false,
  // Set by the page.
  onbound() {},
  onstate() {},
  onpush() {},
  onend() {},

  // Makes a call over HTTP. Its parameters are in the body, so that no address has a secret.
  async post(path, parameters = {}) {
    const response = await fetchForm(path, { ...parameters, ...(this.session && { sessionid: this.session }) });
    const text = await response.text();
    if (!response.ok && !text.includes(SEPARATE)) throw new CallError(text.trim());
    try {
      return readContent(text);
    } catch (error) {
      if (error.code === "11") this.end("The session has ended.");
      throw error;
    }
  },

  // Makes a call over the socket.
  call(path, data = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) return reject(new CallError("The device is offline."));
      const requestid = String((this.lastCall += 1));
      this.calls.set(requestid, { resolve, reject });
      this.send("msg", { type: "request", requestid, path: `system.library/${path}`, data, sessionid: this.session });
    });
  },

  send(type, data) {
    this.socket.send(JSON.stringify({ type, data }));
  },

  // Opens the socket, and again whenever it is lost.
  open() {
    clearTimeout(this.timer);
    const url = new URL("fcws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    const socket = new WebSocket(url, "FC-protocol");
    this.socket = socket;
    socket.onopen = () => this.bind();
    socket.onmessage = (event) => this.handle(event.data);
    socket.onclose = () => this.socket === socket && this.lose();
    this.timer = setTimeout(() => this.giveUp(), BIND_MS);
    this.onstate("connecting");
  },

  // Binds the socket first, so that no change is missed between the snapshot and the pushes.
  async bind() {
    this.send("con", { sessionId: this.session });
    try {
      const login = await this.call("login", { deviceid: "console" });
      this.isAdmin = login.level === "admin";
      this.mayChange = login.level !== "viewer";
      this.user = login.fullname || login.username;
    } catch (error) {
      if (this.socket?.readyState === WebSocket.OPEN) this.end("The session has ended.");
      return;
    }
    clearTimeout(this.timer);
    this.pause = 500;
    this.isBound = this.isHeard = true;
    this.pinger = setInterval(() => this.ping(), PING_MS);
    this.onstate("online");
    this.onbound();
  },

  ping() {
    if (!this.isHeard) return this.giveUp();
    this.isHeard = false;
    this.send("con", { type: "ping", data: Date.now() });
  },

  giveUp() {
    const { socket } = this;
    this.lose();
    socket?.close();
  },

  // Handles the loss of the socket.
  lose() {
    this.drop();
    this.onstate("offline");
    if (!this.session) return;
    this.timer = setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
  },

  drop() {
    clearTimeout(this.timer);
    clearInterval(this.pinger);
    this.socket = null;
    this.isBound = false;
    this.chunks = [];
    const calls = [...this.calls.values()];
    this.calls.clear();
    calls.forEach(({ reject }) => reject(new CallError("The connection was lost.")));
  },

  async logOut() {
    const { session } = this;
    this.end("You are logged out.");
    await fetchForm("user/logout", { sessionid: session });
  },

  // Ends the session here.
  end(reason) {
    if (!this.session) return;
    this.session = "";
    sessionStorage.removeItem("session");
    const socket = this.socket;
    this.drop();
    socket?.close();
    this.onend(reason);
  },

  handle(text) {
    this.isHeard = true;
    const { type, data } = JSON.parse(text);
    if (type === "con" && data.type === "chunk") return this.join(data.data);
    if (type !== "msg") return;
    if (data.type === "response") {
      const call = this.calls.get(data.requestid);
      this.calls.delete(data.requestid);
      try {
        call?.resolve(readContent(data.data));
      } catch (error) {
        call.reject(error);
      }
    } else if (data.type === "error") {
      this.calls.get(data.data.requestid)?.reject(new CallError("The server could not read the message."));
    } else if (data.type === "server-notice" && /^session (killed|timeout)/.test(data.data)) {
      this.end("The session has ended.");
    } else {
      this.onpush(data.type, data.data);
    }
  },

  // Joins the chunks of a long answer, which come in order.
  join({ total, part, data }) {
    if (Number(part) === 0) this.chunks = [];
    this.chunks.push(data);
    if (this.chunks.length < Number(total)) return;
    const octets = Uint8Array.from(atob(this.chunks.join("")), (character) => character.charCodeAt(0));
    this.chunks = [];
    this.handle(new TextDecoder().decode(octets));
  },
};

// A device that comes back, or a page that is looked at again, is tried at once.
for (const event of ["online", "visibilitychange"]) {
  addEventListener(event, () => !document.hidden && link.session && !link.socket && link.open());
}
