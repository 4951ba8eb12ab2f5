use super::*;
use crate::limits;

#[test]
fn reference_example() {
    for length in ["760", "81", "1", "99999999999999999999"] {
        let text = format!(
            "<!--\"MSG\"--\"{length}\"--\"system.library/services/start\"-->{{ \"serviceName\":\"hello\", \"sessionid\":\"{SESSION}\" }}<--!>"
        );
        assert_eq!(
            call(text),
            request(
                Form::Frame,
                "system.library/services/start",
                &[("serviceName", "hello"), ("sessionid", SESSION)],
                None,
                Some(SESSION)
            )
        );
    }
}

#[test]
fn con() {
    let text = br#"<!--"CON"--"0"--"a6e7be6be04d8612eb61f19c2dfe7338e63757dd"-->"#;
    assert_eq!(text.len(), 61);
    assert_eq!(
        read(text),
        Ok(Message::Bind { form: Form::Frame, session: "a6e7be6be04d8612eb61f19c2dfe7338e63757dd" })
    );
    assert_eq!(read(r#"<!--"CON"--"0"--""-->"#), Ok(Message::Bind { form: Form::Frame, session: "" }));
}

#[test]
fn con_broken() {
    for text in [r#"<!--"CON"--"0"--"abc"#, r#"<!--"CON"--"0"--"a"b"-->"#, r#"<!--"CON"--"0"--abc-->"#] {
        assert_eq!(read(text), frame_refusal(RefusalKind::Malformed), "{text}");
    }
    assert_eq!(read(r#"<!--"CON"--"1"--"abc"-->"#), frame_refusal(RefusalKind::Type));
}

#[test]
fn length_must_be_a_number_above_zero() {
    for length in ["0", "000", "", "-5", "+5", "7 ", "x", "0x10"] {
        let text = format!("<!--\"MSG\"--\"{length}\"--\"system.library/services/list\"-->{{}}<--!>");
        assert_eq!(read(&text), frame_refusal(RefusalKind::Length), "{text}");
    }
}

#[test]
fn not_a_frame() {
    assert_eq!(read("hello world, not a frame"), frame_refusal(RefusalKind::Malformed));
    assert_eq!(read("fifteen bytes.."), Ok(Message::Nothing));
    assert_eq!(read("sixteen bytes..."), frame_refusal(RefusalKind::Malformed));
    assert_eq!(read(""), Ok(Message::Nothing));
    assert_eq!(read(b"\xff\xff"), Ok(Message::Nothing));
    assert_eq!(read([0xff; 16]), frame_refusal(RefusalKind::Encoding));
}

#[test]
fn literals_are_checked() {
    for text in [
        r#"x"MSG"y"99"z"system.library/login">{"a":"b"}<--!>"#,
        r#"<!-"MSG"--"99"--"system.library/login"-->{}<--!>"#,
        r#"<!--"MSG"-"99"--"system.library/login"-->{}<--!>"#,
        r#"<!--"MSG"--"99"-"system.library/login"-->{}<--!>"#,
        r#"<!--"MSG"--"99"--"system.library/login"->{}<--!>"#,
        r#"<!--"MSG"--"99"--"system.library/login">{}<--!>"#,
        r#"<!--"MSG"--"99"--"system"library"-->{}<--!>"#,
        r#"<!--"MSG"--"99"--""-->{}<--!>"#,
        r#"<!--"MSG"--"99"--"unterminated"#,
    ] {
        assert_eq!(read(text), frame_refusal(RefusalKind::Malformed), "{text}");
    }
}

#[test]
fn unsupported_types() {
    for kind in ["STR", "msg", "", "MSGS"] {
        let text = format!("<!--\"{kind}\"--\"9\"--\"system.library/login\"-->{{}}<--!>");
        assert_eq!(read(&text), frame_refusal(RefusalKind::Type), "{text}");
    }
}

#[test]
fn body_ends_with_the_last_trailer_or_the_message() {
    let expected = [("a", "x<--!>y")];
    assert_eq!(parameters(frame(r#"{"a":"x<--!>y"}"#)), expected);
    assert_eq!(parameters(frame(r#"{"a":"x<--!>y"}"#) + "\n"), expected);
    assert_eq!(parameters(r#"<!--"MSG"--"9"--"p"-->{"a":"b"}"#), [("a", "b")]);
    assert_eq!(parameters("<!--\"MSG\"--\"9\"--\"p\"-->{\"a\":\"b\"} \n"), [("a", "b")]);
}

#[test]
fn empty_body() {
    for body in ["", " \t\r\n", "{}", " { } "] {
        let request = call(frame(body));
        assert!(request.call.parameters.is_empty());
        assert_eq!(request.call.session, None);
    }
    assert!(parameters(r#"<!--"MSG"--"9"--"p"-->"#).is_empty());
}

#[test]
fn other_examples() {
    assert_eq!(
        call(r#"<!--"MSG"--"25"--"system.library/services/start"-->{ "serviceName":"hello" }<--!>"#),
        request(Form::Frame, "system.library/services/start", &[("serviceName", "hello")], None, None)
    );
    assert_eq!(
        call(r#"<!--"MSG"--"9"--"other.library/x"-->{"a":"b"}<--!>"#),
        request(Form::Frame, "other.library/x", &[("a", "b")], None, None)
    );
    assert_eq!(
        call(
            r#"<!--"MSG"--"44"--"system.library/login"-->{ "username":"fadmin", "password":"secret" }<--!>"#
        ),
        request(
            Form::Frame,
            "system.library/login",
            &[("username", "fadmin"), ("password", "secret")],
            None,
            None
        )
    );
}

#[test]
fn session_from_sessionid_else_authid() {
    assert_eq!(call(frame(r#"{"authid":"a","sessionid":"s"}"#)).call.session, Some("s"));
    assert_eq!(call(frame(r#"{"authid":"a"}"#)).call.session, Some("a"));
    assert_eq!(call(frame(r#"{"authid":"a","sessionid":null}"#)).call.session, Some("a"));
    assert_eq!(call(frame(r#"{"sessionid":false}"#)).call.session, None);
    assert_eq!(call(frame(r#"{"sessionid":""}"#)).call.session, Some(""));
}

#[test]
fn limits_of_path_and_session() {
    let path = "p".repeat(limits::PATH_BYTES);
    assert_eq!(call(format!("<!--\"MSG\"--\"1\"--\"{path}\"-->")).call.path, path);
    assert_eq!(read(format!("<!--\"MSG\"--\"1\"--\"{path}p\"-->")), frame_refusal(RefusalKind::TooLong));
    let id = "s".repeat(crate::session::PRESENTED_SESSION_BYTES);
    assert_eq!(call(frame(&format!(r#"{{"sessionid":"{id}"}}"#))).call.session, Some(&*id));
    assert_eq!(read(frame(&format!(r#"{{"sessionid":"{id}s"}}"#))), frame_refusal(RefusalKind::TooLong));
    assert!(matches!(
        read(format!("<!--\"CON\"--\"0\"--\"{id}\"-->")),
        Ok(Message::Bind { session, .. }) if session == id
    ));
    assert_eq!(read(format!("<!--\"CON\"--\"0\"--\"{id}s\"-->")), frame_refusal(RefusalKind::TooLong));
}
