//! An echo on tokio (one thread), hyper, fastwebsockets and tokio-rustls.

use fastwebsockets::{FragmentCollector, OpCode, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use peers::{Arguments, Error, MESSAGE_BYTES, tell};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

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
