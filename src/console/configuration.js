// The configuration: shown, changed, tried, confirmed.

const PART_CHARACTERS = 8000;
// Pause after a key until the difference is shown, and between two looks at what is in force.
const DRAW_MS = 200;
const LOOK_MS = 5000;
// EBUSY: the server reads the configuration for another call.
const BUSY = 16;

// File in force as the page knows it, with the trial that it is of, if it is of one.
let inForce = { text: "", base: "", size: 0 };
// Text that is being changed, by whom, and the text and checksum that it was made from. It is kept as long as the page.
let draft = null;

async function retry(action) {
  for (let attempts = 9; ; attempts -= 1) {
    try {
      return await action();
    } catch (error) {
      if (error.number !== BUSY || !attempts) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

const post = (path, parameters) => retry(() => link.post(path, parameters));
const readPage = (since) => retry(() => link.call("board/configuration", { since: String(since) }));

// Reads the file in force if it is another one by now, and whether it is tried. Returns what was known before.
async function readConfiguration() {
  let page = await readPage(inForce.size);
  let { text } = inForce;
  if (page.Base !== inForce.base) {
    const { Base } = page;
    text = "";
    do {
      page = await readPage(text ? page.Next : 0);
      if (page.Base !== Base) return readConfiguration();
      text += page.Text;
    } while (page.Text && page.Next < page.Size);
  }
  const trial = page.Trial;
  const isSame = trial && inForce.trial?.Change === trial.Change;
  const end = isSame ? inForce.end : Date.now() + 1000 * (trial?.Seconds ?? 0);
  const earlier = inForce;
  inForce = { text, base: page.Base, size: page.Size, limit: page.Limit, trial, end };
  return earlier;
}

function configurationView() {
  const text = make("textarea", { spellcheck: false, readOnly: true, "aria-label": "Configuration file" });
  const warning = make("div", { role: "status" });
  const errors = make("ul", { className: "bad", "aria-live": "polite" });
  const result = make("div", { "aria-live": "polite" });
  const difference = make("pre", { role: "group", "aria-label": "Difference", hidden: true });
  const confirmation = make("div");
  const left = make("strong", { role: "timer" });
  const time = make("input", { type: "number", min: 1, max: 60, value: 60 });
  const discard = button("Discard changes", async () => {
    if (!(await ask("Discard your changes of the text?", "Discard"))) return;
    draft = null;
    draw();
  });
  let timer = 0;
  let looked = Infinity;
  // Of the user in the configuration file.
  let name;

  text.addEventListener("input", () => {
    draft ??= { user: name, before: inForce.text, base: inForce.base };
    draft.text = text.value;
    if (draft.text === draft.before && draft.base === inForce.base) draft = null;
    clearTimeout(timer);
    timer = setTimeout(draw, DRAW_MS);
  });
  const tooLong = () => {
    const size = new TextEncoder().encode(text.value).length;
    return size > inForce.limit && `The text is too long: ${size} of at most ${inForce.limit} bytes.`;
  };
  const draw = () => {
    clearTimeout(timer);
    const words = draft ? draft.text : inForce.text;
    if (text.value !== words) text.value = words;
    const { trial, base } = inForce;
    const isOld = Boolean(draft && !trial && draft.base !== base);
    discard.hidden = !draft;
    drawTrial();
    const error = tooLong();
    show(warning, [error, isOld], () => [
      error ? make("p", { className: "bad" }, error) : "",
      isOld ? make("div", { className: "trial" },
        make("p", {}, "Another configuration is in force since you began. Your text would undo its lines with \u201c-\u201d."),
        button("Go on with my text", () => {
          Object.assign(draft, { before: inForce.text, base: inForce.base });
          draw();
        })) : ""]);
    const runs = [];
    const before = trial && draft ? draft.before : inForce.text;
    // One element for lines with the same mark.
    for (const [mark, line] of before === words || error ? [] : compare(before, words)) {
      if (runs.at(-1)?.[0] !== mark) runs.push([mark, ""]);
      runs.at(-1)[1] += `${mark} ${line}\n`;
    }
    show(difference, runs, () => runs.map(([mark, lines]) => make(mark === "+" ? "ins" : mark === "-" ? "del" : "span", {}, lines)));
    difference.hidden = runs.length === 0;
  };
  const drawTrial = () => {
    const { trial } = inForce;
    if (!trial) return show(confirmation, null, () => []);
    const { By, Change, Address, NeedsLogin } = trial;
    const isOwn = By === name;
    // Every address of the device, or another port: by the same name.
    const there = Address && new URL(`${location.protocol}//${Address}${/\/console$/.test(location.pathname) ? "/console" : "/"}${location.hash}`);
    const hasPort = there?.port === location.port;
    if (there && (!hasPort || /^(0\.|\[::\])/.test(Address))) there.hostname = location.hostname;
    show(confirmation, [Change, isOwn], () => [make("div", { className: "trial" },
      make("p", {}, `In force, but not kept. ${isOwn ? "" : `${By} tries it. `}Without a confirmation the earlier configuration is back in `, left, "."),
      isOwn && NeedsLogin ? make("p", {}, "It changes your password: log out, log in with the new one, and keep it then.") : "",
      isOwn && there && there.host !== location.host ? make("p", {}, "It opens another address. Confirm it there: ", make("a", { href: there }, there.host)) : "",
      isOwn ? make("div", { className: "row" },
        there && !hasPort ? [] : button("Keep it", keep, { className: "main" }),
        button("Take it back", () => post("board/reload").then(look))) : "")]);
  };
  const drawTime = () => write(left, `${Math.max(0, Math.ceil((inForce.end - Date.now()) / 1000))} s`);
  const keep = async () => {
    await post("board/confirm", { change: String(inForce.trial.Change) });
    // What was typed since stays.
    if (draft?.text === draft?.tried) draft = null;
    await look();
    say("The configuration is confirmed and written.");
  };
  const look = async () => {
    const { trial, base } = await readConfiguration();
    if (trial && inForce.trial?.Change !== trial.Change) {
      // The text may have been read before the end.
      await readConfiguration();
      say(inForce.base !== base ? "Not confirmed: the earlier configuration is back." : "The trial has ended: what is shown is in force.");
      readServices().catch(() => {});
    }
    draw();
    drawTime();
  };
  // Sends the text in parts; the answer to the last one tells what changes.
  const send = async (isTrial) => {
    show(errors, null, () => []);
    result.replaceChildren();
    if (tooLong()) throw new CallError(tooLong());
    const parts = text.value.match(new RegExp(`[^]{1,${PART_CHARACTERS}}(?<![\\ud800-\\udbff])`, "g")) ?? [""];
    const data = { dryrun: String(!isTrial), seconds: time.value || "60" };
    if (!inForce.trial) data.base = draft?.base ?? inForce.base;
    try {
      const answer = await retry(async () => {
        let offset = 0;
        let last;
        for (const [at, part] of parts.entries()) {
          const more = String(at + 1 < parts.length);
          last = await link.call("board/configuration", { ...data, text: part, offset: String(offset), more });
          offset += new TextEncoder().encode(part).length;
        }
        return last;
      });
      showChanges(answer);
      return answer;
    } catch (error) {
      show(errors, error.message, () => error.message.split("\n").map((line) => make("li", {}, jump(line))));
      await look().catch(() => {});
      throw new CallError("Nothing was changed.");
    }
  };
  const changes = (answer) => [
    ["New services", answer.Added.join(", ")], ["Changed services", answer.Changed.join(", ")],
    ["Removed services", answer.Removed.join(", ")], ["After a restart of the server", answer.NeedsRestart.join(", ")]];
  const showChanges = (answer) => {
    const rows = facts(changes(answer));
    result.replaceChildren(rows.length ? make("dl", {}, rows) : make("p", {}, "No service changes."));
  };
  // Reads the files of the device again, after a look at what that changes.
  const reload = async () => {
    const found = changes(await post("board/reload", { dryrun: "true" }));
    const words = found.filter(([, names]) => names).map(([name, names]) => `${name}: ${names}.`).join(" ");
    if (!(await ask(`Read the configuration file of the device again? ${words || "No service changes."}`, "Reload"))) return;
    showChanges(await post("board/reload"));
    await Promise.all([look(), readServices()]);
    say("The configuration file is in force.");
  };
  // An error with a button that goes to its line, unless it is in a drop-in file.
  const jump = (line) => {
    const at = /:(\d+):(\d+): /.exec(line);
    if (!at || line.slice(0, at.index).includes(".d/")) return line;
    return make("button", { type: "button", onclick: () => select(text, Number(at[1]), Number(at[2])) }, line);
  };
  const attempt = async () => {
    if (!(await ask("Put this configuration in force? It is kept only if you confirm it in time.", "Try it"))) return;
    const tried = draft?.text;
    await send(true);
    if (draft) draft.tried = tried;
    await look();
    confirmation.querySelector("button.main")?.focus();
  };
  const clock = setInterval(() => {
    drawTime();
    const isOver = inForce.trial && inForce.end < Date.now();
    if (document.hidden || !link.isBound || Date.now() - looked < (isOver ? 900 : LOOK_MS)) return;
    looked = Date.now();
    look().catch(() => {});
  }, 1000);
  return {
    nodes: [
      make("h1", {}, "Configuration"), confirmation, warning, text,
      make("div", { className: "row" },
        labelled("Seconds to confirm it", time),
        button("Check", () => send(false).then(() => say("The configuration has no error."))),
        button("Try it", attempt, { className: "main" }),
        discard,
        button("Reload from the file", reload)),
      errors, result, difference],
    start: async () => {
      name = (await link.call("sessions/list")).Sessions.find(({ Own }) => Own)?.User;
      if (draft?.user !== name) draft = null;
      await look();
      text.readOnly = false;
      looked = Date.now();
    },
    stop: () => {
      clearInterval(clock);
      clearTimeout(timer);
    },
  };
}

function select(text, line, column) {
  const start = text.value.split("\n").slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
  text.focus();
  text.setSelectionRange(start, start + 1);
  text.scrollTop = (line - 5) * parseFloat(getComputedStyle(text).lineHeight);
}

// Lines that were removed and added, with two lines around them: what is the same at both ends is left out, and the rest
// has its longest common sequence kept.
function compare(old, now) {
  const [a, b] = [old.split("\n"), now.split("\n")];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const [x, y] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  const around = (from, to) => a.slice(Math.max(0, from), to).map((line) => [" ", line]);
  const lines = x.length * y.length > 4e6
    ? [...x.map((line) => ["-", line]), ...y.map((line) => ["+", line])]
    : longest(x, y);
  return [...around(head - 2, head), ...lines, ...around(a.length - tail, a.length - tail + 2)];
}

function longest(x, y) {
  const width = y.length + 1;
  const lengths = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i -= 1) {
    for (let j = y.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      lengths[at] = x[i] === y[j] ? lengths[at + width + 1] + 1 : Math.max(lengths[at + width], lengths[at + 1]);
    }
  }
  const lines = [];
  for (let [i, j] = [0, 0]; i < x.length || j < y.length; ) {
    const at = i * width + j;
    if (x[i] === y[j]) (lines.push([" ", x[i]]), (i += 1), (j += 1));
    else if (i < x.length && (j === y.length || lengths[at + width] >= lengths[at + 1])) (lines.push(["-", x[i]]), (i += 1));
    else (lines.push(["+", y[j]]), (j += 1));
  }
  return lines;
}
