//! An echo on smol, async-tungstenite and futures-rustls.

use std::net::TcpListener;

use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::{WebSocketStream, accept_async_with_config};
use futures_rustls::TlsAcceptor;
use peers::{Arguments, BUFFER_BYTES, Error, MESSAGE_BYTES, tell};
use smol::io::{AsyncRead, AsyncWrite};
use smol::stream::StreamExt as _;
use smol::{Async, LocalExecutor};

fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let acceptor = arguments.tls_config()?.map(TlsAcceptor::from);
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = Async::<TcpListener>::bind(arguments.listen)?;
        tell(listener.get_ref().local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            let acceptor = acceptor.clone();
            // A peer that fails is a client's affair.
            let task = async move {
                match acceptor {
                    None => serve(stream).await,
                    Some(acceptor) => serve(acceptor.accept(stream).await?).await,
                }
            };
            executor.spawn(task).detach();
        }
    }))
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
