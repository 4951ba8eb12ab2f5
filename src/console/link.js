// Connection to the server: Friend Core's envelope over a WebSocket, and calls over HTTP (docs/protocol.md).
//
// A socket reads no further message until a call is answered, and a browser opens few connections for HTTP: a stop must
// get through while starts wait. So services are called over the socket, and what may wait long is an operation, which is
// not answered there. Over HTTP goes what needs a connection of its own, and a program whose whole output is wanted.

const SEPARATE = "<!--separate-->";
const PING_MS = 7000;
// Longer than the server takes for any answer.
const ANSWER_MS = 45000;
const OPERATION_MS = 500;
// Operations of a user that the server keeps while they run.
const OPERATIONS = 4;
const LONGEST_PAUSE_MS = 15000;
// A socket that is not bound by then is given up.
const BIND_MS = 10000;
// Calls that wait for a disk or another reload, and those after them with them.
const SLOW = /^board\/(configuration|log)$/;

// Error numbers of Linux that a call returns, in words.
const ERRORS = {
  2: "it does not exist", 3: "it does not run", 5: "it could not be written", 11: "it is busy; try again",
  13: "it may not be executed", 16: "another one is under way; try again", 22: "the value is not accepted",
  38: "this device has no way to do it", 108: "the server is stopping", 110: "it took too long",
  122: "too many changes; try again later", 125: "it was given up",
};

class CallError extends Error {
  constructor(text, content = {}) {
    const [, called, number] = /^Function (\S+) returned: (\d+)$/.exec(text) ?? [];
    const words = content.code === "4" ? "You have no right to do this." : ERRORS[number] && `${called}: ${ERRORS[number]}`;
    super(content.reason ?? words ?? text);
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

const LOST = "The connection was lost.";
const NO_ANSWER = "The device does not answer.";

// Sends a request: a form, or JSON.
async function request(path, body, headers = {}) {
  try {
    return await fetch(path, { method: "POST", body, headers, credentials: "omit", signal: AbortSignal.timeout(ANSWER_MS) });
  } catch {
    throw new CallError(NO_ANSWER);
  }
}

const requestForm = (path, parameters) => request(`system.library/${path}`, new URLSearchParams(parameters));

const randomId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((octet) => octet.toString(16).padStart(2, "0")).join("");
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

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
  // The socket was opened by the server.
  isOpened: false,
  // Set by the page.
  onbound() {},
  onstate() {},
  onpush() {},
  onend() {},

  // Makes a call over HTTP. Its parameters are in the body, so that no address has a secret.
  async post(path, parameters = {}) {
    const response = await requestForm(path, { ...parameters, ...(this.session && { sessionid: this.session }) });
    const text = await response.text();
    if (!response.ok && !text.includes(SEPARATE)) throw new CallError(text.trim());
    try {
      return readContent(text);
    } catch (error) {
      if (error.code === "11") this.end("The session has ended.");
      throw error;
    }
  },

  // Opens a session. Only this form of the call has the seconds until the end of a block, whatever the clock here.
  async logIn(login) {
    const response = await request("api/v1/login", JSON.stringify(login), { "content-type": "application/json" });
    const { session, code, detail } = await response.json().catch(() => ({}));
    if (response.ok) return session;
    const time = duration(Math.max(1, Number(response.headers.get("retry-after"))));
    throw new CallError({
      "wrong-password": "Wrong user or password.",
      blocked: `Too many wrong passwords: log-in is blocked for you. Try again in ${time}.`,
    }[code] ?? detail ?? `Log-in is refused (${response.status}).`);
  },

  // Makes a call that may wait for long, and returns its answer. `null`: too many of them wait, so that its end is not known.
  async operate(path, parameters = {}) {
    const { socket } = this;
    if (!this.isBound) throw new CallError("The device is offline.");
    const operation = randomId();
    const data = { ...parameters, operation };
    this.send("msg", { type: "event", path: `system.library/${path}`, data, sessionid: this.session });
    for (;; await pause(OPERATION_MS)) {
      if (!this.session) throw new CallError("The session has ended.");
      if (!this.isBound) continue;
      try {
        const { Operations } = await this.call("operations/list");
        const isRunning = ({ State }) => State === "running";
        const own = Operations.find(({ Operation }) => Operation === operation);
        if (own && !isRunning(own)) return await this.call("operations/wait", { operation });
        if (own) continue;
        // The server that had it is gone, or a call was never sent.
        if (this.socket !== socket) throw new CallError(`${LOST} The state shows what came of it.`);
        if (Operations.filter(isRunning).length >= OPERATIONS) return null;
        // A refused one is not kept. It is refused once more, with its reason.
        return await this.call(path, data);
      } catch (error) {
        if (error.message !== LOST) throw error;
      }
    }
  },

  // Makes a call over the socket.
  call(path, data = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket?.readyState !== WebSocket.OPEN) return reject(new CallError("The device is offline."));
      const requestid = String((this.lastCall += 1));
      this.calls.set(requestid, { resolve, reject, until: Date.now() + (SLOW.test(path) ? ANSWER_MS : 0) });
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
    this.isOpened = false;
    socket.onopen = () => {
      this.isOpened = true;
      this.bind();
    };
    socket.onmessage = (event) => this.handle(event.data);
    socket.onclose = () => this.socket === socket && this.lose();
    this.timer = setTimeout(() => this.giveUp(), BIND_MS);
    this.onstate("connecting");
  },

  // Binds the socket first, so that no change is missed between the snapshot and the pushes.
  async bind() {
    this.send("con", { sessionId: this.session });
    try {
      await this.identify();
    } catch {
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

  // Asks who the session is of, and with which rights.
  async identify() {
    const login = await this.call("login", { deviceid: "console" });
    this.isAdmin = login.level === "admin";
    this.mayChange = login.level !== "viewer";
    this.user = login.fullname || login.username;
  },

  ping() {
    const isSlow = [...this.calls.values()].some(({ until }) => until > Date.now());
    if (!this.isHeard && !isSlow) return this.giveUp();
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
    const { isOpened } = this;
    this.drop();
    this.onstate("offline");
    if (!this.session) return;
    if (!isOpened) this.explain();
    this.timer = setTimeout(() => this.open(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
  },

  // Asks over HTTP why the socket could not be opened: the server may be full, the session over, or a proxy in the way.
  async explain() {
    let reason = "The device answers, but no WebSocket can be opened: a proxy may be in the way.";
    try {
      await this.post("validate");
    } catch (error) {
      reason = error.message;
    }
    if (this.session && !this.isBound) this.onstate("offline", reason);
  },

  drop() {
    clearTimeout(this.timer);
    clearInterval(this.pinger);
    this.socket = null;
    this.isBound = false;
    this.chunks = [];
    const calls = [...this.calls.values()];
    this.calls.clear();
    calls.forEach(({ reject }) => reject(new CallError(LOST)));
  },

  // Forgets the session here at once, and ends it on the device as soon as that answers.
  async logOut() {
    const { session } = this;
    this.end("You are logged out.");
    for (let isFirst = true; ; isFirst = false) {
      const response = await requestForm("user/logout", { sessionid: session }).catch(() => null);
      const isDone = response && response.status < 500;
      if (!this.session && !(isDone && isFirst)) {
        say(isDone ? "You are logged out." : `${NO_ANSWER} Your session there ends when it does; leave this page open.`, !isDone);
      }
      if (isDone) return;
      await pause(2000);
    }
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
addEventListener("offline", () => link.socket && link.giveUp());
