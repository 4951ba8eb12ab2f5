// One service: its facts, actions, ends and output.

const LOG_LINES = 2000;
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
    if (!service) return;
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
    show(list, rows.map((node) => node.textContent), () => rows);
    show(last, service.output ?? [], () => (service.output?.length ? [heading("Last lines before the end"), make("pre", {}, service.output.join("\n"))] : []));
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

  if (!services.has(name)) return { nodes: [make("h1", {}, "Not here"), make("p", {}, `There is no service ${name} that you may control.`)] };
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
    start: () => Promise.all([read(), log.follow()]),
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
    const answer = await run(name, "command", { cmd: command.Name });
    if (answer.Exit == null) return;
    const text = answer.Output + (answer.Cut ? "\n(cut)" : "");
    output.replaceChildren(heading(`${command.Name}: ${answer.Exit}`), make("pre", {}, text || "(no output)"));
  }, { title: command.Signal ? `signal ${command.Signal}` : commandLine(command.Program ?? []) });
}

// Output of a service: all that is kept, then what follows.
function logView(name) {
  const lines = [];
  let next = 0;
  let isFollowing = true;
  const box = make("pre", { className: "log", tabIndex: 0, role: "log", "aria-live": "off", "aria-label": `Output of ${name}` });
  const count = make("span", { className: "quiet", role: "status" });
  const search = make("input", { type: "search", oninput: () => draw(true) });
  const follow = make("input", { type: "checkbox", checked: true, onchange: () => (follow.checked ? view.start() : stop()).catch(report) });
  const draw = (isWhole) => {
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
    const wanted = search.value.toLowerCase();
    const found = wanted ? lines.filter((line) => line.toLowerCase().includes(wanted)) : lines;
    write(box, found.length ? `${found.join("\n")}\n` : "");
    write(count, wanted ? `${found.length} of ${lines.length} lines` : "");
    if (atEnd || isWhole) box.scrollTop = box.scrollHeight;
  };
  const add = (page) => {
    if (page.Lost > 0 && next > 0) lines.push(`-- ${page.Lost} bytes are not kept any more --`);
    lines.push(...page.Lines);
    lines.splice(0, lines.length - LOG_LINES);
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
    draw(true);
  };
  const stop = async () => {
    isFollowing = false;
    if (link.isBound) await link.call(path(name, "log"), { since: String(next), follow: "false" });
  };
  const push = ({ service, next: to, lost, lines: more }) => {
    if (!isFollowing || service !== name || to <= next) return;
    add({ Lost: lost, Lines: more, Next: to });
    draw();
  };
  return {
    node: make("section", { "aria-label": "Output" }, heading("Output"),
      make("div", { className: "row" }, labelled("Search", search), make("label", {}, follow, " Follow"), count), box),
    follow: start, stop, push,
  };
}
