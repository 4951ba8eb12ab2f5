use super::*;
use crate::limits;
use crate::session::PRESENTED_SESSION_BYTES;

#[test]
fn bind() {
    let bound = Ok(Message::Bind { form: Form::Envelope, session: SESSION });
    for key in ["sessionId", "sessionid", "authid", "authId"] {
        let text = format!(r#"{{"type":"con","data":{{"{key}":"{SESSION}"}}}}"#);
        assert_eq!(read(text), bound);
    }
    let text = format!(" \n{{\"data\" : {{ \"sessionId\" : \"{SESSION}\" }}, \"type\" : \"con\" }} ");
    assert_eq!(read(text), bound);
    assert_eq!(
        read(r#"{"type":"con","data":{"sessionId":""}}"#),
        Ok(Message::Bind { form: Form::Envelope, session: "" })
    );
    assert_eq!(read(r#"{"type":"con","data":{}}"#), refusal(None, RefusalKind::Missing));
    assert_eq!(read(r#"{"type":"con","data":{"sessionId":{}}}"#), refusal(None, RefusalKind::WrongType));
}

#[test]
fn a_prefix_of_a_key_or_type_is_not_it() {
    assert_eq!(read(r#"{"type":"co","data":{"sessionId":"x"}}"#), refusal(None, RefusalKind::Type));
    assert_eq!(read(r#"{"type":"","data":{"sessionId":"x"}}"#), refusal(None, RefusalKind::Type));
    assert_eq!(read(r#"{"type":"con","data":{"session":"x"}}"#), refusal(None, RefusalKind::Missing));
}

#[test]
fn ping_and_pong() {
    let ping = |value: &str| format!(r#"{{"type":"con","data":{{"type":"ping","data":{value}}}}}"#);
    assert_eq!(read(ping("1795374850306")), Ok(Message::Ping { echo: "1795374850306" }));
    assert_eq!(read(ping("null")), Ok(Message::Ping { echo: "null" }));
    assert_eq!(read(ping(r#""a\"b""#)), Ok(Message::Ping { echo: "a\"b" }));
    assert_eq!(read(ping("{}")), refusal(None, RefusalKind::WrongType));
    assert_eq!(read(r#"{"type":"con","data":{"type":"ping"}}"#), Ok(Message::Ping { echo: "" }));
    assert_eq!(read(r#"{"type":"con","data":{"type":"pong","data":{"a":1}}}"#), Ok(Message::Pong));
    let longest = "1".repeat(255);
    assert_eq!(read(ping(&longest)), Ok(Message::Ping { echo: longest.clone().leak() }));
    assert_eq!(read(ping(&(longest + "1"))), refusal(None, RefusalKind::TooLong));
}

#[test]
fn chunk() {
    let expected = Ok(Message::Chunk(Part {
        id: "chunks-wqo4s196-bbef2yez-7c3yytmx-hk",
        part: 0,
        total: 2,
        data: "eyJ0",
    }));
    let text = |part: &str, total: &str| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"chunks-wqo4s196-bbef2yez-7c3yytmx-hk","part":{part},"total":{total},"data":"eyJ0"}}}}}}"#
        )
    };
    assert_eq!(read(text("0", "2")), expected);
    assert_eq!(read(text(r#""0""#, r#""2""#)), expected);
    for wrong in ["-1", "1.0", "1e3", "4294967296", r#""""#, r#"" 1""#, r#""01""#, "null", "{}", r#""0x1""#] {
        assert_eq!(read(text("0", wrong)), refusal(None, RefusalKind::WrongType), "{wrong}");
    }
}

#[test]
fn chunk_broken_or_id_too_long() {
    let text = |id: &str| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{id}","part":0,"total":2,"data":""}}}}}}"#
        )
    };
    let id = "i".repeat(CHUNK_ID_BYTES);
    assert!(matches!(read(text(&id)), Ok(Message::Chunk(part)) if part.id == id));
    assert_eq!(read(text(&(id + "i"))), refusal(None, RefusalKind::TooLong));
    assert_eq!(read(text("")), refusal(None, RefusalKind::Missing));
    for data in [r#"{"type":"chunk"}"#, r#"{"type":"chunk","data":{"id":"a","part":0,"total":1}}"#] {
        let text = format!(r#"{{"type":"con","data":{data}}}"#);
        assert_eq!(read(text), refusal(None, RefusalKind::Missing));
    }
}

#[test]
fn request_and_event() {
    assert_eq!(
        call(
            r#"{"type":"msg","data":{"type":"request","requestid":"fconn-req-onn36w7r-z5j4jjrw-mimqbd4x","path":"system.library/services/hello/start","data":{},"sessionid":"8ed9"}}"#
        ),
        request(
            Form::Envelope,
            "system.library/services/hello/start",
            &[],
            Some("fconn-req-onn36w7r-z5j4jjrw-mimqbd4x"),
            Some("8ed9")
        )
    );
    assert_eq!(
        read(
            r#"{"type":"msg","data":{"type":"event","path":"system.library/services/hello/status","data":{"a":1},"sessionid":"8ed9"}}"#
        ),
        Ok(Message::Event(request(
            Form::Envelope,
            "system.library/services/hello/status",
            &[("a", "1")],
            None,
            Some("8ed9")
        )))
    );
}

#[test]
fn members_in_any_order() {
    assert_eq!(
        call(
            r#"{"data":{"authid":"a","data":{"x":{"path":"inner","y":1},"path":"second"},"more":"m","path":"p","requestid":7,"type":"request"},"type":"msg","future":[]}"#
        ),
        request(Form::Envelope, "p", &[("more", "m"), ("path", "second"), ("y", "1")], Some("7"), Some("a"))
    );
}

#[test]
fn data_that_is_not_an_object() {
    assert_eq!(parameters(envelope(r#""data":null"#)), []);
    assert_eq!(parameters(envelope(r#""data":"text""#)), [("data", "text")]);
    assert_eq!(parameters(envelope(r#""sessionid":null"#)), []);
}

#[test]
fn broken_calls_name_the_request() {
    let text = |members: &str| format!(r#"{{"type":"msg","data":{{{members}}}}}"#);
    for (members, kind) in [
        (r#""type":"request","requestid":"r""#, RefusalKind::Missing),
        (r#""type":"request","requestid":"r","path":"""#, RefusalKind::Missing),
        (r#""type":"request","requestid":"r","path":7"#, RefusalKind::WrongType),
        (r#""type":"other","requestid":"r","path":"p""#, RefusalKind::Type),
        (r#""type":["request"],"requestid":"r","path":"p""#, RefusalKind::WrongType),
        (r#""requestid":"r","path":"p""#, RefusalKind::Missing),
        (r#""type":"request","requestid":"r","path":"p","path":"q""#, RefusalKind::DuplicateKey),
    ] {
        assert_eq!(read(text(members)), refusal(Some("r"), kind), "{members}");
    }
    assert_eq!(read(text(r#""type":"request","path":"p""#)), refusal(None, RefusalKind::Missing));
    assert_eq!(
        read(text(r#""type":"request","path":"p","requestid":null"#)),
        refusal(None, RefusalKind::WrongType)
    );
}

#[test]
fn wrong_envelopes() {
    assert_eq!(read("{}"), refusal(None, RefusalKind::Missing));
    assert_eq!(read(r#"{"type":"msg"}"#), refusal(None, RefusalKind::Missing));
    assert_eq!(read(r#"{"type":"msg","data":1}"#), refusal(None, RefusalKind::WrongType));
    assert_eq!(read(r#"{"type":7,"data":{}}"#), refusal(None, RefusalKind::WrongType));
    assert_eq!(read("{"), refusal(None, RefusalKind::Malformed));
    assert_eq!(read(b"{\"type\":\"\xff\"}"), refusal(None, RefusalKind::Encoding));
}

#[test]
fn session_message_is_ignored() {
    assert_eq!(read(r#"{"type":"session","data":false}"#), Ok(Message::Nothing));
    assert_eq!(read(r#"{"type":"session","data":"x"}"#), Ok(Message::Nothing));
}

#[test]
fn legacy_ping() {
    assert_eq!(read(r#"{"id":0,"req":{"cmd":"ping"}}"#), Ok(Message::LegacyPing { id: "0" }));
    assert_eq!(
        read(r#"{"req":{"x":[],"cmd":"ping"},"id":"a\n"}"#),
        Ok(Message::LegacyPing { id: r#""a\n""# })
    );
    for text in [
        r#"{"id":0,"req":{"cmd":"pong"}}"#,
        r#"{"id":0,"req":{"x":{"cmd":"ping"}}}"#,
        r#"{"id":0,"req":"ping","cmd":"ping"}"#,
        r#"{"id":{},"req":{"cmd":"ping"}}"#,
    ] {
        assert_eq!(read(text), refusal(None, RefusalKind::Missing), "{text}");
    }
    let id = "1".repeat(limits::REQUEST_ID_BYTES);
    assert!(matches!(
        read(format!(r#"{{"id":{id},"req":{{"cmd":"ping"}}}}"#)),
        Ok(Message::LegacyPing { .. })
    ));
    assert!(read(format!(r#"{{"id":{id}1,"req":{{"cmd":"ping"}}}}"#)).is_err());
}

#[test]
fn request_id_of_a_broken_message() {
    for (text, id) in [
        (r#"{"type":"msg",,"requestid":"r1""#, Some("r1")),
        (r#"{"type":"msg",,"requestid" : "r1""#, Some("r1")),
        ("{,\"requestid\"\t:\n\"r\\u0031\\\"\"", Some("r1\"")),
        (r#"{"a":"requestid",,"requestid":"r1""#, Some("r1")),
        (r#"{"requestid":7,,"requestid":"r1""#, Some("r1")),
        (r#"{"a":"\"requestid\":\"x\"",,"#, None),
        (r#"{"a\"requestid":"x",,"requestid":"r1""#, Some("r1")),
        (r#"{"requestid":"unterminated"#, None),
        (r#"{"requestid":"#, None),
        (r#"{"requestid""#, None),
        (r#"{"requestid":"\ud83d",,"#, None),
        (r#"{,"requestid":"""#, Some("")),
    ] {
        assert_eq!(read(text), refusal(id, RefusalKind::Malformed), "{text}");
    }
}

#[test]
fn limits_of_path_ids_and_session() {
    let text = |path: &str, id: &str, session: &str| {
        format!(
            r#"{{"type":"msg","data":{{"type":"request","requestid":"{id}","path":"{path}","sessionid":"{session}"}}}}"#
        )
    };
    let path = "p".repeat(limits::PATH_BYTES);
    let id = "i".repeat(limits::REQUEST_ID_BYTES);
    let session = "s".repeat(PRESENTED_SESSION_BYTES);
    let request = call(text(&path, &id, &session));
    assert_eq!((request.call.path, request.request_id), (&*path, Some(&*id)));
    assert_eq!(request.call.session, Some(&*session));
    assert_eq!(read(text(&(path + "p"), "r", "s")), refusal(Some("r"), RefusalKind::TooLong));
    assert_eq!(read(text("p", "r", &(session.clone() + "s"))), refusal(Some("r"), RefusalKind::TooLong));
    assert_eq!(read(text("p", &format!("{id}i"), "s")), refusal(None, RefusalKind::TooLong));
    let broken = |id: &str| format!(r#"{{,"requestid":"{id}""#);
    assert_eq!(read(broken(&id)), refusal(Some(id.clone().leak()), RefusalKind::Malformed));
    assert_eq!(read(broken(&(id + "i"))), refusal(None, RefusalKind::Malformed));
    let bind = |id: &str| format!(r#"{{"type":"con","data":{{"sessionId":"{id}"}}}}"#);
    assert!(read(bind(&session)).is_ok());
    assert_eq!(read(bind(&(session + "s"))), refusal(None, RefusalKind::TooLong));
}

#[test]
fn escapes_count_as_their_characters() {
    let id = r"\u0041".repeat(limits::REQUEST_ID_BYTES);
    let request =
        call(format!(r#"{{"type":"msg","data":{{"type":"request","requestid":"{id}","path":"p"}}}}"#));
    assert_eq!(request.request_id, Some(&*"A".repeat(limits::REQUEST_ID_BYTES)));
}

#[test]
fn parameters_limit() {
    let text = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!(r#""k{at}":"v""#)).collect();
        envelope(&format!(r#""data":{{{}}},"sessionid":"s""#, members.join(",")))
    };
    assert_eq!(call(text(limits::PARAMETERS)).call.parameters.len(), limits::PARAMETERS);
    for count in [limits::PARAMETERS + 1, 5000] {
        assert_eq!(read(text(count)), refusal(Some("r"), RefusalKind::TooManyParameters));
    }
}
