//! The loop of the peers on tokio: one thread, and TLS of tokio-rustls.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::{Arguments, Error, report_address};

/// Accepts connections for ever and serves each in a task of its own: by `plain`, or by `tls` where the
/// command line asks for it. A connection that fails is a client's affair.
pub fn run<P, T>(
    plain: impl Fn(TcpStream) -> P,
    tls: impl Fn(TlsStream<TcpStream>) -> T + Copy + 'static,
) -> Result<(), Error>
where
    P: Future<Output = Result<(), Error>> + 'static,
    T: Future<Output = Result<(), Error>> + 'static,
{
    let arguments = Arguments::read()?;
    let acceptor = arguments.tls_config()?.map(TlsAcceptor::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(arguments.listen).await?;
        report_address(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // Two tasks, for one that can be both would be as large as the larger.
            match acceptor.clone() {
                None => drop(spawn_local(plain(stream))),
                Some(acceptor) => drop(spawn_local(serve_tls(acceptor, stream, tls))),
            }
        }
    })
}

async fn serve_tls<T: Future<Output = Result<(), Error>>>(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    serve: impl Fn(TlsStream<TcpStream>) -> T,
) -> Result<(), Error> {
    serve(acceptor.accept(stream).await?).await
}
