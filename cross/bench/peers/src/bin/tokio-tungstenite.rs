//! An echo on tokio (one thread), tokio-tungstenite and tokio-rustls.

use futures_util::{SinkExt as _, StreamExt as _};
use peers::{Arguments, BUFFER_BYTES, Error, MESSAGE_BYTES, tell};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

fn main() -> Result<(), Error> {
    let arguments = Arguments::read()?;
    let acceptor = arguments.tls_config()?.map(TlsAcceptor::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(arguments.listen).await?;
        tell(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A connection that fails is a client's affair. Two tasks, for one that can be both would be
            // as large as the larger.
            match acceptor.clone() {
                None => drop(tokio::task::spawn_local(serve(stream))),
                Some(acceptor) => drop(tokio::task::spawn_local(serve_tls(acceptor, stream))),
            }
        }
    })
}

async fn serve_tls(acceptor: TlsAcceptor, stream: TcpStream) -> Result<(), Error> {
    serve(acceptor.accept(stream).await?).await
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES));
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
