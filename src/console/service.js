// One service: its facts, actions, ends and output.

const LOG_LINES = 2000;
const BLOCK_LINES = 100;
const LAST_LINES = 10;
const LOG_MS = 150;
const USAGE_MS = 5000;

function serviceView(name) {
  const state = make("span", { className: "state" });
  const list = make("dl");
  const buttons = verbs(name, ["start", "stop", "restart", "pause"]);
  const boot = button("", () => run(name, services.get(name)?.Enabled ? "uninstall" : "install"));
  const commands = make("div", { className: "row" });
  const output = make("div", { "aria-live": "polite" });
  const last = make("div");
  const history = make("div");
  const declaration = make("div");
  const log = logView(name);
  let details = {};

  const update = () => {
    const service = services.get(name);
    if (!service) return route();
    state.className = `state ${service.State}`;
    write(state, STATES[service.State] ?? service.State);
    buttons.update(service);
    write(boot, service.Enabled ? "Do not start at boot" : "Start at boot");
    const rows = facts([
      ["Description", service.Description],
      ["Since", service.entered ? duration((Date.now() - service.entered) / 1000) : ""],
      ["Reason", service.Pid ? "" : service.Reason],
      ["Last end", service.Pid ? service.LastExit : ""],
      ["Waits for", (details.WaitsFor ?? []).join(", ")],
      ["Ready", service.Ready == null ? "" : service.Ready ? "yes" : "no"],
      ["Says", service.Text],
      ["Process", service.Pid || ""],
      ["Processor time", service.Pid && details.Cpu != null ? `${details.Cpu} s` : ""],
      ["Memory", service.Pid && details.Memory != null ? bytes(details.Memory) : ""],
      ["Restarts", service.Restarts],
      ["Starts at boot", service.Enabled ? "yes" : "no"],
      ["Next start", details.Next == null ? "" : `in ${duration(details.Next)}`],
    ]);
    amend(list, rows);
    // Without a process, what is kept ends with them; a program that could not be started has written nothing.
    const isOver = !service.Pid && service.LastExit && !service.LastExit.startsWith("cannot start");
    const lines = service.output ?? (isOver ? log.newest() : []);
    show(last, lines, () => (lines.length ? [heading("Last lines before the end"), make("pre", {}, lines.join("\n"))] : []));
  };

  const read = async () => {
    if (!link.isBound || document.hidden) return;
    details = await link.call(path(name, "show"));
    take(name, details);
    update();
    const offered = link.mayChange ? details.Commands : [];
    show(commands, offered, () => offered.map((command) => commandButton(name, command, output)));
    const ends = (details.History ?? []).map((end) => [`${duration(end.Ago)} ago`, end.Exit, end.Reason, `${duration(end.Ran)}`]);
    show(history, ends, () => (ends.length ? [heading("Ends"), table(["When", "Exit", "Why", "After"], ends)] : []));
    const checks = (details.Checks ?? []).map((check) => [check.Name, check.State, check.Error ?? ""]);
    const rows = declared(details);
    show(declaration, [checks, rows.map((node) => node.textContent)], () => [
      checks.length ? [heading("Health checks"), table(["Check", "State", "Error"], checks)] : null,
      heading("Declaration"), make("dl", {}, rows)]);
  };

  if (!services.has(name)) return notHere(`There is no service ${name} that you may control.`, () => services.has(name) && route());
  const timer = setInterval(() => read().catch(() => {}), USAGE_MS);
  return {
    nodes: [
      make("p", {}, make("a", { href: "#/" }, "All services")),
      make("h1", {}, name), state, make("div", { className: "row" }, buttons.nodes, link.mayChange ? boot : null), commands, output, list, last,
      log.node, history, declaration],
    update,
    tick: update,
    handleChange: (changed) => changed === name && read().catch(report),
    handleLog: log.push,
    start: () => Promise.all([read(), log.follow().then(update)]),
    stop: () => (clearInterval(timer), log.stop()),
  };
}

const table = (names, lines) =>
  make("table", {}, columns(...names),
    make("tbody", {}, lines.map((line) => make("tr", {}, line.map((text, at) => cell(names[at], text))))));

function declared(details) {
  const keys = Object.entries(details.Keys ?? {}).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]);
  return facts([
    ["Command", commandLine(details.Command)], ["User", details.User || "the server's"], ["Directory", details.Cwd],
    ["Variables", details.Env.join(", ")], ["After", details.After.join(", ")],
    ["Restart", details.StartLimit ? `${details.Restart}, at most ${details.StartLimit} times` : details.Restart],
    ["Stop", `signal ${details.StopSignal}, ${details.StopTimeout} s`], ...keys]);
}

// Button of a named command: a program shows its output.
function commandButton(name, command, output) {
  return button(command.Name, async () => {
    const parameters = [path(name, "command"), { cmd: command.Name }];
    const answer = await run(name, command.Name, command.Signal ? link.operate(...parameters) : link.post(...parameters));
    if (answer?.Exit == null) return;
    say(`${name}: ${command.Name}: ${answer.Exit}`, answer.Exit !== "exit 0");
    const text = answer.Output + (answer.Cut ? "\n(cut)" : "");
    output.replaceChildren(heading(`${command.Name}: ${answer.Exit}`), make("pre", {}, text || "(no output)"));
  }, { title: command.Signal ? `signal ${command.Signal}` : commandLine(command.Program ?? []) });
}

// Output of a service: what is kept, then what follows. Lines are added in blocks, so that a selection stays, and the oldest
// blocks leave. Pushes are drawn a few times a second: a service may write without an end.
function logView(name) {
  // Blocks of lines, each with its element.
  const blocks = [];
  let waiting = [];
  let timer = 0;
  let next = 0;
  let isFollowing = true;
  const box = make("pre", { className: "log", tabIndex: 0, role: "log", "aria-live": "off", "aria-label": `Output of ${name}` });
  const count = make("span", { className: "quiet", role: "status" });
  const search = make("input", { type: "search", oninput: () => (blocks.forEach(fill), draw(), toEnd()) });
  const follow = make("input", { type: "checkbox", checked: true, onchange: () => (follow.checked ? view.start() : stop()).catch(report) });
  const number = (key) => blocks.reduce((sum, block) => sum + block[key].length, 0);
  const fill = (block) => {
    const wanted = search.value.toLowerCase();
    block.found = wanted ? block.lines.filter((line) => line.toLowerCase().includes(wanted)) : block.lines;
    write(block.node, block.found.map((line) => `${line}\n`).join(""));
  };
  const toEnd = () => (box.scrollTop = box.scrollHeight);
  const draw = () => {
    timer = 0;
    const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
    for (let at = 0; at < waiting.length; at += BLOCK_LINES) {
      const block = { lines: waiting.slice(at, at + BLOCK_LINES), node: make("div") };
      fill(block);
      blocks.push(block);
      box.append(block.node);
    }
    waiting = [];
    for (let over = number("lines") - LOG_LINES; over >= blocks[0]?.lines.length;) {
      const { lines, node } = blocks.shift();
      over -= lines.length;
      // What is read stays where it is.
      const height = isAtEnd ? 0 : node.offsetHeight;
      node.remove();
      if (height) box.scrollTop -= height;
    }
    write(count, search.value ? `${number("found")} of ${number("lines")} lines` : "");
    if (isAtEnd) toEnd();
  };
  const add = (page) => {
    if (page.Lost > 0 && next > 0) waiting.push(`-- ${page.Lost} bytes are not kept any more --`);
    waiting.push(...page.Lines);
    waiting.splice(0, waiting.length - LOG_LINES);
    next = page.Next;
  };
  // Reads all pages, then follows from the end of the last one.
  const start = async () => {
    isFollowing = follow.checked;
    let page;
    do {
      page = await link.call(path(name, "log"), { since: String(next) });
      add(page);
    } while (page.Lines.length);
    if (isFollowing) add(await link.call(path(name, "log"), { since: String(next), follow: "true" }));
    draw();
    toEnd();
  };
  const stop = async () => {
    isFollowing = false;
    if (link.isBound) await link.call(path(name, "log"), { since: String(next), follow: "false" });
  };
  const push = ({ service, next: to, lost, lines: more }) => {
    if (!isFollowing || service !== name || to <= next) return;
    add({ Lost: lost, Lines: more, Next: to });
    timer ||= setTimeout(draw, LOG_MS);
  };
  const newest = () => blocks.slice(-LAST_LINES).flatMap(({ lines }) => lines).slice(-LAST_LINES);
  return {
    node: make("section", { "aria-label": "Output" }, heading("Output"),
      make("div", { className: "row" }, labelled("Search", search), make("label", {}, follow, " Follow"), count), box),
    follow: start, stop, push, newest,
  };
}
