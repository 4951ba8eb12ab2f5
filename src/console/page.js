// Elements, words and dialogs. Text of services and users is set as text, never as HTML.
// The files of this directory are one module: build.rs joins them.

const find = (selector) => document.querySelector(selector);

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
  });
  return node;
}

function enable(node, isEnabled) {
  if (node.getAttribute("aria-busy") !== "true" || !isEnabled) node.setAttribute("aria-disabled", String(!isEnabled));
}

const labelled = (label, input) => make("label", { className: "field" }, label, input);
const heading = (text) => make("h2", {}, text);
const columns = (...names) => make("thead", {}, make("tr", {}, names.map((name) => make("th", { scope: "col" }, name))));
const cell = (label, ...children) => make("td", { "data-label": label }, ...children);
const facts = (rows) =>
  rows.filter(([, value]) => value !== "" && value != null).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);

// Writes the line of messages, which screen readers read out.
function say(text, isBad = false) {
  const line = find("#message");
  line.className = isBad ? "bad" : "";
  write(line, text);
}

function report(error) {
  if (!(error instanceof CallError)) console.error(error);
  say(error.message, true);
}

// Asks a question; true if it is answered with `action`.
function ask(question, action) {
  return new Promise((resolve) => {
    const close = (answer) => {
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
  });
}

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return `${s} s`;
  if (s < 100 * 60) return `${Math.round(s / 60)} min`;
  return s < 48 * 3600 ? `${Math.round(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
}

function bytes(count) {
  if (count < 10240) return `${count} B`;
  return count < 10 * 1048576 ? `${Math.round(count / 1024)} KiB` : `${Math.round(count / 1048576)} MiB`;
}

// Words that a shell would read as these arguments.
const commandLine = (words) => words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
