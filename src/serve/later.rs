//! A later configuration, made of files or of a text in memory.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use super::certificate::InUse;
use super::{ReloadFiles, certificate, first_user, own_files, site, syslog};
use crate::config::{self, Config, ConfigOrigin, References, Source};
use crate::http::Site;
use crate::keeper::Force;
use crate::limits::{BOARD_FILE, CONFIG_BYTES};
use crate::session::SessionKey;
use crate::sys::drop_ins::{self, DropIn};
use crate::sys::{file, memory_file};
use crate::warning;

/// A later configuration.
pub(super) struct Later {
    pub(super) config: Config,
    pub(super) config_origin: ConfigOrigin,
    /// Certificate and key, unless those in use stay.
    pub(super) tls: Option<InUse>,
    /// Own pages, unless those in force stay.
    pub(super) site: Option<Site>,
    /// TLS with the log server.
    pub(super) syslog_tls: syslog::Tls,
    /// Text of all files for the keeper, in memory.
    pub(super) document: File,
    /// The same, for the last good copy and for a trial.
    pub(super) text: Arc<str>,
    pub(super) force: Force,
    /// Address that is opened beside the present one.
    pub(super) beside: Option<Beside>,
    /// The file on the disk is another one, and has an error.
    pub(super) is_file_wrong: bool,
    /// Session of the administrator who changes it by a call.
    pub(super) author: Option<SessionKey>,
}

/// Address that is opened beside the present one.
pub(super) struct Beside {
    pub(super) address: SocketAddr,
    /// Its socket; `None` where nothing is to change.
    pub(super) socket: Option<TcpListener>,
}

impl Later {
    pub(super) fn read(files: &ReloadFiles, state_dir: &Path) -> Result<Box<Self>, String> {
        let (text, config_origin) = read(files);
        Self::of_file(text, config_origin, files, state_dir)
    }

    /// The same with its own pages.
    pub(super) fn with_site(mut self: Box<Self>, owner: u32) -> Result<Box<Self>, String> {
        let web = &self.config.web;
        if !web.root.is_empty() {
            let mut left_out = Vec::new();
            let site = site::read(Path::new(web.root.as_str()), web.bytes, owner, &mut left_out);
            if site.is_none() {
                return Err(left_out.pop().unwrap_or_default());
            }
            left_out.iter().for_each(|line| warning!("{}", line));
            self.site = site;
        }
        Ok(self)
    }

    /// Configuration with this text of its file.
    pub(super) fn of_file(
        text: Result<String, String>,
        config_origin: ConfigOrigin,
        files: &ReloadFiles,
        state_dir: &Path,
    ) -> Result<Box<Self>, String> {
        let name = match config_origin {
            ConfigOrigin::BuiltIn => config::built_in_source(),
            _ => files.config.display().to_string(),
        };
        let drop_ins = drop_ins::read(&files.config);
        let mut sources = vec![Source { name: &name, text: text.as_deref().map_err(String::as_str) }];
        sources.extend(drop_ins.iter().map(DropIn::source));
        let config = config::parse_files(&sources, References::Known, &files.program)
            .map_err(|errors| errors.to_string())?;
        let tls = certificate::renewed(&config.listen, state_dir).map_err(|error| error.to_string())?;
        let text = config::join(&sources, config_origin).into();
        Self::new(config, config_origin, tls, text, files, state_dir)
    }

    /// Configuration of a text that was in force. Certificate and key stay.
    pub(super) fn of_document(
        text: &Arc<str>,
        files: &ReloadFiles,
        state_dir: &Path,
    ) -> Result<Box<Self>, String> {
        let name = files.config.display().to_string();
        let (config, config_origin) =
            config::parse_document(text, &name, &files.program).map_err(|errors| errors.to_string())?;
        Self::new(config, config_origin, None, Arc::clone(text), files, state_dir)
    }

    fn new(
        mut config: Config,
        config_origin: ConfigOrigin,
        tls: Option<InUse>,
        text: Arc<str>,
        files: &ReloadFiles,
        state_dir: &Path,
    ) -> Result<Box<Self>, String> {
        own_files::check(&config, &files.config, state_dir).map_err(|error| error.to_string())?;
        if config.users.is_empty() {
            config.users = first_user::stored(state_dir)?;
        }
        let syslog_tls =
            syslog::tls(config.syslog.as_ref(), &certificate::here).map_err(|error| error.to_string())?;
        let document = memory_file::create("configuration", &text)
            .map_err(|error| format!("cannot keep it in memory: {error}"))?;
        let (force, beside, is_file_wrong, author) = (Force::Reload, None, false, None);
        Ok(Box::new(Self {
            config,
            config_origin,
            tls,
            site: None,
            syslog_tls,
            document,
            text,
            force,
            beside,
            is_file_wrong,
            author,
        }))
    }
}

/// Text and origin of the configuration file.
fn read(files: &ReloadFiles) -> (Result<String, String>, ConfigOrigin) {
    match file::read_content(&files.config, CONFIG_BYTES) {
        Err(error) if error.is_missing() && files.may_be_missing && file::is_absent(&files.config) => {
            (Ok(BOARD_FILE.to_owned()), ConfigOrigin::BuiltIn)
        }
        text => (text.map_err(|error| error.reason.to_string()), ConfigOrigin::Given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::TestDirectory;

    #[test]
    fn file_may_be_missing_where_it_was_at_the_start() {
        let directory = TestDirectory::new("reload");
        let config = directory.0.join("f.toml");
        let files = |may_be_missing| ReloadFiles {
            config: config.clone(),
            good_copy: None,
            may_be_missing,
            program: "/bin/friendlet".to_owned(),
        };
        std::fs::create_dir(directory.0.join("f.d")).unwrap();
        let drop_in = "[[service]]\nname = 'web'\ncommand = ['web']\n";
        std::fs::write(directory.0.join("f.d/1.toml"), drop_in).unwrap();
        let read = |may_be_missing| Later::read(&files(may_be_missing), &directory.0);
        let missing = read(false).err().unwrap();
        assert!(missing.ends_with("f.toml: No such file or directory (errno 2)"), "{missing}");
        crate::log::set_level(crate::log::Level::Off);
        std::os::unix::fs::symlink("nothing", &config).unwrap();
        assert!(
            read(true).is_err_and(|error| error.ends_with("f.toml: No such file or directory (errno 2)"))
        );
        std::fs::remove_file(&config).unwrap();
        let plain = |later: &Later| (later.config_origin, later.text.to_string());
        let expected = (ConfigOrigin::BuiltIn, format!("\x1c1.toml\n{drop_in}"));
        // Without users and certificate, which the server makes at its start.
        match read(true) {
            Ok(later) => assert_eq!(plain(&later), expected),
            Err(error) => assert!(!error.contains("f.toml"), "{error}"),
        }
        std::fs::write(&config, "[listen]\ntls = 'off'\n[[user]]\nname = 'a'\n").unwrap();
        let later = read(true).unwrap();
        assert_eq!(later.config_origin, ConfigOrigin::Given);
        assert!(later.config.services.find("web").is_some());
        std::fs::write(&config, "\n").unwrap();
        std::fs::write(directory.0.join("f.d/2.toml"), "x = 1").unwrap();
        let errors = read(true).err().unwrap();
        assert!(
            errors.contains("f.toml: the file is empty\n") && errors.contains("2.toml:1:1: 'x'"),
            "{errors}"
        );
    }
}
