//! Exit codes: those of `sysexits.h`, and those of `ctl`. `--help` and the documents list this table.

use std::process::ExitCode;

/// Exit code with its meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exit {
    /// Number that the process returns.
    pub code: u8,
    /// Name in `sysexits.h`, if it has one.
    pub name: &'static str,
    /// Meaning, for `--help`.
    pub meaning: &'static str,
}

macro_rules! table {
    ($($id:ident $code:literal $name:literal $meaning:literal;)+) => {
        $(
            #[doc = $meaning]
            pub const $id: Exit = Exit { code: $code, name: $name, meaning: $meaning };
        )+
        /// Every exit code, in ascending order.
        pub const TABLE: &[Exit] = &[$($id),+];
    };
}

table! {
    OK 0 "EX_OK" "success";
    CALL_FAILED 1 "" "ctl: the call failed";
    NOT_RUNNING 3 "" "ctl status: the service is not running";
    UNKNOWN 4 "" "ctl: no such service, command or call";
    USAGE 64 "EX_USAGE" "usage error in the command line";
    DATA 65 "EX_DATAERR" "invalid input; ctl: the file of --cert or --key cannot be used";
    NO_INPUT 66 "EX_NOINPUT" "the configuration file, a file to import, or the directory of `check --root`, does not exist";
    UNAVAILABLE 69 "EX_UNAVAILABLE" "the address or the local socket cannot be bound, or the state directory or the processes are those of a server that runs; ctl, notify: the server cannot be reached; import: the program of a board";
    SOFTWARE 70 "EX_SOFTWARE" "the server was killed before it served or at its end, or its keeper was killed";
    SYSTEM 71 "EX_OSERR" "error of the operating system";
    CANNOT_CREATE 73 "EX_CANTCREAT" "a file or directory cannot be created";
    IO 74 "EX_IOERR" "read or write error";
    UNTRUSTED 76 "EX_PROTOCOL" "ctl: the public key of the server is not the expected one";
    NO_PERMISSION 77 "EX_NOPERM" "permission denied; ctl: not logged in, or not allowed";
    CONFIG 78 "EX_CONFIG" "configuration error";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code)
    }
}

/// Lines of `--help`.
pub fn help() -> String {
    TABLE.iter().map(|exit| format!("  {:<4} {}\n", exit.code, exit.meaning)).collect()
}

/// Table of `docs/exit-codes.md`.
pub fn markdown() -> String {
    let row = |exit: &Exit| match exit.name {
        "" => format!("| {} | | {} |\n", exit.code, exit.meaning),
        name => format!("| {} | `{name}` | {} |\n", exit.code, exit.meaning),
    };
    "| code | name | meaning |\n|---|---|---|\n".to_owned() + &TABLE.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend() {
        assert!(TABLE.is_sorted_by(|one, other| one.code < other.code));
    }

    #[test]
    fn document_has_the_table() {
        let document = include_str!("../../docs/exit-codes.md");
        assert!(document.contains(&markdown()), "docs/exit-codes.md must contain:\n{}", markdown());
    }

    #[test]
    fn constants_of_other_modules_are_in_the_table() {
        let sources = [
            include_str!("../serve/mod.rs"),
            include_str!("../keeper/mod.rs"),
            include_str!("../ctl/failure.rs"),
            include_str!("../init/mod.rs"),
        ];
        let mut found = 0;
        for source in sources {
            let lines: Vec<&str> = source.lines().map(str::trim).collect();
            for (doc, constant) in lines.iter().zip(lines.iter().skip(1)) {
                let Some((_, name)) = doc.split_once("`EX_") else { continue };
                let name = format!("EX_{}", name.split('`').next().unwrap());
                let Some(code) = constant.split(": u8 = ").nth(1) else { continue };
                let code: u8 = code.trim_end_matches(';').parse().unwrap();
                assert!(TABLE.iter().any(|exit| exit.code == code && exit.name == name), "{name} {code}");
                found += 1;
            }
        }
        assert!(found >= 8, "{found} constants with a name of sysexits.h");
    }

    #[test]
    fn help_has_every_code() {
        let help = help();
        for exit in TABLE {
            assert!(help.contains(&format!("  {:<4} {}\n", exit.code, exit.meaning)), "{help}");
        }
    }
}
