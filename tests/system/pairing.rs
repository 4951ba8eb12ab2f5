//! Pairing of client certificates, with real TLS and the command-line client.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _,
};
use ring::digest;

use super::logs;
use super::tls::identity;
use crate::support::device::{ADMIN, shell};
use crate::support::directory::Directory;
use crate::support::http::{Response, exchange};
use crate::support::server::{Run, friendlet, run_command};
use crate::support::stream::Stream;
use crate::support::tls::Identity;
use crate::support::wait::until;
use crate::support::ws::Socket;
use crate::support::{Device, Server};

/// A client with a certificate and a home of its own.
struct Panel {
    home: Directory,
    identity: Identity,
    /// SHA-256 of its key.
    hash: String,
}

impl Panel {
    fn new() -> Self {
        Self::of(&KeyPair::generate().unwrap())
    }

    /// Panel with a key of its own.
    fn of(key: &KeyPair) -> Self {
        let certificate = CertificateParams::new(["panel".to_owned()]).unwrap().self_signed(key).unwrap();
        Self::with(certificate.pem(), key)
    }

    fn with(certificate: String, key: &KeyPair) -> Self {
        let home = Directory::new();
        home.write("panel.pem", &certificate);
        home.write("panel.key", key.serialize_pem());
        let hash = digest::digest(&digest::SHA256, &key.subject_public_key_info());
        let hash = base16ct::lower::encode_string(hash.as_ref());
        Self { home, identity: Identity { certificate, key: key.serialize_pem() }, hash }
    }

    /// Id of its key in the list.
    fn id(&self) -> &str {
        &self.hash[..16]
    }

    fn ctl(&self, server: &Server, arguments: &[&str]) -> Run {
        let [certificate, key] = ["panel.pem", "panel.key"].map(|name| self.home.file(name));
        let mut command = friendlet();
        command.args(["ctl", "--url", &format!("wss://{}", server.address())]);
        command.args(["--cert", &certificate, "--key", &key]).args(arguments);
        command.env("XDG_STATE_HOME", self.home.path()).env_remove("FRIENDLET_SESSION");
        run_command(&mut command, "")
    }

    #[track_caller]
    fn done(&self, server: &Server, arguments: &[&str]) -> String {
        let run = self.ctl(server, arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        run.stdout
    }

    /// Returns true if it needs no login.
    fn is_known(&self, server: &Server) -> bool {
        let run = self.ctl(server, &["list"]);
        assert!(matches!(run.code, Some(0 | 77)), "{run:?}");
        run.code == Some(0)
    }

    fn connect(&self, server: &Server) -> std::io::Result<Stream> {
        Stream::try_tls(TcpStream::connect(server.address()).unwrap(), Some(&self.identity))
    }
}

/// The client at the local socket.
fn local(server: &Server) -> Command {
    let mut command = friendlet();
    command.args(["ctl", "--url", &format!("unix:{}", server.local_socket())]);
    command.env_remove("FRIENDLET_SESSION");
    command
}

#[track_caller]
fn done(server: &Server, arguments: &[&str]) -> String {
    let run = run_command(local(server).args(arguments), "");
    assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
    run.stdout
}

#[test]
fn paired_panel_needs_no_login_until_its_key_is_ended() {
    let directory = Directory::new();
    let audit = directory.file("audit");
    let device = Device { tls: true, ..logs::device(&directory, &format!("audit = \"{audit}\"")) };
    let mut server = logs::start(Directory::new(), &device, None);
    let [panel, stranger] = [(), ()].map(|()| Panel::new());
    assert!(!panel.is_known(&server));
    let run = panel.ctl(&server, &["pair"]);
    assert!(run.code == Some(1) && run.stderr.contains("the window for pairing is not open"), "{run:?}");
    // Now the next one that asks could be another client.
    let early = run_command(local(&server).args(["pair", "guest"]), "");
    assert!(early.code == Some(1) && early.stderr.contains("could be faster than yours"), "{early:?}");
    let open = || done(&server, &["pair", "guest", "--only", &panel.hash]);
    let empty = run_command(local(&server).args(["pair", "guest", "--only", ""]), "");
    assert!(empty.code == Some(1) && empty.stderr.contains("16 hexadecimal digits"), "{empty:?}");
    assert!(open().contains(&format!("open for two minutes, for guest, key {} alone", panel.hash)));
    assert!(done(&server, &["sessions"]).starts_with("pair: open for guest, key "));
    assert!(panel.done(&server, &["pair"]).contains("one of guest"), "it learns as whom");
    let run = stranger.ctl(&server, &["pair"]);
    assert!(run.code == Some(1) && run.stderr.contains("the window for pairing is not open"), "{run:?}");
    // It has the rights of its user, over HTTP and over a socket that gets pushes.
    let list = panel.done(&server, &["list"]);
    assert!(list.contains("allowed") && !list.contains("hello"), "{list}");
    panel.done(&server, &["start", "allowed"]);
    assert_eq!(panel.ctl(&server, &["start", "hello"]).code, Some(77));
    let mut socket = Socket::open(panel.connect(&server).unwrap());
    socket.bind("");
    panel.done(&server, &["call", "services/allowed/stop"]);
    assert!(socket.push("service-change").contains("allowed"));
    // Others are served as before: with another certificate, and with none.
    assert!(!stranger.is_known(&server));
    assert_eq!(server.get("/healthz").status, 200);
    assert!(server.call("services/list").contains("hello"));
    let entry = format!("{}  guest ", panel.id());
    let sessions = done(&server, &["sessions"]);
    assert!(sessions.contains(&entry) && sessions.contains("paired"), "{sessions}");
    assert!(panel.done(&server, &["sessions"]).contains("guest (this one)"));
    // It outlives a reload, a killed server, and a restart; an open window does not.
    assert!(server.call("board/reload").contains(r#""Status": "ok""#));
    assert!(panel.is_known(&server));
    open();
    let lines = || fs::read_to_string(&audit).unwrap().matches("call=board/pair").count();
    until("the trail is written", || lines() == 4);
    server.crash();
    assert!(panel.is_known(&server));
    let run = stranger.ctl(&server, &["pair"]);
    assert!(run.stderr.contains("the window for pairing is not open"), "{run:?}");
    let server = logs::start(server.stop(), &device, None);
    assert!(panel.is_known(&server));
    let mut socket = Socket::open(panel.connect(&server).unwrap());
    socket.bind("");
    done(&server, &["sessions", "end", &panel.hash]);
    assert!(socket.push("server-notice").contains("session killed"));
    assert!(!panel.is_known(&server));
    let server = logs::start(server.stop(), &device, None);
    assert!(!panel.is_known(&server), "it stays ended");
    drop(server.stop());
    let text = fs::read_to_string(&audit).unwrap();
    let words: Vec<_> = text.lines().filter_map(|line| Some(line.split_once("] ")?.1)).collect();
    let id = panel.id();
    let by =
        words.iter().find_map(|line| line.strip_suffix(" from=local call=board/pair on=guest outcome=ok"));
    let by = by.unwrap_or_else(|| panic!("{text}"));
    let opened = format!("{by} from=local call=board/pair on=guest outcome=ok");
    let refused = "user=(pairing) from=127.0.0.1 call=user/pair outcome=refused".to_owned();
    let expected = [
        refused.clone(),
        format!("{by} from=local call=board/pair on=guest outcome=failed"),
        format!("{by} from=local call=board/pair on=guest outcome=failed"),
        opened.clone(),
        format!("user=guest from=127.0.0.1 call=user/pair on={id} outcome=ok"),
        refused.clone(),
        opened,
        refused,
        format!("{by} from=local call=sessions/end outcome=begun"),
        format!("{by} from=local call=sessions/end on={id} outcome=ok"),
    ];
    let is_pairing = |line: &&&str| line.contains("/pair ") || line.contains("sessions/end");
    assert_eq!(
        words.iter().filter(is_pairing).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>(),
        "{text}"
    );
}

#[test]
fn button_of_a_service_opens_the_window() {
    let directory = Directory::new();
    let pressed = directory.file("pressed");
    let program = friendlet();
    let program = program.get_program().to_str().unwrap().to_owned();
    // The socket is beside the state directory, which is in the directory of the server.
    let own = Directory::new();
    let socket = crate::support::device::socket_beside(&own.file("state"));
    let script = format!(
        "until [ -e {pressed} ]; do sleep 0.05; done; exec {program} ctl --url unix:{socket} pair guest"
    );
    let button = shell("button", &script, "restart = \"never\"\nautostart = true");
    let server = Server::start_in(own, &Device::new().with(&button));
    let panel = Panel::new();
    assert!(!panel.is_known(&server));
    fs::write(&pressed, "").unwrap();
    until("the window is open", || server.log().contains("pairing: opened for user guest"));
    panel.done(&server, &["pair"]);
    assert!(panel.is_known(&server));
}

#[test]
fn certificate_of_an_authority_is_paired_as_any_other() {
    let directory = Directory::new();
    let (authority, params, key) = identity(true);
    let listen = format!("client_ca = \"{}\"\n", directory.write("ca.pem", &authority.certificate));
    let server = Server::start(&Device::new().listen(&listen));
    let own = KeyPair::generate().unwrap();
    let mut request = CertificateParams::new(["client".to_owned()]).unwrap();
    request.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = request.signed_by(&own, &Issuer::from_params(&params, &key)).unwrap();
    let panel = Panel::with(certificate.pem(), &own);
    assert_eq!(panel.ctl(&server, &["--session", ADMIN, "list"]).code, Some(0), "it gets in");
    assert!(!panel.is_known(&server), "and proves nobody");
    done(&server, &["pair", "guest"]);
    let stranger = Panel::new();
    let run = stranger.ctl(&server, &["pair"]);
    assert_eq!(run.code, Some(69), "it does not get in: {run:?}");
    panel.done(&server, &["pair"]);
    assert!(panel.is_known(&server));
}

#[test]
fn pairing_works_over_rest_and_refuses_other_pages() {
    let server = Server::start(&Device::new());
    let panel = Panel::new();
    let send = |path: &str, fields: &str, body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let length = body.len();
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{fields}\r\n{body}"
        );
        Response::parse(&exchange(panel.connect(&server).unwrap(), request.as_bytes()))
    };
    let refused = send("user/pair", "", "{}");
    assert!(refused.status != 200 && refused.body.contains("is not open"), "{refused:?}");
    let opened = server
        .post("/system.library/board/pair", &format!("sessionid={ADMIN}&username=guest&key={}", panel.hash));
    assert!(opened.body.contains("ok"), "{opened:?}");
    assert_eq!(send("user/pair", "", r#"{"deviceid":"hall"}"#).status, 200);
    let list = send("services", "", "");
    assert!(list.status == 200 && list.body.contains("allowed"), "{list:?}");
    // A browser sends the certificate with requests of every page.
    for fields in ["Origin: https://other.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(send("services", fields, "").status, 403, "{fields}");
    }
    assert!(server.call("sessions/list").contains(r#""Device": "hall", "Paired": true"#));
}

#[test]
fn wrong_window_is_closed_by_ctl_and_one_that_is_replaced_is_named() {
    let server = Server::start(&Device::new());
    let panel = Panel::new();
    assert_eq!(done(&server, &["pair", "--cancel"]), "pair: no window was open\n");
    assert!(!done(&server, &["pair", "guest"]).contains("closed"));
    let replaced = done(&server, &["pair", "fadmin"]);
    assert!(
        replaced.starts_with("pair: closed for guest\npair: open for two minutes, for fadmin"),
        "{replaced}"
    );
    assert!(done(&server, &["sessions"]).starts_with("pair: open for fadmin\n"));
    assert_eq!(done(&server, &["pair", "--cancel"]), "pair: closed for fadmin\n");
    let run = panel.ctl(&server, &["pair"]);
    assert!(run.code == Some(1) && run.stderr.contains("is not open"), "{run:?}");
    assert!(!panel.is_known(&server));
    let closed = |user| server.log().contains(&format!("pairing: closed for user {user} by "));
    until("both are in the log", || closed("guest") && closed("fadmin"));
}

#[test]
fn end_of_a_key_is_in_force_while_the_state_cannot_be_written() {
    let server = Server::start(&Device::new());
    let [panel, second] = [(), ()].map(|()| Panel::new());
    done(&server, &["pair", "guest"]);
    panel.done(&server, &["pair"]);
    // A directory has the name of the file.
    let file = server.directory().path().join("state/paired");
    let aside = file.with_extension("aside");
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    let run = run_command(local(&server).args(["sessions", "end", panel.id()]), "");
    assert!(run.code == Some(1) && run.stderr.contains("in force, but not stored: "), "{run:?}");
    assert!(!panel.is_known(&server));
    let fails = "a certificate that was ended is accepted again if the server is restarted";
    assert!(done(&server, &["board"]).contains(fails));
    until("the reason is in the log", || server.log().contains("pairing: the end of a key is not stored: "));
    // A pairing fails, too, and does not use the window up.
    done(&server, &["pair", "guest"]);
    assert_eq!(second.ctl(&server, &["pair"]).code, Some(1));
    assert!(!second.is_known(&server));
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    second.done(&server, &["pair"]);
    assert!(!done(&server, &["board"]).contains(fails), "the next write has stored it");
    let server = Server::start_in(server.stop(), &Device::new());
    assert!(second.is_known(&server) && !panel.is_known(&server));
}

#[test]
fn window_at_a_server_without_tls_is_refused() {
    let server = Server::start(&Device { tls: false, ..Device::new() });
    let run = run_command(local(&server).args(["pair", "guest"]), "");
    assert!(run.code == Some(1) && run.stderr.contains("[listen] tls is off"), "{run:?}");
}

#[test]
fn panel_with_a_key_of_each_kind_is_paired() {
    let server = Server::start(&Device::new());
    let rsa = KeyPair::from_pem(include_str!("keys/rsa2048.key")).unwrap();
    let [p256, p384, ed25519] = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
        .map(|kind| KeyPair::generate_for(kind).unwrap());
    for key in [rsa, p256, p384, ed25519] {
        let panel = Panel::of(&key);
        done(&server, &["pair", "guest"]);
        panel.done(&server, &["pair"]);
        assert!(panel.is_known(&server), "{key:?}");
    }
}

#[test]
fn messages_of_ctl_name_its_own_options_and_commands() {
    let server = Server::start(&Device::new());
    let panel = Panel::new();
    let run = panel.ctl(&server, &["list"]);
    assert!(run.code == Some(77) && run.stderr.contains("or pair this certificate"), "{run:?}");
    let run = panel.ctl(&server, &["pair"]);
    assert!(run.code == Some(1) && run.stderr.contains("the window for pairing is not open"), "{run:?}");
    let run = run_command(local(&server).args(["pair", "guest"]), "");
    assert!(run.code == Some(1) && run.stderr.contains("ctl pair USER --only SHA256"), "{run:?}");
}

#[test]
fn unusable_certificate_of_ctl_is_named() {
    let server = Server::start(&Device::new());
    let panel = Panel::new();
    let run = run_command(local(&server).args(["--cert", "x.pem", "list"]), "");
    assert!(run.code == Some(64) && run.stderr.contains("--cert and --key go together"), "{run:?}");
    let run = run_command(local(&server).args(["pair"]), "");
    assert!(run.code == Some(64) && run.stderr.contains("pair needs the USER"), "{run:?}");
    // They would prove nothing there.
    let run = run_command(local(&server).args(["--cert", "x.pem", "--key", "x.key", "pair"]), "");
    assert!(run.code == Some(64) && run.stderr.contains("for a server with TLS"), "{run:?}");
    let other = KeyPair::generate().unwrap().serialize_pem();
    let kinds = "P-256, P-384, Ed25519, or RSA of 2048";
    for (name, text, words) in [
        ("panel.pem", "nothing", "no certificate (PEM) in it"),
        ("panel.pem", include_str!("keys/version1.pem"), "not a certificate of X.509 version 3"),
        ("panel.key", "nothing", kinds),
        ("panel.key", include_str!("keys/p521.key"), kinds),
        ("panel.key", include_str!("keys/ed448.key"), kinds),
        ("panel.key", include_str!("keys/rsa1024.key"), kinds),
        ("panel.key", include_str!("keys/encrypted.key"), kinds),
        ("panel.key", &other, "it is not the key of"),
    ] {
        let before = fs::read(panel.home.file(name)).unwrap();
        panel.home.write(name, text);
        let run = panel.ctl(&server, &["list"]);
        let named = format!("cannot use {}: ", panel.home.file(name));
        assert!(run.code == Some(65) && run.stderr.contains(&named), "{run:?}");
        assert!(run.stderr.contains(words), "{words}: {run:?}");
        panel.home.write(name, before);
    }
    assert_eq!(panel.ctl(&server, &["list"]).code, Some(77), "it is as before");
}
