//! An echo on tokio (one thread), hyper, fastwebsockets and tokio-rustls.

use fastwebsockets::{FragmentCollector, OpCode, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use peers::{Error, MESSAGE_BYTES, on_tokio};
use tokio::io::{AsyncRead, AsyncWrite};

fn main() -> Result<(), Error> {
    on_tokio::run(serve, serve)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Result<(), Error> {
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    Ok(connection.await?)
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Error> {
    let (response, socket) = upgrade::upgrade(&mut request)?;
    tokio::task::spawn_local(echo(socket));
    Ok(response)
}

async fn echo(socket: upgrade::UpgradeFut) -> Result<(), Error> {
    let mut socket = socket.await?;
    socket.set_max_message_size(MESSAGE_BYTES);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
