//! The client of the log server, against a server of rustls.

use std::io::{self, Read as _, Write as _};

use rustls::ServerConnection;

use super::super::client_certificate::key_of;
use super::super::{Client, TLS_CLIENT_QUEUE_BYTES, TlsError, Trust, client_config, refusal_text};
use super::peer::{SUITE, config};

/// Passes bytes both ways until the handshake is over.
fn connect(trust: Trust<'_>) -> io::Result<(Client, ServerConnection)> {
    let mut client = Client::new(&client_config(trust).unwrap(), "192.0.2.1".to_owned()).unwrap();
    let mut server = ServerConnection::new(config()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        while client.has_pending() {
            client.write_to(&mut sent)?;
        }
        receive(&mut server, &sent);
        while server.wants_write() {
            server.write_tls(&mut answered)?;
        }
        let mut answered = answered.as_slice();
        while !answered.is_empty() {
            client.read_from(&mut answered)?;
        }
    }
    Ok((client, server))
}

fn receive(server: &mut ServerConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).unwrap();
        let state = server.process_new_packets().unwrap();
        let mut read = vec![0; state.plaintext_bytes_to_read()];
        server.reader().read_exact(&mut read).unwrap();
        data.extend(read);
    }
    data
}

/// The proof that the server can give.
fn its_key() -> Trust<'static> {
    let client = super::peer::connect(super::peer::client_config(SUITE), usize::MAX).0;
    Trust::Key(key_of(&client.peer_certificates().unwrap()[0]).unwrap())
}

#[test]
fn client_seals_up_to_its_limit() {
    let (mut client, mut server) = connect(its_key()).unwrap();
    let data = vec![b'x'; TLS_CLIENT_QUEUE_BYTES];
    assert!(client.seal(&data).is_ok() && client.seal(&data).is_err());
    let mut sent = Vec::new();
    while client.has_pending() {
        client.write_to(&mut sent).unwrap();
    }
    assert_eq!(receive(&mut server, &sent), data);
    assert!(client.seal(b"more").is_ok());
}

#[test]
fn server_without_its_proof_is_refused() {
    let error = connect(Trust::Key([7; 32])).unwrap_err();
    assert_eq!(refusal_text(&error), Some("it has another public key than that of fingerprint"));
    assert_eq!(refusal_text(&io::ErrorKind::UnexpectedEof.into()), None);
    assert!(matches!(client_config(Trust::Authority(b"no certificate")), Err(TlsError::ClientAuthority(_))));
}

#[test]
fn end_and_data_of_the_server_are_errors() {
    for (is_end, kind) in [(true, io::ErrorKind::UnexpectedEof), (false, io::ErrorKind::InvalidData)] {
        let (mut client, mut server) = connect(its_key()).unwrap();
        if is_end {
            server.send_close_notify();
        } else {
            server.writer().write_all(b"x").unwrap();
        }
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        assert_eq!(client.read_from(&mut bytes.as_slice()).unwrap_err().kind(), kind);
    }
}
