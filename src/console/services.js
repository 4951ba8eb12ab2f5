// Services with their states: the snapshot, the pushes, and the table of all.

// Code of a service that is not there, or not the user's.
const GONE = "20";

const services = new Map();
// Names whose status is being read, and true if it has changed since.
const reading = new Map();

const STATES = {
  stopped: "stopped", starting: "starting", started: "running", stopping: "stopping", paused: "paused",
  finished: "finished", failed: "failed",
};

// No character of a name has to be escaped in a path.
const path = (name, verb) => `services/${name}/${verb}`;

// Reads the state of all services. The socket is bound before, so pushes have what comes later.
async function readServices() {
  const { Services } = await link.call("services/list");
  const names = new Set(Services.map((service) => service.Name));
  for (const name of services.keys()) if (!names.has(name)) services.delete(name);
  for (const { Name, state, reason } of Services) {
    if (!services.has(Name)) services.set(Name, { name: Name, State: state, Reason: reason ?? "", entered: null });
  }
  drawServices();
  await Promise.all([...names].map(readStatus));
}

// Reads the status of one service; once more if it changes meanwhile.
async function readStatus(name) {
  if (reading.has(name)) return reading.set(name, true);
  reading.set(name, false);
  try {
    take(name, await link.call(path(name, "status")));
  } catch (error) {
    if (error.code === GONE) services.delete(name), drawServices();
    else if (link.isBound) report(error);
  }
  const again = reading.get(name);
  reading.delete(name);
  if (again && link.isBound) await readStatus(name);
}

function take(name, status) {
  const service = services.get(name);
  if (!service) return;
  for (const key of ["Ready", "Text", "WaitsFor", "Next", "Events"]) delete service[key];
  Object.assign(service, status, { entered: Date.now() - 1000 * status.Since });
  drawServices();
}

function handleChange({ service: name, state, pid, reason, output }) {
  const service = services.get(name);
  if (!service) return void readServices().catch(report);
  // Other rights have all states anew.
  if (service.State !== state || service.Pid !== pid) tell(name, [STATES[state] ?? state, reason].filter(Boolean).join(", "));
  Object.assign(service, { State: state, Pid: pid, entered: Date.now() });
  if (reason) Object.assign(service, { Reason: reason, output: output ?? [] });
  readStatus(name);
  drawServices();
  view.handleChange?.(name);
}

// Words for the state, with what it waits for or why it ended.
function explain(service) {
  if (service.WaitsFor?.length) return `waits for ${service.WaitsFor.join(", ")}`;
  // Who has stopped it knows how it ended.
  const words = [service.Pid || service.State === "stopped" ? "" : service.Reason];
  if (service.Pid && service.Ready === false) words.push("not ready");
  if (service.Text) words.push(service.Text);
  for (const { Key, Value } of service.Events ?? []) words.push(`${Key} ${Value}`);
  return words.filter(Boolean).join("; ");
}

// Verbs that are answered at once.
const QUICK = ["stop", "pause"];
const DONE = { install: "starts at boot from now on", uninstall: "does not start at boot any more" };

// Has a verb executed, and tells what came of it. What others did meanwhile, or an error of a later press, stays in view.
async function run(name, verb, call) {
  say(`${name}: ${verb} ..`);
  // What runs before a start is not pushed.
  setTimeout(() => link.isBound && readStatus(name), 300);
  try {
    const answer = await (call ?? (QUICK.includes(verb) ? link.call(path(name, verb)) : link.operate(path(name, verb))));
    const done = answer ? (DONE[verb] ?? `${verb} done`) : await untold(name);
    if (line.className === "bad") tell(name, done);
    else say(`${name}: ${done}`);
    return answer;
  } catch (error) {
    const service = services.get(name);
    if (service && error.output?.length) service.output = error.output;
    throw error;
  } finally {
    if (link.isBound) readStatus(name);
  }
}

// What came of a call whose answer is not known, by the state some time later.
async function untold(name) {
  await pause(1500);
  const { State, Reason } = services.get(name) ?? {};
  if (State === "failed") throw new CallError(`${name}: ${Reason}`);
  return STATES[State] ?? "removed";
}

// Buttons of a service; those that have no effect in its state are off. A viewer has none.
function verbs(name, words) {
  if (!link.mayChange) return { nodes: [], update() {} };
  const buttons = words.map((word) => {
    const node = button(VERBS[word], () => run(name, word), { "aria-label": `${VERBS[word]} ${name}` });
    node.dataset.verb = word;
    return node;
  });
  return { nodes: buttons, update: (service) => buttons.forEach((node) => enable(node, hasEffect(node.dataset.verb, service))) };
}

const VERBS = { start: "Start", stop: "Stop", restart: "Restart", pause: "Pause" };

function hasEffect(verb, { State }) {
  if (verb === "start") return !["started", "finished"].includes(State);
  if (verb === "stop") return !["stopped", "stopping"].includes(State);
  return verb === "pause" ? State === "started" : true;
}

const rows = new Map();
let drawServices = () => {};

// The table of all services. Rows stay the same elements, so that the focus stays where it is.
function servicesView() {
  const body = make("tbody");
  const empty = make("p", { className: "quiet", hidden: true }, "There is no service that you may control.");
  rows.clear();
  drawServices = () => {
    for (const [name, row] of rows) if (!services.has(name)) rows.delete(name), row.node.remove();
    for (const service of services.values()) {
      if (!rows.has(service.name)) {
        rows.set(service.name, makeRow(service.name));
        body.append(rows.get(service.name).node);
      }
      rows.get(service.name).update(service);
    }
    empty.hidden = services.size > 0 || !link.isBound;
    view.update?.();
  };
  const title = make("h1", {}, "Services");
  const table = make("table", {}, columns("Service", "State", "Since", "Reason", "Restarts", "At boot", "Actions"), body);
  // It has nothing of its own to read: after a loss it goes on as it is.
  return { nodes: [title, table, empty], tick: drawServices, start() {} };
}

function makeRow(name) {
  const state = make("span", { className: "state" });
  const fields = ["Since", "Reason", "Restarts", "At boot"].map((label) => cell(label));
  const [since, reason, restarts, enabled] = fields;
  const description = make("div", { className: "quiet" });
  reason.className = "wrap";
  const buttons = verbs(name, ["start", "stop", "restart"]);
  const title = cell("", make("a", { href: `#/service/${encodeURIComponent(name)}` }, name), description);
  title.className = "wrap";
  const node = make("tr", {},
    title,
    cell("", state), fields, cell("", make("div", { className: "row" }, buttons.nodes)));
  const update = (service) => {
    state.className = `state ${service.State}`;
    write(state, STATES[service.State] ?? service.State);
    write(since, service.entered ? duration((Date.now() - service.entered) / 1000) : "");
    write(reason, explain(service));
    write(restarts, service.Restarts ?? "");
    write(enabled, service.Enabled == null ? "" : service.Enabled ? "yes" : "no");
    write(description, service.Description ?? "");
    buttons.update(service);
  };
  return { node, update };
}
