//! Users of the system, from `/etc/passwd` (passwd(5)).
//!
//! The C library is not used, because a static one supports no other source either.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use heapless::String;

use super::{ACCOUNTS_BYTES, GROUPS};
use crate::limits::{FILE_PATH_BYTES, USER_NAME_BYTES};

/// File of the users (passwd(5)).
pub const PASSWD: &str = "/etc/passwd";
/// File of the groups (group(5)).
pub const GROUP: &str = "/etc/group";

/// User that a service can run as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// Name, or the number of a user without one.
    pub name: String<USER_NAME_BYTES>,
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Home directory, by default `/`.
    pub home: String<FILE_PATH_BYTES>,
}

/// Looks up a user by name, `uid` or `uid:gid`, in the first `ACCOUNTS_BYTES` of the file.
/// Numbers need no entry. The default group of a `uid` without an entry has the same number.
///
/// # Errors
/// Error of reading the file.
pub fn lookup(user: &str) -> io::Result<Option<Account>> {
    lookup_in(Path::new(PASSWD), user)
}

/// Looks up a user in another file of this form.
///
/// # Errors
/// Error of reading the file.
pub fn lookup_in(passwd: &Path, user: &str) -> io::Result<Option<Account>> {
    let passwd = match File::open(passwd) {
        Ok(file) => read(file)?,
        // An image may lack the file; numbers still work.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(find(user, &passwd))
}

/// Looks up the groups of a user in `/etc/group` (group(5)), with its primary group first.
///
/// # Errors
/// Error of reading the file; more than `GROUPS` groups.
pub fn supplementary_groups(user: &str, primary: u32) -> io::Result<Vec<u32>> {
    match File::open(GROUP) {
        Ok(file) => groups_in(user, primary, &read(file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![primary]),
        Err(error) => Err(error),
    }
}

/// Looks up a group by name in `/etc/group`. A number needs no entry.
///
/// # Errors
/// Error of reading the file.
pub fn lookup_group(group: &str) -> io::Result<Option<u32>> {
    lookup_group_in(Path::new(GROUP), group)
}

/// Looks up a group in another file of this form.
///
/// # Errors
/// Error of reading the file.
pub fn lookup_group_in(file: &Path, group: &str) -> io::Result<Option<u32>> {
    if let Some(gid) = number(group) {
        return Ok(Some(gid));
    }
    match File::open(file) {
        Ok(file) => Ok(find_group(group, &read(file)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds a group in the content of the file: lines of `name:password:gid:members`.
fn find_group(group: &str, text: &[u8]) -> Option<u32> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = core::str::from_utf8(line).ok()?.split(':');
        (fields.next()? == group).then(|| number(fields.nth(1)?)).flatten()
    })
}

fn groups_in(user: &str, primary: u32, text: &[u8]) -> io::Result<Vec<u32>> {
    let mut groups = vec![primary];
    for gid in text.split(|byte| *byte == b'\n').filter_map(|line| member_of(line, user)) {
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    if groups.len() > GROUPS {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error()));
    }
    Ok(groups)
}

/// Parses `name:password:gid:members`; returns the group if the user is a member.
fn member_of(line: &[u8], user: &str) -> Option<u32> {
    let mut fields = core::str::from_utf8(line).ok()?.split(':');
    let gid = number(fields.nth(2)?)?;
    fields.next()?.split(',').any(|member| member.trim() == user).then_some(gid)
}

/// Reads whole lines up to the limit: a truncated line would contain a wrong number.
fn read(file: impl Read) -> io::Result<Vec<u8>> {
    let mut passwd = Vec::new();
    // One byte more than the limit shows that the file exceeds it.
    file.take(ACCOUNTS_BYTES as u64 + 1).read_to_end(&mut passwd)?;
    if passwd.len() > ACCOUNTS_BYTES {
        passwd.truncate(ACCOUNTS_BYTES);
        let whole = passwd.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        passwd.truncate(whole);
    }
    Ok(passwd)
}

/// Finds a user in the content of the file.
fn find(user: &str, passwd: &[u8]) -> Option<Account> {
    let (uid, gid) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
    let mut entries = passwd.split(|byte| *byte == b'\n').filter_map(entry);
    let Some(uid) = number(uid) else {
        return entries.find(|account| account.name == user);
    };
    let gid = gid.map(|gid| number(gid).ok_or(())).transpose().ok()?;
    let known = entries.find(|account| account.uid == uid);
    match (known, gid) {
        (Some(known), gid) => Some(Account { gid: gid.unwrap_or(known.gid), ..known }),
        (None, gid) => {
            let mut name = String::new();
            core::fmt::write(&mut name, format_args!("{uid}")).ok()?;
            Some(Account { name, uid, gid: gid.unwrap_or(uid), home: String::try_from("/").ok()? })
        }
    }
}

/// Parses `name:password:uid:gid:comment:home:shell`.
fn entry(line: &[u8]) -> Option<Account> {
    let mut fields = core::str::from_utf8(line).ok()?.split(':');
    let name = String::try_from(fields.next()?).ok()?;
    let uid = number(fields.nth(1)?)?;
    let gid = number(fields.next()?)?;
    let home = fields.nth(1).filter(|home| home.starts_with('/')).unwrap_or("/");
    Some(Account { name, uid, gid, home: String::try_from(home).ok()? })
}

/// Parses a decimal number without a sign. The largest means "no change" to setuid(2), so it is not
/// valid.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        broken:x:1\n\
        bad:x:-1:0::/:\n\
        \xff\xff:x:5:5::/:\n\
        web:x:33:34:Web, Server:/var/www:/bin/false\n\
        bare:x:77:78\n";

    fn found(user: &str) -> Option<(std::string::String, u32, u32, std::string::String)> {
        find(user, USERS).map(|account| {
            (account.name.as_str().into(), account.uid, account.gid, account.home.as_str().into())
        })
    }

    #[test]
    fn by_name() {
        assert_eq!(found("web"), Some(("web".into(), 33, 34, "/var/www".into())));
        assert_eq!(found("root"), Some(("root".into(), 0, 0, "/root".into())));
        assert_eq!(found("bare"), Some(("bare".into(), 77, 78, "/".into())));
        for user in ["", "we", "broken", "bad", "web:33", "# a comment"] {
            assert_eq!(found(user), None, "{user}");
        }
    }

    #[test]
    fn by_number() {
        assert_eq!(found("33"), Some(("web".into(), 33, 34, "/var/www".into())));
        assert_eq!(found("33:50"), Some(("web".into(), 33, 50, "/var/www".into())));
        assert_eq!(found("1000"), Some(("1000".into(), 1000, 1000, "/".into())));
        assert_eq!(found("1000:7"), Some(("1000".into(), 1000, 7, "/".into())));
        for user in ["4294967295", "4294967296", "+1", "-1", "1:", "1:x", "1:2:3", ":1"] {
            assert_eq!(found(user), None, "{user}");
        }
    }

    #[test]
    fn name_or_home_over_its_limit_is_rejected() {
        let line = |name: usize, home: usize| {
            let (name, home) = ("n".repeat(name), "h".repeat(home - 1));
            entry(format!("{name}:x:1:2::/{home}:").as_bytes()).is_some()
        };
        assert!(line(USER_NAME_BYTES, FILE_PATH_BYTES));
        assert!(!line(USER_NAME_BYTES + 1, FILE_PATH_BYTES));
        assert!(!line(USER_NAME_BYTES, FILE_PATH_BYTES + 1));
    }

    #[test]
    fn whole_lines_up_to_the_limit_are_read() {
        let line = "web:x:33:1000";
        let text = "#".repeat(ACCOUNTS_BYTES - 1 - line.len()) + "\n" + line;
        let gid = |text: &str| find("web", &read(text.as_bytes()).unwrap()).map(|account| account.gid);
        assert_eq!(gid(&text), Some(1000));
        // The last byte is over the limit, and the truncated line would contain another group.
        assert_eq!(gid(&format!("#{text}")), None);
        assert_eq!(gid(&(text.clone() + "\n")), None);
        assert_eq!(gid(&format!("{line}\n{text}")), Some(1000));
    }

    #[test]
    fn member_of_dialout_and_audio_has_both_groups() {
        let text = b"root:x:0:\ndialout:x:20:www,gate\naudio:x:29:gate\nvideo:x:44:gates\nbroken:x\n";
        assert_eq!(groups_in("gate", 33, text).unwrap(), [33, 20, 29]);
        assert_eq!(groups_in("www", 20, text).unwrap(), [20]);
        assert_eq!(groups_in("1000", 7, text).unwrap(), [7]);
    }

    #[test]
    fn group_by_name_or_number() {
        let text = b"root:x:0:\nbroken:x\ngpio:x:-1:\n\xff:x:9:\ngpio:x:997:pi\n";
        assert_eq!(find_group("gpio", text), Some(997));
        assert_eq!(find_group("root", text), Some(0));
        for group in ["", "broken", "gpi", "pi"] {
            assert_eq!(find_group(group, text), None, "{group}");
        }
        assert_eq!(lookup_group("4711").unwrap(), Some(4711));
        assert_eq!(lookup_group("no-such-group").unwrap(), None);
        assert_eq!(lookup_group("").unwrap(), None);
    }

    #[test]
    fn groups_over_the_limit_are_an_error() {
        let text = |count: usize| {
            (1..count).map(|gid| format!("g{gid}:x:{gid}:gate\n")).collect::<std::string::String>()
        };
        assert_eq!(groups_in("gate", 0, text(GROUPS).as_bytes()).unwrap().len(), GROUPS);
        assert!(groups_in("gate", 0, text(GROUPS + 1).as_bytes()).is_err());
    }

    #[test]
    fn root_is_found_by_number() {
        assert_eq!(lookup("0").unwrap().unwrap().uid, 0);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(user: std::string::String, passwd: Vec<u8>) {
            let _ = find(&user, &passwd);
        }
    }
}
