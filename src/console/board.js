// The device, its audit trail, and the account of the user.

// ENOENT, the number of a file that the device does not have.
const NOT_THERE = 2;

let board = {};

async function readBoard() {
  board = await link.call("board/status");
  write(find("#board"), board.Board);
  document.title = `${board.Board}: service control`;
  return board;
}

function deviceView() {
  const list = make("dl");
  const checks = make("div");
  const update = async () => {
    await readBoard();
    const rows = facts([
      ["Board", board.Board], ["Version", board.Version], ["Build", board.Build],
      ["System", [board.Slot, board.SlotState].filter(Boolean).join(", ")], ["Not good yet", board.SlotMissing],
      ["Configuration", board.DeviceFile], ["Error", board.Complaint], ["Notice", board.Notice],
      ["Certificate", board.Certificate], ["Certified for", board.CertificateNames],
      ["Token", board.Token],
      ["Sandbox", board.Sandbox],
      ["Server runs for", duration(board.Uptime)],
      ["Connections", `${board.Connections} open; at most ${board.Slots} with a session`],
      ["Sessions", `${board.Sessions} of ${board.SessionSlots}`],
      ["Memory", `${bytes(board.Memory)} of the server; ${bytes(board.MemoryAvailable)} of ${bytes(board.MemoryTotal)} are available`],
    ]);
    show(list, rows.map((node) => node.textContent), () => rows);
    const lines = (board.Checks ?? []).map((check) => [check.Name, check.State, check.Error ?? ""]);
    show(checks, lines, () => (lines.length ? [heading("Health checks"), table(["Check", "State", "Error"], lines)] : []));
  };
  const end = (label, path, question, done) => button(label, async () => {
    if (!(await ask(question, label))) return;
    await link.post(path);
    say(done);
  });
  const timer = setInterval(() => link.isBound && !document.hidden && update().catch(() => {}), 10000);
  return {
    nodes: [
      make("h1", {}, "Device"), list, checks, heading("Actions"),
      make("div", { className: "row" },
        end("Reboot", "board/reboot", "Stop all services and restart the device?", "The device restarts."),
        end("Power off", "board/poweroff", "Stop all services and switch the device off? It cannot be switched on from here.", "The device switches itself off."),
        button("Mark system good", () => link.post("board/markgood").then(() => say("The system is good.")))),
    ],
    start: update,
    stop: () => clearInterval(timer),
  };
}

// Lines of the audit trail, the newest first.
function auditView() {
  const body = make("div");
  const search = make("input", { type: "search", oninput: () => draw() });
  let lines = [];
  const draw = () => {
    const wanted = search.value.toLowerCase();
    const found = lines.filter((line) => line.toLowerCase().includes(wanted));
    show(body, found, () => (found.length
      ? [table(["Time", "User", "From", "Call", "On", "Outcome"], found.map(words))]
      : [make("p", { className: "quiet" }, "No line.")]));
  };
  const read = async () => {
    lines = (await readRecords("audit")).split("\n").filter(Boolean).reverse();
    draw();
  };
  return {
    nodes: [make("h1", {}, "Audit trail"),
      make("div", { className: "row" }, labelled("Search", search), button("Read again", read)), body],
    start: async () => {
      try {
        await read();
      } catch (error) {
        if (error.number !== NOT_THERE) throw error;
        body.replaceChildren(make("p", {}, "This device keeps no audit trail: [log] audit in its configuration names a file for it."));
      }
    },
  };
}

// Words of a line: its time, then `key=value`.
function words(line) {
  const [time, ...rest] = line.split(/\s+(?=\S+=|\[)/);
  const values = Object.fromEntries(rest.map((word) => word.split(/=(.*)/s).slice(0, 2)));
  const more = Object.entries(values).filter(([key, value]) => value != null && !["user", "from", "call", "on", "outcome"].includes(key));
  return [time, values.user ?? "", values.from ?? "", values.call ?? "", values.on ?? "",
    [values.outcome, ...more.map(([key, value]) => `${key}=${value}`)].filter(Boolean).join(" ")];
}

// Text of the newest file of the log or of the audit trail.
async function readRecords(source) {
  const octets = [];
  for (let since = 0, page; ; since = page.Next) {
    page = await link.call("board/log", { source, since: String(since) });
    const part = atob(page.Records);
    if (!part) break;
    octets.push(part);
  }
  return new TextDecoder().decode(Uint8Array.from(octets.join(""), (character) => character.charCodeAt(0)));
}

function accountView() {
  const field = (label, autocomplete) => make("input", { type: "password", autocomplete, required: true, "aria-label": label });
  const old = field("Old password", "current-password");
  const first = field("New password", "new-password");
  const second = field("New password, again", "new-password");
  const form = make("form", { className: "stack", "aria-label": "Change password" },
    labelled("Old password", old), labelled("New password", first), labelled("New password, again", second),
    make("button", { className: "main" }, "Change password"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (first.value !== second.value) return say("The two new passwords differ.", true);
    try {
      await link.post("user/updatepassword", { oldpassword: old.value, password: first.value });
      form.reset();
      say("The password is changed. Your other sessions have ended.");
    } catch (error) {
      say(error.code === "6" ? "The old password is wrong." : error.message, true);
    }
  });
  const sessions = make("tbody");
  const readSessions = async () => {
    const { Sessions } = await link.call("sessions/list");
    sessions.replaceChildren(...Sessions.map((each) => make("tr", {},
      cell("User", each.User), cell("Device", each.Device), cell("From", each.From), cell("Since", duration(each.Since)),
      cell("Idle", each.Bound ? "in use" : duration(each.Idle)),
      cell("", each.Own ? "this one" : button("End", () => end(each), { "aria-label": `End the session of ${[each.User, each.Device, each.From].filter(Boolean).join(", ")}` })))));
  };
  const end = async ({ Session, User }) => {
    await link.post("sessions/end", { session: Session });
    await readSessions();
    say(`The session of ${User} has ended.`);
  };
  const name = make("input", { autocapitalize: "none" });
  const unlock = button("Unlock", async () => {
    await link.post("user/unlock", name.value ? { username: name.value } : {});
    say(name.value ? `${name.value} may log in again.` : "All users may log in again.");
  });
  return {
    nodes: [make("h1", {}, "Account"), make("p", {}, `Logged in as ${link.user}${link.isAdmin ? ", administrator" : ""}.`),
      heading("Password"), form,
      heading("Sessions"), make("table", {}, columns("User", "Device", "From", "Since", "Idle", "Action"), sessions),
      ...(link.isAdmin ? [heading("Blocked users"), make("div", { className: "row" }, labelled("User (empty for all)", name), unlock)] : [])],
    start: readSessions,
  };
}
