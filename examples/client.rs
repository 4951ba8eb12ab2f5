//! Starts a service, and prints every change of one: `client localhost 6500 SERVICE`.
//!
//! Needs tungstenite with its feature `handshake`, rustls and serde_json. `board.pem` is the certificate of the board,
//! `TOKEN` a token of its configuration file.

use std::error::Error;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, service] = &arguments[..] else { return Err("usage: client HOST PORT SERVICE".into()) };
    let session = std::env::var("TOKEN")?;

    // The certificate of this one board is all that is trusted.
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file("board.pem")?)?;
    let config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), host.clone().try_into()?)?;
    let stream = StreamOwned::new(tls, TcpStream::connect(format!("{host}:{port}"))?);

    let mut request = format!("wss://{host}:{port}/fcws").into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("FC-protocol"));
    let (mut socket, _) = tungstenite::client(request, stream)?;

    // From the first message on the board sends every change, so none is missed.
    let path = format!("system.library/services/{service}/start");
    let bind = json!({"type": "con", "data": {"sessionId": session}});
    let start = json!({"type": "msg", "data": {
        "type": "request", "requestid": "1", "path": path, "data": {}, "sessionid": session,
    }});
    socket.send(bind.to_string().into())?;
    socket.send(start.to_string().into())?;

    loop {
        let message = socket.read()?;
        // Pings are answered by the library.
        let Ok(text) = message.to_text() else { continue };
        let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
        let data = &message["data"];
        if data["type"] == "response" && data["data"]["Status"] != "ok" {
            return Err(format!("{service}: {}", data["data"]).into());
        }
        if data["type"] == "service-change" {
            let text = |key: &str| data["data"][key].as_str().unwrap_or_default().to_owned();
            println!("{} {}", text("service"), text("state"));
        }
    }
}
