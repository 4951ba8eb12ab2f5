//! An echo on smol, async-tungstenite and futures-rustls.

#![allow(clippy::disallowed_methods, reason = "smol's own reactor is what is measured here")]

use std::net::{TcpListener, TcpStream};

use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::{WebSocketStream, accept_async_with_config};
use futures_rustls::TlsAcceptor;
use peers::{Arguments, BUFFER_BYTES, Error, MESSAGE_BYTES, report_address};
use smol::io::{AsyncRead, AsyncWrite};
use smol::stream::StreamExt as _;
use smol::{Async, LocalExecutor};

fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let acceptor = arguments.tls_config()?.map(TlsAcceptor::from);
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = Async::<TcpListener>::bind(arguments.listen)?;
        report_address(listener.get_ref().local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            // A connection that fails is a client's affair. Two tasks, for one that can be both would be
            // as large as the larger.
            match acceptor.clone() {
                None => executor.spawn(serve(stream)).detach(),
                Some(acceptor) => executor.spawn(serve_tls(acceptor, stream)).detach(),
            }
        }
    }))
}

async fn serve_tls(acceptor: TlsAcceptor, stream: Async<TcpStream>) -> Result<(), Error> {
    serve(acceptor.accept(stream).await?).await
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES));
    let mut socket: WebSocketStream<S> = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
