//! Addresses where nobody listens.
//!
//! They are held as long as the value lives. A port that was merely free a moment ago may be given to another test,
//! which would then get connections that are not meant for it.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// An address that refuses connections.
pub struct Nobody(TcpSocket);

impl Nobody {
    pub fn new() -> Nobody {
        let socket = TcpSocket::new_v4().unwrap();
        // Another program that is told the address may listen there.
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Nobody(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Begins to listen after all.
    pub fn listen(self) -> TcpListener {
        self.0.listen(128).unwrap()
    }
}
