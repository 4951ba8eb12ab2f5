// Log-in, the parts of the console, and the state of the connection.

let view = { nodes: [] };
// Notices that administrators have received.
const notices = new Set();

const PARTS = [
  ["#/", "Services", servicesView, false],
  ["#/device", "Device", deviceView, true],
  ["#/audit", "Audit trail", auditView, true],
  ["#/configuration", "Configuration", configurationView, true],
  ["#/account", "Account", accountView, false],
];

// Shows the part of the console that the address names.
function route() {
  if (!link.session) return;
  const hash = location.hash || "#/";
  const part = PARTS.find(([at, , , isForAdmins]) => at === hash && (link.isAdmin || !isForAdmins)) ?? PARTS[0];
  const name = /^#\/service\/(.+)$/.exec(hash)?.[1];
  leave();
  drawServices = () => view.update?.();
  view = name ? serviceView(decodeURIComponent(name)) : part[2]();
  find("main").replaceChildren(...view.nodes);
  for (const node of find("nav").children) {
    if (node.hash === part[0]) node.setAttribute("aria-current", "page");
    else node.removeAttribute("aria-current");
  }
  drawServices();
  begin();
}

// Ends the work of the part that is left; without a connection, nothing has to.
function leave() {
  Promise.resolve(view.stop?.()).catch(() => {});
}

function begin() {
  if (link.isBound) Promise.resolve(view.start?.()).catch(report);
}

function showNotices() {
  const line = find("#notice");
  line.hidden = notices.size === 0;
  write(line, [...notices].join("\n"));
}

link.onbound = async () => {
  const hasPage = !find("header").hidden;
  find("header").hidden = false;
  find("nav").replaceChildren(...PARTS.filter((part) => link.isAdmin || !part[3]).map(([at, name]) => make("a", { href: at }, name)));
  write(find("#user"), link.user);
  try {
    await readServices();
    if (link.isAdmin) readBoard().catch(report);
  } catch (error) {
    report(error);
  }
  if (!hasPage || !view.start) route();
  else begin();
};

link.onstate = (state) => {
  // The server reports them at each bind.
  if (state === "connecting") notices.clear();
  showNotices();
  const line = find("#link");
  const words = { online: "", connecting: "connecting ..", offline: "offline: what is shown may be old" };
  // An attempt after a loss is no news.
  if (state === "connecting" && line.className === "offline") return;
  line.className = state;
  write(line, words[state]);
};

link.onpush = (type, data) => {
  if (type === "service-change") handleChange(data);
  else if (type === "service-events") readStatus(data.service);
  else if (type === "service-log") view.handleLog?.(data);
  else if (data === "rights changed") readServices().catch(report);
  else if (type === "server-notice") {
    notices.add(data);
    showNotices();
  } else if (type === "check-change") {
    say(`Check ${data.check}: ${[data.state, data.error].filter(Boolean).join(", ")}`, data.state === "failing");
    view.handleChange?.(data.service);
  }
};

link.onend = (reason) => {
  leave();
  services.clear();
  notices.clear();
  showNotices();
  loginView(reason);
};

// Of this tab alone: the server has one session for all log-ins of a user with one device.
const device = `console-${[...crypto.getRandomValues(new Uint8Array(4))].map((octet) => octet.toString(16).padStart(2, "0")).join("")}`;

function loginView(reason) {
  find("header").hidden = true;
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
      const login = await link.post("login", { username: name.value, password: password.value, deviceid: device });
      say("");
      beginSession(login.sessionid);
    } catch (error) {
      say(refusal(error), true);
      password.select();
      password.focus();
    }
    form.removeAttribute("aria-busy");
  });
  find("main").replaceChildren(make("div", { className: "login" }, form));
  say(reason);
  name.focus();
}

// Words for a refused log-in: code 6 has the end of a block in Unix time, 0 for a wrong password.
function refusal(error) {
  const until = Number(/^Account blocked until: (\d+)$/.exec(error.message)?.[1] ?? NaN);
  if (Number.isNaN(until)) return error.message;
  if (until === 0) return "Wrong user or password.";
  const left = until - Date.now() / 1000;
  const time = left > 0 && left < 86400 ? `in ${duration(left)}` : "later";
  return `Too many wrong passwords: log-in is blocked for you. Try again ${time}.`;
}

function beginSession(session) {
  link.session = session;
  sessionStorage.setItem("session", session);
  link.open();
}

// The session is forgotten here even if the device does not answer.
find("#logout").addEventListener("click", () => link.logOut().catch(report));
addEventListener("hashchange", () => {
  say("");
  route();
  scrollTo(0, 0);
  find("main").focus({ preventScroll: true });
});
setInterval(() => !document.hidden && view.tick?.(), 1000);
setInterval(() => !document.hidden && link.isBound && readServices().catch(() => {}), 60000);

const stored = sessionStorage.getItem("session");
if (stored) beginSession(stored);
else loginView("");
