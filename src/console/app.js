// Log-in, the parts of the console, and the state of the connection.

let view = { nodes: [] };
// Notices of the board that are not wanted any more.
const dismissed = new Set();
const NOTICES_MS = 5000;

const PARTS = [
  ["#/", "Services", servicesView, false],
  ["#/device", "Device", deviceView, true],
  ["#/audit", "Audit trail", auditView, true],
  ["#/configuration", "Configuration", configurationView, true],
  ["#/account", "Account", accountView, false],
];

const parts = () => PARTS.filter(([, , , isForAdmins]) => link.isAdmin || !isForAdmins);
const notHere = (text, update) => ({ nodes: [make("h1", {}, "Not here"), make("p", {}, text)], update });

// Name of a service in an address; one that nobody has is not decoded.
function decode(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

// Shows the part of the console that the address names.
function route() {
  if (!shownRights) return;
  const hash = location.hash || "#/";
  const name = /^#\/service\/(.+)$/.exec(hash)?.[1];
  const part = name ? PARTS[0] : parts().find(([at]) => at === hash);
  leave();
  drawServices = () => view.update?.();
  view = name ? serviceView(decode(name)) : (part?.[2]() ?? notHere("There is no such part, or it is for administrators."));
  find("main").replaceChildren(...view.nodes);
  for (const node of nav.children) {
    if (node.hash === part?.[0]) node.setAttribute("aria-current", "page");
    else node.removeAttribute("aria-current");
  }
  retitle();
  drawServices();
  begin();
}

// Ends the work of the part that is left; without a connection, nothing has to.
function leave() {
  answerQuestion?.(false);
  Promise.resolve(view.stop?.()).catch(() => {});
}

function begin() {
  if (link.isBound) Promise.resolve(view.start?.()).catch(report);
}

// Shows the problems that the board has now, but those that were read.
function showNotices() {
  const texts = [board.Complaint, board.Notice, board.Certificate, board.Token].filter((text) => text && !dismissed.has(text));
  const line = find("#notice");
  line.hidden = texts.length === 0;
  show(line, texts, () => [texts.join("\n"), button("Dismiss", () => {
    texts.forEach((text) => dismissed.add(text));
    showNotices();
  })]);
}

const readNotices = () => link.isAdmin && link.isBound && readBoard().then(showNotices);

// User and rights that are shown; empty while nothing is.
let shownRights = "";

// Shows what the user may see. A part that is shown goes on, unless the rights are others now.
async function showAll() {
  const rights = [link.user, link.isAdmin, link.mayChange];
  const isOther = String(rights) !== shownRights;
  shownRights = String(rights);
  show(nav, rights, () => parts().map(([at, name]) => make("a", { href: at }, name)));
  write(find("#user"), link.user);
  try {
    await readServices();
    Promise.resolve(readNotices()).catch(report);
  } catch (error) {
    report(error);
  }
  if (isOther || !view.start) route();
  else begin();
  if (document.activeElement === document.body) find("main").focus({ preventScroll: true });
}

link.onbound = () => {
  if (line.dataset.lost) say("");
  showAll();
};

link.onstate = (state, reason) => {
  const line = find("#link");
  const words = { online: "", connecting: "connecting ..", offline: `offline: ${reason ?? "what is shown may be old"}` };
  // An attempt after a loss is no news, and its reason stays.
  if ((state === "connecting" || (state === line.className && !reason)) && line.className === "offline") return;
  line.className = state;
  write(line, words[state]);
};

link.onpush = (type, data) => {
  if (type === "service-change") handleChange(data);
  else if (type === "service-events") readStatus(data.service);
  else if (type === "service-log") view.handleLog?.(data);
  else if (data === "rights changed") link.identify().then(showAll).catch(report);
  else if (data === "services changed") readServices().then(drawServices).catch(report);
  else if (type === "server-notice") Promise.resolve(readNotices()).catch(report);
  else if (type === "check-change") {
    tell(`Check ${data.check}`, [data.state, data.error].filter(Boolean).join(", "));
    view.handleChange?.(data.service);
  }
};

link.onend = (reason) => {
  leave();
  services.clear();
  dismissed.clear();
  board = {};
  shownRights = find("#link").className = "";
  show(nav, "", () => []);
  write(find("#user"), "");
  showNotices();
  loginView(reason);
};

// Of this tab alone: the server has one session for all log-ins of a user with one device.
const device = `console-${randomId()}`;

function loginView(reason) {
  header.hidden = true;
  view = { nodes: [] };
  const name = make("input", { autocomplete: "username", required: true, autocapitalize: "none", spellcheck: false });
  const password = make("input", { type: "password", autocomplete: "current-password", required: true });
  const submit = make("button", { className: "main" }, "Log in");
  const form = make("form", { className: "stack", "aria-label": "Log in" }, make("h1", {}, "Service control"),
    labelled("User", name), labelled("Password", password), submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy") === "true") return;
    form.setAttribute("aria-busy", "true");
    say("Logging in ..");
    try {
      const session = await link.logIn({ username: name.value, password: password.value, deviceid: device });
      say("");
      beginSession(session);
    } catch (error) {
      report(error);
      password.select();
      password.focus();
    }
    form.removeAttribute("aria-busy");
  });
  find("main").replaceChildren(make("div", { className: "login" }, form));
  retitle();
  say(reason);
  name.focus();
}

// The page may have to wait for its socket: it says so, and offers to log out.
function beginSession(session) {
  link.session = session;
  sessionStorage.setItem("session", session);
  header.hidden = false;
  find("main").replaceChildren(make("p", { className: "quiet" }, "Connecting to the device .."));
  link.open();
}

find("#logout").addEventListener("click", () => link.logOut().catch(report));
addEventListener("hashchange", () => {
  say("");
  route();
  scrollTo(0, 0);
  find("main").focus({ preventScroll: true });
});
setInterval(() => !document.hidden && view.tick?.(), 1000);
setInterval(() => !document.hidden && link.isBound && readServices().catch(() => {}), 60000);
// A problem that is over is not pushed.
setInterval(() => !document.hidden && !find("#notice").hidden && Promise.resolve(readNotices()).catch(() => {}), NOTICES_MS);

const stored = sessionStorage.getItem("session");
if (stored) beginSession(stored);
else loginView("");
