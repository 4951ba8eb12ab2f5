//! An echo on tokio (one thread), tokio-tungstenite and tokio-rustls.

use futures_util::{SinkExt as _, StreamExt as _};
use peers::{BUFFER_BYTES, Error, MESSAGE_BYTES, on_tokio};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

fn main() -> Result<(), Error> {
    on_tokio::run(serve, serve)
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
