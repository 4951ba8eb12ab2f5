//! Messages of clients, on literals: each example of the protocol's documentation first.

use proptest::prelude::*;

use super::*;

const SESSION: &str = "8ed922535bc7cb2de39dc9bdafef502e2e20b986";

/// Decodes a copy of `text` that lives as long as the test.
fn read(text: impl AsRef<[u8]>) -> Result<Message<'static>, Refusal<'static>> {
    decode(Box::leak(text.as_ref().to_vec().into_boxed_slice()))
}

fn request(
    form: Form,
    path: &'static str,
    pairs: &[(&'static str, &'static str)],
    request_id: Option<&'static str>,
    session: Option<&'static str>,
) -> Request<'static> {
    let mut parameters = Parameters::default();
    for (key, value) in pairs {
        parameters.insert(key, value).unwrap();
    }
    Request { form, path, parameters, request_id, session }
}

fn call(text: impl AsRef<[u8]>) -> Request<'static> {
    match read(text) {
        Ok(Message::Call(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn frame(body: &str) -> String {
    format!("<!--\"MSG\"--\"1\"--\"system.library/x\"-->{body}<--!>")
}

fn envelope(members: &str) -> String {
    format!(r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"p",{members}}}}}"#)
}

fn parameters(text: impl AsRef<[u8]>) -> std::vec::Vec<(&'static str, &'static str)> {
    call(text).parameters.iter().collect()
}

fn frame_refusal(kind: RefusalKind) -> Result<Message<'static>, Refusal<'static>> {
    Err(Refusal { form: Form::Frame, request_id: None, kind })
}

fn refusal(
    request_id: Option<&'static str>,
    kind: RefusalKind,
) -> Result<Message<'static>, Refusal<'static>> {
    Err(Refusal { form: Form::Envelope, request_id, kind })
}

mod frames {
    use super::*;

    #[test]
    fn founding_example() {
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
    fn length_of_nothing_or_no_number() {
        for length in ["0", "000", "", "-5", "+5", "7 ", "x", "0x10"] {
            let text = format!("<!--\"MSG\"--\"{length}\"--\"system.library/services/list\"-->{{}}<--!>");
            assert_eq!(read(&text), frame_refusal(RefusalKind::Length), "{text}");
        }
    }

    #[test]
    fn no_frame() {
        assert_eq!(read("hello world, not a frame"), frame_refusal(RefusalKind::Malformed));
        assert_eq!(read("fifteen bytes.."), Ok(Message::Nothing));
        assert_eq!(read("sixteen bytes..."), frame_refusal(RefusalKind::Malformed));
        assert_eq!(read(""), Ok(Message::Nothing));
        assert_eq!(read(b"\xff\xff"), Ok(Message::Nothing));
        assert_eq!(read([0xff; 16]), frame_refusal(RefusalKind::Encoding));
    }

    #[test]
    fn literals_are_looked_at() {
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
    fn types_not_served() {
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
            assert!(request.parameters.is_empty());
            assert_eq!(request.session, None);
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
        assert_eq!(call(frame(r#"{"authid":"a","sessionid":"s"}"#)).session, Some("s"));
        assert_eq!(call(frame(r#"{"authid":"a"}"#)).session, Some("a"));
        assert_eq!(call(frame(r#"{"authid":"a","sessionid":null}"#)).session, Some("a"));
        assert_eq!(call(frame(r#"{"sessionid":false}"#)).session, None);
        assert_eq!(call(frame(r#"{"sessionid":""}"#)).session, Some(""));
    }

    #[test]
    fn limits_of_path_and_session() {
        let path = "p".repeat(limits::PATH_BYTES);
        assert_eq!(call(format!("<!--\"MSG\"--\"1\"--\"{path}\"-->")).path, path);
        assert_eq!(read(format!("<!--\"MSG\"--\"1\"--\"{path}p\"-->")), frame_refusal(RefusalKind::TooLong));
        let id = "s".repeat(limits::PRESENTED_SESSION_BYTES);
        assert_eq!(call(frame(&format!(r#"{{"sessionid":"{id}"}}"#))).session, Some(&*id));
        assert_eq!(read(frame(&format!(r#"{{"sessionid":"{id}s"}}"#))), frame_refusal(RefusalKind::TooLong));
        assert!(matches!(
            read(format!("<!--\"CON\"--\"0\"--\"{id}\"-->")),
            Ok(Message::Bind { session, .. }) if session == id
        ));
        assert_eq!(read(format!("<!--\"CON\"--\"0\"--\"{id}s\"-->")), frame_refusal(RefusalKind::TooLong));
    }
}

mod bodies {
    use super::*;

    #[test]
    fn scalars_give_their_text() {
        assert_eq!(
            parameters(frame(r#"{"a":12,"b":true,"c":null,"d":-0.5e+3,"e":false,"f":""}"#)),
            [("a", "12"), ("b", "true"), ("c", "null"), ("d", "-0.5e+3"), ("e", "false"), ("f", "")]
        );
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(
            parameters(frame(r#"{"\u0061\"":"\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00\u0000é"}"#)),
            [("a\"", "\"\\/\u{8}\u{c}\n\r\té€😀\0é")]
        );
    }

    #[test]
    fn wrong_strings() {
        for text in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\ud83d\ud83d""#,
            r#""\ude00""#,
            r#""\ude00\ud83d""#,
            r#""\u12g4""#,
            r#""\u123""#,
            r#""\x""#,
            r#""\""#,
            r#"""""#,
            r#"'a'"#,
            "\"\n\"",
            "\"\u{1f}\"",
            "\"\0\"",
        ] {
            let text = frame(&format!(r#"{{"a":{text}}}"#));
            assert_eq!(read(&text), frame_refusal(RefusalKind::Malformed), "{text}");
        }
    }

    #[test]
    fn wrong_scalars() {
        for text in [
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "1e+",
            "-",
            "--1",
            "0x1",
            "1_0",
            "tru",
            "trueX",
            "True",
            "nul",
            "NaN",
            "Infinity",
            "1 2",
            "undefined",
            "",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "[tru@e]",
            "{",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{"a":1;}"#,
            r#"{1:2}"#,
        ] {
            let text = frame(&format!(r#"{{"a":{text}}}"#));
            assert_eq!(read(&text), frame_refusal(RefusalKind::Malformed), "{text}");
        }
    }

    #[test]
    fn wrong_bodies() {
        for text in ["{} x", "{}{}", "[]", "\"a\"", "1", "}", "{\"a\":1", "\u{feff}{}", "{\u{a0}}", "{}\0"] {
            assert_eq!(read(frame(text)), frame_refusal(RefusalKind::Malformed), "{text}");
        }
        let mut bytes = frame(r#"{"a":"b"}"#).into_bytes();
        let place = bytes.iter().position(|byte| *byte == b'b').unwrap();
        bytes[place] = 0xc3;
        assert_eq!(read(bytes), frame_refusal(RefusalKind::Encoding));
    }

    #[test]
    fn nested_objects_are_flattened_and_the_outermost_wins() {
        assert_eq!(
            parameters(frame(r#"{"deep":{"a":"inner","b":{"c":1,"a":2}},"e":{},"a":"outer"}"#)),
            [("a", "outer"), ("c", "1")]
        );
        assert_eq!(parameters(frame(r#"{"x":{"a":1},"y":{"a":2}}"#)), [("a", "1")]);
    }

    #[test]
    fn arrays_are_their_text() {
        assert_eq!(
            parameters(frame(r#"{"a":[1, "\n", {"b":[]}],"c":"d"}"#)),
            [("a", r#"[1, "\n", {"b":[]}]"#), ("c", "d")]
        );
    }

    #[test]
    fn same_key_twice() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":{"c":1},"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":{"x":1},"c":0,"a":2}]}"#,
            r#"{"\ud83d\ude00":1,"😀":2}"#,
            r#"{"a":{},"a":[]}"#,
        ] {
            assert_eq!(read(frame(text)), frame_refusal(RefusalKind::DuplicateKey), "{text}");
        }
        for text in [r#"{"a":1,"A":1,"":1}"#, r#"{"a":[{"a":1},{"a":1}],"b":[[{"a":1}]]}"#] {
            assert!(read(frame(text)).is_ok(), "{text}");
        }
    }

    #[test]
    fn depth_limit() {
        let nested = |depth: usize, open: &str, close: &str| {
            frame(&format!(r#"{{"a":{}1{}}}"#, open.repeat(depth - 1), close.repeat(depth - 1)))
        };
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            assert!(read(nested(limits::JSON_DEPTH, open, close)).is_ok());
            assert_eq!(
                read(nested(limits::JSON_DEPTH + 1, open, close)),
                frame_refusal(RefusalKind::TooDeep)
            );
        }
        assert_eq!(read(frame(&"{\"a\":".repeat(20_000))), frame_refusal(RefusalKind::TooDeep));
    }

    #[test]
    fn parameters_limit() {
        let body = |count: usize| {
            let members: std::vec::Vec<String> = (0..count).map(|at| format!(r#""k{at}":{at}"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(call(frame(&body(limits::PARAMETERS))).parameters.len(), limits::PARAMETERS);
        for count in [limits::PARAMETERS + 1, limits::PARAMETERS + 17, 5000] {
            assert_eq!(read(frame(&body(count))), frame_refusal(RefusalKind::TooManyParameters));
        }
        let array = format!(r#"{{"a":[{}]}}"#, body(5000));
        assert_eq!(read(frame(&array)), frame_refusal(RefusalKind::TooManyParameters));
    }

    #[test]
    fn parameters_full_and_duplicate() {
        let names: std::vec::Vec<String> = (0..limits::PARAMETERS).map(|at| at.to_string()).collect();
        let mut parameters = Parameters::default();
        for name in &names {
            assert_eq!(parameters.insert(name, "v"), Ok(()));
        }
        assert_eq!(parameters.insert("0", "w"), Err(ParameterError::Duplicate));
        assert_eq!(parameters.insert("more", "w"), Err(ParameterError::Full));
        assert_eq!(parameters.get("0"), Some("v"));
        assert_eq!(parameters.get("more"), None);
    }
}

mod envelopes {
    use super::*;

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
        for wrong in
            ["-1", "1.0", "1e3", "4294967296", r#""""#, r#"" 1""#, r#""01""#, "null", "{}", r#""0x1""#]
        {
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
        let id = "i".repeat(limits::CHUNK_ID_BYTES);
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
            request(
                Form::Envelope,
                "p",
                &[("more", "m"), ("path", "second"), ("y", "1")],
                Some("7"),
                Some("a")
            )
        );
    }

    #[test]
    fn data_that_is_no_object() {
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
        let session = "s".repeat(limits::PRESENTED_SESSION_BYTES);
        let request = call(text(&path, &id, &session));
        assert_eq!((request.path, request.request_id), (&*path, Some(&*id)));
        assert_eq!(request.session, Some(&*session));
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
    fn escapes_count_as_what_they_stand_for() {
        let id = r"\u0041".repeat(limits::REQUEST_ID_BYTES);
        let request =
            call(format!(r#"{{"type":"msg","data":{{"type":"request","requestid":"{id}","path":"p"}}}}"#));
        assert_eq!(request.request_id, Some(&*"A".repeat(limits::REQUEST_ID_BYTES)));
    }

    #[test]
    fn parameters_limit() {
        let text = |count: usize| {
            let members: std::vec::Vec<String> = (0..count).map(|at| format!(r#""k{at}":"v""#)).collect();
            envelope(&format!(r#""data":{{{}}},"sessionid":"s""#, members.join(",")))
        };
        assert_eq!(call(text(limits::PARAMETERS)).parameters.len(), limits::PARAMETERS);
        for count in [limits::PARAMETERS + 1, 5000] {
            assert_eq!(read(text(count)), refusal(Some("r"), RefusalKind::TooManyParameters));
        }
    }
}

/// Writes `text` as a JSON string the way a client might: every character as an escape, or as few as
/// there have to be.
fn json_string(text: &str, escape_all: bool) -> String {
    if escape_all {
        let units: std::vec::Vec<u16> = text.encode_utf16().collect();
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        return format!("\"{escapes}\"");
    }
    let mut buffer = vec![0; 6 * text.len() + 2];
    let mut out = Writer::new(&mut buffer);
    out.put_string(text).unwrap();
    String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&mut bytes);
        bytes.insert(0, b'{');
        let _ = decode(&mut bytes);
    }

    #[test]
    fn near_messages_are_survived(
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u0 -<>!"[..])],
        which in 0..4usize,
    ) {
        let mut bytes = [
            r#"{"type":"msg","data":{"type":"request","requestid":"r\u00e9\ud83d\ude00","path":"p","data":{"a":[1,{"b":2}],"c":{"d":"\n"}},"sessionid":"s"}}"#,
            r#"<!--"MSG"--"760"--"system.library/services/start"-->{ "serviceName":"h\tello", "x":{"sessionid":"8e"} }<--!>"#,
            r#"{"type":"con","data":{"type":"chunk","data":{"id":"x","part":0,"total":"2","data":"eyJ0"}}}"#,
            r#"{"id":0,"req":{"cmd":"ping"}}"#,
        ][which].as_bytes().to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()).max(place) + 1);
        let copy = bytes.clone();
        if let Err(refusal) = decode(&mut bytes) {
            let mut buffer = [0; 2048];
            let mut out = Writer::new(&mut buffer);
            reply::refused(&mut out, &refusal).unwrap();
            let text = core::str::from_utf8(out.finish().unwrap()).unwrap();
            prop_assert!(json::is_valid(text), "{} for {:?}", text, copy);
        }
    }

    #[test]
    fn strings_come_back(
        text in any::<String>(),
        key in "[a-z]{1,8}",
        escape_all in any::<bool>(),
    ) {
        let body = format!("{{{}:{}}}", json_string(&key, escape_all), json_string(&text, escape_all));
        let mut message = frame(&body).into_bytes();
        let Ok(Message::Call(request)) = decode(&mut message) else {
            return Err(TestCaseError::fail(body));
        };
        prop_assert_eq!(request.parameters.get(&key), Some(&*text));
    }

    #[test]
    fn responses_are_json_and_carry_what_they_were_given(
        id in proptest::collection::vec(any::<char>(), 0..limits::REQUEST_ID_BYTES / 4),
        content in any::<String>(),
        opening in prop::sample::select(&["", "{", "[", "{}", "[]"][..]),
    ) {
        let id: String = id.into_iter().collect();
        let content = format!("{opening}{content}");
        let mut buffer = vec![0; 6 * (id.len() + content.len()) + 256];
        let mut out = Writer::new(&mut buffer);
        reply::response(&mut out, &id, &content).unwrap();
        let text = core::str::from_utf8(out.finish().unwrap()).unwrap();
        prop_assert!(json::is_valid(text), "{}", text);
        // A response has a request's shape but for the path, and so can be read back as an event.
        let mut event = text.replacen(r#""type":"response""#, r#""type":"event","path":"p""#, 1).into_bytes();
        let Ok(Message::Event(request)) = decode(&mut event) else {
            return Err(TestCaseError::fail(content));
        };
        if !json::is_valid(&content) {
            prop_assert_eq!(request.parameters.get("data"), Some(&*content));
        }
    }
}
