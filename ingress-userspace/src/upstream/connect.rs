//! A new connection to an endpoint: TCP, and TLS where the cluster wants it.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Error;
use super::io::Io;
use super::tls::ClientTls;
use crate::routing::{Cluster, UpstreamProtocol};

/// What is spoken on a new connection.
#[derive(Debug)]
pub(super) enum Connected {
    Http1(Io),
    Http2(Io),
}

/// Connects, handshake included. The caller says for how long.
pub(super) async fn connect(
    cluster: &Cluster,
    address: SocketAddr,
    tls: &ClientTls,
) -> Result<Connected, Error> {
    let stream = TcpStream::connect(address).await.map_err(|_| Error::Connect)?;
    // Requests are written whole; waiting for more would only delay them.
    stream.set_nodelay(true).map_err(|_| Error::Connect)?;
    match cluster.protocol {
        UpstreamProtocol::Http1 => Ok(Connected::Http1(Io::Clear(stream))),
        UpstreamProtocol::H2c => Ok(Connected::Http2(Io::Clear(stream))),
        UpstreamProtocol::Http1Tls { verify } => {
            let stream = tls.connect(cluster, address, verify, false, stream).await?;
            Ok(Connected::Http1(Io::Tls(Box::new(stream))))
        }
        UpstreamProtocol::H2Tls { verify } => {
            let stream = tls.connect(cluster, address, verify, true, stream).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = Io::Tls(Box::new(stream));
            Ok(if http2 { Connected::Http2(io) } else { Connected::Http1(io) })
        }
    }
}
