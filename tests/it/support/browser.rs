//! A real browser: Chromium, driven over WebDriver (W3C).

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use serde_json::{Value, json};

use super::directory::Directory;
use super::wait::{SOON, within};

/// Pause between two looks at the page.
const PAUSE: Duration = Duration::from_millis(20);
const DRIVER: &str = "/usr/bin/chromedriver";
const STARTED: &str = "was started successfully on port ";
/// Member of a WebDriver answer that is an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Finds the visible control of a name: that of its label or its text.
const FIND: &str = "const [name] = arguments;
    const words = (node) => node.getAttribute('aria-label') ?? node.closest('label')?.textContent ?? node.textContent;
    return [...document.querySelectorAll('button, a, input, textarea')]
        .find((node) => node.checkVisibility() && words(node).trim() === name
            && node.getAttribute('aria-disabled') !== 'true') ?? null;";

/// Keys of WebDriver beside characters.
pub(crate) const TAB: &str = "\u{E004}";
pub(crate) const ENTER: &str = "\u{E007}";

/// One window.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: Directory,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.exchange("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Opens a window of this size in pixels.
    #[track_caller]
    pub(crate) fn start((width, height): (u32, u32)) -> Self {
        assert!(
            Path::new(DRIVER).exists(),
            "{DRIVER} is missing: `cargo xtask test --only console` installs it"
        );
        let profile = Directory::new();
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            .env("HOME", profile.path())
            .env("XDG_CONFIG_HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains(STARTED)).expect("the driver ended");
        let port = line.split_once(STARTED).unwrap().1.trim_end_matches('.').parse().unwrap();
        // A full pipe would stop the driver.
        thread::spawn(move || lines.count());
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", browser._profile.file("user")),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = browser.exchange("POST", "", &capabilities).unwrap();
        browser.session = format!("/{}", answer["sessionId"].as_str().unwrap());
        browser.resize((width, height));
        browser
    }

    /// Makes a request of WebDriver; an error is its text.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} /session{}{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.session,
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let body = read_body(stream).map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        match &value["value"]["error"] {
            Value::String(error) => Err(format!("{error}: {}", value["value"]["message"])),
            _ => Ok(value["value"].clone()),
        }
    }

    /// Makes a request that succeeds.
    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.exchange("POST", path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Goes to an address.
    #[track_caller]
    pub(crate) fn go(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Gives the page this size in pixels.
    #[track_caller]
    pub(crate) fn resize(&self, (width, height): (u32, u32)) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Sends a command of Chromium's own protocol.
    #[track_caller]
    pub(crate) fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": name, "params": parameters}))
    }

    /// Runs the body of a function in the page; returns its result.
    #[track_caller]
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Waits until an expression is true in the page. One that throws is not: its elements may follow.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) {
        let script = format!("try {{ return Boolean({expression}) }} catch {{ return false }}");
        let start = Instant::now();
        while self.run(&script, &[]) != true {
            assert!(start.elapsed() < SOON, "{expression} is not true:\n{}\n{:?}", self.text(), self.log());
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub(crate) fn sees(&self, text: &str) {
        self.until(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// The text that the page shows.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// The control of this name; waits until it is there and may be used.
    #[track_caller]
    fn control(&self, name: &str) -> String {
        within(SOON, name, || {
            let found = self.run(FIND, &[json!(name)]);
            Some(found[ELEMENT].as_str()?.to_owned())
        })
    }

    /// Clicks the button or link of this name, as a person does.
    #[track_caller]
    pub(crate) fn click(&self, name: &str) {
        let id = self.control(name);
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Replaces the text of a field.
    #[track_caller]
    pub(crate) fn fill(&self, name: &str, text: &str) {
        let id = self.control(name);
        self.post(&format!("/element/{id}/clear"), &json!({}));
        self.post(&format!("/element/{id}/value"), &json!({"text": text}));
    }

    /// Presses keys, one after another.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let keys = keys.chars().map(|key| key.to_string());
        let actions: Vec<Value> = keys
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// The page as a PNG.
    #[track_caller]
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let png = self.exchange("GET", "/screenshot", &Value::Null).unwrap();
        BASE64.decode(png.as_str().unwrap()).unwrap()
    }

    /// Errors and warnings that the browser has logged since the last call.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Body of a response; the driver leaves the connection open.
fn read_body(stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(SOON))?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
