// The configuration: shown, changed, tried, confirmed.

const PART_CHARACTERS = 8000;

function configurationView() {
  const text = make("textarea", { spellcheck: false, "aria-label": "Configuration file", oninput: () => draw() });
  const errors = make("ul", { className: "bad", "aria-live": "polite" });
  const result = make("div", { "aria-live": "polite" });
  const difference = make("pre", { role: "group", "aria-label": "Difference", hidden: true });
  const confirmation = make("div");
  const time = make("input", { type: "number", min: 1, max: 60, value: 60 });
  let before = "";
  let countdown = 0;

  const draw = () => {
    const lines = text.value === before ? [] : compare(before, text.value);
    show(difference, lines, () => lines.map(([mark, line]) =>
      make(mark === "+" ? "ins" : mark === "-" ? "del" : "span", {}, `${mark} ${line}\n`)));
    difference.hidden = lines.length === 0;
  };
  const read = async () => {
    let page;
    before = "";
    for (let since = 0; !page || since < page.Size; since = page.Next) {
      page = await link.call("board/configuration", { since: String(since) });
      if (!page.Text) break;
      before += page.Text;
    }
    text.value = before;
    draw();
  };
  // Sends the text in parts; the answer to the last one tells what changes.
  const send = async (isTrial) => {
    errors.replaceChildren();
    result.replaceChildren();
    const parts = text.value.match(new RegExp(`[^]{1,${PART_CHARACTERS}}(?<![\\ud800-\\udbff])`, "g")) ?? [""];
    let offset = 0;
    let answer;
    try {
      for (const [at, part] of parts.entries()) {
        const more = String(at + 1 < parts.length);
        answer = await link.call("board/configuration", {
          text: part, offset: String(offset), more, dryrun: String(!isTrial), seconds: time.value || "60",
        });
        offset += new TextEncoder().encode(part).length;
      }
    } catch (error) {
      show(errors, error.message, () => error.message.split("\n").map((line) => make("li", {}, jump(line))));
      throw new CallError("Nothing was changed.");
    }
    showChanges(answer);
    return answer;
  };
  const showChanges = (answer) => {
    const rows = facts([
      ["New services", answer.Added.join(", ")], ["Changed services", answer.Changed.join(", ")],
      ["Removed services", answer.Removed.join(", ")], ["After a restart of the server", answer.NeedsRestart.join(", ")]]);
    result.replaceChildren(rows.length ? make("dl", {}, rows) : make("p", {}, "No service changes."));
  };
  // Reads the files of the device again, after a look at what that changes.
  const reload = async () => {
    showChanges(await link.post("board/reload", { dryrun: "true" }));
    if (!(await ask("Read the configuration file of the device again? What changes is shown below.", "Reload"))) return;
    showChanges(await link.post("board/reload"));
    say("The configuration file is in force.");
    await Promise.all([read(), readServices()]);
  };
  // An error with a button that goes to its line, unless it is in a drop-in file.
  const jump = (line) => {
    const at = /:(\d+):(\d+): /.exec(line);
    if (!at || line.slice(0, at.index).includes(".d/")) return line;
    return make("button", { type: "button", onclick: () => select(text, Number(at[1]), Number(at[2])) }, line);
  };
  const attempt = async () => {
    if (!(await ask("Put this configuration in force? It is kept only if you confirm it in time.", "Try it"))) return;
    const { Change, Seconds, Address, NeedsLogin } = await send(true);
    const end = Date.now() + 1000 * Seconds;
    const left = make("strong", { role: "timer" });
    const finish = (words) => {
      clearInterval(countdown);
      confirmation.replaceChildren();
      say(words);
      return Promise.all([read(), readServices()]);
    };
    const confirm = button("Keep it", async () => {
      await link.post("board/confirm", { change: String(Change) });
      await finish("The configuration is confirmed and written.");
    }, { className: "main" });
    const elsewhere = Address && make("p", {}, "It opens another address. Confirm it there: ",
      make("a", { href: `${location.protocol}//${Address}/console#/configuration` }, Address));
    confirmation.replaceChildren(make("div", { className: "trial" },
      make("p", {}, "In force, but not kept. Without a confirmation the earlier configuration is back in ", left, "."),
      NeedsLogin ? make("p", {}, "It changes your password: log out, log in with the new one, and press \u201cConfirm a change\u201d here.") : "",
      elsewhere ?? "", make("div", { className: "row" }, NeedsLogin ? [] : confirm)));
    if (!NeedsLogin) confirm.focus();
    const tick = () => {
      const seconds = Math.ceil((end - Date.now()) / 1000);
      write(left, `${Math.max(0, seconds)} s`);
      if (seconds < 0) finish("Not confirmed: the earlier configuration is back.").catch(report);
    };
    tick();
    countdown = setInterval(tick, 1000);
  };
  return {
    nodes: [
      make("h1", {}, "Configuration"), confirmation, errors, text,
      make("div", { className: "row" },
        labelled("Seconds to confirm it", time),
        button("Check", () => send(false).then(() => say("The configuration has no error."))),
        button("Try it", attempt, { className: "main" }),
        button("Confirm a change", () => link.post("board/confirm").then(() => say("The configuration is confirmed and written."))),
        button("Reload from the file", reload)),
      result, difference],
    start: async () => {
      if (!before) await read();
    },
    stop: () => clearInterval(countdown),
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
  let [i, j] = [0, 0];
  while (i < x.length || j < y.length) {
    const at = i * width + j;
    if (i < x.length && j < y.length && x[i] === y[j]) (lines.push([" ", x[i]]), (i += 1), (j += 1));
    else if (j >= y.length || (i < x.length && lengths[at + width] >= lengths[at + 1])) (lines.push(["-", x[i]]), (i += 1));
    else (lines.push(["+", y[j]]), (j += 1));
  }
  return lines;
}
