// The device, its audit trail, and the account of the user.

// ENOENT, the number of a file that the device does not have.
const NOT_THERE = 2;
// Pause between two looks at what the server does not push.
const REFRESH_MS = 10000;
const LEVELS = ["off", "error", "warn", "info", "debug"];

let board = {};

async function readBoard() {
  board = await link.call("board/status");
  retitle();
  return board;
}

// Repeats a look while it can be seen; returns its end.
function refresh(look) {
  const timer = setInterval(() => link.isBound && !document.hidden && look().catch(() => {}), REFRESH_MS);
  return () => clearInterval(timer);
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
      ["SHA-256 of it", board.CertificateSum], ["of its public key", board.CertificateKey], ["It ends", board.CertificateEnd],
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
  const level = make("select", { onchange: () => link.post("board/log", { level: level.value })
    .then(() => say(`Records of the level ${level.value} and above are logged until the server is started again.`)).catch(report) },
  LEVELS.map((name) => make("option", {}, name)));
  return {
    nodes: [
      make("h1", {}, "Device"), list, checks, heading("Actions"),
      make("div", { className: "row" },
        end("Reboot", "board/reboot", "Stop all services and restart the device?", "The device restarts."),
        end("Power off", "board/poweroff", "Stop all services and switch the device off? It cannot be switched on from here.", "The device switches itself off."),
        button("Mark system good", () => link.post("board/markgood").then(() => say("The system is good."))),
        labelled("Log level", level)),
    ],
    start: async () => {
      await update();
      level.value = (await link.call("board/log")).Level;
    },
    stop: refresh(update),
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
  const readAll = recordReader("audit");
  const read = async () => {
    lines = (await readAll()).split("\n").filter(Boolean).reverse();
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
        show(body, null, () => [make("p", {}, "This device keeps no audit trail: [log] audit in its configuration names a file for it.")]);
      }
    },
    stop: refresh(read),
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

// Reader of the newest file of the log or of the audit trail: each time it reads what is new, and returns the whole text.
function recordReader(source) {
  let [file, next, text, decoder] = [];
  return async () => {
    for (;;) {
      const page = await link.call("board/log", { source, since: String(next ?? 0) });
      if (page.File !== file) {
        const isRotated = next > 0;
        [file, next, text, decoder] = [page.File, 0, "", new TextDecoder()];
        if (isRotated) continue;
      }
      const part = atob(page.Records);
      if (!part) return text;
      text += decoder.decode(Uint8Array.from(part, (character) => character.charCodeAt(0)), { stream: true });
      next = page.Next;
    }
  };
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
  const pairing = make("p");
  const row = (each) => make("tr", {},
    cell("User", each.User), cell("Device", each.Device), cell("From", each.From ?? ""), cell("Since"), cell("Idle"),
    cell("", each.Own ? "this one" : button("End", () => end(each), { "aria-label": `End the session of ${[each.User, each.Device, each.From].filter(Boolean).join(", ")}` })));
  const readSessions = async () => {
    const { Sessions, Pairing, PairingKey } = await link.call("sessions/list");
    show(sessions, Sessions.map(({ Since, Idle, ...rest }) => rest), () => Sessions.map(row));
    Sessions.forEach((each, at) => {
      const [, , , since, idle] = sessions.rows[at].cells;
      write(since, each.Paired ? "" : duration(each.Since));
      write(idle, each.Paired ? "paired certificate" : each.Bound ? "in use" : duration(each.Idle));
    });
    write(pairing, Pairing ? `The window is open for ${Pairing}${PairingKey ? `, and the key ${PairingKey} alone` : ""}.` : "No window is open.");
  };
  const end = async ({ Session, User }) => {
    await link.post("sessions/end", { session: Session });
    await readSessions();
    say(`The session of ${User} has ended.`);
  };
  const [name, key] = [0, 0].map(() => make("input", { autocapitalize: "none", spellcheck: false, autocomplete: "off" }));
  const password = make("input", { type: "password", autocomplete: "new-password" });
  // Does something for the user that is named.
  const forUser = (label, path, parameters, words) => button(label, async () => {
    const username = name.value;
    if (!username) throw new CallError("Name the user.");
    await link.post(path, { username, ...parameters() });
    password.value = "";
    say(`${username} ${words}`);
    await readSessions();
  });
  const others = [heading("Other users"),
    make("div", { className: "row" }, labelled("User (empty for all)", name),
      button("Unlock", async () => {
        await link.post("user/unlock", name.value ? { username: name.value } : {});
        say(`${name.value || "Everyone"} may log in again.`);
      })),
    make("div", { className: "row" }, labelled("His new password", password),
      forUser("Set password", "user/updatepassword", () => ({ password: password.value }), "has another password; his sessions have ended.")),
    make("div", { className: "row" }, labelled("SHA-256 of the key of his client (empty for any)", key),
      forUser("Pair a certificate", "board/pair", () => (key.value ? { key: key.value } : {}), "may pair one certificate within two minutes."),
      button("Close the window", () => link.post("board/pair", { username: "" }).then(readSessions))),
    pairing];
  return {
    nodes: [make("h1", {}, "Account"), make("p", {}, `Logged in as ${link.user}${link.isAdmin ? ", administrator" : ""}.`),
      heading("Password"), form,
      heading("Sessions"), make("table", {}, columns("User", "Device", "From", "Since", "Idle", "Action"), sessions),
      ...(link.isAdmin ? others : [])],
    start: readSessions,
    stop: refresh(readSessions),
  };
}
