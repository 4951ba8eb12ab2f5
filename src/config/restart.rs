//! Keys of the configuration file that have an effect only at the start of the server.

use super::{Config, Tls};

impl Config {
    /// Keys and tables that differ in a later configuration file, and have an effect only after a restart.
    pub fn needs_restart(&self, later: &Self) -> Vec<&'static str> {
        // Every field is named, so that a new one is not forgotten. Those without a comparison are reloaded.
        let Self {
            board,
            listen,
            web,
            state_dir,
            slots,
            log_level: _,
            log_files,
            syslog: _,
            update: _,
            audit_files,
            network,
            devices,
            idle_timeout: _,
            lifetime: _,
            lockout_attempts: _,
            lockout_time: _,
            users: _,
            tokens: _,
            services: _,
        } = self;
        let is_off = |tls: &Tls| *tls == Tls::Off;
        [
            ("[board]", *board != later.board),
            ("[listen] address", listen.address != later.listen.address),
            ("[listen] announce", listen.is_announced != later.listen.is_announced),
            ("[listen] tls", is_off(&listen.tls) != is_off(&later.listen.tls)),
            ("[listen] socket", listen.socket != later.listen.socket),
            ("[web]", *web != later.web),
            ("[state] dir", *state_dir != later.state_dir),
            ("[limits] slots", *slots != later.slots),
            ("[log] file", *log_files != later.log_files),
            ("[log] audit", *audit_files != later.audit_files),
            ("[network]", *network != later.network),
            ("[[device]]", *devices != later.devices),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }

    /// Puts a later configuration file in the place of this one, for the next server: a user of the same name keeps the
    /// id. What needs a restart is as it was.
    pub fn succeed(&mut self, later: Self) {
        let Self {
            log_level,
            idle_timeout,
            lifetime,
            lockout_attempts,
            lockout_time,
            users,
            mut tokens,
            services,
            syslog,
            listen,
            update,
            ..
        } = later;
        tokens.renumber(&self.users.replace(users));
        self.tokens = tokens;
        (self.log_level, self.idle_timeout, self.lifetime) = (log_level, idle_timeout, lifetime);
        (self.lockout_attempts, self.lockout_time) = (lockout_attempts, lockout_time);
        self.services = services;
        self.update = update;
        self.listen.front = listen.front;
        self.syslog = syslog;
        if (self.listen.tls == Tls::Off) == (listen.tls == Tls::Off) {
            self.listen.tls = listen.tls;
        }
    }
}
