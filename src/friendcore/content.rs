//! The content of replies that say yes, to the byte as Friend Core writes it.
//!
//! A frame is answered with this alone, and so is a call over HTTP; [`reply::response`] puts the
//! envelope around it. Where the years differ, [`Form::Frame`] gets the words of 2016 and the other
//! forms the later ones. All of these fail only for want of room, with [`Full`].
//!
//! [`reply::response`]: super::reply::response

use data_encoding::BASE64;

use super::Form;
use crate::json::{Full, Lossy, Writer};

/// What Friend Core puts between the outcome and the data of a reply.
pub(super) const SEPARATE: &str = "<!--separate-->";

/// How a service stands, in detail.
#[derive(Clone, Copy, Debug)]
pub struct StatusDetail<'a> {
    /// State by its name.
    pub state: &'a str,
    /// Process id; 0 when there is no process.
    pub pid: u32,
    /// Seconds since the state was entered.
    pub since_s: u64,
    /// How often it was started again on its own.
    pub restarts: u32,
    /// How its last process ended; empty when none did.
    pub last_exit: &'a str,
}

/// How the board stands.
#[derive(Clone, Copy, Debug)]
pub struct BoardStatus<'a> {
    /// Name of the board built for.
    pub board: &'a str,
    /// Version of the program.
    pub version: &'a str,
    /// Build id of the program; empty when it has none.
    pub build: &'a str,
    /// Which of two systems runs; empty when there are no two.
    pub slot: &'a str,
    /// Which device file is in force.
    pub device_file: &'a str,
    /// Why it is not the one that was given; empty when it is.
    pub complaint: &'a str,
    /// What went wrong before the server was started; empty when nothing did.
    pub notice: &'a str,
    /// Seconds since the server's start.
    pub uptime_s: u64,
}

/// One service of a list.
#[derive(Clone, Copy, Debug)]
pub struct ListEntry<'a> {
    /// Name of the service.
    pub name: &'a str,
    /// State in a word: `started`, `stopped` or `paused`. What later Friend Cores list.
    pub word: &'a str,
    /// State as a number: 0 stopped, 1 started, 2 paused. What 2016 lists.
    pub number: u8,
}

/// What a login says of its session.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Id of the session.
    pub sessionid: &'a str,
    /// Number of the user.
    pub userid: u32,
    /// `admin` or `user`.
    pub level: &'a str,
    /// The user's name as people write it.
    pub fullname: &'a str,
    /// The name logged in with.
    pub username: &'a str,
}

/// `{ "Status": "ok"}`.
pub fn status_ok(out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok"}"#)
}

/// `status`: begins as [`status_ok`] does, so that a client that looks for it still finds it.
pub fn status_detail(out: &mut Writer<'_>, detail: &StatusDetail<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok", "State": "#)?;
    out.put_text(detail.state)?;
    out.put(r#", "Pid": "#)?;
    out.put_number(detail.pid)?;
    out.put(r#", "Since": "#)?;
    out.put_number(detail.since_s)?;
    out.put(r#", "Restarts": "#)?;
    out.put_number(detail.restarts)?;
    out.put(r#", "LastExit": "#)?;
    out.put_text(detail.last_exit)?;
    out.put("}")
}

/// `board/status`: begins as [`status_ok`] does.
pub fn board_status(out: &mut Writer<'_>, status: &BoardStatus<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok""#)?;
    for (name, value) in [
        ("Board", status.board),
        ("Version", status.version),
        ("Build", status.build),
        ("Slot", status.slot),
        ("DeviceFile", status.device_file),
        ("Complaint", status.complaint),
        ("Notice", status.notice),
    ] {
        out.put_display(format_args!(r#", "{name}": "#))?;
        out.put_string(value)?;
    }
    out.put_display(format_args!(r#", "Uptime": {}}}"#, status.uptime_s))
}

/// What `board/log` tells.
#[derive(Clone, Copy, Debug)]
pub struct BoardLog<'a> {
    /// Name of the board built for.
    pub board: &'a str,
    /// Build id of the program in hexadecimal.
    pub build: &'a str,
    /// What the records are: `defmt` or `text`.
    pub form: &'a str,
    /// The level in force.
    pub level: &'a str,
    /// Unix time in milliseconds, and the time of the records at the same moment.
    pub wall_ms: u64,
    /// See `wall_ms`.
    pub mono_ms: u64,
    /// Place of the first record.
    pub from: u64,
    /// Place behind the last one: to be asked for next.
    pub next: u64,
    /// Whole records, in two pieces; told in base64.
    pub records: [&'a [u8]; 2],
}

/// `board/log`: begins as [`status_ok`] does.
pub fn board_log(out: &mut Writer<'_>, log: &BoardLog<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok""#)?;
    for (name, value) in
        [("Board", log.board), ("Build", log.build), ("Form", log.form), ("Level", log.level)]
    {
        out.put_display(format_args!(r#", "{name}": "#))?;
        out.put_string(value)?;
    }
    out.put_display(format_args!(
        r#", "Wall": {}, "Mono": {}, "From": {}, "Next": {}, "Records": ""#,
        log.wall_ms, log.mono_ms, log.from, log.next
    ))?;
    let [first, second] = log.records;
    // Three bytes that two pieces share make four letters as well.
    let (whole, rest) = first.split_at(first.len() - first.len() % 3);
    let mut middle = [0; 3];
    let borrowed = second.len().min((3 - rest.len()) % 3);
    let (to_middle, second) = second.split_at(borrowed);
    for (place, byte) in middle.iter_mut().zip(rest.iter().chain(to_middle)) {
        *place = *byte;
    }
    let middle = middle.get(..rest.len() + borrowed).unwrap_or_default();
    for piece in [whole, middle, second] {
        out.put_display(BASE64.encode_display(piece))?;
    }
    out.put(r#""}"#)
}

/// `list`.
pub fn list<'a>(
    out: &mut Writer<'_>,
    form: Form,
    entries: impl IntoIterator<Item = ListEntry<'a>>,
) -> Result<(), Full> {
    out.put(r#"{ "Services": [ "#)?;
    let mut separator = "";
    for entry in entries {
        out.put(separator)?;
        separator = ",";
        match form {
            Form::Frame => {
                out.put(r#"{ "Service": "#)?;
                out.put_text(entry.name)?;
                out.put(r#" , "Status": ""#)?;
                out.put_number(entry.number)?;
                out.put(r#"" ,  "Hosts" : "" }"#)?;
            }
            Form::Envelope | Form::Http => {
                out.put(r#"{ "Name": "#)?;
                out.put_text(entry.name)?;
                out.put(r#" , "Status": "#)?;
                out.put_text(entry.word)?;
                out.put(r#" ,  "Hosts" : "My computer" }"#)?;
            }
        }
    }
    out.put("] }")
}

/// `command`: how the command ended and what it wrote, as text; what of it is not UTF-8 becomes U+FFFD.
/// `is_cut`: there was more of it.
pub fn command_output(out: &mut Writer<'_>, exit: &str, output: &[u8], is_cut: bool) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok", "Exit": "#)?;
    out.put_string(exit)?;
    out.put(r#", "Output": "#)?;
    out.put_string(Lossy(output))?;
    out.put(if is_cut { r#", "Cut": true}"# } else { "}" })
}

/// `getwebgui`: the service's HTML as it is.
pub fn webgui(out: &mut Writer<'_>, html: &str) -> Result<(), Full> {
    out.put(html)
}

/// A login as 2016 answers it.
pub fn login_2016(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    out.put(r#"{ "ErrorMessage": "0", "sessionid": "#)?;
    out.put_string(login.sessionid)?;
    out.put_display(format_args!(r#", "userid": "{}", "fullName": "#, login.userid))?;
    out.put_string(login.fullname)?;
    out.put(" }")
}

/// A wrong user or password as 2016 answers it.
pub fn login_failed_2016(out: &mut Writer<'_>) -> Result<(), Full> {
    out.put("LERR: -1")
}

/// A login with a password as 2021 answers it. The desktop takes `username` or `loginid` for success.
pub fn login_2021(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    login_members(out, login)?;
    out.put(r#","username":"#)?;
    out.put_string(login.username)?;
    out.put("}")
}

/// A login with the id of a session as 2021 answers it.
pub fn resume_2021(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    login_members(out, login)?;
    out.put("}")
}

fn login_members(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    out.put(r#"{"result":"0","sessionid":"#)?;
    out.put_string(login.sessionid)?;
    out.put(r#","level":"#)?;
    out.put_string(login.level)?;
    out.put_display(format_args!(r#","userid":"{}","fullname":"#, login.userid))?;
    out.put_string(login.fullname)?;
    out.put(r#","loginid":"#)?;
    out.put_string(login.sessionid)
}

/// A login of 2021 that was refused: code 6. `until_s` is the end of the block in Unix time; 0 says that
/// there is none, only that user or password were wrong.
pub fn login_blocked(out: &mut Writer<'_>, until_s: u64) -> Result<(), Full> {
    out.put("fail")?;
    out.put(SEPARATE)?;
    out.put_display(format_args!(
        r#"{{"result":"-1","response":"Account blocked until: {until_s}", "code":"6"}}"#
    ))
}

/// `validate`: the session is good.
pub fn validate(out: &mut Writer<'_>) -> Result<(), Full> {
    out.put("ok")?;
    out.put(SEPARATE)?;
    out.put(r#"{"response":"true"}"#)
}

/// `user/updatepassword`: the password is another from now on.
pub fn password_updated(out: &mut Writer<'_>) -> Result<(), Full> {
    out.put("ok")?;
    out.put(SEPARATE)?;
    out.put(r#"{ "updatepassword": "success!"}"#)
}

/// `user/logout`; 2016 says nothing.
pub fn logout(out: &mut Writer<'_>, form: Form) -> Result<(), Full> {
    match form {
        Form::Frame => Ok(()),
        Form::Envelope | Form::Http => {
            out.put("ok")?;
            out.put(SEPARATE)?;
            out.put(r#"{"logout":"success"}"#)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> String {
        let mut buffer = [0; 1024];
        let mut out = Writer::new(&mut buffer);
        write(&mut out).unwrap();
        String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
    }

    const HELLO: ListEntry<'_> = ListEntry { name: "hello", word: "stopped", number: 0 };
    const LOGIN: Login<'_> = Login {
        sessionid: "8ed922535bc7cb2de39dc9bdafef502e2e20b986",
        userid: 1,
        level: "admin",
        fullname: "Friend \"Administrator\"",
        username: "fadmin",
    };

    #[test]
    fn status() {
        assert_eq!(written(status_ok), r#"{ "Status": "ok"}"#);
        let detail = StatusDetail { state: "started", pid: 1234, since_s: 12, restarts: 0, last_exit: "" };
        assert_eq!(
            written(|out| status_detail(out, &detail)),
            r#"{ "Status": "ok", "State": "started", "Pid": 1234, "Since": 12, "Restarts": 0, "LastExit": ""}"#
        );
    }

    #[test]
    fn board_is_told_with_all_its_texts_escaped() {
        let status = BoardStatus {
            board: "host",
            version: "0.1.0",
            build: "0a1b",
            slot: "A",
            device_file: "last good",
            complaint: "f:1:2: unknown key '\"x'",
            notice: "",
            uptime_s: 12,
        };
        assert_eq!(
            written(|out| board_status(out, &status)),
            concat!(
                r#"{ "Status": "ok", "Board": "host", "Version": "0.1.0", "Build": "0a1b", "Slot": "A", "#,
                r#""DeviceFile": "last good", "Complaint": "f:1:2: unknown key '\"x'", "Notice": "", "Uptime": 12}"#
            )
        );
    }

    #[test]
    fn records_are_one_base64_text_wherever_they_are_cut() {
        let records = b"0123456789";
        for at in 0..=records.len() {
            let (first, second) = records.split_at(at);
            let log = BoardLog {
                board: "b",
                build: "0a",
                form: "text",
                level: "info",
                wall_ms: 5,
                mono_ms: 4,
                from: 7,
                next: 17,
                records: [first, second],
            };
            assert_eq!(
                written(|out| board_log(out, &log)),
                concat!(
                    r#"{ "Status": "ok", "Board": "b", "Build": "0a", "Form": "text", "Level": "info", "#,
                    r#""Wall": 5, "Mono": 4, "From": 7, "Next": 17, "Records": "MDEyMzQ1Njc4OQ=="}"#
                ),
                "{at}"
            );
        }
    }

    #[test]
    fn list_2016() {
        assert_eq!(
            written(|out| list(out, Form::Frame, [HELLO])),
            r#"{ "Services": [ { "Service": "hello" , "Status": "0" ,  "Hosts" : "" }] }"#
        );
        let b = ListEntry { name: "b", word: "started", number: 1 };
        assert_eq!(
            written(|out| list(out, Form::Frame, [HELLO, b])),
            concat!(
                r#"{ "Services": [ { "Service": "hello" , "Status": "0" ,  "Hosts" : "" },"#,
                r#"{ "Service": "b" , "Status": "1" ,  "Hosts" : "" }] }"#
            )
        );
    }

    #[test]
    fn list_later() {
        for form in [Form::Envelope, Form::Http] {
            assert_eq!(
                written(|out| list(out, form, [HELLO])),
                r#"{ "Services": [ { "Name": "hello" , "Status": "stopped" ,  "Hosts" : "My computer" }] }"#
            );
        }
    }

    #[test]
    fn list_of_none_is_json() {
        assert_eq!(written(|out| list(out, Form::Frame, [])), r#"{ "Services": [ ] }"#);
    }

    #[test]
    fn command_output_is_escaped() {
        assert_eq!(
            written(|out| command_output(out, "0", b"a \"b\"\n\xff\x01", false)),
            "{ \"Status\": \"ok\", \"Exit\": \"0\", \"Output\": \"a \\\"b\\\"\\n\u{FFFD}\\u0001\"}"
        );
    }

    #[test]
    fn webgui_is_verbatim() {
        assert_eq!(written(|out| webgui(out, "<div>\"</div>")), "<div>\"</div>");
    }

    #[test]
    fn logins() {
        assert_eq!(
            written(|out| login_2016(out, &LOGIN)),
            r#"{ "ErrorMessage": "0", "sessionid": "8ed922535bc7cb2de39dc9bdafef502e2e20b986", "userid": "1", "fullName": "Friend \"Administrator\"" }"#
        );
        assert_eq!(written(login_failed_2016), "LERR: -1");
        assert_eq!(
            written(|out| login_2021(out, &LOGIN)),
            r#"{"result":"0","sessionid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986","level":"admin","userid":"1","fullname":"Friend \"Administrator\"","loginid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986","username":"fadmin"}"#
        );
        assert_eq!(
            written(|out| resume_2021(out, &LOGIN)),
            r#"{"result":"0","sessionid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986","level":"admin","userid":"1","fullname":"Friend \"Administrator\"","loginid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986"}"#
        );
        assert_eq!(
            written(|out| login_blocked(out, 0)),
            r#"fail<!--separate-->{"result":"-1","response":"Account blocked until: 0", "code":"6"}"#
        );
    }

    #[test]
    fn validate_and_logout() {
        assert_eq!(written(password_updated), r#"ok<!--separate-->{ "updatepassword": "success!"}"#);
        assert_eq!(written(validate), r#"ok<!--separate-->{"response":"true"}"#);
        assert_eq!(written(|out| logout(out, Form::Frame)), "");
        assert_eq!(written(|out| logout(out, Form::Http)), r#"ok<!--separate-->{"logout":"success"}"#);
    }
}
