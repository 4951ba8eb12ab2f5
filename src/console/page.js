// Elements, words and dialogs. Text of services and users is set as text, never as HTML.
// The files of this directory are one module: build.rs joins them.

const find = (selector) => document.querySelector(selector);
const [header, nav, line] = ["header", "nav", "#message"].map(find);

// Element with properties, attributes and children; `onclick` and the like are listeners.
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

// Changes a text only if it differs, so that a screen reader and a selection are left alone.
function write(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

// Replaces the children if the value that they show has changed.
const shown = new WeakMap();
function show(node, value, children) {
  const key = JSON.stringify(value);
  if (shown.get(node) === key) return;
  shown.set(node, key);
  node.replaceChildren(...children().flat().filter((child) => child != null));
}

// Button whose action runs once at a time. `aria-disabled` keeps the focus where `disabled` would lose it.
function button(label, action, properties = {}) {
  const node = make("button", { type: "button", ...properties }, label);
  node.addEventListener("click", async () => {
    if (node.getAttribute("aria-disabled") === "true") return;
    node.setAttribute("aria-busy", "true");
    enable(node, false);
    try {
      await action();
    } catch (error) {
      report(error);
    }
    node.removeAttribute("aria-busy");
    enable(node, true);
    // One whose row is gone has taken the focus with it.
    if (!node.isConnected && document.activeElement === document.body) find("main").focus({ preventScroll: true });
  });
  return node;
}

function enable(node, isEnabled) {
  if (node.getAttribute("aria-busy") !== "true" || !isEnabled) node.setAttribute("aria-disabled", String(!isEnabled));
}

const labelled = (label, input) => make("label", { className: "field" }, label, input);
const heading = (text) => make("h2", {}, text);
const columns = (...names) => make("thead", {}, make("tr", {}, names.map((name) => make("th", { scope: "col" }, name))));
// A text without a place to break is broken anywhere.
const cell = (label, ...children) =>
  make("td", { "data-label": label, className: /\S{25}/.test(children) ? "wrap" : "" }, ...children);
const facts = (rows) =>
  rows.filter(([, value]) => value !== "" && value != null).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);

// Terms and values in place of earlier ones: the elements stay, and what is selected in them.
function amend(list, nodes) {
  if (list.children.length !== nodes.length) list.replaceChildren(...nodes);
  else nodes.forEach((node, at) => write(list.children[at], node.textContent));
}

// Writes the line of messages, which screen readers read out: what came of the last press.
function say(text, isBad = false) {
  line.className = isBad ? "bad" : "";
  delete line.dataset.lost;
  write(line, text);
}

function report(error) {
  if (!(error instanceof CallError)) console.error(error);
  say(error.message, true);
  if (error.message === NO_ANSWER || error.message === LOST) line.dataset.lost = "true";
}

// What others did, the newest of each subject, in a quieter line: read out every few seconds, and once.
const NEWS_MS = 5000;
const NEWS = 3;
const news = new Map();
const told = new Map();
let newsTimer = 0;
function tell(subject, text) {
  if (told.get(subject) === text) return news.delete(subject);
  news.set(subject, text);
  newsTimer ||= setTimeout(showNews, 250);
}
function showNews() {
  newsTimer = 0;
  if (news.size === 0) return;
  for (const [subject, text] of news) told.set(subject, text);
  const lines = [...news].map((each) => each.join(": "));
  write(find("#news"), lines.slice(0, NEWS).join("; ") + (lines.length > NEWS ? `; and ${lines.length - NEWS} more` : ""));
  news.clear();
  newsTimer = setTimeout(showNews, NEWS_MS);
}

function retitle() {
  const place = find("main h1")?.textContent;
  document.title = [place, board.Board, "service control"].filter(Boolean).join(" - ");
  write(find("#board"), board.Board ?? "Service control");
}

// Asks a question; true if it is answered with `action`. A part that is left answers it with no.
let answerQuestion = null;
function ask(question, action) {
  answerQuestion?.(false);
  return new Promise((resolve) => {
    const close = (answer) => {
      answerQuestion = null;
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    const dialog = make("dialog", { "aria-label": question, oncancel: (event) => (event.preventDefault(), close(false)) },
      make("p", {}, question),
      make("div", { className: "row" },
        make("button", { type: "button", onclick: () => close(false) }, "Cancel"),
        make("button", { type: "button", className: "main", onclick: () => close(true) }, action)));
    document.body.append(dialog);
    dialog.showModal();
    answerQuestion = close;
  });
}

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return `${s} s`;
  if (s < 100 * 60) return `${Math.floor(s / 60)} min`;
  const hours = Math.floor(s / 3600);
  if (hours < 10) return `${hours} h ${Math.floor(s / 60) % 60} min`;
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

function bytes(count) {
  if (count < 10240) return `${count} B`;
  return count < 10 * 1048576 ? `${Math.round(count / 1024)} KiB` : `${Math.round(count / 1048576)} MiB`;
}

// Words that a shell would read as these arguments.
const commandLine = (words) => words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
