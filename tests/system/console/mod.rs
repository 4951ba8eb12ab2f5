//! The console in a real browser. The step 'console' of the whole gate runs these cases.

mod access;
mod changes;
mod configuration;
mod connection;
mod device;
mod origin;
mod page;
mod services;
mod session;

use crate::support::browser::Browser;
use crate::support::{Device, Server};

/// Width and height of a window on a workstation, and on a phone.
const WIDE: (u32, u32) = (1200, 900);
const PHONE: (u32, u32) = (360, 700);

/// The console of a server, in a browser.
struct Console {
    browser: Browser,
    server: Server,
}

impl Console {
    #[track_caller]
    fn open(device: &Device, size: (u32, u32)) -> Self {
        Self::on(Server::start(device), size)
    }

    /// Opens the console of a running server.
    #[track_caller]
    fn on(server: Server, size: (u32, u32)) -> Self {
        let browser = Browser::start(size);
        let console = Self { browser, server };
        console.browser.go(&console.url());
        console
    }

    fn url(&self) -> String {
        let scheme = if self.server.is_tls() { "https" } else { "http" };
        format!("{scheme}://{}/", self.server.address())
    }

    /// Logs in as the administrator, and waits for the list of services.
    #[track_caller]
    fn log_in(device: &Device) -> Self {
        let console = Self::open(device, WIDE);
        console.type_password("fadmin", "secret");
        console.browser.sees("Services");
        console.browser.sees("allowed");
        console
    }

    #[track_caller]
    fn type_password(&self, user: &str, password: &str) {
        self.browser.fill("User", user);
        self.browser.fill("Password", password);
        self.browser.click("Log in");
    }

    /// Goes to a part of the console, and waits for its heading.
    #[track_caller]
    fn go_to(&self, link: &str) {
        self.browser.click(link);
        self.browser.until(&format!("document.querySelector('h1').textContent === '{link}'"));
    }
}
